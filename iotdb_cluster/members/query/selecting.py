"""A SELECT on its way: from the statement to rows that are made as pages are asked for."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from iotdb_cluster.members.node_view import NodeView
from iotdb_cluster.members.query.finding import Finder
from iotdb_cluster.members.query.gathering import AskedSeries, GroupFeed
from iotdb_cluster.members.query.probing import PointProbe
from iotdb_cluster.members.query.reading import RowReading, left_to_test
from iotdb_cluster.members.query.running import Running
from iotdb_cluster.members.query.sources import Sources
from iotdb_cluster.members.query.together import together
from iotdb_cluster.query.binding import (
    BoundSelect,
    OutputColumn,
    Selection,
    bind,
    condition_patterns,
    devices_of,
    selected_patterns,
)
from iotdb_cluster.query.conditions import AllOf, pushed, time_range
from iotdb_cluster.query.fill import FilledRow
from iotdb_cluster.query.last import LAST_FUNCTIONS, LastRow, Point
from iotdb_cluster.query.streams import Chosen, Cut, Later, OneByOne, Pages, RowStream
from iotdb_cluster.query.windows import (
    Feed,
    FunctionColumn,
    FunctionRows,
    InTurn,
    PieceFeed,
    RowFeed,
    Wanted,
    wanted_functions,
)
from iotdb_cluster.sql.statements import Select, Windows
from iotdb_cluster.timeseries.filters import is_time_range, time_bounds
from iotdb_cluster.types.identity import GroupId


@dataclass(frozen=True, slots=True)
class Answer:
    """What a query answers: its columns as the reply lists them, and its rows.

    `pages` is one for all distinct columns, or where the answer is not `aligned` one for each.
    """

    columns: tuple[OutputColumn, ...]
    operation: str
    pages: tuple[Pages, ...]
    has_time: bool = True
    aligned: bool = True
    sources: Sources | None = None

    def close(self) -> None:
        """Let go of everything."""
        for pages in self.pages:
            pages.close()
        if self.sources is not None:
            self.sources.close()


class Selecting:
    """Builds the answer of one SELECT."""

    def __init__(self, node: NodeView, running: Running) -> None:
        self._node = node
        self._running = running
        self._finder = Finder(node, running)
        self._sources = Sources(node, running)
        self._reading = RowReading(node, running, self._sources)
        self._probe = PointProbe(node, running, self._sources)

    async def bound(self, select: Select) -> BoundSelect:
        """The statement bound to the series that there are now; raises 401 for what matches none."""
        patterns = selected_patterns(select)
        if not select.by_device:
            return bind(select, await self._finder.find([*patterns, *condition_patterns(select, select.prefixes)]))
        catalog = await self._finder.find(patterns)
        compared = await self._finder.find(condition_patterns(select, devices_of(select, catalog)))
        return bind(select, {**catalog, **compared})

    def answer(self, bound: BoundSelect) -> Answer:
        """The answer; nothing is read before its first page is asked for."""
        select = bound.select
        try:
            if not select.aligned:
                pages = tuple(
                    [
                        Pages(Cut(stream, select.offset, select.limit))
                        for selection in bound.selections
                        for stream in self._apart(select, selection)
                    ]
                )
                return Answer(bound.columns, "QUERY", pages, aligned=False, sources=self._sources)
            stream: RowStream
            if select.by_device:
                stream = OneByOne(bound, lambda selection: self._rows(select, selection))
            else:
                stream = self._rows(select, bound.selections[0])
            if select.offset or select.limit is not None:
                stream = Cut(stream, select.offset, select.limit)
        except BaseException:
            self._sources.close()
            raise
        operation, has_time = _operation(select)
        return Answer(bound.columns, operation, (Pages(stream),), has_time=has_time, sources=self._sources)

    # -- the rows of one selection -----------------------------------------------------------------------------------

    def _rows(self, select: Select, selection: Selection) -> RowStream:
        if select.fill is not None:
            return FilledRow(selection, select.fill, self._probe)
        if select.has_functions:
            return self._functions(select, selection)
        return self._plain(select, selection)

    def _plain(self, select: Select, selection: Selection) -> RowStream:
        wanted = list(dict.fromkeys(target.position for target in selection.targets))
        stream = self._reading.rows(selection, wanted, _most_rows(select))
        places = {position: place for place, position in enumerate(wanted)}
        positions = [places[target.position] for target in selection.targets]
        return stream if positions == list(range(len(wanted))) else Chosen(stream, None, positions)

    def _apart(self, select: Select, selection: Selection) -> list[RowStream]:
        """DISABLE ALIGN: a stream for each distinct column, which advances by itself."""
        limit = _most_rows(select)
        return [self._reading.rows(selection, [target.position], limit) for target in selection.targets]

    def _functions(self, select: Select, selection: Selection) -> RowStream:
        columns = [
            FunctionColumn(target.position, target.function, selection.series[target.position].data_type)
            for target in selection.targets
            if target.function is not None
        ]
        if select.windows is None and self._are_last(selection, columns):
            return LastRow(columns, partial(self._last, selection), self._running)
        wanted = wanted_functions(columns)
        selection = _within_windows(selection, select.windows)
        feeds: list[Feed]
        if _is_for_each(selection):
            feeds = self._feeds(selection, select.windows, wanted)
        else:
            positions = sorted(wanted)
            feeds = [RowFeed(self._reading.rows(selection, positions), positions, None, wanted)]
        return FunctionRows(feeds, columns, select.windows, together)

    def _are_last(self, selection: Selection, columns: Sequence[FunctionColumn]) -> bool:
        """True when the last points of series of this node, at most up to a time, tell all that is asked."""
        positions = () if selection.condition is None else range(len(selection.series))
        conditions = {pushed(selection.condition, position) for position in positions}
        return (
            _is_for_each(selection)
            and all(column.function in LAST_FUNCTIONS for column in columns)
            and all(self._sources.is_here(series) for series in selection.series)
            and all(condition is None or is_time_range(condition) for condition in conditions)
        )

    def _last(self, selection: Selection, position: int) -> Point | None:
        first, last = time_bounds(pushed(selection.condition, position))
        return self._sources.last_point(selection.series[position], first, last)

    def _feeds(self, selection: Selection, windows: Windows | None, wanted: Wanted) -> list[Feed]:
        """What gathers of series that are read one by one: groups elsewhere all at once, meanwhile what is here."""
        one_by_one = {position: self._feed(selection, position, wanted) for position in wanted}
        elsewhere: dict[GroupId, list[AskedSeries]] = {}
        for position, functions in wanted.items():
            series = selection.series[position]
            if not self._sources.is_here(series):
                condition = pushed(selection.condition, position)
                asked = AskedSeries(position, series, condition, functions, one_by_one.pop(position))
                elsewhere.setdefault(series.group, []).append(asked)
        feeds: list[Feed] = [
            GroupFeed(self._node, self._running, group, windows, series) for group, series in elsewhere.items()
        ]
        if one_by_one:
            feeds.append(InTurn(list(one_by_one.values())))
        return feeds

    def _feed(self, selection: Selection, position: int, wanted: Wanted) -> Feed:
        """Gathers from a series that is read by itself, from when its turn comes."""
        series = selection.series[position]
        if self._sources.is_here(series):
            begin = partial(self._sources.read, series, pushed(selection.condition, position))
            return PieceFeed(begin, position, series.data_type, wanted[position], self._running)
        stream = Later((series.data_type,), lambda: self._reading.rows(selection, [position]))
        return RowFeed(stream, [position], None, wanted)


def _is_for_each(selection: Selection) -> bool:
    """True when each series can be read by itself: what it must fulfil is all that the condition says."""
    return left_to_test(selection.series, selection.condition) is None


def _within_windows(selection: Selection, windows: Windows | None) -> Selection:
    """The same selection of points that can lie in a window."""
    if windows is None:
        return selection
    bounds = time_range(windows.start_ms, windows.end_ms)
    condition = bounds if selection.condition is None else AllOf((bounds, selection.condition))
    return replace(selection, condition=condition)


def _most_rows(select: Select) -> int | None:
    """The rows of any part of the answer that can be in it."""
    return None if select.limit is None else select.offset + select.limit


def _operation(select: Select) -> tuple[str, bool]:
    """The operation type of a SELECT, and whether its times mean something."""
    if select.fill is not None:
        return "FILL", True
    if select.windows is not None:
        return "GROUPBY", True
    if select.has_functions:
        return "AGGREGATION", False
    return "QUERY", True
