"""Functions as rows: one row over everything, or a row for each window, in bounded memory."""

from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from iotdb_cluster.query.aggregates import LAST_TIME, Gathered, Grid, result_type
from iotdb_cluster.query.conditions import Bound, holds
from iotdb_cluster.query.guard import Guard
from iotdb_cluster.query.rows import DataTypes, Rows, empty_rows
from iotdb_cluster.query.streams import RowStream
from iotdb_cluster.sql.statements import Function, Windows
from iotdb_cluster.timeseries.frames import Column, Points
from iotdb_cluster.timeseries.pieces import WholePart
from iotdb_cluster.types.schema import DataType

Wanted = Mapping[int, frozenset[Function]]
"""Functions by the position of their series in a selection."""


class Feed(Protocol):
    """Gathers for some series of a selection what functions need to know."""

    async def gather(self, grid: Grid) -> Mapping[int, Gathered]:
        """By position of the series; each grid lies behind the one before."""

    def close(self) -> None:
        """Nobody asks any more; closing twice does nothing."""


class RowFeed:
    """Gathers from rows at which a condition holds; `positions` says which series of a selection the columns are."""

    def __init__(self, stream: RowStream, positions: Sequence[int], condition: Bound | None, wanted: Wanted) -> None:
        self._stream = stream
        self._condition = condition
        self._wanted = [(at, position, wanted[position]) for at, position in enumerate(positions) if position in wanted]
        self._ready = empty_rows(stream.data_types)

    async def gather(self, grid: Grid) -> Mapping[int, Gathered]:
        """Read on up to the end of the grid."""
        types = self._stream.data_types
        gathered = {position: Gathered(types[at], grid, functions) for at, position, functions in self._wanted}
        while True:
            if not len(self._ready):
                self._ready = await self._stream.next_rows()
                if not len(self._ready):
                    return gathered
            rows, self._ready = _split(self._ready, grid.last)
            if self._condition is not None:
                rows = rows.where(holds(self._condition, rows))
            if len(rows):
                for at, position, _ in self._wanted:
                    points = rows.columns[at].present(rows.times)
                    gathered[position].add(points.times, points.values)
            if len(self._ready):
                return gathered

    def close(self) -> None:
        """Close what the rows come from."""
        self._stream.close()


class PieceReader(Protocol):
    """One series on this node, piece by piece."""

    def next_piece(self) -> Points | WholePart | None:
        """The next points as they come together, or a part of a file that is not read yet; None at the end."""

    def close(self) -> None:
        """Let go of files and memory; closing twice does nothing."""


class PieceFeed:
    """Gathers from one series of this node; of parts that lie within one window no more is read than is wanted."""

    def __init__(
        self,
        begin: Callable[[], PieceReader],
        position: int,
        data_type: DataType,
        functions: frozenset[Function],
        guard: Guard,
    ) -> None:
        self._begin = begin
        self._position = position
        self._data_type = data_type
        self._functions = functions
        self._guard = guard
        self._reader: PieceReader | None = None
        self._ready: Points | WholePart | None = None

    async def gather(self, grid: Grid) -> Mapping[int, Gathered]:
        """Read on up to the end of the grid."""
        gathered = Gathered(self._data_type, grid, self._functions)
        if self._reader is None:
            self._reader = self._begin()
        while (piece := self._ready or self._reader.next_piece()) is not None:
            self._guard.check()
            if isinstance(piece, WholePart):
                self._ready = piece
                if piece.min_time > grid.last:
                    break
                at = grid.window_of(piece.min_time, piece.max_time)
                if at is not None:
                    self._ready = None
                    gathered.add_part(at, piece)
                    continue
                piece = piece.points()
            within = piece.between(grid.first, grid.last)
            gathered.add(within.times, within.values)
            self._ready = piece.between(grid.last + 1, LAST_TIME) if int(piece.times[-1]) > grid.last else None
            if self._ready is not None:
                break
        return {self._position: gathered}

    def close(self) -> None:
        """Close the reader."""
        self._ready = None
        if self._reader is not None:
            self._reader.close()


def _split(rows: Rows, last: int) -> tuple[Rows, Rows]:
    """The rows up to a time, and those behind it."""
    if int(rows.times[-1]) <= last:
        return rows, rows.slice(len(rows), len(rows))
    count = int(rows.times.searchsorted(last, "right"))
    return rows.slice(0, count), rows.slice(count, len(rows))


@dataclass(frozen=True, slots=True)
class FunctionColumn:
    """A function of a series by its position in a selection."""

    position: int
    function: Function
    data_type: DataType


class InTurn:
    """Several feeds as one, each asked when the one before has answered."""

    def __init__(self, feeds: Sequence[Feed]) -> None:
        self._feeds = feeds

    async def gather(self, grid: Grid) -> Mapping[int, Gathered]:
        """What all of them gathered."""
        found: dict[int, Gathered] = {}
        for feed in self._feeds:
            found |= await feed.gather(grid)
        return found

    def close(self) -> None:
        """Close them."""
        for feed in self._feeds:
            feed.close()


GatherAll = Callable[[Sequence[Coroutine[Any, Any, Mapping[int, Gathered]]]], Awaitable[list[Mapping[int, Gathered]]]]
"""Waits for several coroutines at once: what the first ask of other nodes is under way while the last one works."""


class FunctionRows:
    """A row for each window; without windows one row, and none when no function has a value."""

    def __init__(
        self,
        feeds: Sequence[Feed],
        columns: Sequence[FunctionColumn],
        windows: Windows | None,
        together: GatherAll,
    ) -> None:
        self._feeds = feeds
        self._together = together
        self._columns = columns
        self._windows = windows
        self._grids = Grid.of(windows).blocks()
        self.data_types: DataTypes = tuple([result_type(column.function, column.data_type) for column in columns])

    async def next_rows(self) -> Rows:
        """The rows of the next windows; none at the end."""
        for grid in self._grids:
            gathered: dict[int, Gathered] = {}
            for part in await self._together([feed.gather(grid) for feed in self._feeds]):
                gathered |= part
            columns = []
            for column in self._columns:
                values, valid = gathered[column.position].result(column.function)
                columns.append(Column(values, None if valid.all() else valid))
            rows = Rows(grid.starts(), tuple(columns))
            if self._windows is None:
                rows = rows.where(rows.has_value())
            if len(rows):
                return rows
        return empty_rows(self.data_types)

    def close(self) -> None:
        """Close what is gathered from."""
        for feed in self._feeds:
            feed.close()


def wanted_functions(columns: Sequence[FunctionColumn]) -> Wanted:
    """The functions of each series, gathered together."""
    found: dict[int, frozenset[Function]] = {}
    for column in columns:
        found[column.position] = found.get(column.position, frozenset()) | {column.function}
    return found
