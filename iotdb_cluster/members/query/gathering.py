"""Functions over series of a group elsewhere: gathered where the points are, by one call for the group."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from iotdb_cluster.errors import MalformedInput, RequestError
from iotdb_cluster.members import structs
from iotdb_cluster.members.node_view import NodeView
from iotdb_cluster.members.query.asking import Elsewhere
from iotdb_cluster.members.query.gathered import MAX_CELLS, decode_gathered
from iotdb_cluster.members.query.running import Running
from iotdb_cluster.query.aggregates import BLOCK_WINDOWS, Gathered, Grid
from iotdb_cluster.query.binding import KnownSeries
from iotdb_cluster.query.windows import Feed, InTurn
from iotdb_cluster.sql.statements import Function, Windows
from iotdb_cluster.types.filters import Filter
from iotdb_cluster.types.identity import GroupId
from iotdb_cluster.wire.filters import encode_filter


@dataclass(frozen=True, slots=True)
class AskedSeries:
    """A series at a position of a selection, what its points must fulfil, and what is asked of them.

    `by_points` gathers the same from points that are pulled by the mirrored calls; it is not begun before it is asked.
    """

    position: int
    series: KnownSeries
    condition: Filter | None
    functions: frozenset[Function]
    by_points: Feed


class GroupFeed:
    """Gathers from the series of one group elsewhere.

    All windows come by one answer, of one member, so no answer is a part of one. Where no member has such an answer,
    as one that does not know the call, or the windows are too many for one, points are pulled and gathered here.
    """

    def __init__(
        self, node: NodeView, running: Running, group: GroupId, windows: Windows | None, series: Sequence[AskedSeries]
    ) -> None:
        self._node = node
        self._running = running
        self._group = group
        self._series = series
        count = Grid.of(windows).count
        self._is_gathered_there = count <= BLOCK_WINDOWS and count * len(series) <= MAX_CELLS
        self._by_points = InTurn([one.by_points for one in series])

    async def gather(self, grid: Grid) -> Mapping[int, Gathered]:
        """By position of the series; raises when neither way leads to an answer."""
        if self._is_gathered_there:
            try:
                return await self._gathered_there(grid)
            except RequestError:
                # It takes none of the time that is left but its own; when all is over, that is said here.
                self._running.check()
                self._is_gathered_there = False
        return await self._by_points.gather(grid)

    def close(self) -> None:
        """Close what was begun."""
        self._by_points.close()

    async def _gathered_there(self, grid: Grid) -> Mapping[int, Gathered]:
        there = Elsewhere(self._node, self._group)
        windows = grid.windows
        request = structs.GatherRequest(
            header=there.header,
            series=[
                structs.GatherSeries(
                    path=one.series.path,
                    dataTypeOrdinal=int(one.series.data_type),
                    filterBytes=None if one.condition is None else encode_filter(one.condition),
                    functions=sorted(one.functions),
                )
                for one in self._series
            ],
            windows=windows and [windows.start_ms, windows.end_ms, windows.unit_ms, windows.step_ms],
            consistency=self._running.consistency,
            deadline_ms=self._running.left_ms,
        )
        answer = await there.ask("gather", (request,), self._running)
        self._running.check()
        if len(answer.gathered) != len(self._series):
            raise MalformedInput(f"{len(answer.gathered)} series were gathered instead of {len(self._series)}")
        return {
            one.position: decode_gathered(data, one.series.data_type, grid, one.functions)
            for one, data in zip(self._series, answer.gathered, strict=True)
        }
