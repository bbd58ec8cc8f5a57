"""Rows of the series of a selection, wherever their points are: what can be tested there is tested there."""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial

from iotdb_cluster.members.node_view import NodeView
from iotdb_cluster.members.query.group_rows import GroupRows
from iotdb_cluster.members.query.running import Running
from iotdb_cluster.members.query.sources import ElsewhereSeries, Sources
from iotdb_cluster.members.query.together import together
from iotdb_cluster.query.align import BATCH_ROWS, Aligned, RowSource
from iotdb_cluster.query.binding import KnownSeries, Selection
from iotdb_cluster.query.conditions import (
    Bound,
    is_pushed_whole,
    necessary,
    pushed,
    renumbered,
    tested_positions,
)
from iotdb_cluster.query.streams import Chosen, RowStream
from iotdb_cluster.types.identity import GroupId

SERIES_OF_A_CALL = 16
"""Where the series of a group can be read apart, several calls of so many keep more than one of its cores busy."""


class RowReading:
    """Opens the rows of one query."""

    def __init__(self, node: NodeView, running: Running, sources: Sources) -> None:
        self._node = node
        self._running = running
        self._sources = sources

    def rows(self, selection: Selection, wanted: Sequence[int], limit: int | None = None) -> RowStream:
        """The series at the `wanted` positions, side by side where the selection's condition holds.

        Each row has a value in at least one of them. With a limit, more rows than that are not asked for (some may
        come all the same).
        """
        series, condition = _narrowed(selection, wanted)
        here = [position for position, one in enumerate(series) if self._sources.is_here(one)]
        elsewhere: dict[GroupId, list[int]] = {}
        for position, one in enumerate(series):
            if not self._sources.is_here(one):
                elsewhere.setdefault(one.group, []).append(position)
        left = left_to_test(series, condition)
        if not here and len(elsewhere) == 1 and (left is not None or len(series) <= SERIES_OF_A_CALL):
            return self._aligned([self._group_rows(series, len(wanted), condition, limit)])
        within = limit if left is None else None
        sources: list[RowSource] = [self._sources.open(series[at], pushed(condition, at)) for at in here]
        order = list(here)
        for positions in _in_calls(elsewhere.values()):
            order += positions
            part = _part_of(condition, positions)
            sources.append(self._group_rows([series[at] for at in positions], len(positions), part, within))
        stream = self._aligned(sources, within)
        places = {position: place for place, position in enumerate(order)}
        chosen = [places[position] for position in range(len(wanted))]
        if left is None and chosen == list(range(len(order))):
            return stream
        return Chosen(stream, None if left is None else renumbered(left, places), chosen)

    def _group_rows(
        self, series: Sequence[KnownSeries], wanted: int, condition: Bound | None, limit: int | None
    ) -> GroupRows:
        by_points = partial(self._by_points, series, wanted, condition)
        return GroupRows(
            self._node,
            self._sources.remote,
            series,
            wanted=wanted,
            condition=condition,
            limit=limit,
            by_points=by_points,
        )

    def _by_points(self, series: Sequence[KnownSeries], wanted: int, condition: Bound | None) -> RowStream:
        """The same rows, made of points that the mirrored calls pull series by series."""
        sources = [ElsewhereSeries(one, pushed(condition, at), self._sources.remote) for at, one in enumerate(series)]
        return Chosen(self._aligned(sources), condition, range(wanted))

    def _aligned(self, sources: Sequence[RowSource], limit: int | None = None) -> Aligned:
        batch_rows = BATCH_ROWS if limit is None else min(BATCH_ROWS, limit)
        return Aligned(sources, self._running, together, batch_rows=batch_rows)


def left_to_test(series: Sequence[KnownSeries], condition: Bound | None) -> Bound | None:
    """The condition, unless every point that comes fulfils it already."""
    if condition is None:
        return None
    tested = tested_positions(condition)
    if (not tested or len(series) == 1) and is_pushed_whole(condition, 0):
        return None
    return condition


def _narrowed(selection: Selection, wanted: Sequence[int]) -> tuple[list[KnownSeries], Bound | None]:
    """The wanted series and behind them those that are only tested; and the condition on their places in this list."""
    condition = selection.condition
    tested = set() if condition is None else tested_positions(condition)
    needed = [*wanted, *sorted(tested.difference(wanted))]
    places = {position: place for place, position in enumerate(needed)}
    series = [selection.series[position] for position in needed]
    return series, None if condition is None else renumbered(condition, places)


def _in_calls(groups: Iterable[list[int]]) -> Iterator[list[int]]:
    """The positions of each group, so many of them as one call takes."""
    for positions in groups:
        for begin in range(0, len(positions), SERIES_OF_A_CALL):
            yield positions[begin : begin + SERIES_OF_A_CALL]


def _part_of(condition: Bound | None, positions: Sequence[int]) -> Bound | None:
    """What these series must fulfil by themselves, looking at their places among each other."""
    part = None if condition is None else necessary(condition, positions)
    return None if part is None else renumbered(part, {position: place for place, position in enumerate(positions)})
