"""A SELECT on its way: from the statement to rows that are made as pages are asked for."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from iotdb_cluster.members.node_view import NodeView
from iotdb_cluster.members.query.finding import Finder
from iotdb_cluster.members.query.gathering import AskedSeries, GroupFeed
from iotdb_cluster.members.query.probing import PointProbe
from iotdb_cluster.members.query.running import Running
from iotdb_cluster.members.query.sources import Sources
from iotdb_cluster.members.query.together import together
from iotdb_cluster.query.align import Aligned
from iotdb_cluster.query.binding import (
    BoundSelect,
    OutputColumn,
    Selection,
    bind,
    condition_patterns,
    devices_of,
    selected_patterns,
)
from iotdb_cluster.query.conditions import (
    Bound,
    both,
    is_pushed_whole,
    pushed,
    renumbered,
    tested_positions,
    within,
)
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
from iotdb_cluster.types.filters import Filter
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
                        for stream in self._apart(selection)
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
        return self._plain(selection)

    def _plain(self, selection: Selection) -> RowStream:
        positions = [target.position for target in selection.targets]
        stream = self._aligned(selection, range(len(selection.series)))
        condition = _left_to_test(selection)
        if condition is None and positions == list(range(len(selection.series))):
            return stream
        return Chosen(stream, condition, positions)

    def _apart(self, selection: Selection) -> list[RowStream]:
        """DISABLE ALIGN: a stream for each distinct column, which advances by itself."""
        streams: list[RowStream] = []
        tested = sorted(tested_positions(selection.condition)) if selection.condition else []
        for target in selection.targets:
            needed = [target.position, *(position for position in tested if position != target.position)]
            alone = _narrowed(selection, needed)
            streams.append(Chosen(self._aligned(alone, range(len(needed))), _left_to_test(alone), [0]))
        return streams

    def _functions(self, select: Select, selection: Selection) -> RowStream:
        columns = [
            FunctionColumn(target.position, target.function, selection.series[target.position].data_type)
            for target in selection.targets
            if target.function is not None
        ]
        if select.windows is None and self._are_last(selection, columns):
            return LastRow(columns, partial(self._last, selection), self._running)
        wanted = wanted_functions(columns)
        bounds = within(select.windows.start_ms, select.windows.end_ms) if select.windows else None
        feeds: list[Feed]
        if _is_for_each(selection):
            feeds = self._feeds(selection, select.windows, bounds, wanted)
        else:
            everything = range(len(selection.series))
            stream = self._aligned(selection, everything, bounds)
            feeds = [RowFeed(stream, everything, _left_to_test(selection), wanted)]
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

    def _feeds(
        self, selection: Selection, windows: Windows | None, bounds: Filter | None, wanted: Wanted
    ) -> list[Feed]:
        """What gathers of series that are read one by one: groups elsewhere all at once, meanwhile what is here."""
        one_by_one = {position: self._feed(selection, position, bounds, wanted) for position in wanted}
        elsewhere: dict[GroupId, list[AskedSeries]] = {}
        for position, functions in wanted.items():
            series = selection.series[position]
            if not self._sources.is_here(series):
                condition = both(bounds, pushed(selection.condition, position))
                asked = AskedSeries(position, series, condition, functions, one_by_one.pop(position))
                elsewhere.setdefault(series.group, []).append(asked)
        feeds: list[Feed] = [
            GroupFeed(self._node, self._running, group, windows, series) for group, series in elsewhere.items()
        ]
        if one_by_one:
            feeds.append(InTurn(list(one_by_one.values())))
        return feeds

    def _feed(self, selection: Selection, position: int, bounds: Filter | None, wanted: Wanted) -> Feed:
        """Gathers from a series that is read by itself, from when its turn comes."""
        series = selection.series[position]
        condition = both(bounds, pushed(selection.condition, position))
        if self._sources.is_here(series):
            begin = partial(self._sources.read, series, condition)
            return PieceFeed(begin, position, series.data_type, wanted[position], self._running)
        stream = Later((series.data_type,), lambda: self._aligned(selection, [position], bounds))
        return RowFeed(stream, [position], None, wanted)

    def _aligned(self, selection: Selection, positions: Sequence[int], bounds: Filter | None = None) -> Aligned:
        sources = []
        for position in positions:
            condition = both(bounds, pushed(selection.condition, position))
            sources.append(self._sources.open(selection.series[position], condition))
        return Aligned(sources, self._running, together)


def _left_to_test(selection: Selection) -> Bound | None:
    """The condition, unless every point that comes fulfils it already."""
    condition = selection.condition
    if condition is None:
        return None
    tested = tested_positions(condition)
    if (not tested or len(selection.series) == 1) and is_pushed_whole(condition, 0):
        return None
    return condition


def _is_for_each(selection: Selection) -> bool:
    """True when each series can be read by itself: what it must fulfil is all that the condition says."""
    return selection.condition is None or _left_to_test(selection) is None


def _narrowed(selection: Selection, positions: Sequence[int]) -> Selection:
    """A selection of some series alone, all that the condition looks at among them."""
    places = {position: place for place, position in enumerate(positions)}
    condition = None if selection.condition is None else renumbered(selection.condition, places)
    return Selection(tuple([selection.series[position] for position in positions]), (), (), condition)


def _operation(select: Select) -> tuple[str, bool]:
    """The operation type of a SELECT, and whether its times mean something."""
    if select.fill is not None:
        return "FILL", True
    if select.windows is not None:
        return "GROUPBY", True
    if select.has_functions:
        return "AGGREGATION", False
    return "QUERY", True
