"""What a data group holds, in memory: schema, memory tables, the files that count, deletions. Applies plans."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import assert_never

import numpy as np

from iotdb_cluster.errors import (
    MalformedInput,
    MetadataRefused,
    OutOfTtl,
    PathNotFound,
    StorageGroupUnknown,
    Unsupported,
    ValueRefused,
)
from iotdb_cluster.timeseries.deletions import (
    EVERY_TIME,
    LEAST_TIME,
    NOTHING_DELETED,
    Deletion,
    DeletionList,
    deleted_until,
)
from iotdb_cluster.timeseries.frames import Points
from iotdb_cluster.timeseries.manifest import Manifest, SealedFile
from iotdb_cluster.timeseries.memtable import DeviceMemory, RowShape, SeriesMemory
from iotdb_cluster.timeseries.move_content import Arrangement
from iotdb_cluster.timeseries.parquet_schema import FileIndex
from iotdb_cluster.timeseries.schema_tree import Device, SchemaTree, Series
from iotdb_cluster.timeseries.values import CONVERTERS, PACKED, PACKED_TIME, refused, unpacked_column
from iotdb_cluster.types.paths import WILDCARD, Pattern, series_path, split_series
from iotdb_cluster.types.plans import (
    CreateTimeseriesPlan,
    DeletePlan,
    DeleteStorageGroupPlan,
    DeleteTimeseriesPlan,
    ExpirePlan,
    InsertPlan,
    Plan,
    SetStorageGroupPlan,
    SetTtlPlan,
    TabletPlan,
)
from iotdb_cluster.types.schema import DataType, TimeseriesSchema

Indexed = tuple[SealedFile, FileIndex]


@dataclass(slots=True)
class StorageGroup:
    """The points of one storage group. One that was deleted and made again is another object.

    Files are sorted by version. Order of age: files, `frozen` (being sealed), `active`.
    """

    path: str
    files: tuple[Indexed, ...] = ()
    frozen: dict[str, DeviceMemory] = field(default_factory=dict)
    frozen_clean: int = 0
    active: dict[str, DeviceMemory] = field(default_factory=dict)
    expired: int = NOTHING_DELETED
    """Nothing up to this time is taken any more; what was there is gone."""

    def has_older(self, until: int) -> bool:
        """True when something older than the active table may have points at or below `until`."""
        return bool(self.frozen) or any(file.min_time <= until for file, _ in self.files)


@dataclass(frozen=True, slots=True)
class MemoryView:
    """A series in one memory table; a deletion counts for it when its number is above `clean` (None: none does)."""

    memory: SeriesMemory
    owner: DeviceMemory
    clean: int | None


@dataclass(frozen=True, slots=True)
class SeriesView:
    """A consistent state of one series: memory tables and files, oldest first, and the deletions that concern it."""

    path: str
    device: str
    measurement: str
    schema: TimeseriesSchema
    files: tuple[Indexed, ...]
    memory: tuple[MemoryView, ...]
    deletions: tuple[Deletion, ...]

    @property
    def data_type(self) -> DataType:
        return self.schema.data_type

    @property
    def pinned(self) -> list[str]:
        """The paths of the files that it may open."""
        return [file.folder_path for file, _ in self.files]


class Content:
    """A data group's state in memory.

    One thread applies; it holds `lock` while it changes what readers look at, and readers hold it while they take a
    view, which is then theirs. Nothing is read, decoded or merged under it.
    """

    def __init__(self) -> None:
        self.lock = Lock()
        self.schema = SchemaTree()
        self.groups: dict[str, StorageGroup] = {}
        self.deletions = DeletionList()
        self.next_deletion = 1
        self.active_bytes = 0
        self.frozen_bytes = 0
        self.pins: Counter[str] = Counter()
        """How many views and snapshots may open each file."""

    def restore(self, manifest: Manifest, indexed: Mapping[str, Indexed]) -> None:
        """Become what a manifest says and forget everything else; `indexed` has its files by their paths."""
        schema = SchemaTree()
        groups: dict[str, StorageGroup] = {}
        for entry in manifest.storage_groups:
            schema.add_storage_group(entry.path)
            files = tuple(indexed[file.folder_path] for file in entry.files)
            groups[entry.path] = StorageGroup(entry.path, files, expired=entry.expired)
            for series in entry.series:
                schema.add_series(series.schema, entry.path, series.created)
        schema.next_created = manifest.next_created
        with self.lock:
            self.schema, self.groups = schema, groups
            self.deletions = DeletionList(manifest.deletions)
            self.next_deletion = manifest.next_deletion
            self.active_bytes = self.frozen_bytes = 0

    def apply(self, plan: Plan) -> None:
        """Do what a plan says, whole or not at all; a `RequestError` leaves everything as it was."""
        match plan:
            case InsertPlan():
                self._insert(plan)
            case TabletPlan():
                self._insert_tablet(plan)
            case DeletePlan():
                self._delete(plan)
            case CreateTimeseriesPlan():
                group = self.schema.check_new_series(plan)
                schema = TimeseriesSchema(plan.path, plan.data_type, plan.encoding, plan.compression)
                with self.lock:
                    self.schema.add_series(schema, group)
            case SetStorageGroupPlan():
                if self.schema.check_new_storage_group(plan.path):
                    with self.lock:
                        self.schema.add_storage_group(plan.path)
                        self.groups[plan.path] = StorageGroup(plan.path)
            case DeleteTimeseriesPlan():
                self._delete_series(plan)
            case DeleteStorageGroupPlan():
                if plan.path not in self.groups:
                    raise MetadataRefused(f"{plan.path} is not a storage group")
                self.drop(plan.path)
            case ExpirePlan():
                self._expire(plan)
            case SetTtlPlan():
                raise Unsupported("a time to live is a matter of the meta group")
            case _:
                assert_never(plan)

    def install(self, arrangement: Arrangement, indexed: Mapping[str, Indexed]) -> None:
        """Put storage groups beside those that are here already; `indexed` has their files by their paths."""
        series = sorted(
            ((one.created, one.schema, group.path) for group in arrangement.storage_groups for one in group.series),
            key=lambda entry: entry[0],
        )
        with self.lock:
            for group in arrangement.storage_groups:
                files = tuple(indexed[file.folder_path] for file in group.files)
                self.schema.add_storage_group(group.path)
                self.groups[group.path] = StorageGroup(group.path, files, expired=group.expired)
            for created, schema, path in series:
                self.schema.add_series(schema, path, created)
            for deletion in arrangement.deletions:
                self.deletions.add(deletion)
                self.next_deletion = deletion.number + 1

    def drop(self, path: str) -> None:
        """Forget a storage group with its series and points."""
        with self.lock:
            self.schema.remove_storage_group(path)
            del self.groups[path]

    def view(self, path: str) -> SeriesView | None:
        """The series as it is now, or None when there is no such series. Any thread; the files of a view are pinned.

        Whoever takes a view gives it back by `unpin`: until then its files stay on disk.
        """
        device_path, measurement = split_series(path)
        with self.lock:
            device = self.schema.devices.get(device_path)
            series = None if device is None else device.series.get(measurement)
            if device is None or series is None:
                return None
            group = self.groups[device.storage_group]
            memory: list[MemoryView] = []
            deletions = self.deletions.for_series(path) if len(self.deletions) else ()
            for table, clean in ((group.frozen, group.frozen_clean), (group.active, None)):
                owner = table.get(device_path)
                # What is deleted for ever is an earlier series of this name, perhaps of another type.
                is_other = clean is not None and deleted_until(deletions, clean) == EVERY_TIME
                if owner is not None and not is_other:
                    found = owner.view(measurement, series.schema.data_type)
                    if found is not None:
                        memory.append(MemoryView(found, owner, clean))
            view = SeriesView(
                path=path,
                device=device_path,
                measurement=measurement,
                schema=series.schema,
                files=group.files,
                memory=tuple(memory),
                deletions=deletions,
            )
            for pinned in view.pinned:
                self.pins[pinned] += 1
            return view

    def unpin(self, paths: list[str]) -> None:
        """Give the files of a view back; under the lock."""
        for path in paths:
            self.pins[path] -= 1
            if self.pins[path] <= 0:
                del self.pins[path]

    def matching(self, pattern: Pattern) -> list[Series]:
        """The series that match, in no promised order. Any thread; the lock is held for moments only."""
        with self.lock:
            devices = self.schema.devices_near(pattern)
        found: list[Series] = []
        for device in devices:
            wanted = pattern.measurement_of(device.nodes)
            if wanted is not None:
                with self.lock:
                    series = device.everything()
                found.extend(series.values() if wanted == WILDCARD else filter(None, [series.get(wanted)]))
        return found

    def settled(self, view: MemoryView) -> Points:
        """The points of one series' items in a memory table; what is merged stays for the next reader. Any thread."""
        memory = view.memory
        settled = memory.settled()
        if len(memory.items) > 1:
            with self.lock:
                grown = view.owner.replace_merged(memory.measurement, memory.items, settled)
                if view.clean is None:
                    self.active_bytes += grown
                else:
                    self.frozen_bytes += grown
        return settled

    def has_taken(self, plan: InsertPlan | TabletPlan) -> bool:
        """True when something of these series and, in a tablet, types was applied before. Any thread, without a lock.

        False does not mean that the series do not exist.
        """
        device = self.schema.devices.get(plan.device or "")
        if device is None:
            return False
        if isinstance(plan, InsertPlan):
            return plan.measurements in device.row_shapes
        shape = device.tablet_shapes.get(plan.measurements)
        return shape is not None and shape.data_types == plan.data_types

    def _device(self, path: str | None, measurements: tuple[str | None, ...]) -> Device:
        if path is None:
            raise ValueRefused("the row has no device")
        if not measurements:
            raise ValueRefused(f"{path}: the row has no measurements")
        device = self.schema.devices.get(path)
        if device is None:
            self.schema.storage_group_of(path)
            raise PathNotFound(f"series {series_path(path, str(measurements[0]))} does not exist")
        return device

    def _memory_of(self, device: Device) -> DeviceMemory:
        active = self.groups[device.storage_group].active
        memory = active.get(device.path)
        if memory is None:
            memory = active[device.path] = DeviceMemory()
        return memory

    def _insert(self, plan: InsertPlan) -> None:
        device = self._device(plan.device, plan.measurements)
        shape = device.row_shapes.get(plan.measurements)
        if shape is None:
            shape = device.remember_row(plan.measurements, _shape(device, plan.measurements))
        values = plan.values
        if len(values) != len(shape.converters):
            raise ValueRefused(
                f"{plan.device}: {len(shape.converters)} measurements, but {len(values)} values at time {plan.time}"
            )
        if None in values:
            raise _first_refused(shape, values)
        try:
            # There are as many values as converters and none is None: seen above, and too often here to ask again.
            row = tuple([convert(text) for convert, text in zip(shape.converters, values)])  # type: ignore[arg-type]  # noqa: B905
        except ValueError as error:
            raise _first_refused(shape, values) from error
        if plan.time <= self.groups[device.storage_group].expired:
            raise self._out_of_ttl(device)
        with self.lock:
            self.active_bytes += self._memory_of(device).add_row(plan.time, shape, row)

    def _insert_tablet(self, plan: TabletPlan) -> None:
        device = self._device(plan.device, plan.measurements)
        shape = device.tablet_shapes.get(plan.measurements)
        # Kept by the names alone: types are enum members, whose hashes would cost more than this comparison.
        if shape is None or shape.data_types != plan.data_types:
            shape = device.remember_tablet(plan.measurements, _tablet_shape(device, plan))
        rows = plan.rows
        if rows < 0 or len(plan.times) != 8 * rows:
            raise MalformedInput(f"{plan.device}: {len(plan.times)} bytes of times for {rows} rows")
        if len(plan.columns) != len(shape.measurements):
            raise ValueRefused(f"{plan.device}: {len(shape.measurements)} measurements, {len(plan.columns)} columns")
        columns = [
            np.frombuffer(data, packed)
            if packed is not None and len(data) == rows * packed.itemsize
            else unpacked_column(data, data_type, rows, measurement)
            for data, packed, data_type, measurement in zip(
                plan.columns, shape.packed, shape.data_types, shape.measurements, strict=True
            )
        ]
        if rows == 0:
            return
        times = np.frombuffer(plan.times, PACKED_TIME)
        expired = self.groups[device.storage_group].expired
        if expired != NOTHING_DELETED:
            # Rows that have expired are written and gone in one moment; only where all are, it is worth a word.
            alive = times > expired
            if not alive.any():
                raise self._out_of_ttl(device)
            if not alive.all():
                times, columns = times[alive], [column[alive] for column in columns]
        with self.lock:
            self.active_bytes += self._memory_of(device).add_tablet(shape, times, columns)

    def _out_of_ttl(self, device: Device) -> OutOfTtl:
        expired = self.groups[device.storage_group].expired
        return OutOfTtl(f"{device.path}: everything in {device.storage_group} up to time {expired} has expired")

    def _expire(self, plan: ExpirePlan) -> None:
        """A delete of everything up to a time that holds for what comes later, too, until another entry of its kind."""
        group = self.groups.get(plan.path)
        if group is None:
            raise StorageGroupUnknown(f"{plan.path} is no storage group of this data group")
        until = NOTHING_DELETED if plan.until == LEAST_TIME else plan.until
        if until > group.expired:
            self._delete(DeletePlan(until, plan.path))
        group.expired = until

    def _delete(self, plan: DeletePlan) -> None:
        targets = list(self.schema.matching(Pattern.parse(plan.path)))
        with self.lock:
            for memory, measurement in self._in_memory(targets):
                self.active_bytes += memory.delete(measurement, plan.time)
            self._delete_older(targets, plan.path, plan.time)

    def _delete_series(self, plan: DeleteTimeseriesPlan) -> None:
        targets = list(self.schema.matching(Pattern.parse(plan.path)))
        with self.lock:
            for memory, measurement in self._in_memory(targets):
                self.active_bytes += memory.drop(measurement)
            self._delete_older(targets, plan.path, EVERY_TIME)
            for device, measurements in targets:
                for measurement in measurements:
                    self.schema.remove_series(device, measurement)

    def _in_memory(self, targets: list[tuple[Device, list[str]]]) -> Iterator[tuple[DeviceMemory, str]]:
        for device, measurements in targets:
            memory = self.groups[device.storage_group].active.get(device.path)
            if memory is not None:
                for measurement in measurements:
                    yield memory, measurement

    def _delete_older(self, targets: list[tuple[Device, list[str]]], path: str, until: int) -> None:
        """Keep a deletion beside the files, when there are any that it can concern."""
        touched = sorted({device.storage_group for device, _ in targets})
        if any(self.groups[name].has_older(until) for name in touched):
            self.deletions.add(Deletion(self.next_deletion, path, until))
            self.next_deletion += 1


def _shape(device: Device, measurements: tuple[str | None, ...]) -> RowShape:
    names: list[str] = []
    types: list[DataType] = []
    places: dict[str, tuple[int, ...]] = {}
    for at, measurement in enumerate(measurements):
        if measurement is None:
            raise ValueRefused(f"{device.path}: a measurement without a name")
        series = device.series.get(measurement)
        if series is None:
            raise PathNotFound(f"series {series_path(device.path, measurement)} does not exist")
        names.append(measurement)
        types.append(series.schema.data_type)
        places[measurement] = (*places.get(measurement, ()), at)
    return RowShape(
        tuple(names),
        tuple(types),
        tuple(CONVERTERS[data_type] for data_type in types),
        tuple(PACKED.get(data_type) for data_type in types),
        places,
    )


def _tablet_shape(device: Device, plan: TabletPlan) -> RowShape:
    shape = _shape(device, plan.measurements)
    if len(plan.data_types) != len(shape.measurements):
        raise ValueRefused(f"{device.path}: {len(shape.measurements)} measurements, {len(plan.data_types)} types")
    for measurement, is_type, given in zip(shape.measurements, shape.data_types, plan.data_types, strict=True):
        if is_type != given:
            raise ValueRefused(f"{device.path}.{measurement} is {is_type.name}, the tablet has {given.name} values")
    return shape


def _first_refused(shape: RowShape, values: tuple[str | None, ...]) -> ValueRefused:
    for measurement, data_type, text in zip(shape.measurements, shape.data_types, values, strict=True):
        if text is None:
            return ValueRefused(f"{measurement}: no value for a {data_type.name} series")
        try:
            CONVERTERS[data_type](text)
        except ValueError:
            return refused(text, data_type, measurement)
    raise AssertionError("every value converts")
