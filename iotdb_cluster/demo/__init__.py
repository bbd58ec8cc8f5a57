"""The main job: a cluster on this machine does its work on real data, loses a node, and is checked point by point."""
