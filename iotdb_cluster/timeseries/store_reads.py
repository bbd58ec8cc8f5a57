"""What a store answers: storage groups, series, points. From any thread, while one thread applies."""

import weakref
from collections import deque
from collections.abc import Mapping

from iotdb_cluster.timeseries.content import Content
from iotdb_cluster.timeseries.deletions import LEAST_TIME, NOTHING_DELETED
from iotdb_cluster.timeseries.extent import Extent, extent_of
from iotdb_cluster.timeseries.filters import check_filter
from iotdb_cluster.timeseries.series_reader import FileAccess, SeriesReader, last_in, open_reader, value_in
from iotdb_cluster.timeseries.values import Value
from iotdb_cluster.types.filters import Filter
from iotdb_cluster.types.paths import Pattern
from iotdb_cluster.types.plans import InsertPlan, TabletPlan
from iotdb_cluster.types.schema import DataType, TimeseriesSchema


class StoreReads:
    """The reading half of `GroupStore`."""

    def __init__(self, access: FileAccess) -> None:
        self._access = access
        self._content = Content()
        self._forgotten: deque[list[str]] = deque()
        """Files of readers that ended without being closed."""

    def expired_until(self, storage_group: str) -> int | None:
        """The time up to which nothing is taken any more; None when there is none."""
        expired = self._content.groups[storage_group].expired
        return None if expired == NOTHING_DELETED else expired

    def expires(self, storage_group: str, until: int) -> bool:
        """True when an entry that lets everything up to `until` expire would change something for what is here."""
        group = self._content.groups.get(storage_group)
        if group is None or until == group.expired:
            return False
        if until < group.expired or until == LEAST_TIME:
            return group.expired != NOTHING_DELETED
        # What is in memory is not looked through: an entry in vain costs less.
        return bool(group.active) or group.has_older(until)

    def storage_groups(self) -> list[str]:
        """The storage groups of this data group, sorted."""
        with self._content.lock:
            return sorted(self._content.groups)

    def has_storage_group(self, path: str) -> bool:
        """True when this data group holds the storage group."""
        return path in self._content.groups

    def series(self, pattern: str, *, in_creation_order: bool = False) -> list[TimeseriesSchema]:
        """The series that a path or pattern matches, by path or in the order in which they were created."""
        found = self._content.matching(Pattern.parse(pattern))
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

    def has_taken(self, plan: InsertPlan | TabletPlan) -> bool:
        """True when the series of an insert are known to exist, from an earlier one like it; quicker than the schema.

        False does not mean that they do not.
        """
        return self._content.has_taken(plan)

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
        # A reader that is forgotten without being closed must not keep files for ever. It may end within a collection
        # of garbage, in any thread and at any line, so it only leaves word.
        forgotten = weakref.finalize(reader, self._forgotten.append, view.pinned)
        forgotten.atexit = False
        reader.when_closed(lambda: self._unpin(view.pinned) if forgotten.detach() else None)
        return reader

    def extent(self, path: str, first: int, last: int) -> Extent:
        """How much there is to read of a series between two times, both included."""
        view = self._content.view(path)
        if view is None:
            return Extent()
        try:
            return extent_of(view, first, last, self._content)
        finally:
            self._unpin(view.pinned)

    def value_at(self, path: str, time: int) -> Value | None:
        """The value of a series at a time, or None. Fast when asked again nearby: decoded columns are kept."""
        view = self._content.view(path)
        if view is None:
            return None
        try:
            return value_in(view, self._access, time, self._content)
        finally:
            self._unpin(view.pinned)

    def last_point(self, path: str, data_type: DataType, first: int, last: int) -> tuple[int, Value] | None:
        """The last point of a series between two times, both included; None when there is none of this type."""
        view = self._content.view(path)
        if view is None:
            return None
        try:
            return last_in(view, self._access, first, last, self._content) if view.data_type is data_type else None
        finally:
            self._unpin(view.pinned)

    def _unpin(self, paths: list[str]) -> None:
        """Let go of files that a view could open."""
        with self._content.lock:
            self._content.unpin(paths)
