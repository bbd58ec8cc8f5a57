"""Reading one series: ascending, each time once, in bounded memory, whatever lies in how many files."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from iotdb_cluster.timeseries.content import Content, SeriesView
from iotdb_cluster.timeseries.deletions import NOTHING_DELETED, deleted_until
from iotdb_cluster.timeseries.filters import fulfilled, is_time_range, time_bounds
from iotdb_cluster.timeseries.frames import Points
from iotdb_cluster.timeseries.frontier import Segment
from iotdb_cluster.timeseries.parquet_schema import FileIndex, Part
from iotdb_cluster.timeseries.pieces import Stretch, WholePart, pieces_in_order
from iotdb_cluster.timeseries.sealed_reader import ColumnCache, FileReader
from iotdb_cluster.timeseries.values import NATIVE, TIME, Times, Value, Values, python_value
from iotdb_cluster.types.disk import Disk
from iotdb_cluster.types.filters import Filter
from iotdb_cluster.types.schema import DataType

BATCH_MAX_BYTES = 16 * 1024 * 1024
"""Values of one batch; below a quarter of the largest frame, whatever is put around them."""


@dataclass(frozen=True, slots=True)
class FileAccess:
    """What it takes to open the sealed files of a group."""

    disk: Disk
    folder: str
    cache: ColumnCache


class SeriesReader:
    """Batches of one series as it was when the reader was opened. For one thread at a time."""

    def __init__(self, data_type: DataType | None, stretches: list[Stretch], condition: Filter | None) -> None:
        self.data_type = data_type
        self._condition = condition
        self._pieces = pieces_in_order(stretches)
        self._ready: Points | None = None
        self._on_close: list[Callable[[], None]] = []

    def when_closed(self, action: Callable[[], None]) -> None:
        """Do `action` once, at the end of the data or when the reader is closed."""
        self._on_close.append(action)

    def next_batch(self, max_pairs: int, max_bytes: int = BATCH_MAX_BYTES) -> tuple[Times, Values]:
        """The next `max_pairs` points, fewer only at the end or when long texts fill `max_bytes`.

        Native arrays; empty when there are no more, and only then.
        """
        taken: list[Points] = []
        missing, room = max_pairs, max_bytes
        while missing > 0 and room > 0 and (piece := self._next()) is not None:
            points = piece.points() if isinstance(piece, WholePart) else piece
            fitting, size = _fitting(points, missing, room)
            if fitting < len(points):
                self._ready = points.slice(fitting, len(points))
                taken.append(points.slice(0, fitting))
                break
            missing -= fitting
            room -= size
            taken.append(points)
        if not taken:
            self.close()
            return np.empty(0, TIME), np.empty(0, TIME if self.data_type is None else NATIVE[self.data_type])
        if len(taken) == 1:
            return taken[0].times, taken[0].values
        return np.concatenate([p.times for p in taken]), np.concatenate([p.values for p in taken])

    def next_piece(self) -> Points | WholePart | None:
        """The next points as they come together, or a part of a file that is not read yet; None at the end."""
        piece = self._next()
        if piece is None:
            self.close()
        return piece

    def close(self) -> None:
        """Let go of files and memory; closing twice does nothing."""
        self._pieces = iter(())
        self._ready = None
        actions, self._on_close = self._on_close, []
        for action in actions:
            action()

    def _next(self) -> Points | WholePart | None:
        """What fulfils the condition next; None at the end."""
        if self._ready is not None:
            ready, self._ready = self._ready, None
            return ready
        for piece in self._pieces:
            if self._condition is None and isinstance(piece, WholePart):
                return piece
            points = piece.points() if isinstance(piece, WholePart) else piece
            if self._condition is not None:
                assert self.data_type is not None
                points = points.where(fulfilled(self._condition, points, self.data_type))
            if len(points):
                return points
        return None


def _fitting(points: Points, most: int, room: int) -> tuple[int, int]:
    """How many points fit, and the bytes of their texts; the first one always does, numbers take no room."""
    count = min(len(points), most)
    if points.values.dtype != object:
        return count, 0
    ends = np.cumsum(np.fromiter(map(len, points.values[:count]), dtype=np.int64, count=count))
    fitting = max(1, int(np.searchsorted(ends, room, "right")))
    return fitting, int(ends[fitting - 1])


def open_reader(view: SeriesView, access: FileAccess, condition: Filter | None, content: Content) -> SeriesReader:
    """A reader over a view of a series; the filter is checked already."""
    first, last = time_bounds(condition)
    stretches: list[Stretch] = []
    for age, (file, index) in enumerate(view.files):
        if file.max_time < first or file.min_time > last or not _has_series(view, index):
            continue
        low = max(first, deleted_until(view.deletions, file.clean) + 1)
        reader = FileReader(access.disk, access.folder, file, index, access.cache)
        for part in index.parts_of(view.device):
            if part.max_time < low or part.min_time > last:
                continue
            is_whole = low <= part.min_time and part.max_time <= last
            whole = WholePart(reader, part, view.measurement) if is_whole else None
            load = _FilePart(reader, part, view.measurement, low, last)
            stretches.append(Stretch(Segment(max(part.min_time, low), age, load), min(part.max_time, last), whole))
    age = len(view.files)
    for memory in view.memory:
        bound = NOTHING_DELETED if memory.clean is None else deleted_until(view.deletions, memory.clean)
        for found in (content.settled(memory), memory.memory.waiting()):
            points = found.between(max(first, bound + 1), last)
            if len(points):
                segment = Segment(int(points.times[0]), age, _Loaded(points))
                stretches.append(Stretch(segment, int(points.times[-1])))
            age += 1
    # Nothing outside the bounds is loaded, so a condition that says no more than they do holds everywhere.
    left = None if condition is None or is_time_range(condition) else condition
    return SeriesReader(view.data_type, stretches, left)


def value_in(view: SeriesView, access: FileAccess, time: int, content: Content) -> Value | None:
    """The value of a series at one time, or None; from the newest to the oldest that has one."""
    for memory in reversed(view.memory):
        bound = NOTHING_DELETED if memory.clean is None else deleted_until(view.deletions, memory.clean)
        if time > bound:
            waiting = memory.memory.waiting_at(time)
            if waiting is not None:
                return waiting
            points = content.settled(memory)
            at = int(np.searchsorted(points.times, time))
            if at < len(points) and points.times[at] == time:
                return python_value(points.values, at, view.data_type)
    for file, index in reversed(view.files):
        outside = time < file.min_time or time > file.max_time
        if outside or not _has_series(view, index) or time <= deleted_until(view.deletions, file.clean):
            continue
        reader = FileReader(access.disk, access.folder, file, index, access.cache)
        for part in index.parts_of(view.device):
            if part.min_time <= time <= part.max_time:
                times = reader.times(part, keep=True)
                at = int(np.searchsorted(times, time))
                if at < len(times) and times[at] == time:
                    column = reader.column(part, view.measurement, keep=True)
                    if column.valid is None or column.valid[at]:
                        return python_value(column.values, at, view.data_type)
    return None


def last_in(view: SeriesView, access: FileAccess, first: int, last: int, content: Content) -> tuple[int, Value] | None:
    """The last point between two times, both included, or None; reads no more than the end of a file or two."""
    found: tuple[int, Value] | None = None
    for memory in reversed(view.memory):
        bound = NOTHING_DELETED if memory.clean is None else deleted_until(view.deletions, memory.clean)
        for points in (memory.memory.waiting(), content.settled(memory)):
            kept = points.between(max(first, bound + 1), last)
            if len(kept) and (found is None or int(kept.times[-1]) > found[0]):
                found = int(kept.times[-1]), python_value(kept.values, len(kept) - 1, view.data_type)
    for file, index in reversed(view.files):
        least = max(first, deleted_until(view.deletions, file.clean) + 1, first if found is None else found[0] + 1)
        if file.max_time < least or file.min_time > last or not _has_series(view, index):
            continue
        reader = FileReader(access.disk, access.folder, file, index, access.cache)
        for part in reversed(index.parts_of(view.device)):
            if part.max_time < least:
                break
            if part.max_time <= last and reader.is_filled(part, view.measurement):
                # It ends with the last point, at a time that the index knows.
                values = reader.column(part, view.measurement).values
                found = part.max_time, python_value(values, len(values) - 1, view.data_type)
                break
            if part.min_time <= last:
                kept = reader.points(part, view.measurement).between(least, last)
                if len(kept):
                    found = int(kept.times[-1]), python_value(kept.values, len(kept) - 1, view.data_type)
                    break
    return found


@dataclass(slots=True)
class _Loaded:
    points: Points

    def __call__(self) -> Points:
        return self.points


@dataclass(slots=True)
class _FilePart:
    reader: FileReader
    part: Part
    measurement: str
    first: int
    last: int

    def __call__(self) -> Points:
        return self.reader.points(self.part, self.measurement).between(self.first, self.last)


def _has_series(view: SeriesView, index: FileIndex) -> bool:
    """True when a file has the series; a column of another type is that of an earlier series, which was deleted."""
    found = index.columns.get(view.measurement)
    return found is not None and found[1] is view.data_type
