"""One data group's points and series: applies the group's log, answers reads, keeps itself on disk."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import pyarrow as pa

from iotdb_cluster.errors import Busy, StorageGroupUnknown
from iotdb_cluster.timeseries.content import Content, StorageGroup
from iotdb_cluster.timeseries.deletions import DeletionList
from iotdb_cluster.timeseries.filters import check_filter
from iotdb_cluster.timeseries.jobs import GroupToSeal, Job, Sealing, SealJob, Workplace
from iotdb_cluster.timeseries.manifest import MANIFEST_FILE, Manifest, load_manifest
from iotdb_cluster.timeseries.sealed_reader import ColumnCache, load_index, verify_file
from iotdb_cluster.timeseries.series_reader import FileAccess, SeriesReader, open_reader, value_in
from iotdb_cluster.timeseries.settings import StoreSettings
from iotdb_cluster.timeseries.values import Value
from iotdb_cluster.types.disk import Disk
from iotdb_cluster.types.filters import Filter
from iotdb_cluster.types.identity import EntryId
from iotdb_cluster.types.paths import Pattern, nodes_of
from iotdb_cluster.types.plans import Plan
from iotdb_cluster.types.schema import TimeseriesSchema

STAGED_FOLDER = "staged"
"""Where files of other members are put before they are installed; no storage group has this name."""

Submit = Callable[[Callable[[], None]], None]


class GroupStore:
    """One data group in one folder.

    One thread, the runtime's, applies, begins and finishes jobs. Any thread reads. What a job does between its
    beginning and its end may run on any one thread; one job runs at a time.

    Invariant: files and manifest on disk are the state after the log entry `covered`, and nothing else; what came later
    is in memory and comes again from the log.
    """

    def __init__(self, disk: Disk, folder: str, settings: StoreSettings, submit: Submit, manifest: Manifest) -> None:
        """An empty store; `open` is what makes one."""
        self._access = FileAccess(disk, folder, ColumnCache(settings.column_cache_bytes))
        self._place = Workplace(disk, folder, settings)
        self._submit = submit
        self._content = Content()
        self._manifest = manifest
        self._applied = manifest.covered
        self._job: Job | None = None
        self._close_asked = False
        self._unneeded: set[str] = set()

    @classmethod
    def open(cls, disk: Disk, folder: str, settings: StoreSettings, submit: Submit) -> "GroupStore":
        """The store in a folder, empty where there is none.

        `submit` runs something small in the background: files that nobody needs any more are removed there. Raises
        `Corruption` naming file and offset when manifest or a sealed file is damaged.
        """
        # One thread a request is all the parallelism wanted here; the pools of pyarrow would only idle.
        pa.set_cpu_count(1)
        manifest = load_manifest(disk, folder) or Manifest()
        remove_leftovers(disk, folder, manifest)
        store = cls(disk, folder, settings, submit, manifest)
        store._load(manifest)
        return store

    @property
    def covered(self) -> EntryId:
        """The last log entry whose effects are in files: the log is needed from behind it only."""
        return self._manifest.covered

    @property
    def context(self) -> bytes:
        """What the owner gave to be kept with `covered`."""
        return self._manifest.context

    @property
    def applied(self) -> EntryId:
        """The last log entry that was applied, with whatever outcome."""
        return self._applied

    @property
    def memory_bytes(self) -> int:
        """About what points in memory take, those that are being sealed included."""
        return self._content.active_bytes + self._content.frozen_bytes

    @property
    def is_busy(self) -> bool:
        """True while a job is under way."""
        return self._job is not None

    def wants_seal(self) -> bool:
        """True when memory is above its limit or a CLOSE_FILE asked for it, and no job is under way."""
        full = self._content.active_bytes > self._place.settings.memtable_limit_bytes
        return self._job is None and (full or self._close_asked)

    def apply(self, entry_id: EntryId, plan: Plan) -> None:
        """Apply a plan of the group's log; a `RequestError` is its outcome and leaves the points as they were."""
        self._applied = entry_id
        self._content.apply(plan)

    def close_file(self, entry_id: EntryId, storage_group: str) -> None:
        """Ask for a seal, since a CLOSE_FILE entry says so; raises `StorageGroupUnknown`."""
        self._applied = entry_id
        if storage_group not in self._content.groups:
            raise StorageGroupUnknown(f"{storage_group} is no storage group of this data group")
        self._close_asked = True

    def pass_over(self, entry_id: EntryId) -> None:
        """Note that an entry which concerns no points was applied."""
        self._applied = entry_id

    # -- jobs

    def begin_seal(self, covered: EntryId, context: bytes) -> SealJob:
        """Begin to write everything applied so far to files; from here on writes go to new memory tables.

        `covered` is the last entry applied, `context` what the owner wants to find beside it after a restart. Raises
        `Busy` while another job is under way.
        """
        self._check_idle()
        assert covered.index >= self._applied.index, f"{covered} is before {self._applied}, which was applied"
        content = self._content
        base = self._manifest
        clean = content.next_deletion - 1
        with content.lock:
            for group in content.groups.values():
                group.frozen, group.active, group.frozen_clean = group.active, {}, clean
            content.frozen_bytes, content.active_bytes = content.active_bytes, 0
        self._close_asked = False
        groups = tuple(
            GroupToSeal(
                path=path,
                devices={name: device.everything() for name, device in content.schema.storage_groups[path].items()},
                files=tuple(file for file, _ in content.groups[path].files),
                memory=content.groups[path].frozen,
            )
            for path in sorted(content.groups)
        )
        sealing = Sealing(
            base=replace(
                base,
                covered=covered,
                context=context,
                deletions=content.deletions.all(),
                next_version=base.next_version + 1,
                next_deletion=content.next_deletion,
                next_created=content.schema.next_created,
            ),
            groups=groups,
            version=base.next_version,
            clean=clean,
        )
        owners = {path: content.groups[path] for path in sorted(content.groups)}
        job = SealJob(self._place, sealing, lambda: self._finish_seal(sealing, owners))
        self._job = job
        return job

    def _finish_seal(self, sealing: Sealing, owners: Mapping[str, StorageGroup]) -> None:
        assert sealing.manifest is not None
        content = self._content
        with content.lock:
            for path, group in owners.items():
                group.files = (*group.files, *sealing.written[path])
                group.frozen = {}
            content.frozen_bytes = 0
            self._keep_needed_deletions(sealing.manifest)
        self._adopt(sealing.manifest)
        self._job = None

    def _keep_needed_deletions(self, manifest: Manifest) -> None:
        """Forget the deletions that the manifest needs no more; those that came since stay."""
        later = [d for d in self._content.deletions.all() if d.number >= manifest.next_deletion]
        self._content.deletions = DeletionList((*manifest.deletions, *later))

    def _adopt(self, manifest: Manifest) -> None:
        """Take a durable manifest for the present one; files that only the one before named are removed."""
        before = {file.folder_path for file in self._manifest.files}
        self._manifest = manifest
        self._unneeded |= before - {file.folder_path for file in manifest.files}
        self._remove_unneeded()

    def _remove_unneeded(self) -> None:
        with self._content.lock:
            free = sorted(path for path in self._unneeded if not self._content.pins[path])
            self._unneeded.difference_update(free)
        if free:
            self._submit(lambda: self._remove_files(free))

    def _remove_files(self, paths: list[str]) -> None:
        for path in paths:
            self._place.disk.remove(f"{self._place.folder}/{path}")

    def _check_idle(self) -> None:
        if self._job is not None:
            raise Busy("a seal or compaction of this group is under way")

    # -- reads

    def storage_groups(self) -> list[str]:
        """The storage groups of this data group, sorted."""
        with self._content.lock:
            return sorted(self._content.groups)

    def series(self, pattern: str, *, in_creation_order: bool = False) -> list[TimeseriesSchema]:
        """The series that a path or pattern matches, by path or in the order in which they were created."""
        wanted = Pattern.parse(pattern)
        with self._content.lock:
            found = [
                device.series[measurement]
                for device, measurements in self._content.schema.matching(wanted)
                for measurement in measurements
            ]
        if in_creation_order:
            found.sort(key=lambda series: series.created)
        else:
            found.sort(key=lambda series: series.schema.path)
        return [series.schema for series in found]

    def find(self, path: str) -> TimeseriesSchema | None:
        """The series with this full path."""
        with self._content.lock:
            found = self._content.schema.find(path)
        return None if found is None else found.schema

    def device_schema(self, device: str) -> Mapping[str, TimeseriesSchema]:
        """The series of a device by measurement, sorted; empty for an unknown device."""
        with self._content.lock:
            found = self._content.schema.devices.get(device)
            everything = {} if found is None else found.everything()
        return {measurement: series.schema for measurement, series in everything.items()}

    def open_series(self, path: str, condition: Filter | None = None) -> SeriesReader:
        """A reader over a series as it is now; one that has nothing to read for an unknown series.

        Raises `ValueRefused` or `Unsupported` when the filter does not suit the type.
        """
        view = self._content.view(path)
        if view is None:
            if condition is not None:
                check_filter(condition, None)
            return SeriesReader(None, [], None)
        try:
            if condition is not None:
                check_filter(condition, view.data_type)
            reader = open_reader(view, self._access, condition, self._content)
        except BaseException:
            self._unpin(view.pinned)
            raise
        reader.when_closed(lambda: self._unpin(view.pinned))
        return reader

    def value_at(self, path: str, time: int) -> Value | None:
        """The value of a series at a time, or None. Fast when asked again nearby: decoded columns are kept."""
        view = self._content.view(path)
        if view is None:
            return None
        try:
            return value_in(view, self._access, time, self._content)
        finally:
            self._unpin(view.pinned)

    def _unpin(self, paths: list[str]) -> None:
        """Let go of files that a view or a snapshot could open; what nobody needs any more is removed."""
        with self._content.lock:
            pins = self._content.pins
            pins.subtract(paths)
            for path in paths:
                if pins[path] <= 0:
                    del pins[path]
            is_due = not self._unneeded.isdisjoint(paths)
        if is_due:
            self._remove_unneeded()

    def _load(self, manifest: Manifest) -> None:
        """Make the content of a manifest the present one; every file is verified first."""
        content = Content()
        for entry in manifest.storage_groups:
            indexed = []
            for file in entry.files:
                if self._place.settings.verify_files_at_open:
                    verify_file(self._place.disk, self._place.folder, file)
                indexed.append((file, load_index(self._place.disk, self._place.folder, file)))
            content.schema.add_storage_group(entry.path)
            content.groups[entry.path] = StorageGroup(entry.path, tuple(indexed))
            for series in entry.series:
                content.schema.add_series(series.schema, entry.path, series.created)
        content.schema.next_created = manifest.next_created
        content.deletions = DeletionList(manifest.deletions)
        content.next_deletion = manifest.next_deletion
        self._content = content
        self._manifest = manifest


def remove_leftovers(disk: Disk, folder: str, manifest: Manifest) -> None:
    """Remove what a crash left behind: files and folders of storage groups that no manifest names."""
    named = {file.folder_path for file in manifest.files}
    kept_folders = {group.path for group in manifest.storage_groups}
    for name in disk.list_folder(folder):
        if name in (MANIFEST_FILE, STAGED_FOLDER):
            continue
        if nodes_of(name)[0] != "root":
            disk.remove(f"{folder}/{name}")
        elif name not in kept_folders:
            disk.remove_folder(f"{folder}/{name}")
        else:
            for file in disk.list_folder(f"{folder}/{name}"):
                if f"{name}/{file}" not in named:
                    disk.remove(f"{folder}/{name}/{file}")
