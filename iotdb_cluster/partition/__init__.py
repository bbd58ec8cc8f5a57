"""Slots, the ring, the partition table, and the move of slots: pure values that every node computes alike."""
