"""Files of a move on their way into a group's folder: pulled over several starts, complete only when verified.

A file lies where it will stay, in the folder of its storage group, under a name that says its move and its content.
While it is being pulled the name ends in `.part`. The record of the move, `moves/{number}`, keeps the files from being
swept away at a start; without it they are what a crash left.
"""

from dataclasses import dataclass, replace
from typing import Protocol

from iotdb_cluster.errors import Corruption, MalformedInput
from iotdb_cluster.timeseries.manifest import CHECK_BLOCK_BYTES, SealedFile
from iotdb_cluster.timeseries.move_content import MoveContent, check_narrow, move_prefix, staged_name
from iotdb_cluster.timeseries.sealed_reader import verify_file
from iotdb_cluster.timeseries.sealed_writer import Checksums
from iotdb_cluster.types.disk import Bytes, Disk

MOVES_FOLDER = "moves"
PART_SUFFIX = ".part"


class _Growing(Protocol):
    def write(self, data: Bytes) -> None: ...
    def sync(self) -> None: ...
    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class MoveStaging:
    """The files of one move in a target's folder. For any one thread at a time."""

    disk: Disk
    folder: str
    move: int

    @property
    def _record(self) -> str:
        return f"{self.folder}/{MOVES_FOLDER}/{self.move}"

    def begin(self, content: MoveContent) -> None:
        """Note durably that files of this move are wanted; again when the source offers something newer."""
        check_narrow(content)
        self.disk.write_durably(self._record, content.encode())

    def content(self) -> MoveContent | None:
        """What `begin` was told last, also in an earlier start; None before, and when the move was let go of."""
        if not self.disk.exists(self._record):
            return None
        try:
            return MoveContent.decode(self.disk.read(self._record))
        except FileNotFoundError:
            # `remove` runs in the background, whenever a seal covers the end of the move.
            return None

    def path_of(self, file: SealedFile) -> str:
        """Where a file of the source lies here, once it is complete: others of the target may pull it from there."""
        return f"{self.folder}/{file.storage_group}/{staged_name(self.move, file)}"

    def missing(self, content: MoveContent) -> tuple[SealedFile, ...]:
        """The files that have still to be pulled, or to be pulled further."""
        return tuple(file for file in content.files if not self.disk.exists(self.path_of(file)))

    def pulled_bytes(self, file: SealedFile) -> int:
        """From where a file is to be pulled further: what is here of it already."""
        path = self.path_of(file) + PART_SUFFIX
        return self.disk.size(path) if self.disk.exists(path) else 0

    def open_part(self, file: SealedFile) -> _Growing:
        """Append what comes behind `pulled_bytes`; close it, and `complete` the file at its end."""
        return self.disk.append(self.path_of(file) + PART_SUFFIX)

    def complete(self, file: SealedFile) -> None:
        """Verify what was pulled and make it durable under its name; raises `MalformedInput` and lets go of the rest.

        Reads the whole file: not for the runtime's thread.
        """
        path = self.path_of(file)
        part = path + PART_SUFFIX
        if self.disk.exists(path):
            return
        if not self.disk.exists(part):
            raise MalformedInput(f"nothing was pulled of {file.folder_path}")
        # Whoever pulled it may have been cut off behind the last byte, before the sync.
        self.disk.append(part, truncate_to=self.disk.size(part)).close()
        view = self.disk.view(part)
        checks = Checksums()
        for start in range(0, len(view), CHECK_BLOCK_BYTES):
            checks.add(view[start : start + CHECK_BLOCK_BYTES])
        if (checks.size, checks.md5, checks.blocks) != (file.size, file.md5, file.block_checks):
            self.disk.remove(part)
            raise MalformedInput(
                f"{file.folder_path}: {checks.size} bytes, MD5 {checks.md5.hex()}; offered was {file.md5.hex()}"
            )
        self.disk.rename(part, path)

    def is_complete(self, content: MoveContent) -> bool:
        """True when every file is durable here: then the install entry may be written into this member's log."""
        return not self.missing(content)

    def discard_damaged(self, content: MoveContent) -> None:
        """Remove the complete files that are not what they were any more, so that they are pulled again.

        Reads all of them. Only for files that no store has installed.
        """
        for file in content.files:
            staged = replace(file, name=staged_name(self.move, file))
            if self.disk.exists(self.path_of(file)):
                try:
                    verify_file(self.disk, self.folder, staged)
                except Corruption:
                    self.disk.remove(self.path_of(file))

    def remove(self, kept: frozenset[str]) -> None:
        """Remove the move's files but those in `kept` (paths in the group's folder), then its record."""
        prefix = move_prefix(self.move)
        for group in self.disk.list_folder(self.folder):
            if group.startswith("root."):
                for name in self.disk.list_folder(f"{self.folder}/{group}"):
                    if name.startswith(prefix) and f"{group}/{name}" not in kept:
                        self.disk.remove(f"{self.folder}/{group}/{name}")
        self.disk.remove(self._record)


def recorded_moves(disk: Disk, folder: str) -> list[int]:
    """The moves of which files are kept in a group's folder, ascending."""
    return sorted(int(name) for name in disk.list_folder(f"{folder}/{MOVES_FOLDER}") if name.isdigit())
