"""A series piece by piece, in order of time: merged points, or parts of files that need not be read to be known."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from iotdb_cluster.timeseries.frames import Points, merged_points
from iotdb_cluster.timeseries.frontier import Segment, in_order
from iotdb_cluster.timeseries.parquet_schema import Part
from iotdb_cluster.timeseries.sealed_reader import FileReader
from iotdb_cluster.timeseries.values import Values

KEPT_SUM_ROWS = 4_096
"""Sums of smaller parts are not worth what it takes to keep them."""


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

    def sum(self) -> float:
        """The sum of the values as a DOUBLE; files do not change, so that of a large part is known from then on."""
        index = self.reader.index
        key = index.columns[self.measurement][0], self.part
        known = index.sums.get(key)
        if known is None:
            known = float(self.values().sum(dtype=np.float64))
            if self.part.rows >= KEPT_SUM_ROWS:
                index.sums[key] = known
        return known

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
