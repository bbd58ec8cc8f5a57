"""Slots on their way from one data group to another (docs/life-cycle.md, "Move")."""
