"""The moves of a store: what it offers, what was pulled for it, and what became part of it but of no manifest yet.

An installed move is in memory only: its files are durable where they lie, and its entry is in the log. A crash forgets
it, and the replay of the entry finds the files again. The first manifest that covers the entry names them; what a move
leaves behind is removed only behind a manifest that covers its end, since until then a replay could ask for it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from iotdb_cluster.timeseries.content import Content, Indexed
from iotdb_cluster.timeseries.manifest import Manifest
from iotdb_cluster.timeseries.move_content import Arrangement, MoveContent, arranged, check_narrow
from iotdb_cluster.timeseries.move_staging import MoveStaging, recorded_moves
from iotdb_cluster.timeseries.parquet_schema import FileIndex
from iotdb_cluster.timeseries.sealed_reader import load_index, verify_file
from iotdb_cluster.timeseries.snapshots import StoreSnapshot
from iotdb_cluster.types.disk import Disk
from iotdb_cluster.types.identity import LogIndex


@dataclass(frozen=True, slots=True)
class MoveOffer:
    """What a source gives away: the content, and its files as they lie in the node's folder until `release`."""

    content: MoveContent
    snapshot: StoreSnapshot


class MovesHere:
    """The moves of one store. Runtime's thread, but for `staging` and `prepare`."""

    def __init__(self, disk: Disk, folder: str, *, verify: bool) -> None:
        self._disk = disk
        self._folder = folder
        self._verify = verify
        self._indexes: dict[int, Mapping[str, FileIndex]] = {}
        """Of moves that are ready to be installed: the indexes of their files by their paths in the folder."""
        self._installed: dict[str, tuple[Indexed, LogIndex]] = {}
        """Files that no manifest names yet, by their paths in the folder, and the entry that brought each."""
        self._ended: set[int] = set()

    @property
    def ended(self) -> tuple[int, ...]:
        """The moves whose end was applied and whose remains are still here."""
        return tuple(sorted(self._ended))

    def staging(self, move: int) -> MoveStaging:
        """The files of a move on their way in."""
        return MoveStaging(self._disk, self._folder, move)

    def staged(self) -> list[int]:
        """The moves of which files are kept here, those from earlier starts included."""
        return recorded_moves(self._disk, self._folder)

    def prepare(self, move: int, content: MoveContent) -> None:
        """Read what an install needs, so that it is done in a moment. Any thread; all files must be complete."""
        check_narrow(content)
        self._indexes[move] = self._indexes_of(move, content)

    def arranged(self, move: int, content: MoveContent, here: Content) -> tuple[Arrangement, Mapping[str, Indexed]]:
        """A content in the numbers of a store, and its files by their paths here.

        Raises `Corruption` for a file that is missing or damaged: it had to be durable before the entry was.
        """
        arrangement = arranged(content, move, here.next_deletion, here.schema.next_created)
        files = [file for group in arrangement.storage_groups for file in group.files]
        known = self._indexes.get(move, {})
        if any(file.folder_path not in known for file in files):
            known = self._indexes_of(move, content)
        return arrangement, {file.folder_path: (file, known[file.folder_path]) for file in files}

    def _indexes_of(self, move: int, content: MoveContent) -> Mapping[str, FileIndex]:
        found: dict[str, FileIndex] = {}
        for group in arranged(content, move, 1, 1).storage_groups:
            for file in group.files:
                if self._verify:
                    verify_file(self._disk, self._folder, file)
                found[file.folder_path] = load_index(self._disk, self._folder, file)
        return found

    def installed(self, move: int, files: Mapping[str, Indexed], at: LogIndex) -> None:
        """Files have become part of the store by the entry `at`."""
        self._indexes.pop(move, None)
        self._installed.update({path: (entry, at) for path, entry in files.items()})

    def is_unnamed(self, path: str) -> bool:
        """True for an installed file that no manifest names yet."""
        return path in self._installed

    def named_by(self, manifest: Manifest) -> dict[str, Indexed]:
        """The installed files that a new manifest decides about: it names them, or they are gone; forgotten here."""
        decided = {path: entry for path, (entry, at) in self._installed.items() if at <= manifest.covered.index}
        for path in decided:
            del self._installed[path]
        return decided

    def end(self, move: int) -> None:
        """The move's end was applied: what it leaves goes with the next manifest."""
        self._indexes.pop(move, None)
        self._ended.add(move)

    def remover(self, manifest: Manifest, kept: frozenset[str]) -> Callable[[], None] | None:
        """What removes the remains of moves whose end a durable manifest covers; None when there are none."""
        over = sorted(self._ended.intersection(manifest.ended_moves))
        if not over:
            return None
        self._ended.difference_update(over)
        every = kept | self._installed.keys()

        def remove() -> None:
            for move in over:
                self.staging(move).remove(every)

        return remove
