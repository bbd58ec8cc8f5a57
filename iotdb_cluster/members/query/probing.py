"""Looking up single points: the last one before a time, the first one behind it."""

from iotdb_cluster.members.node_view import NodeView
from iotdb_cluster.members.query.running import Running
from iotdb_cluster.members.query.sources import Sources
from iotdb_cluster.query.align import BATCH_ROWS
from iotdb_cluster.query.binding import KnownSeries
from iotdb_cluster.query.conditions import within
from iotdb_cluster.query.fill import Point
from iotdb_cluster.query.rows import Rows
from iotdb_cluster.timeseries.values import python_value

FIRST_SPAN_MS = 3_600_000
SPAN_FACTOR = 16
"""Where a series can only be read forward, it is read in stretches backward, each so many times as long."""


class PointProbe:
    """The probe of one query."""

    def __init__(self, node: NodeView, running: Running, sources: Sources) -> None:
        self._node = node
        self._running = running
        self._sources = sources

    async def last(self, series: KnownSeries, first: int, last: int) -> Point | None:
        """The last point between two times, both included."""
        self._running.check()
        if self._sources.is_here(series):
            return self._sources.last_point(series, first, last)
        span = FIRST_SPAN_MS
        while last >= first:
            begin = max(first, last - span)
            found = await self._last_forward(series, begin, last)
            if found is not None:
                return found
            last, span = begin - 1, span * SPAN_FACTOR
        return None

    async def first(self, series: KnownSeries, first: int, last: int) -> Point | None:
        """The first point between two times, both included."""
        self._running.check()
        source = self._sources.open(series, within(first, last))
        rows = await source.next_rows(1)
        source.close()
        return _point(rows, 0, series) if len(rows) else None

    async def _last_forward(self, series: KnownSeries, first: int, last: int) -> Point | None:
        source = self._sources.open(series, within(first, last))
        found = None
        while len(rows := await source.next_rows(BATCH_ROWS)):
            self._running.check()
            found = _point(rows, len(rows) - 1, series)
        return found


def _point(rows: Rows, position: int, series: KnownSeries) -> Point:
    return int(rows.times[position]), python_value(rows.columns[0].values, position, series.data_type)
