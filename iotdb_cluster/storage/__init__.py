"""The log of all groups, the identity of the folder and the meta snapshot: where files are opened and synced."""
