"""The meta group: nodes, storage groups, the partition table, accounts; its state machine and its services."""
