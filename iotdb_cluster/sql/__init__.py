"""Statements as people and clients write them: parsed into a small frozen tree, and back into text.

`parse` gives one of the classes of `statements`, or raises an error with line and column.
"""

from iotdb_cluster.sql.parse import parse, prepare
from iotdb_cluster.sql.statements import Statement

__all__ = ["Statement", "parse", "prepare"]
