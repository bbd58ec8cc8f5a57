"""A store as a value that travels: what it holds at `covered`, and which files have to travel with it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from iotdb_cluster.errors import Corruption, MalformedInput
from iotdb_cluster.timeseries.content import Indexed
from iotdb_cluster.timeseries.deletions import concerns
from iotdb_cluster.timeseries.jobs import Job, Workplace, file_name
from iotdb_cluster.timeseries.manifest import (
    CHECK_BLOCK_BYTES,
    Manifest,
    SealedFile,
    StorageGroupContent,
    save_manifest,
)
from iotdb_cluster.timeseries.parquet_schema import FileIndex
from iotdb_cluster.timeseries.sealed_reader import load_index
from iotdb_cluster.timeseries.sealed_writer import Checksums
from iotdb_cluster.types.disk import Disk
from iotdb_cluster.types.identity import EntryId
from iotdb_cluster.types.schema import TimeseriesSchema


@dataclass(frozen=True, slots=True)
class SnapshotFile:
    """A sealed file of a snapshot; `path` is relative to the node's folder.

    `start_times`, `end_times`: first and last time of each device, devices ascending. `has_deletions`: some of its
    points are deleted, and the snapshot says which.
    """

    path: str
    file: SealedFile
    start_times: tuple[tuple[str, int], ...]
    end_times: tuple[tuple[str, int], ...]
    has_deletions: bool

    @property
    def folder_path(self) -> str:
        """`{storage group}/{name}`: under this name `install` wants to be told where the file was staged."""
        return self.file.folder_path


@dataclass(frozen=True, slots=True)
class StoreSnapshot:
    """Some or all storage groups of a store, as they were at the log entry `covered`."""

    manifest: Manifest
    files: tuple[SnapshotFile, ...]

    @property
    def covered(self) -> EntryId:
        return self.manifest.covered

    @property
    def context(self) -> bytes:
        return self.manifest.context

    @property
    def storage_groups(self) -> tuple[str, ...]:
        return tuple(group.path for group in self.manifest.storage_groups)

    def schemas(self, storage_group: str) -> tuple[TimeseriesSchema, ...]:
        """The series of one storage group, by path."""
        return tuple(
            series.schema
            for group in self.manifest.storage_groups
            if group.path == storage_group
            for series in group.series
        )

    def files_of(self, storage_group: str) -> tuple[SnapshotFile, ...]:
        """The files of one storage group, oldest first."""
        return tuple(file for file in self.files if file.file.storage_group == storage_group)

    def encode(self) -> bytes:
        """Everything but the files, for `decode_snapshot` at another member."""
        return self.manifest.encode()


def decode_snapshot(data: bytes) -> Manifest:
    """What `StoreSnapshot.encode` gave; raises `MalformedInput`."""
    return Manifest.decode(data)


def snapshot_of(manifest: Manifest, folder: str, indexed: Mapping[str, Indexed]) -> StoreSnapshot:
    """The snapshot of a durable manifest; `indexed` has every file of it by its path in the folder."""
    files: list[SnapshotFile] = []
    for file in manifest.files:
        ranges = indexed[file.folder_path][1].time_ranges()
        files.append(
            SnapshotFile(
                path=f"{folder}/{file.folder_path}",
                file=file,
                start_times=tuple((device, first) for device, first, _ in ranges),
                end_times=tuple((device, last) for device, _, last in ranges),
                has_deletions=any(
                    file.clean < deletion.number
                    and file.min_time <= deletion.until
                    and concerns(deletion, file.storage_group)
                    for deletion in manifest.deletions
                ),
            )
        )
    return StoreSnapshot(manifest, tuple(files))


def restricted(manifest: Manifest, storage_groups: set[str]) -> Manifest:
    """The manifest of some of its storage groups alone."""
    groups = tuple(group for group in manifest.storage_groups if group.path in storage_groups)
    deletions = tuple(d for d in manifest.deletions if any(concerns(d, group.path) for group in groups))
    return replace(manifest, storage_groups=groups, deletions=deletions)


@dataclass(slots=True)
class Installing:
    """Input and result of an install: the manifest as it came, where its files were staged, what is theirs here."""

    received: Manifest
    staged: Mapping[str, str]
    next_file: int
    ended_moves: tuple[int, ...]
    indexed: dict[str, Indexed] | None = None
    manifest: Manifest | None = None


class InstallJob(Job):
    """Verifies staged files, moves them into the group's folder and makes the manifest durable that names them.

    The staged files must be synced. Nothing is moved before everything is verified; a file that is missing or has
    another MD5 raises `MalformedInput`, and the store stays what it was.
    """

    def __init__(
        self, place: Workplace, installing: Installing, on_finish: Callable[[], None], on_end: Callable[[], None]
    ) -> None:
        super().__init__(on_finish, on_end)
        self._place = place
        self._task = installing

    def _work(self) -> None:
        task, disk, folder = self._task, self._place.disk, self._place.folder
        for file in task.received.files:
            verify_staged(disk, task.staged.get(file.folder_path), file)
        next_file = task.next_file
        groups: list[StorageGroupContent] = []
        indexed: dict[str, Indexed] = {}
        for group in task.received.storage_groups:
            files: list[SealedFile] = []
            for file in group.files:
                # Names count per folder: the sender's could be another file's here.
                here = replace(file, name=file_name(next_file))
                next_file += 1
                disk.rename(task.staged[file.folder_path], f"{folder}/{here.folder_path}")
                files.append(here)
                indexed[here.folder_path] = (here, _index(disk, folder, here))
            groups.append(replace(group, files=tuple(files)))
        manifest = replace(
            task.received, storage_groups=tuple(groups), next_file=next_file, ended_moves=task.ended_moves
        )
        save_manifest(disk, folder, manifest)
        task.indexed, task.manifest = indexed, manifest


def verify_staged(disk: Disk, path: str | None, file: SealedFile) -> None:
    """Compare a file that was pulled with what the snapshot says of it; raises `MalformedInput`."""
    if path is None or not disk.exists(path):
        raise MalformedInput(f"the file {file.folder_path} of the snapshot was not staged")
    view = disk.view(path)
    checks = Checksums()
    for start in range(0, len(view), CHECK_BLOCK_BYTES):
        checks.add(view[start : start + CHECK_BLOCK_BYTES])
    if (checks.size, checks.md5, checks.blocks) != (file.size, file.md5, file.block_checks):
        raise MalformedInput(f"{path}: {checks.size} bytes, MD5 {checks.md5.hex()}; the snapshot says {file.md5.hex()}")


def _index(disk: Disk, folder: str, file: SealedFile) -> FileIndex:
    try:
        return load_index(disk, folder, file)
    except Corruption as error:
        raise MalformedInput(f"a file of the snapshot is no sealed file: {error}") from error
