"""Lets go, by itself, of what callers have forgotten: readers nobody fetches from, files nobody reads."""

from iotdb_cluster.members.data.offered_files import OfferedFiles
from iotdb_cluster.members.data.readers import Readers

LOOK_MS = 1_000
"""How often it looks, at most."""


class Tidying:
    """Called after every turn of the runtime; never waits for anybody who reads at the moment."""

    def __init__(self, readers: Readers, offered_files: OfferedFiles) -> None:
        self._readers = readers
        self._offered_files = offered_files
        self._look_at_ms = 0

    def after_turn(self, now_ms: int) -> None:
        """Look, unless that was done a moment ago."""
        if now_ms < self._look_at_ms:
            return
        self._look_at_ms = now_ms + LOOK_MS
        self._readers.expire()
        self._offered_files.expire()
