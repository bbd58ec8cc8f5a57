"""Rows on their way to a client: chosen, cut, put one after the other, and handed out in pages."""

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from iotdb_cluster.query.binding import BoundSelect, Selection
from iotdb_cluster.query.conditions import Bound, holds
from iotdb_cluster.query.result import rows_that_fit
from iotdb_cluster.query.rows import DataTypes, Rows, empty_column, empty_rows, joined
from iotdb_cluster.timeseries.frames import Column
from iotdb_cluster.timeseries.values import NATIVE
from iotdb_cluster.types.schema import DataType


class RowStream(Protocol):
    """Rows that are made as they are asked for."""

    @property
    def data_types(self) -> DataTypes:
        """What the columns are."""

    async def next_rows(self) -> Rows:
        """The next rows, as many as come at once; none at the end, and then for ever."""

    def close(self) -> None:
        """Nobody asks any more; closing twice does nothing."""


class Chosen:
    """The rows at which a condition holds, of which the columns at `positions`; no row without a value in them."""

    def __init__(self, stream: RowStream, condition: Bound | None, positions: Sequence[int]) -> None:
        self._stream = stream
        self._condition = condition
        self._positions = tuple(positions)
        self._is_all = len(set(positions)) == len(stream.data_types)
        self.data_types: DataTypes = tuple([stream.data_types[position] for position in positions])

    async def next_rows(self) -> Rows:
        """The next rows that are left; none at the end."""
        while len(rows := await self._stream.next_rows()):
            if self._condition is not None:
                rows = rows.where(holds(self._condition, rows))
            rows = rows.select(self._positions)
            if not self._is_all:
                rows = rows.where(rows.has_value())
            if len(rows):
                return rows
        return empty_rows(self.data_types)

    def close(self) -> None:
        """Close what the rows come from."""
        self._stream.close()


class Cut:
    """The rows behind the first `offset`, at most `limit` (None: all)."""

    def __init__(self, stream: RowStream, offset: int, limit: int | None) -> None:
        self._stream = stream
        self._to_skip = offset
        self._left = limit
        self.data_types = stream.data_types

    async def next_rows(self) -> Rows:
        """The next rows that are left; none at the end."""
        while self._left != 0 and len(rows := await self._stream.next_rows()):
            skipped = min(self._to_skip, len(rows))
            self._to_skip -= skipped
            rows = rows.slice(skipped, len(rows) if self._left is None else min(len(rows), skipped + self._left))
            if len(rows):
                if self._left is not None:
                    self._left -= len(rows)
                return rows
        self._stream.close()
        return empty_rows(self.data_types)

    def close(self) -> None:
        """Close what the rows come from."""
        self._stream.close()


class Later:
    """A stream that is begun when its first rows are asked for."""

    def __init__(self, data_types: DataTypes, begin: Callable[[], RowStream]) -> None:
        self.data_types = data_types
        self._begin = begin
        self._stream: RowStream | None = None
        self._is_closed = False

    async def next_rows(self) -> Rows:
        """The next rows; none at the end."""
        if self._is_closed:
            return empty_rows(self.data_types)
        if self._stream is None:
            self._stream = self._begin()
        return await self._stream.next_rows()

    def close(self) -> None:
        """Close it, or never begin it."""
        self._is_closed = True
        if self._stream is not None:
            self._stream.close()


class OneByOne:
    """GROUP BY DEVICE: the rows of each selection behind the name of its device, in order of the selections.

    The rows of a selection are begun when those before it are through.
    """

    def __init__(self, bound: BoundSelect, begin: Callable[[Selection], RowStream]) -> None:
        self._selections = list(reversed(bound.selections))
        self._begin = begin
        self._now: tuple[Selection, RowStream] | None = None
        self.data_types = bound.data_types

    async def next_rows(self) -> Rows:
        """The next rows; none at the end."""
        while True:
            if self._now is None:
                if not self._selections:
                    return empty_rows(self.data_types)
                selection = self._selections.pop()
                self._now = selection, self._begin(selection)
            selection, stream = self._now
            rows = await stream.next_rows()
            if len(rows):
                return self._placed(rows, selection)
            stream.close()
            self._now = None

    def close(self) -> None:
        """Close what is being read; nothing more is begun."""
        self._selections = []
        if self._now is not None:
            self._now[1].close()

    def _placed(self, rows: Rows, selection: Selection) -> Rows:
        assert selection.device is not None
        count = len(rows)
        name = np.empty(count, NATIVE[DataType.TEXT])
        name.fill(selection.device.encode())
        columns: list[Column | None] = [Column(name)] + [None] * (len(self.data_types) - 1)
        for place, column in zip(selection.places, rows.columns, strict=True):
            columns[place] = column
        return Rows(
            rows.times,
            tuple(
                [
                    empty_column(count, data_type) if column is None else column
                    for column, data_type in zip(columns, self.data_types, strict=True)
                ]
            ),
        )


class Listed:
    """Rows that are known from the beginning."""

    def __init__(self, rows: Rows, data_types: DataTypes) -> None:
        self._rows = rows
        self.data_types = data_types

    async def next_rows(self) -> Rows:
        """All rows, then none."""
        rows, self._rows = self._rows, empty_rows(self.data_types)
        return rows

    def close(self) -> None:
        """Forget them."""
        self._rows = empty_rows(self.data_types)


class Pages:
    """A stream in pages of the size that is asked for."""

    def __init__(self, stream: RowStream) -> None:
        self._stream = stream
        self.data_types = stream.data_types
        self._ready = empty_rows(stream.data_types)
        self._at_end = False

    async def page(self, count: int, max_bytes: int) -> Rows:
        """The next `count` rows, fewer only at the end or when they would fill `max_bytes`; one always fits."""
        parts: list[Rows] = []
        while count > 0:
            if not len(self._ready):
                await self._read_on()
                if self._at_end:
                    break
            ready = self._ready
            part = ready.slice(0, min(count, len(ready)))
            fitting, size = rows_that_fit(part, max_bytes)
            if fitting < len(part):
                part = part.slice(0, fitting if fitting or parts else 1)
                count = 0
            self._ready = empty_rows(self.data_types) if part is ready else ready.slice(len(part), len(ready))
            count -= len(part)
            max_bytes -= size
            parts.append(part)
        return joined(parts, self._stream.data_types)

    async def are_over(self) -> bool:
        """True when there is no page any more; what was read to know that is in the next one."""
        if not len(self._ready):
            await self._read_on()
        return self._at_end

    @property
    def is_at_end(self) -> bool:
        """True when a page was short since there is no row any more; False says that it is not known."""
        return self._at_end

    def close(self) -> None:
        """Let go of everything."""
        self._ready = empty_rows(self._stream.data_types)
        self._stream.close()

    async def _read_on(self) -> None:
        if not self._at_end:
            self._ready = await self._stream.next_rows()
            self._at_end = not len(self._ready)
