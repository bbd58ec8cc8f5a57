"""Several sources of rows side by side, in bounded memory: what no source can change any more is handed out."""

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Protocol

import numpy as np

from iotdb_cluster.query.guard import Guard
from iotdb_cluster.query.rows import DataTypes, Rows, empty_rows, side_by_side

BATCH_ROWS = 65_536
"""Rows asked of one source at once: what a sealed file decodes together."""


class RowSource(Protocol):
    """Rows of one or more series, ascending, each time once; from this node or from another."""

    @property
    def data_types(self) -> DataTypes:
        """What the columns are."""

    async def next_rows(self, max_rows: int) -> Rows:
        """The next rows; none at the end, and then for ever."""

    def close(self) -> None:
        """Nobody asks any more; closing twice does nothing."""


Together = Callable[[Sequence[Coroutine[Any, Any, None]]], Awaitable[object]]
"""Waits for several coroutines at once, so that what they ask of other nodes is under way together."""


class _Ahead:
    """What was read of one source and is not handed out yet."""

    def __init__(self, source: RowSource) -> None:
        self.source = source
        self.rows = empty_rows(source.data_types)
        self.size_bytes = 0
        self.at_end = False

    @property
    def is_wanting(self) -> bool:
        return not len(self.rows) and not self.at_end

    async def fill(self, batch_rows: int) -> None:
        self.rows = await self.source.next_rows(batch_rows)
        self.at_end = len(self.rows) == 0
        # What is handed out of a batch shares its arrays, so the batch counts until the next one takes its place.
        self.size_bytes = self.rows.size_bytes

    def take(self, until: int) -> Rows:
        """The rows up to `until`."""
        rows = self.rows
        if not len(rows) or int(rows.times[-1]) <= until:
            self.rows = empty_rows(self.source.data_types)
            return rows
        count = int(np.searchsorted(rows.times, until, "right"))
        self.rows = rows.slice(count, len(rows))
        return rows.slice(0, count)


class Aligned:
    """Rows over several sources; each call reads on where it must.

    Up to the least of the last times that were read, no source that goes on can have an earlier row: so far the rows
    are complete.
    """

    def __init__(
        self, sources: Sequence[RowSource], guard: Guard, together: Together, *, batch_rows: int = BATCH_ROWS
    ) -> None:
        self._ahead = [_Ahead(source) for source in sources]
        self._types = [source.data_types for source in sources]
        self._guard = guard
        self._together = together
        self._batch_rows = batch_rows
        self.data_types: DataTypes = tuple([each for types in self._types for each in types])

    async def next_rows(self) -> Rows:
        """The next rows; none at the end. Raises what the guard raises."""
        self._guard.check()
        wanting = [ahead for ahead in self._ahead if ahead.is_wanting]
        if len(wanting) == 1:
            await wanting[0].fill(self._batch_rows)
        elif wanting:
            await self._together([ahead.fill(self._batch_rows) for ahead in wanting])
        self._guard.holds(self, sum(ahead.size_bytes for ahead in self._ahead))
        going_on = [int(ahead.rows.times[-1]) for ahead in self._ahead if not ahead.at_end]
        if not going_on:
            return empty_rows(self.data_types)
        until = min(going_on)
        parts = [ahead.take(until) for ahead in self._ahead]
        return parts[0] if len(parts) == 1 else side_by_side(parts, self._types)

    def close(self) -> None:
        """Close all sources."""
        self._guard.holds(self, 0)
        for ahead in self._ahead:
            ahead.source.close()
