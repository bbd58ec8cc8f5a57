"""Work in the background: sealing and compaction. Each is begun and finished by the runtime thread and runs anywhere.

A job works on values that nobody changes and on files of its own; the manifest that it makes durable is the whole
change. A crash before leaves files that no manifest names, and they are removed at the next start.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from iotdb_cluster.errors import RequestError
from iotdb_cluster.timeseries.content import Indexed
from iotdb_cluster.timeseries.deletions import Deletion, concerns
from iotdb_cluster.timeseries.frames import Frame
from iotdb_cluster.timeseries.manifest import Manifest, SealedFile, StorageGroupContent, save_manifest
from iotdb_cluster.timeseries.memtable import DeviceMemory
from iotdb_cluster.timeseries.parquet_schema import Signature
from iotdb_cluster.timeseries.schema_tree import Series
from iotdb_cluster.timeseries.sealed_writer import FilePlan, Frames, write_sealed
from iotdb_cluster.timeseries.settings import StoreSettings
from iotdb_cluster.types.disk import Disk
from iotdb_cluster.types.identity import EntryId
from iotdb_cluster.types.schema import DataType

DeviceSeries = Mapping[str, Series]
MAX_FILES_PER_SEAL = 8
"""Of one storage group; devices with other measurements share a file when there would be more."""
_MAX_SHARED_COLUMNS = 256


@dataclass(frozen=True, slots=True)
class Workplace:
    """Where jobs write, and what for."""

    disk: Disk
    folder: str
    settings: StoreSettings

    def origin(self, covered: EntryId) -> dict[str, object]:
        """What the footer of a file says about where it comes from."""
        group = self.folder.rpartition("/")[2]
        return {"group": group, "covered_term": covered.term, "covered_index": covered.index}


class Job:
    """The three steps; `run` may be called on any thread, once.

    `on_end` frees the store for the next job. A fault does not: the node is about to stop, and what the job holds
    must not be taken for written.
    """

    def __init__(self, on_finish: Callable[[], None], on_end: Callable[[], None]) -> None:
        self._on_finish = on_finish
        self._on_end = on_end
        self._error: BaseException | None = None
        self._done = False

    def run(self) -> None:
        """Do the work and make it durable; raises what stops it, most of all `StorageFailure`."""
        try:
            self._work()
            self._done = True
        except BaseException as error:
            self._error = error
            raise

    def finish(self) -> None:
        """Let the store go on with the result; raises the error of a run that failed."""
        if self._error is not None:
            if isinstance(self._error, RequestError):
                self._on_end()
            raise self._error
        assert self._done, "a job is finished after it ran"
        self._on_finish()
        self._on_end()

    def _work(self) -> None:
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class GroupToSeal:
    """A storage group as it was when the seal began; `memory` is not written to any more."""

    path: str
    devices: Mapping[str, DeviceSeries]
    files: tuple[SealedFile, ...]
    memory: dict[str, DeviceMemory]
    expired: int


@dataclass(slots=True)
class Sealing:
    """Input and result of a seal. `base` is the manifest to be, without the new files."""

    base: Manifest
    groups: tuple[GroupToSeal, ...]
    version: int
    clean: int
    written: dict[str, list[Indexed]] = field(default_factory=dict)
    manifest: Manifest | None = None

    def forget_memory(self) -> None:
        """Free what was sealed, device by device: all at once would hold up every other thread for long."""
        for group in self.groups:
            while group.memory:
                group.memory.popitem()


class SealJob(Job):
    """Writes what is in the frozen memory tables to files, then the manifest that covers everything up to an entry."""

    def __init__(
        self, place: Workplace, sealing: Sealing, on_finish: Callable[[], None], on_end: Callable[[], None]
    ) -> None:
        super().__init__(on_finish, on_end)
        self._place = place
        self._sealing = sealing
        self._next_file = sealing.base.next_file

    def _work(self) -> None:
        sealing = self._sealing
        contents: list[StorageGroupContent] = []
        for group in sealing.groups:
            written = sealing.written[group.path] = list(self._write(group))
            series = tuple(one for path in sorted(group.devices) for one in group.devices[path].values())
            files = (*group.files, *(file for file, _ in written))
            contents.append(StorageGroupContent(group.path, series, files, group.expired))
        manifest = replace(
            sealing.base,
            storage_groups=tuple(contents),
            deletions=needed_deletions(sealing.base.deletions, contents),
            next_file=self._next_file,
        )
        save_manifest(self._place.disk, self._place.folder, manifest)
        sealing.manifest = manifest

    def _write(self, group: GroupToSeal) -> Iterator[Indexed]:
        for signature, devices in devices_by_file(_columns_in(group)):
            plan = FilePlan(
                folder=self._place.folder,
                storage_group=group.path,
                name=file_name(self._next_file),
                version=self._sealing.version,
                clean=self._sealing.clean,
                signature=signature,
                origin=self._place.origin(self._sealing.base.covered),
            )
            self._next_file += 1
            found = write_sealed(
                self._place.disk, plan, _memory_frames(group.memory, devices), self._place.settings.rows_per_row_group
            )
            if found is not None:
                yield found


def _memory_frames(memory: Mapping[str, DeviceMemory], devices: list[str]) -> Frames:
    def frames() -> Iterable[tuple[str, Frame]]:
        for device in devices:
            yield device, memory[device].frame()

    return frames


def file_name(number: int) -> str:
    """The name of a sealed file; no number is used twice in a group's folder."""
    return f"{number:010d}.parquet"


def devices_by_file(devices: Mapping[str, tuple[Signature, Signature]]) -> list[tuple[Signature, list[str]]]:
    """Which devices share a file, and its columns: those with the same measurements, more if files became too many.

    `devices`: all measurements of each device, and those that it has points for; a column without points is left out.
    """
    groups: dict[Signature, list[str]] = {}
    for path in sorted(devices):
        groups.setdefault(devices[path][0], []).append(path)
    shared = [list(paths) for _, paths in sorted(groups.items())]
    if len(shared) > MAX_FILES_PER_SEAL:
        shared = _packed(shared, devices)
    return [(_united(devices[path][1] for path in paths), paths) for paths in shared]


def _packed(shared: list[list[str]], devices: Mapping[str, tuple[Signature, Signature]]) -> list[list[str]]:
    """Put together what agrees about the types of its measurements and stays narrow enough."""
    packed: list[tuple[dict[str, DataType], list[str]]] = []
    for paths in shared:
        signature = devices[paths[0]][0]
        for columns, members in packed:
            agree = all(columns.get(name, data_type) is data_type for name, data_type in signature)
            if agree and len(columns.keys() | dict(signature).keys()) <= _MAX_SHARED_COLUMNS:
                columns.update(signature)
                members.extend(paths)
                break
        else:
            packed.append((dict(signature), list(paths)))
    return [sorted(members) for _, members in packed]


def _united(signatures: Iterable[Signature]) -> Signature:
    columns: dict[str, DataType] = {}
    for signature in signatures:
        columns.update(signature)
    return tuple(sorted(columns.items()))


def _columns_in(group: GroupToSeal) -> dict[str, tuple[Signature, Signature]]:
    """Of each device with points: its measurements, and those with points."""
    found: dict[str, tuple[Signature, Signature]] = {}
    for path, memory in group.memory.items():
        series = group.devices.get(path)
        if series is not None:
            everything = tuple((name, series[name].schema.data_type) for name in series)
            written = memory.measurements()
            found[path] = (everything, tuple(entry for entry in everything if entry[0] in written))
    return found


def needed_deletions(deletions: Iterable[Deletion], groups: Sequence[StorageGroupContent]) -> tuple[Deletion, ...]:
    """The deletions that still hide something in one of the files."""
    return tuple(
        deletion
        for deletion in deletions
        if any(
            concerns(deletion, group.path)
            for group in groups
            if any(file.clean < deletion.number and file.min_time <= deletion.until for file in group.files)
        )
    )
