"""Rows of series of one group elsewhere: conditions are tested there, and only the rows that are wanted come."""

from collections.abc import Callable, Sequence
from typing import Any

from iotdb_cluster.errors import NoLeader, RequestError
from iotdb_cluster.members import structs
from iotdb_cluster.members.convert import node_struct
from iotdb_cluster.members.node_view import NodeView
from iotdb_cluster.members.query.asking import is_unknown_call
from iotdb_cluster.members.query.condition_bytes import encode_condition
from iotdb_cluster.members.query.sources import RemoteReaders
from iotdb_cluster.query.binding import KnownSeries
from iotdb_cluster.query.conditions import Bound
from iotdb_cluster.query.result import PackedRows, unpacked_rows
from iotdb_cluster.query.rows import DataTypes, Rows, empty_rows
from iotdb_cluster.query.streams import RowStream
from iotdb_cluster.types.identity import GroupId, Node


class GroupRows:
    """The rows of the first `wanted` of some series of a group, at most `limit` of them.

    All pages come from one member; another one is asked only as long as no page has come. Where no member has an answer
    and some do not know the call, the rows are made here of points that are pulled by the mirrored calls.
    """

    def __init__(
        self,
        node: NodeView,
        readers: RemoteReaders,
        series: Sequence[KnownSeries],
        *,
        wanted: int,
        condition: Bound | None,
        limit: int | None,
        by_points: Callable[[], RowStream],
    ) -> None:
        self.data_types: DataTypes = tuple([each.data_type for each in series[:wanted]])
        self._node = node
        self._readers = readers
        self._group: GroupId = series[0].group
        self._series = series
        self._condition = condition
        self._limit = limit
        self._by_points = by_points
        self._pulled: RowStream | None = None
        self._open: tuple[Node, int] | None = None
        self._has_begun = False

    async def next_rows(self, max_rows: int) -> Rows:
        """The next rows; none at the end."""
        if not self._has_begun:
            self._has_begun = True
            return await self._first_rows(max_rows)
        if self._pulled is not None:
            return await self._pulled.next_rows()
        while self._open is not None:
            member, reader = self._open
            rows = self._taken(member, await self._readers.fetch_rows(member, self._group, reader, max_rows))
            if len(rows):
                return rows
        return empty_rows(self.data_types)

    def close(self) -> None:
        """Ask for nothing more; what is open elsewhere is closed with the whole query."""
        self._open = None
        if self._pulled is not None:
            self._pulled.close()

    async def _first_rows(self, max_rows: int) -> Rows:
        refusal: RequestError = NoLeader(f"the data group of header {self._group} has no members")
        is_unknown = False
        running = self._readers.running
        members = self._readers.elsewhere(self._group).members
        for asked, member in enumerate(members):
            request = self._request(max_rows)
            try:
                left_ms = running.left_ms // (len(members) - asked)
                return self._taken(member, await self._readers.open_rows(member, self._group, request, left_ms))
            except RequestError as error:
                running.check()
                refusal = error
                is_unknown |= is_unknown_call(error)
        if not is_unknown:
            raise refusal
        self._pulled = self._by_points()
        return await self._pulled.next_rows()

    def _request(self, max_rows: int) -> Any:
        running = self._readers.running
        return structs.OpenRowsRequest(
            header=self._readers.elsewhere(self._group).header,
            series=[structs.RowsSeries(path=one.path, dataTypeOrdinal=int(one.data_type)) for one in self._series],
            wanted=len(self.data_types),
            condition=None if self._condition is None else encode_condition(self._condition),
            limit=self._limit,
            max_rows=max_rows,
            consistency=running.consistency,
            deadline_ms=running.left_ms,
            requester=node_struct(self._node.me),
            queryId=running.id,
        )

    def _taken(self, member: Node, answer: Any) -> Rows:
        """The rows of a page; notes where the next one is."""
        self._open = (member, answer.reader) if answer.reader else None
        return unpacked_rows(PackedRows(answer.time, tuple(answer.values), tuple(answer.bitmaps)), self.data_types)
