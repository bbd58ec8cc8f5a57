"""Rows of several series for another node: its condition is tested here, and no more rows go than it wants."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from iotdb_cluster.errors import MalformedInput, RequestError
from iotdb_cluster.members import convert, structs
from iotdb_cluster.members.clock import Deadline
from iotdb_cluster.members.data.held_series import HeldSeries
from iotdb_cluster.members.data.member import DataGroupMember
from iotdb_cluster.members.node_view import NodeView
from iotdb_cluster.members.query.condition_bytes import decode_condition
from iotdb_cluster.members.query.open_rows import OpenRows
from iotdb_cluster.members.query.running import Running
from iotdb_cluster.members.query.sources import HereSeries
from iotdb_cluster.members.query.together import together
from iotdb_cluster.query.align import BATCH_ROWS, Aligned
from iotdb_cluster.query.conditions import Bound, pushed, tested_positions
from iotdb_cluster.query.result import packed_rows
from iotdb_cluster.query.rows import DataTypes
from iotdb_cluster.query.streams import Chosen, RowStream
from iotdb_cluster.settings import MIB
from iotdb_cluster.timeseries.series_reader import SeriesReader
from iotdb_cluster.types import paths
from iotdb_cluster.types.identity import NodeId
from iotdb_cluster.types.schema import DataType

NO_MORE = 0
"""The reader of an answer that has the last rows."""

MAX_SERIES = 100_000
"""Series of one call."""


class RowServing:
    """The handlers of `openRows` and `fetchRows`."""

    def __init__(
        self,
        node: NodeView,
        level: Callable[[Any, Deadline], Awaitable[DataGroupMember]],
        deadline_of: Callable[[Any], Deadline],
    ) -> None:
        """`level` gives the member that a request is for, as fresh as it wants."""
        self._node = node
        self._held = HeldSeries(node)
        self._level = level
        self._deadline_of = deadline_of

    def handlers(self) -> Mapping[str, Callable[..., Any]]:
        """Method names of the IDL to their handlers."""
        return {"openRows": self.open_rows, "fetchRows": self.fetch_rows}

    async def open_rows(self, request: Any, connection: object) -> Any:
        """Open the rows of some series and give the first page; what has no more pages is closed again."""
        data_types = _types(request)
        condition = None if request.condition is None else decode_condition(request.condition, data_types)
        deadline = self._deadline_of(request)
        member = await self._level(request, deadline)
        context = self._node.context
        running = Running(request.queryId, context.clock, context.settings, request.consistency)
        sources: list[HereSeries] = []
        try:
            for position, (one, data_type) in enumerate(zip(request.series, data_types, strict=True)):
                await self._held.check(member, one.path, data_type, deadline)
                reader = _opened(member, one.path, data_type, condition, position)
                sources.append(HereSeries((data_type,), reader))
                self._held.check_still(member, one.path)
        except BaseException:
            for source in sources:
                source.close()
            raise
        aligned = Aligned(sources, running, together, batch_rows=_batch_rows(request, condition))
        stream: RowStream = Chosen(aligned, condition, range(request.wanted))
        requester = NodeId(request.requester.nodeIdentifier)
        rows = OpenRows(member.group, requester, request.queryId, running, stream, request.limit)
        reader_id = self._node.readers.open(rows)
        try:
            return self._answer(reader_id, rows, request.max_rows, deadline)
        except BaseException:
            self._node.readers.came_to_end(reader_id)
            raise

    def fetch_rows(self, request: Any, connection: object) -> Any:
        """The next page of rows that are open; raises for those that ended or were idle for too long."""
        rows = self._node.readers.find(convert.group_of(request.header), request.reader)
        if not isinstance(rows, OpenRows):
            raise RequestError(f"reader {request.reader} was not opened by openRows")
        return self._answer(request.reader, rows, request.max_rows, self._deadline_of(request))

    def _answer(self, reader_id: int, rows: OpenRows, max_rows: int, deadline: Deadline) -> Any:
        max_bytes = self._node.context.settings.frame_max_mb * MIB // 2
        page, is_last = rows.next_page(min(max(1, max_rows), BATCH_ROWS), max_bytes, deadline)
        if is_last:
            self._node.readers.came_to_end(reader_id)
        packed = packed_rows(page, rows.data_types)
        return structs.RowsAnswer(
            reader=NO_MORE if is_last else reader_id,
            time=packed.time,
            values=list(packed.values),
            bitmaps=list(packed.bitmaps),
        )


def _types(request: Any) -> DataTypes:
    """The types of the series of a request; raises what makes no sense."""
    if not 0 < request.wanted <= len(request.series) <= MAX_SERIES:
        raise MalformedInput(f"{request.wanted} wanted of {len(request.series)} series")
    if request.limit is not None and request.limit < 1:
        raise MalformedInput(f"a limit of {request.limit} rows")
    for one in request.series:
        paths.check_series(one.path)
    try:
        return tuple([DataType(one.dataTypeOrdinal) for one in request.series])
    except ValueError as error:
        raise MalformedInput(str(error)[:60]) from None


def _batch_rows(request: Any, condition: Bound | None) -> int:
    """Rows to read of each series at once: where every one counts, no more than are wanted."""
    if request.limit is None or (condition is not None and tested_positions(condition)):
        return BATCH_ROWS
    return min(BATCH_ROWS, int(request.limit))


def _opened(
    member: DataGroupMember, path: str, data_type: DataType, condition: Bound | None, position: int
) -> SeriesReader:
    """A reader; raises for a series that was made anew, of another type, since it was looked at."""
    reader = member.store.open_series(path, pushed(condition, position))
    if reader.data_type not in (None, data_type):
        reader.close()
        raise RequestError(f"{path} is not {data_type.name} any more")
    return reader
