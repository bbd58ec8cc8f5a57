"""The files that `readFile` may read: only what a snapshot has offered, by the path that stood in it (DESIGN 8)."""

import threading

from iotdb_cluster.errors import PathNotFound
from iotdb_cluster.types.disk import Disk


class OfferedFiles:
    """Counts offers, since two snapshots may offer the same file. May be used from any thread."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._guard = threading.Lock()
        self._offers: dict[str, int] = {}

    def offer(self, paths: tuple[str, ...]) -> None:
        """These files may be read until they are withdrawn as often as they were offered."""
        with self._guard:
            for path in paths:
                self._offers[path] = self._offers.get(path, 0) + 1

    def withdraw(self, paths: tuple[str, ...]) -> None:
        """Take one offer of each back."""
        with self._guard:
            for path in paths:
                left = self._offers.get(path, 0) - 1
                if left > 0:
                    self._offers[path] = left
                else:
                    self._offers.pop(path, None)

    def read(self, path: str, offset: int, length: int) -> bytes:
        """At most `length` bytes from `offset`; empty beyond the end. Raises `PathNotFound` for what is not offered."""
        with self._guard:
            offered = path in self._offers
        if not offered:
            raise PathNotFound(f"no snapshot of this node offers {path!r}")
        return self._disk.read(path, offset, length)
