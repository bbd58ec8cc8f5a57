"""What storage and time series ask of a disk; the simulator has a disk of its own."""

from typing import Protocol

Bytes = bytes | bytearray | memoryview
"""What may be written; a disk keeps no reference to it."""


class AppendFile(Protocol):
    """A file that grows at its end. What was written is durable only when `sync` has returned."""

    def write(self, data: Bytes) -> None:
        """Append all of `data`; raises `StorageFailure`."""

    def sync(self) -> None:
        """Make everything written durable; after a failure the file must not be used again."""

    def size(self) -> int:
        """Bytes written so far."""

    def close(self) -> None:
        """Close without a sync."""


class Disk(Protocol):
    """A folder tree. Paths are relative to the node's folder, with `/` between names.

    Every method raises `StorageFailure` when the disk refuses, `FileNotFoundError` for a missing file, and
    `MalformedInput` for a path that is absolute or leaves the folder.
    """

    def list_folder(self, path: str) -> list[str]:
        """Names in a folder, sorted; empty when there is no such folder."""

    def exists(self, path: str) -> bool:
        """True for a file or folder."""

    def size(self, path: str) -> int:
        """Bytes of a file."""

    def read(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        """Bytes of a file from `offset`, at most `length`; fewer at its end."""

    def view(self, path: str) -> memoryview:
        """The whole file without copying where the disk can (memory-mapped); for sealed files, which never change."""

    def append(self, path: str, *, truncate_to: int | None = None) -> AppendFile:
        """Open for appending, making file and folders durably; cut to `truncate_to` bytes first when given.

        With `truncate_to` everything that is left in the file is synced, too, whoever wrote it.
        """

    def write_durably(self, path: str, data: Bytes) -> None:
        """Replace a file at once: write beside it, sync, rename, sync the folder."""

    def rename(self, old: str, new: str) -> None:
        """Rename a file that is synced, and sync both folders."""

    def remove(self, path: str) -> None:
        """Remove a file if it is there, and sync its folder."""

    def remove_folder(self, path: str) -> None:
        """Remove a folder with everything in it, if it is there."""

    def free_bytes(self) -> int:
        """What may still be written."""
