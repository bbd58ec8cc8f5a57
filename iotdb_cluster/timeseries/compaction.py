"""Compaction: files of a storage group become fewer, without deleted points and replaced ones."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from iotdb_cluster.timeseries.content import Indexed
from iotdb_cluster.timeseries.deletions import EVERY_TIME, Deletion, DeletionList, concerns, deleted_until
from iotdb_cluster.timeseries.frames import Column, Frame, merged_frames
from iotdb_cluster.timeseries.frontier import Segment, in_order
from iotdb_cluster.timeseries.jobs import Job, Workplace, devices_by_file, file_name, needed_deletions
from iotdb_cluster.timeseries.manifest import Manifest, SealedFile, StorageGroupContent, save_manifest
from iotdb_cluster.timeseries.parquet_schema import Part, Signature
from iotdb_cluster.timeseries.sealed_reader import ColumnCache, FileReader
from iotdb_cluster.timeseries.sealed_writer import TEMPORARY_SUFFIX, FilePlan, Frames, write_sealed
from iotdb_cluster.timeseries.settings import StoreSettings
from iotdb_cluster.types.paths import series_path, split_series
from iotdb_cluster.types.schema import DataType

DeviceTypes = Mapping[str, DataType]
"""The measurements of a device and their types."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Files of one storage group to be replaced, all of a run of versions that ends at the newest, or one version's."""

    storage_group: str
    files: tuple[SealedFile, ...]


@dataclass(slots=True)
class Compacting:
    """Input and result of a compaction. `base` is the durable manifest; without a result nothing was done."""

    base: Manifest
    choice: Choice
    inputs: tuple[Indexed, ...]
    written: list[Indexed] = field(default_factory=list)
    manifest: Manifest | None = None


class _GivenUp(Exception):
    """The job makes room for a seal."""


class CompactionJob(Job):
    """Writes the chosen files anew and makes a manifest durable that names the new ones instead.

    Only deletions of the manifest are carried out: files stay the state at `covered`. `should_stop` is asked between
    pieces of work; a job that stops leaves everything as it was.
    """

    def __init__(
        self,
        place: Workplace,
        compacting: Compacting,
        on_finish: Callable[[], None],
        on_end: Callable[[], None],
        should_stop: Callable[[], bool],
    ) -> None:
        super().__init__(on_finish, on_end)
        self._place = place
        self._task = compacting
        self._should_stop = should_stop
        self._next_file = compacting.base.next_file
        self._deletions = DeletionList(compacting.base.deletions)
        self._version = max(file.version for file in compacting.choice.files)

    def _work(self) -> None:
        task = self._task
        try:
            for signature, devices in devices_by_file(self._columns()):
                found = self._write(signature, devices)
                if found is not None:
                    task.written.append(found)
        except _GivenUp:
            self._remove_written()
            return
        manifest = self._manifest([file for file, _ in task.written])
        save_manifest(self._place.disk, self._place.folder, manifest)
        task.manifest = manifest

    def _columns(self) -> dict[str, tuple[Signature, Signature]]:
        """Of each device that is still in the schema: its measurements, and those that some input has."""
        wanted = {device for _, index in self._task.inputs for device in index.devices}
        found: dict[str, tuple[Signature, Signature]] = {}
        types = self._types()
        for device in sorted(wanted & types.keys()):
            everything = tuple(types[device].items())
            present = {
                name
                for _, index in self._task.inputs
                if index.has_device(device)
                for name, data_type in everything
                if name in index.columns and index.columns[name][1] is data_type
            }
            found[device] = (everything, tuple(entry for entry in everything if entry[0] in present))
        return found

    def _types(self) -> dict[str, dict[str, DataType]]:
        types: dict[str, dict[str, DataType]] = {}
        for group in self._task.base.storage_groups:
            if group.path == self._task.choice.storage_group:
                for series in group.series:
                    device, measurement = split_series(series.schema.path)
                    types.setdefault(device, {})[measurement] = series.schema.data_type
        return types

    def _write(self, signature: Signature, devices: list[str]) -> Indexed | None:
        base = self._task.base
        plan = FilePlan(
            folder=self._place.folder,
            storage_group=self._task.choice.storage_group,
            name=file_name(self._next_file),
            version=self._version,
            clean=base.next_deletion - 1,
            signature=signature,
            origin=self._place.origin(base.covered),
        )
        self._next_file += 1
        return write_sealed(
            self._place.disk, plan, self._frames(dict(signature), devices), self._place.settings.rows_per_row_group
        )

    def _frames(self, types: DeviceTypes, devices: list[str]) -> Frames:
        def frames() -> Iterator[tuple[str, Frame]]:
            # Nothing is read twice, so nothing is kept; a reader remembers its last row group by itself.
            no_cache = ColumnCache(0)
            readers = [
                FileReader(self._place.disk, self._place.folder, file, index, no_cache)
                for file, index in self._task.inputs
            ]
            for device in devices:
                for frame in device_frames(readers, device, types, self._deletions):
                    if self._should_stop():
                        raise _GivenUp
                    yield device, frame

        return frames

    def _manifest(self, written: list[SealedFile]) -> Manifest:
        choice, base = self._task.choice, self._task.base
        groups: list[StorageGroupContent] = []
        for group in base.storage_groups:
            if group.path == choice.storage_group:
                group = replace(group, files=replaced(group.files, choice.files, written))
            groups.append(group)
        return replace(
            base,
            storage_groups=tuple(groups),
            deletions=needed_deletions(base.deletions, groups),
            next_file=self._next_file,
        )

    def _remove_written(self) -> None:
        for file, _ in self._task.written:
            self._place.disk.remove(f"{self._place.folder}/{file.folder_path}")
        self._task.written.clear()
        begun = f"{self._place.folder}/{self._task.choice.storage_group}/{file_name(self._next_file - 1)}"
        self._place.disk.remove(begun + TEMPORARY_SUFFIX)


def device_frames(
    readers: Sequence[FileReader], device: str, types: DeviceTypes, deletions: DeletionList
) -> Iterator[Frame]:
    """The rows of a device over several files, oldest first: merged, and without what deletions hide."""
    segments: list[Segment[Frame]] = []
    concerned = {name: deletions.for_series(series_path(device, name)) for name in types}
    for age, reader in enumerate(readers):
        bounds = {
            name: deleted_until(concerned[name], reader.file.clean)
            for name, data_type in types.items()
            if name in reader.index.columns and reader.index.columns[name][1] is data_type
        }
        present = {name: bound for name, bound in bounds.items() if bound != EVERY_TIME}
        if present:
            least = min(present.values())
            for part in reader.index.parts_of(device):
                if part.max_time <= least:
                    continue
                segments.append(Segment(part.min_time, age, _FramePart(reader, part, present)))
    return in_order(segments, merged_frames)


@dataclass(slots=True)
class _FramePart:
    reader: FileReader
    part: Part
    bounds: Mapping[str, int]

    def __call__(self) -> Frame:
        times, columns = self.reader.columns(self.part, list(self.bounds))
        if all(bound < self.part.min_time for bound in self.bounds.values()) and all(
            column.valid is None for column in columns.values()
        ):
            return Frame(times, columns)
        left: dict[str, Column] = {}
        anywhere = np.zeros(len(times), dtype=np.bool_)
        for name, column in columns.items():
            valid = times > self.bounds[name] if self.bounds[name] >= self.part.min_time else None
            if column.valid is not None:
                valid = column.valid if valid is None else valid & column.valid
            left[name] = Column(column.values, valid)
            anywhere |= True if valid is None else valid
        return Frame(times, left).where(anywhere)


def replaced(
    files: Iterable[SealedFile], removed: Iterable[SealedFile], added: Iterable[SealedFile]
) -> tuple[SealedFile, ...]:
    """Files with some in the place of others, in the order of versions."""
    gone = {file.name for file in removed}
    kept = [file for file in files if file.name not in gone]
    return tuple(sorted([*kept, *added], key=lambda file: (file.version, file.name)))


def choose(
    groups: Mapping[str, Sequence[SealedFile]],
    deletions: Sequence[Deletion],
    settings: StoreSettings,
    most_bytes: int | None = None,
) -> Choice | None:
    """What is most worth compacting, or None; of what is rewritten for deletions at most `most_bytes` together.

    The longest run of seals, from the newest back, in which each is at most twice as large as all newer ones together;
    when no run is long enough and there are many deletions, the files that one of them has been waiting for longest.
    """
    best: tuple[int, Choice] | None = None
    for path in sorted(groups):
        run = _run(groups[path], settings.compacted_max_bytes)
        versions = len({file.version for file in run})
        if versions >= settings.compact_at_tiers and (best is None or versions > best[0]):
            best = (versions, Choice(path, tuple(run)))
    if best is not None:
        return best[1]
    gone = _gone(groups, deletions)
    if gone is not None:
        return gone
    if len(deletions) < settings.compact_at_deletions:
        return None
    waiting = [
        (file.clean, path, file.version)
        for path in sorted(groups)
        for file in groups[path]
        if any(_hides(deletion, file) for deletion in deletions)
    ]
    if not waiting:
        return None
    _, path, version = min(waiting)
    files = tuple(file for file in groups[path] if file.version == version)
    too_many = most_bytes is not None and sum(file.size for file in files) > most_bytes
    return None if too_many else Choice(path, files)


def _gone(groups: Mapping[str, Sequence[SealedFile]], deletions: Sequence[Deletion]) -> Choice | None:
    """Files of one seal in which nothing is left, since all of their storage group up to their ends is deleted."""
    for path in sorted(groups):
        whole = [d for d in deletions if d.path == path]
        tiers: dict[int, list[SealedFile]] = {}
        for file in groups[path] if whole else ():
            tiers.setdefault(file.version, []).append(file)
        for version in sorted(tiers):
            if all(any(d.until >= f.max_time and d.number > f.clean for d in whole) for f in tiers[version]):
                return Choice(path, tuple(tiers[version]))
    return None


def _run(files: Sequence[SealedFile], most_bytes: int) -> list[SealedFile]:
    tiers: dict[int, list[SealedFile]] = {}
    for file in files:
        tiers.setdefault(file.version, []).append(file)
    run: list[SealedFile] = []
    total = 0
    for version in sorted(tiers, reverse=True):
        size = sum(file.size for file in tiers[version])
        if total + size > most_bytes or (run and size > 2 * total):
            break
        run = [*tiers[version], *run]
        total += size
    return run


def _hides(deletion: Deletion, file: SealedFile) -> bool:
    late = file.clean < deletion.number and file.min_time <= deletion.until
    return late and concerns(deletion, file.storage_group)
