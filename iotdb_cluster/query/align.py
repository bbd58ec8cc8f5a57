"""Several series side by side, in bounded memory: what no series can change any more is handed out."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from iotdb_cluster.query.rows import Rows, empty_rows, rows_of
from iotdb_cluster.timeseries.frames import Points
from iotdb_cluster.timeseries.values import NATIVE, TIME, Times, Values
from iotdb_cluster.types.schema import DataType

BATCH_PAIRS = 65_536
"""Points asked of one series at once."""


class Source(Protocol):
    """Points of one series, ascending, each time once; from this node or from another."""

    @property
    def data_type(self) -> DataType:
        """What the values are."""

    async def next_batch(self, max_pairs: int) -> tuple[Times, Values]:
        """The next points; empty at the end, and then for ever."""

    def close(self) -> None:
        """Nobody asks any more."""


class _Ahead:
    """What was read of one source and is not handed out yet."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.points = Points(np.empty(0, TIME), np.empty(0, NATIVE[source.data_type]))
        self.at_end = False

    async def fill(self, batch_pairs: int) -> None:
        if len(self.points) == 0 and not self.at_end:
            times, values = await self.source.next_batch(batch_pairs)
            self.points = Points(times, values)
            self.at_end = len(times) == 0

    def take(self, until: int | None) -> Points:
        """The points up to `until`, None: all."""
        points = self.points
        count = len(points) if until is None else int(np.searchsorted(points.times, until, "right"))
        self.points = points.slice(count, len(points))
        return points.slice(0, count)


class Aligned:
    """Rows over several sources; each call reads on where it must.

    Up to the least of the last times that were read, no source that goes on can have an earlier point: so far the rows
    are complete.
    """

    def __init__(self, sources: Sequence[Source], *, batch_pairs: int = BATCH_PAIRS) -> None:
        self._ahead = [_Ahead(source) for source in sources]
        self._types = [source.data_type for source in sources]
        self._batch_pairs = batch_pairs

    async def next_rows(self) -> Rows:
        """The next rows; none at the end."""
        for ahead in self._ahead:
            await ahead.fill(self._batch_pairs)
        going_on = [int(ahead.points.times[-1]) for ahead in self._ahead if not ahead.at_end]
        if not going_on:
            return empty_rows(self._types)
        until = min(going_on)
        return rows_of([ahead.take(until) for ahead in self._ahead], self._types)

    def close(self) -> None:
        """Close all sources."""
        for ahead in self._ahead:
            ahead.source.close()
