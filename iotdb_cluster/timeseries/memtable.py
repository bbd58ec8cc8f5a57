"""Points in memory: what arrived, in the order in which it came, sorted only when somebody looks.

A tablet becomes one chunk a series that shares the bytes it came in; rows wait in a list and become chunks later. A
delete is a mark between chunks. Whoever reads takes the items of a series under the store's lock and merges them
outside of it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from iotdb_cluster.timeseries.frames import Frame, Points, aligned, selection_of_latest
from iotdb_cluster.timeseries.values import NATIVE, TIME, Times, Value, Values, array_of, native
from iotdb_cluster.types.schema import DataType

ROWS_BEFORE_CHUNK = 512
_ROW_BYTES = 160
_VALUE_BYTES = 40
_TEXT_BYTES = 90
"""An object of `bytes`, its header and the list slots that name it."""
_CHUNK_BYTES = 400
_MARK_BYTES = 80


class Chunk(NamedTuple):
    """Points of one series as they arrived; arrays may be big-endian, and the series of a tablet share their times."""

    times: Times
    values: Values


@dataclass(frozen=True, slots=True)
class Mark:
    """A delete: what stands before it at or below `until` is gone."""

    until: int


Item = Chunk | Mark


class RowShape(NamedTuple):
    """What rows of one device with the same measurements share."""

    measurements: tuple[str, ...]
    data_types: tuple[DataType, ...]
    converters: tuple[Callable[[str], Value], ...]
    packed: tuple[np.dtype[Any] | None, ...]
    """How a tablet's column is packed; None for TEXT. Looking it up by type costs more than using it."""

    places: dict[str, tuple[int, ...]]
    """Where each measurement stands, so that reading one of many does not look at all."""


Row = tuple[int, RowShape, tuple[Value, ...]]
_Selection = tuple[Times, NDArray[np.intp] | None]
Memo = dict[tuple[int, ...], tuple[tuple[Item, ...], _Selection]]
"""Which points of chunks remain, by the identities of their times: shared by the series of a device."""


@dataclass(frozen=True, slots=True)
class SeriesMemory:
    """A consistent view of one series in one memory table: its items, then the rows that came behind them."""

    measurement: str
    data_type: DataType
    items: tuple[Item, ...]
    rows: tuple[Row, ...] = ()

    def settled(self) -> Points:
        """The points of the items alone: deletes applied, the last of equal times."""
        return merged_items(self.items, self.data_type)

    def waiting(self) -> Points:
        """The points of the rows, which came after those of the items."""
        chunk = chunk_of(self.rows, self.measurement, self.data_type)
        return merged_items(() if chunk is None else (chunk,), self.data_type)

    def waiting_at(self, time: int) -> Value | None:
        """The value that the rows have at a time, or None."""
        for at, shape, values in reversed(self.rows):
            if at == time and self.measurement in shape.places:
                found: Value = values[shape.places[self.measurement][-1]]
                return found
        return None


class DeviceMemory:
    """What one device wrote since the last seal. Changed by one thread, under the store's lock.

    Invariant: `rows` came after everything in `series`.
    """

    __slots__ = ("rows", "series", "size_bytes", "types")

    def __init__(self) -> None:
        self.series: dict[str, list[Item]] = {}
        self.types: dict[str, DataType] = {}
        self.rows: list[Row] = []
        self.size_bytes = 0

    def add_row(self, time: int, shape: RowShape, values: tuple[Value, ...]) -> int:
        """Take one row of converted values; returns by how many bytes the memory grew."""
        self.rows.append((time, shape, values))
        grown = _ROW_BYTES + _VALUE_BYTES * len(values)
        for value in values:
            if type(value) is bytes:
                grown += len(value)
        self.size_bytes += grown
        if len(self.rows) >= ROWS_BEFORE_CHUNK:
            return grown + self.settle()
        return grown

    def add_tablet(self, shape: RowShape, times: Times, columns: Sequence[Values]) -> int:
        """Take columns of the same length as `times`; returns by how many bytes the memory grew."""
        grown = self.settle() if self.rows else 0
        series, types = self.series, self.types
        added = 8 * len(times) + _CHUNK_BYTES * len(columns)
        for measurement, data_type, values in zip(shape.measurements, shape.data_types, columns, strict=True):
            items = series.get(measurement)
            if items is None:
                items = series[measurement] = []
                types[measurement] = data_type
            items.append(Chunk(times, values))
            added += values.nbytes
            if data_type is DataType.TEXT:
                added += sum(map(len, values)) + _TEXT_BYTES * len(values)
        self.size_bytes += added
        return grown + added

    def delete(self, measurement: str, until: int) -> int:
        """Mark what the series has at or below `until` as gone; returns by how many bytes the memory grew."""
        grown = self.settle() if self.rows else 0
        items = self.series.get(measurement)
        if not items:
            return grown
        if isinstance(items[-1], Mark):
            items[-1] = Mark(max(items[-1].until, until))
            return grown
        items.append(Mark(until))
        self.size_bytes += _MARK_BYTES
        return grown + _MARK_BYTES

    def drop(self, measurement: str) -> int:
        """Forget a series; returns by how many bytes the memory grew (it shrinks only with the next seal)."""
        grown = self.settle() if self.rows else 0
        self.series.pop(measurement, None)
        self.types.pop(measurement, None)
        return grown

    def settle(self) -> int:
        """Turn the waiting rows into chunks; returns by how many bytes the memory grew (mostly less than nothing)."""
        rows, self.rows = self.rows, []
        before = sum(_ROW_BYTES + _VALUE_BYTES * len(values) for _, _, values in rows)
        after = 0
        for shape in _shapes(rows):
            for measurement, data_type in zip(shape.measurements, shape.data_types, strict=True):
                self.types.setdefault(measurement, data_type)
        counted: set[int] = set()
        for measurement, chunk in chunks_of(rows).items():
            self.series.setdefault(measurement, []).append(chunk)
            after += chunk.values.nbytes + _CHUNK_BYTES
            if self.types[measurement] is DataType.TEXT:
                after += _TEXT_BYTES * len(chunk.values)
            if id(chunk.times) not in counted:
                counted.add(id(chunk.times))
                after += chunk.times.nbytes
        self.size_bytes += after - before
        return after - before

    def view(self, measurement: str, data_type: DataType) -> SeriesMemory | None:
        """The series as it is now, or None when nothing of it is here."""
        items = self.series.get(measurement)
        if items is None and not self.rows:
            return None
        return SeriesMemory(measurement, data_type, tuple(items or ()), tuple(self.rows))

    def replace_merged(self, measurement: str, before: tuple[Item, ...], points: Points) -> int:
        """Put what a reader has merged in the place of the items that it took, if they still stand there.

        Returns by how many bytes the memory grew: the times are the series' own from now on.
        """
        items = self.series.get(measurement)
        count = len(before)
        if items is None or len(items) < count or any(a is not b for a, b in zip(items, before, strict=False)):
            return 0
        items[:count] = [Chunk(points.times, points.values)]
        self.size_bytes += points.times.nbytes
        return points.times.nbytes

    def measurements(self) -> set[str]:
        """Those that something was written to."""
        return {name for shape in _shapes(self.rows) for name in shape.measurements} | set(self.series)

    def frame(self) -> Frame:
        """All rows, for sealing; the device is not written to any more."""
        memo: Memo = {}
        types = dict(self.types)
        for shape in _shapes(self.rows):
            types.update(zip(shape.measurements, shape.data_types, strict=True))
        pending = chunks_of(self.rows)
        series: dict[str, Points] = {}
        for name in sorted(self.measurements()):
            items = tuple(self.series.get(name, ()))
            if name in pending:
                items = (*items, pending[name])
            series[name] = merged_items(items, types[name], memo)
        return aligned(series)


def _shapes(rows: Sequence[Row]) -> list[RowShape]:
    """The different shapes of rows, in the order in which they first came."""
    return list({id(row[1]): row[1] for row in rows}.values())


def chunk_of(rows: Sequence[Row], measurement: str, data_type: DataType) -> Chunk | None:
    """What the rows have of one measurement, in order, or None."""
    times: list[int] = []
    values: list[Value] = []
    for time, shape, row in rows:
        for at in shape.places.get(measurement, ()):
            times.append(time)
            values.append(row[at])
    return Chunk(np.array(times, dtype=TIME), array_of(values, data_type)) if times else None


def chunks_of(rows: Sequence[Row]) -> dict[str, Chunk]:
    """Rows as one chunk a measurement, in order; series with values in all rows share their times."""
    if not rows:
        return {}
    shape = rows[0][1]
    if len(_shapes(rows)) == 1 and len(shape.places) == len(shape.measurements):
        times = np.array([row[0] for row in rows], dtype=TIME)
        return {
            name: Chunk(times, array_of([row[2][at] for row in rows], data_type))
            for at, (name, data_type) in enumerate(zip(shape.measurements, shape.data_types, strict=True))
        }
    points: dict[str, tuple[DataType, list[int], list[Any]]] = {}
    for time, shape, values in rows:
        for name, data_type, value in zip(shape.measurements, shape.data_types, values, strict=True):
            entry = points.get(name)
            if entry is None:
                entry = points[name] = (data_type, [], [])
            entry[1].append(time)
            entry[2].append(value)
    return {
        name: Chunk(np.array(times, dtype=TIME), array_of(values, data_type))
        for name, (data_type, times, values) in points.items()
    }


def merged_items(items: tuple[Item, ...], data_type: DataType, memo: Memo | None = None) -> Points:
    """The points that remain of chunks and marks, each time once."""
    chunks = [item for item in items if isinstance(item, Chunk)]
    if not chunks:
        return Points(np.empty(0, TIME), np.empty(0, NATIVE[data_type]))
    key = tuple(id(item.times) if isinstance(item, Chunk) else ~(item.until & 0xFFFFFFFFFFFFFFFF) for item in items)
    known = memo.get(key) if memo is not None else None
    if known is None:
        selection = _selection(items)
        if memo is not None:
            # The items are kept with the selection: an identity means something only while its object lives.
            memo[key] = (items, selection)
    else:
        selection = known[1]
    times, chosen = selection
    parts = [native(chunk.values, data_type) for chunk in chunks]
    values = parts[0] if len(parts) == 1 else np.concatenate(parts)
    return Points(times, values if chosen is None else values[chosen])


def _selection(items: tuple[Item, ...]) -> _Selection:
    """Times that remain, and their positions in the chunks put one behind the other (None: all, as they stand)."""
    parts: list[Times] = []
    bounds: list[int | None] = []
    until: int | None = None
    for item in reversed(items):
        if isinstance(item, Mark):
            until = item.until if until is None else max(until, item.until)
        else:
            parts.append(item.times.astype(TIME, copy=False))
            bounds.append(until)
    parts.reverse()
    bounds.reverse()
    times = parts[0] if len(parts) == 1 else np.concatenate(parts)
    chosen: NDArray[np.intp] | None = None
    if until is not None:
        keep = np.concatenate(
            [np.ones(len(t), np.bool_) if b is None else t > b for t, b in zip(parts, bounds, strict=True)]
        )
        if not keep.all():
            chosen = np.flatnonzero(keep)
            times = times[chosen]
    latest = selection_of_latest(times)
    if latest is None:
        return times, chosen
    return times[latest], latest if chosen is None else chosen[latest]
