"""Statements as people and clients write them: parsed into a small frozen tree, and back into text."""
