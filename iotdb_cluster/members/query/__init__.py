"""Queries of the client port: which groups hold the series, where their points come from, and who fetches them."""
