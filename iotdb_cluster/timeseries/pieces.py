"""A series piece by piece, in order of time: merged points, or parts of files that need not be read to be known."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from iotdb_cluster.timeseries.frames import Points, merged_points
from iotdb_cluster.timeseries.frontier import Segment, in_order
from iotdb_cluster.timeseries.parquet_schema import Part
from iotdb_cluster.timeseries.sealed_reader import FileReader
from iotdb_cluster.timeseries.values import Values

KEPT_ROWS = 4_096
"""What is known of smaller parts is not worth what it takes to keep it."""

_BOUNDS = frozenset({"least", "greatest"})


@dataclass(frozen=True, slots=True)
class WholePart:
    """Rows of one part of a file in which the series has a value at every row, all of which count.

    Nothing newer or older has a time between its first and its last one.
    """

    reader: FileReader
    part: Part
    measurement: str

    @property
    def count(self) -> int:
        """How many points there are."""
        return self.part.rows

    @property
    def min_time(self) -> int:
        """The time of the first one."""
        return self.part.min_time

    @property
    def max_time(self) -> int:
        """The time of the last one."""
        return self.part.max_time

    def values(self) -> Values:
        """The values alone, in order of time: their times are not decoded."""
        return self.reader.column(self.part, self.measurement).values

    def facts(self, names: Iterable[str]) -> dict[str, Any]:
        """`sum`, `least`, `greatest`, `first` and `last` of the values, those that are named; not of TEXT.

        Files do not change: what was once made of the values of a large part is known from then on. The least and the
        greatest of integers stand in the file's statistics, so that their values are not read at all.
        """
        known = self.reader.index.facts
        position = self.reader.index.columns[self.measurement][0]
        wanted = set(names)
        missing = {name for name in wanted if (position, self.part, name) not in known}
        made: dict[str, Any] = {}
        if missing:
            bounds = self.reader.bounds(self.part, self.measurement) if missing <= _BOUNDS else None
            made = (
                _made(self.values(), missing)
                if bounds is None
                else dict(zip(("least", "greatest"), bounds, strict=True))
            )
            if self.part.rows >= KEPT_ROWS:
                known.update({(position, self.part, name): value for name, value in made.items()})
        return {name: made[name] if name in missing else known[position, self.part, name] for name in wanted}

    def points(self) -> Points:
        """The points."""
        return self.reader.points(self.part, self.measurement)


@dataclass(frozen=True, slots=True)
class Stretch:
    """A segment, the last time that it can have, and the part of a file that it is when all of it counts."""

    segment: Segment[Points]
    last: int
    whole: WholePart | None = None


def pieces_in_order(stretches: Sequence[Stretch]) -> Iterator[Points | WholePart]:
    """What the stretches hold, merged where they overlap; pieces may be empty, and do not overlap each other."""
    waiting = sorted(stretches, key=lambda stretch: (stretch.segment.first, stretch.segment.age))
    begin = 0
    while begin < len(waiting):
        end, last = begin + 1, waiting[begin].last
        while end < len(waiting) and waiting[end].segment.first <= last:
            last = max(last, waiting[end].last)
            end += 1
        if end > begin + 1:
            yield from in_order([stretch.segment for stretch in waiting[begin:end]], merged_points)
        else:
            alone = waiting[begin]
            whole = alone.whole
            yield (
                alone.segment.load()
                if whole is None or not whole.reader.is_filled(whole.part, whole.measurement)
                else whole
            )
        begin = end


def _made(values: Values, names: Iterable[str]) -> dict[str, Any]:
    """NaN is greater than every number, and the least only where nothing else is."""
    found: dict[str, Any] = {}
    for name in names:
        match name:
            case "sum":
                found[name] = float(values.sum(dtype=np.float64))
            case "least":
                found[name] = values.all() if values.dtype == np.bool_ else np.fmin.reduce(values)
            case "greatest":
                found[name] = values.any() if values.dtype == np.bool_ else np.maximum.reduce(values)
            case "first":
                found[name] = values[0]
            case "last":
                found[name] = values[-1]
    return found
