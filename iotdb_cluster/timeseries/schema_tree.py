"""The schema of a data group: storage groups, devices, series; what may be created follows from it alone."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from iotdb_cluster.errors import MetadataRefused, PathExists, StorageGroupUnknown
from iotdb_cluster.timeseries.memtable import RowShape
from iotdb_cluster.types.paths import (
    WILDCARD,
    Pattern,
    check_series,
    check_storage_group,
    is_prefix,
    nodes_of,
    series_path,
    split_series,
)
from iotdb_cluster.types.plans import CreateTimeseriesPlan
from iotdb_cluster.types.schema import TimeseriesSchema

_MAX_SHAPES = 64

Measurements = tuple[str | None, ...]


@dataclass(frozen=True, slots=True)
class Series:
    """A series and its place in the order of creation."""

    schema: TimeseriesSchema
    created: int


class Device:
    """A device and its series. Changed by one thread, under the store's lock."""

    __slots__ = ("_all", "nodes", "path", "row_shapes", "series", "storage_group", "tablet_shapes")

    def __init__(self, path: str, storage_group: str) -> None:
        self.path = path
        self.nodes = nodes_of(path)
        self.storage_group = storage_group
        self.series: dict[str, Series] = {}
        self.row_shapes: dict[Measurements, RowShape] = {}
        self.tablet_shapes: dict[Measurements, RowShape] = {}
        """Of checked tablets: those with the types of their series."""
        self._all: Mapping[str, Series] | None = None

    def everything(self) -> Mapping[str, Series]:
        """All series by measurement, sorted: a value that does not change any more."""
        if self._all is None:
            self._all = dict(sorted(self.series.items()))
        return self._all

    def changed(self) -> None:
        """Forget what was derived from the series."""
        self._all = None
        self.row_shapes.clear()
        self.tablet_shapes.clear()

    def matching(self, pattern: Pattern) -> list[str]:
        """The measurements that match, sorted."""
        wanted = pattern.measurement_of(self.nodes)
        if wanted is None:
            return []
        if wanted == WILDCARD:
            return list(self.everything())
        return [wanted] if wanted in self.series else []

    def remember_row(self, key: Measurements, shape: RowShape) -> RowShape:
        """Keep a checked shape for the next row of its kind."""
        if len(self.row_shapes) >= _MAX_SHAPES:
            self.row_shapes.clear()
        self.row_shapes[key] = shape
        return shape

    def remember_tablet(self, key: Measurements, shape: RowShape) -> RowShape:
        """Keep a checked shape for the next tablet of its kind."""
        if len(self.tablet_shapes) >= _MAX_SHAPES:
            self.tablet_shapes.clear()
        self.tablet_shapes[key] = shape
        return shape


class SchemaTree:
    """Storage groups, devices, series. Invariants: storage groups do not nest; nothing lies below a series."""

    def __init__(self) -> None:
        self.storage_groups: dict[str, dict[str, Device]] = {}
        self.devices: dict[str, Device] = {}
        self.next_created = 1
        self._inner: dict[str, int] = {}
        """Devices at or below each path."""

    def check_new_storage_group(self, path: str) -> bool:
        """True when it has to be made, False when it is there; raises what refuses it."""
        check_storage_group(path)
        if path in self.storage_groups:
            return False
        for other in sorted(self.storage_groups):
            if is_prefix(other, path):
                raise MetadataRefused(f"storage group {path}: lies inside the storage group {other}")
            if is_prefix(path, other):
                raise PathExists(f"storage group {path}: above the storage group {other}")
        return True

    def add_storage_group(self, path: str) -> None:
        """Add one that `check_new_storage_group` let pass."""
        self.storage_groups[path] = {}

    def storage_group_of(self, path: str) -> str:
        """The storage group at or above a path; raises `StorageGroupUnknown`."""
        at = path.find(".")
        while at >= 0:
            at = path.find(".", at + 1)
            prefix = path if at < 0 else path[:at]
            if prefix in self.storage_groups:
                return prefix
        raise StorageGroupUnknown(f"{path}: no storage group holds this path")

    def check_new_series(self, plan: CreateTimeseriesPlan) -> str:
        """The storage group of a series that may be created; raises what refuses it."""
        path = plan.path
        check_series(path)
        device, measurement = split_series(path)
        group = self.storage_group_of(path)
        if path == group or path in self._inner:
            raise PathExists(f"series {path}: the path has series below it or is a storage group")
        found = self.devices.get(device)
        if found is not None and measurement in found.series:
            raise PathExists(f"series {path}: exists")
        above = device
        while len(above) > len(group):
            above, last = split_series(above)
            other = self.devices.get(above)
            if other is not None and last in other.series:
                raise PathExists(f"series {path}: lies below the series {series_path(above, last)}")
        return group

    def add_series(self, schema: TimeseriesSchema, group: str, created: int | None = None) -> None:
        """Add a series that was checked; `created` is its place when it comes from a file."""
        path, measurement = split_series(schema.path)
        device = self.devices.get(path)
        if device is None:
            device = self.devices[path] = self.storage_groups[group][path] = Device(path, group)
            self._count(device, 1)
        if created is None:
            created = self.next_created
        self.next_created = max(self.next_created, created + 1)
        device.series[measurement] = Series(schema, created)
        device.changed()

    def remove_series(self, device: Device, measurement: str) -> None:
        """Remove a series, and its device with the last one."""
        del device.series[measurement]
        device.changed()
        if not device.series:
            del self.devices[device.path]
            del self.storage_groups[device.storage_group][device.path]
            self._count(device, -1)

    def remove_storage_group(self, path: str) -> None:
        """Remove a storage group with its devices."""
        for device in self.storage_groups.pop(path).values():
            del self.devices[device.path]
            self._count(device, -1)

    def find(self, path: str) -> Series | None:
        """A series by its full path."""
        device, measurement = split_series(path)
        found = self.devices.get(device)
        return None if found is None else found.series.get(measurement)

    def matching(self, pattern: Pattern) -> Iterator[tuple[Device, list[str]]]:
        """Devices with series that match, and these; storage groups and devices ascending."""
        for device in self.devices_near(pattern):
            if found := device.matching(pattern):
                yield device, found

    def devices_near(self, pattern: Pattern) -> list[Device]:
        """The devices among which those with matching series are; storage groups and devices ascending."""
        if not pattern.has_wildcard:
            device = self.devices.get(split_series(pattern.path)[0])
            if device is not None and device.matching(pattern):
                return [device]
        return [
            self.storage_groups[group][path]
            for group in sorted(self.storage_groups)
            if pattern.may_match_below(nodes_of(group))
            for path in sorted(self.storage_groups[group])
        ]

    def _count(self, device: Device, change: int) -> None:
        path = device.path
        while path:
            count = self._inner.get(path, 0) + change
            if count:
                self._inner[path] = count
            else:
                del self._inner[path]
            path = path.rpartition(".")[0]
