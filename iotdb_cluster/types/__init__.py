"""The values every layer shares: identities, entries, memberships, plans, filters, schemas, and what a disk is."""
