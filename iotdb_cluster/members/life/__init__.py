"""How nodes and groups come, change and go (docs/life-cycle.md, "Node" and "Group")."""
