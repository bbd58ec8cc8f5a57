"""Points of one series, rows of one device, and how they merge: later wins, vectorised throughout."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from iotdb_cluster.timeseries.values import NATIVE, TIME, Times, Values
from iotdb_cluster.types.schema import DataType

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Points:
    """A series' points: times strictly ascending, native values of the same length."""

    times: Times
    values: Values

    def __len__(self) -> int:
        return len(self.times)

    def slice(self, low: int, high: int) -> "Points":
        """Points `low` to `high`, without copying."""
        return Points(self.times[low:high], self.values[low:high])

    def where(self, keep: Mask) -> "Points":
        """The points at which `keep` is true."""
        return self if keep.all() else Points(self.times[keep], self.values[keep])

    def between(self, first: int, last: int) -> "Points":
        """The points with `first <= time <= last`, without copying; the bounds may lie beyond an i64."""
        if first > last or not len(self) or first > self.times[-1]:
            return self.slice(0, 0)
        low = 0 if first <= self.times[0] else int(np.searchsorted(self.times, first, "left"))
        high = len(self) if last >= self.times[-1] else int(np.searchsorted(self.times, last, "right"))
        return self.slice(low, high)


@dataclass(frozen=True, slots=True)
class Column:
    """One measurement in a frame: native values, and where there is one (None: everywhere)."""

    values: Values
    valid: Mask | None = None

    def present(self, times: Times) -> Points:
        """The column as a series."""
        return Points(times, self.values) if self.valid is None else Points(times[self.valid], self.values[self.valid])

    def slice(self, low: int, high: int) -> "Column":
        """Rows `low` to `high`, without copying."""
        return Column(self.values[low:high], None if self.valid is None else self.valid[low:high])

    def where(self, keep: Mask) -> "Column":
        """The rows at which `keep` is true."""
        return Column(self.values[keep], None if self.valid is None else self.valid[keep])


@dataclass(frozen=True, slots=True)
class Frame:
    """Rows of one device: times strictly ascending, a column for each measurement; every row has a value somewhere."""

    times: Times
    columns: Mapping[str, Column] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.times)

    def slice(self, low: int, high: int) -> "Frame":
        """Rows `low` to `high`, without copying."""
        return Frame(self.times[low:high], {name: column.slice(low, high) for name, column in self.columns.items()})

    def where(self, keep: Mask) -> "Frame":
        """The rows at which `keep` is true."""
        if keep.all():
            return self
        return Frame(self.times[keep], {name: column.where(keep) for name, column in self.columns.items()})


def stacked(columns: Sequence[tuple[int, Column | None]], data_type: DataType) -> Column:
    """Columns one below the other, each with its number of rows; None has no value in any."""
    empty = b"" if data_type is DataType.TEXT else 0
    dtype = NATIVE[data_type]
    values = [np.full(rows, empty, dtype) if column is None else column.values for rows, column in columns]
    valid: Mask | None = None
    if any(column is None or column.valid is not None for _, column in columns):
        masks = [
            np.full(rows, column is not None) if column is None or column.valid is None else column.valid
            for rows, column in columns
        ]
        valid = np.concatenate(masks)
    return Column(values[0] if len(values) == 1 else np.concatenate(values), valid)


def is_ascending(times: Times) -> bool:
    """True when the times are strictly ascending."""
    return len(times) < 2 or bool((times[1:] > times[:-1]).all())


def last_of_equal(times: Times) -> Mask:
    """True at the last of each run of equal times; the times are sorted."""
    keep = np.ones(len(times), dtype=np.bool_)
    np.not_equal(times[1:], times[:-1], out=keep[:-1])
    return keep


def selection_of_latest(times: Times) -> NDArray[np.intp] | None:
    """Positions that leave each time once, ascending, the last of equal ones; None when nothing has to change."""
    if is_ascending(times):
        return None
    order = np.argsort(times, kind="stable")
    return order[last_of_equal(times[order])]


def merged_points(sources: Sequence[Points]) -> Points:
    """The points of all sources, each time once; of equal times the value of the last source."""
    filled = [source for source in sources if len(source)]
    if len(filled) == 1:
        return filled[0]
    if not filled:
        return sources[0] if sources else Points(np.empty(0, TIME), np.empty(0, TIME))
    times = np.concatenate([source.times for source in filled])
    values = np.concatenate([source.values for source in filled])
    chosen = selection_of_latest(times)
    return Points(times, values) if chosen is None else Points(times[chosen], values[chosen])


def aligned(series: Mapping[str, Points]) -> Frame:
    """One frame over the series of a device; where a series has no point the column has no value.

    Series that share their array of times, as those of tablets do, are put side by side as they are.
    """
    filled = {name: points for name, points in series.items() if len(points)}
    if not filled:
        return Frame(np.empty(0, TIME))
    times = _union([points.times for points in filled.values()])
    return Frame(
        times,
        {
            name: Column(points.values) if points.times is times else _spread(points, times)
            for name, points in filled.items()
        },
    )


def merged_frames(frames: Iterable[Frame]) -> Frame:
    """One frame over several of a device, oldest first: at each time and measurement the latest value there is."""
    found = list(frames)
    if len(found) == 1:
        return found[0]
    names = sorted({name for frame in found for name in frame.columns})
    return aligned(
        {
            name: merged_points([frame.columns[name].present(frame.times) for frame in found if name in frame.columns])
            for name in names
        }
    )


def _union(all_times: list[Times]) -> Times:
    distinct = list({id(times): times for times in all_times}.values())
    first = distinct[0]
    if len(distinct) == 1 or all(len(times) == len(first) and bool((times == first).all()) for times in distinct[1:]):
        return first
    return np.unique(np.concatenate(distinct))


def _spread(points: Points, times: Times) -> Column:
    if len(points) == len(times):
        return Column(points.values)
    at = np.searchsorted(times, points.times)
    values = np.zeros(len(times), dtype=points.values.dtype)
    if values.dtype == object:
        values[:] = b""
    valid = np.zeros(len(times), dtype=np.bool_)
    values[at] = points.values
    valid[at] = True
    return Column(values, valid)
