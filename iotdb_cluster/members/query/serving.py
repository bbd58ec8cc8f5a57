"""What a data group answers to the queries of other nodes, beyond the mirrored calls (extension, data port)."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from iotdb_cluster.errors import MalformedInput, RequestError, SlotMoving, ValueRefused
from iotdb_cluster.members import convert, structs
from iotdb_cluster.members.clock import Clock, Deadline
from iotdb_cluster.members.data.held_series import HeldSeries
from iotdb_cluster.members.data.member import DataGroupMember
from iotdb_cluster.members.data.slot_reads import check_held, check_readable
from iotdb_cluster.members.node_view import NodeView
from iotdb_cluster.members.query.gathered import MAX_CELLS, encode_gathered
from iotdb_cluster.members.query.running import QueryTooLarge, QueryTooLong
from iotdb_cluster.members.query.serving_rows import RowServing
from iotdb_cluster.members.runtime import unknown_group
from iotdb_cluster.query.aggregates import Gathered, Grid, result_type
from iotdb_cluster.query.guard import Guard
from iotdb_cluster.query.last import LAST_FUNCTIONS
from iotdb_cluster.query.windows import PieceFeed
from iotdb_cluster.settings import MIB
from iotdb_cluster.sql.statements import ConsistencyLevel, Function, Windows
from iotdb_cluster.timeseries.extent import Extent
from iotdb_cluster.timeseries.filters import is_time_range, time_bounds
from iotdb_cluster.timeseries.series_reader import SeriesReader
from iotdb_cluster.timeseries.store import GroupStore
from iotdb_cluster.timeseries.values import TIME, array_of
from iotdb_cluster.types import paths
from iotdb_cluster.types.filters import Filter
from iotdb_cluster.types.identity import Slot
from iotdb_cluster.types.schema import DataType
from iotdb_cluster.wire.filters import decode_filter
from iotdb_cluster.wire.schemas import encode_schemas


class QueryServing:
    """The handlers of the extension's calls for queries."""

    def __init__(self, node: NodeView) -> None:
        self._node = node
        self._held = HeldSeries(node)
        self._rows = RowServing(node, self._level, self._deadline)

    def handlers(self) -> Mapping[str, Callable[..., Any]]:
        """Method names of the IDL to their handlers."""
        return {
            "findSeries": self.find_series,
            "gather": self.gather,
            "extent": self.extent,
            **self._rows.handlers(),
        }

    async def find_series(self, request: Any, connection: object) -> Any:
        """The series that patterns match, in the order of creation."""
        for pattern in request.patterns:
            paths.check_pattern(pattern)
        slots = request.slots or ()
        try:
            member = await self._level(request, self._deadline(request), slots)
            found = [member.store.series(pattern, in_creation_order=True) for pattern in request.patterns]
            check_held(member, slots)
        except SlotMoving:
            return structs.FindSeriesAnswer(schemas=[], is_moving=True)
        return structs.FindSeriesAnswer(schemas=[encode_schemas(schemas) for schemas in found])

    async def gather(self, request: Any, connection: object) -> Any:
        """What functions need to know of the windows of some series; all of it or an error."""
        grid = _grid(request.windows)
        if grid.count * len(request.series) > MAX_CELLS:
            raise QueryTooLarge(f"{grid.count} windows of {len(request.series)} series: {MAX_CELLS} go into one call")
        wanted = [(one, *_asked(one)) for one in request.series]
        deadline = self._deadline(request)
        member = await self._level(request, deadline)
        guard = _UntilDeadline(self._node.context.clock, deadline)
        left = self._node.context.settings.frame_max_mb * MIB // 2
        found: list[bytes] = []
        for one, data_type, functions in wanted:
            await self._held.check(member, one.path, data_type, deadline)
            condition = None if one.filterBytes is None else decode_filter(one.filterBytes)
            gathered = await _gathered(
                member.store, one.path, condition, Gathered(data_type, grid, functions), functions, guard
            )
            self._held.check_still(member, one.path)
            found.append(encode_gathered(gathered, functions))
            left -= len(found[-1])
            if left < 0:
                raise QueryTooLarge("the values that were gathered do not go into one answer")
        return structs.GatherAnswer(gathered=found)

    async def extent(self, request: Any, connection: object) -> Any:
        """How much there is to read of some series, for EXPLAIN."""
        if not len(request.paths) == len(request.firsts) == len(request.lasts):
            raise MalformedInput(f"{len(request.paths)} paths, {len(request.firsts)} and {len(request.lasts)} times")
        for path in request.paths:
            paths.check_series(path)
        member = await self._level(request, self._deadline(request))
        found = Extent()
        for path, first, last in zip(request.paths, request.firsts, request.lasts, strict=True):
            found = found.with_more(member.store.extent(path, first, last))
        return structs.ExtentAnswer(
            files=len(found.files), rows_in_files=found.rows_in_files, rows_in_memory=found.rows_in_memory
        )

    def _deadline(self, request: Any) -> Deadline:
        settings, clock = self._node.context.settings, self._node.context.clock
        return Deadline.after(clock, min(max(0, request.deadline_ms), settings.query_timeout_ms))

    async def _level(self, request: Any, deadline: Deadline, slots: Sequence[Slot] = ()) -> DataGroupMember:
        """The member that a request is for, as fresh as it wants.

        Raises `UnknownGroup`, and `SlotMoving` when it is not read for one of the slots.
        """
        try:
            consistency = ConsistencyLevel(request.consistency)
        except ValueError:
            raise MalformedInput(f"consistency {request.consistency[:60]!r} is none of strong, mid, weak") from None
        group = convert.group_of(request.header)
        member = self._node.data(group)
        if member is None:
            raise unknown_group(group)
        await member.catch_up(deadline, consistency.value)
        is_strong = consistency is ConsistencyLevel.STRONG
        await check_readable(self._node, member, slots, deadline, is_strong=is_strong)
        return member


class _UntilDeadline:
    """The guard of a query for another node: who gave it up does not say so, its deadline does."""

    def __init__(self, clock: Clock, deadline: Deadline) -> None:
        self._clock = clock
        self._deadline = deadline

    def check(self) -> None:
        """Raise `QueryTooLong` when nobody waits any more."""
        if self._deadline.has_passed(self._clock.now_ms()):
            raise QueryTooLong("not gathered within the time that the other node gave")

    def holds(self, owner: object, size_bytes: int) -> None:
        """What is gathered here is bounded by the number of windows."""


async def _gathered(
    store: GroupStore,
    path: str,
    condition: Filter | None,
    empty: Gathered,
    functions: frozenset[Function],
    guard: Guard,
) -> Gathered:
    """`empty`, with the points of a series that fulfil a condition."""
    data_type, grid = empty.data_type, empty.grid
    if grid.windows is None and functions <= LAST_FUNCTIONS and (condition is None or is_time_range(condition)):
        last = store.last_point(path, data_type, *time_bounds(condition))
        if last is not None:
            empty.add(np.array([last[0]], TIME), array_of([last[1]], data_type))
        return empty
    feed = PieceFeed(partial(_opened, store, path, data_type, condition), 0, data_type, functions, guard)
    try:
        return (await feed.gather(grid))[0]
    finally:
        feed.close()


def _opened(store: GroupStore, path: str, data_type: DataType, condition: Filter | None) -> SeriesReader:
    """A reader; raises for a series that was made anew, of another type, since it was looked at."""
    reader = store.open_series(path, condition)
    if reader.data_type not in (None, data_type):
        reader.close()
        raise RequestError(f"{path} is not {data_type.name} any more")
    return reader


def _grid(windows: Sequence[int] | None) -> Grid:
    if windows is None:
        return Grid.of(None)
    if len(windows) != 4 or not 0 < windows[2] <= windows[3]:
        raise MalformedInput(
            f"windows {list(windows[:4])}: first time, last time, a length above 0 and a step no shorter are needed"
        )
    return Grid.of(Windows(*windows))


def _asked(series: Any) -> tuple[DataType, frozenset[Function]]:
    """Type and functions of one series of a request; raises what makes no sense."""
    paths.check_series(series.path)
    try:
        data_type = DataType(series.dataTypeOrdinal)
        functions = frozenset(map(Function, series.functions))
    except ValueError as error:
        raise MalformedInput(f"{series.path}: {str(error)[:60]}") from None
    for function in functions:
        try:
            result_type(function, data_type)
        except RequestError as refusal:
            raise ValueRefused(refusal.message) from refusal
    return data_type, functions
