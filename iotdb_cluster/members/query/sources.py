"""Where the points of a query come from: the store of this node, or a member of the group elsewhere."""

from typing import Any

import numpy as np

from iotdb_cluster.errors import MalformedInput, NoLeader, RequestError, SlotMoving
from iotdb_cluster.members import structs
from iotdb_cluster.members.convert import node_struct
from iotdb_cluster.members.data.member import DataGroupMember
from iotdb_cluster.members.data.slot_reads import check_held
from iotdb_cluster.members.node_view import NodeView
from iotdb_cluster.members.query.asking import Elsewhere
from iotdb_cluster.members.query.running import Running
from iotdb_cluster.members.runtime import unknown_group
from iotdb_cluster.members.transport import Lane, Port
from iotdb_cluster.partition.slots import slot_of
from iotdb_cluster.query.align import RowSource
from iotdb_cluster.query.binding import KnownSeries
from iotdb_cluster.query.rows import DataTypes, Rows, empty_rows
from iotdb_cluster.timeseries.frames import Column
from iotdb_cluster.timeseries.series_reader import SeriesReader
from iotdb_cluster.timeseries.values import Value, array_of
from iotdb_cluster.types.filters import Filter
from iotdb_cluster.types.identity import GroupId, Node
from iotdb_cluster.wire.batches import decode_batch
from iotdb_cluster.wire.filters import encode_filter


class HereSeries:
    """A series in a store of this node."""

    def __init__(self, data_types: DataTypes, reader: SeriesReader) -> None:
        self.data_types = data_types
        self._reader = reader

    async def next_rows(self, max_rows: int) -> Rows:
        """The next points as rows; none at the end."""
        times, values = self._reader.next_batch(max_rows)
        return Rows(times, (Column(values),)) if len(times) else empty_rows(self.data_types)

    def close(self) -> None:
        """Let go of files and memory."""
        self._reader.close()


class ElsewhereSeries:
    """A series that members of its group on other nodes hold, by the mirrored calls.

    Another member is asked only as long as no batch has come: members do not stand at the same point.
    """

    def __init__(self, series: KnownSeries, condition: Filter | None, there: "RemoteReaders") -> None:
        self.data_types = (series.data_type,)
        self._series = series
        self._condition = condition
        self._there = there
        self._left = list(there.elsewhere(series.group).members)
        self._open: tuple[Node, int] | None = None
        self._has_begun = False
        self._at_end = False

    async def next_rows(self, max_rows: int) -> Rows:
        """The next batch as rows, as large as the other node makes it; none at the end."""
        if self._at_end:
            return empty_rows(self.data_types)
        data = await self._next_batch()
        self._has_begun = True
        if not data:
            self._at_end = True
            return empty_rows(self.data_types)
        data_type, times, values = decode_batch(data)
        if (data_type,) != self.data_types:
            raise MalformedInput(f"{self._series.path}: a batch of {data_type.name} values")
        column = values if isinstance(values, np.ndarray) else array_of(list(values), data_type)
        return Rows(times, (Column(column),))

    def close(self) -> None:
        """Ask for nothing more; the reader is closed with those of the whole query."""
        self._at_end = True

    async def _next_batch(self) -> bytes:
        while True:
            try:
                if self._open is None:
                    self._open = await self._there.open(self._left[0], self._series, self._condition)
                return await self._there.fetch(self._series.group, *self._open)
            except RequestError:
                self._there.running.check()
                if self._has_begun or len(self._left) <= 1:
                    raise
                self._left.pop(0)
                self._open = None


class RemoteReaders:
    """The readers of one query on other nodes: opened one by one, closed together."""

    def __init__(self, node: NodeView, running: Running) -> None:
        self.running = running
        self._node = node
        self._groups: dict[GroupId, Elsewhere] = {}
        self._asked: set[tuple[GroupId, Node]] = set()

    def elsewhere(self, group: GroupId) -> Elsewhere:
        """The members of a group on other nodes; raises `NoLeader` when there are none."""
        known = self._groups.get(group)
        if known is None:
            known = Elsewhere(self._node, group)
            if not known.members:
                raise NoLeader(f"the data group of header {group} has no members")
            self._groups[group] = known
        return known

    async def open(self, member: Node, series: KnownSeries, condition: Filter | None) -> tuple[Node, int]:
        """A reader of a series on a member."""
        there = self.elsewhere(series.group)
        request = structs.SingleSeriesQueryRequest(
            path=series.path,
            filterBytes=None if condition is None else encode_filter(condition),
            queryId=self.running.id,
            requester=node_struct(self._node.me),
            header=there.header,
            withValueFilter=condition is not None,
            dataTypeOrdinal=int(series.data_type),
        )
        self._asked.add((series.group, member))
        timeout_ms = min(self.running.left_ms, self._node.context.settings.connection_time_out_ms)
        reader = await there.call(member, "querySingleSeries", (request,), timeout_ms)
        return member, int(reader)

    async def fetch(self, group: GroupId, member: Node, reader: int) -> bytes:
        """The next batch of a reader; empty at its end."""
        there = self.elsewhere(group)
        self.running.check()
        timeout_ms = min(self.running.left_ms, self._node.context.settings.connection_time_out_ms)
        batch: bytes = await there.call(member, "fetchSingleSeries", (there.header, reader), timeout_ms)
        return batch

    async def open_rows(self, member: Node, group: GroupId, request: Any, timeout_ms: int) -> Any:
        """The first page of rows of a member, and the reader of the next ones (extension)."""
        self.running.check()
        was_asked = (group, member) in self._asked
        self._asked.add((group, member))
        answer = await self.elsewhere(group).call(member, "openRows", (request,), timeout_ms)
        if answer.reader:
            self._asked.add((group, member))
        elif not was_asked:
            # These were all rows: nothing is open there that would have to be closed.
            self._asked.discard((group, member))
        return answer

    async def fetch_rows(self, member: Node, group: GroupId, reader: int, max_rows: int) -> Any:
        """The next page of rows."""
        self.running.check()
        there = self.elsewhere(group)
        left_ms = self.running.left_ms
        request = structs.FetchRowsRequest(header=there.header, reader=reader, max_rows=max_rows, deadline_ms=left_ms)
        return await there.call(member, "fetchRows", (request,), left_ms)

    def close(self) -> None:
        """End the query wherever a reader may be open; nobody waits for that."""
        asked, self._asked = self._asked, set()
        for group, member in sorted(asked, key=lambda pair: (pair[0], pair[1].identifier)):
            arguments = (self._groups[group].header, node_struct(self._node.me), self.running.id)
            self._node.context.transport.send(
                member,
                Port.DATA,
                (Lane.BULK, group),
                lambda arguments=arguments: ("endQuery", arguments),  # type: ignore[misc]
                self._node.context.settings.connection_time_out_ms,
                _ignore,
            )


class Sources:
    """Opens the series of one query, and looks up single points of them."""

    def __init__(self, node: NodeView, running: Running) -> None:
        self._node = node
        self.remote = RemoteReaders(node, running)

    def open(self, series: KnownSeries, condition: Filter | None) -> RowSource:
        """The rows of a series that fulfil a filter; the members of its group here are level already."""
        if self.is_here(series):
            return HereSeries((series.data_type,), self.read(series, condition))
        return ElsewhereSeries(series, condition, self.remote)

    def is_here(self, series: KnownSeries) -> bool:
        """True when this node has a member of the series' group."""
        return self._node.data(series.group) is not None

    def read(self, series: KnownSeries, condition: Filter | None) -> SeriesReader:
        """A reader of a series that is here."""
        member = self._node.data(series.group)
        if member is None:
            raise unknown_group(series.group)
        reader = member.store.open_series(series.path, condition)
        try:
            self._check_held(member, series)
        except SlotMoving:
            reader.close()
            raise
        if reader.data_type is series.data_type:
            return reader
        # A series that was deleted since it was found has nothing to read; one of another type is another series.
        reader.close()
        return SeriesReader(None, [], None)

    def last_point(self, series: KnownSeries, first: int, last: int) -> tuple[int, Value] | None:
        """The last point between two times, both included, of a series that is here."""
        member = self._node.data(series.group)
        if member is None:
            raise unknown_group(series.group)
        found = member.store.last_point(series.path, series.data_type, first, last)
        self._check_held(member, series)
        return found

    def _check_held(self, member: DataGroupMember, series: KnownSeries) -> None:
        """Raise `SlotMoving` for a series that went away with its slot since it was found."""
        storage_group = self._node.state.storage_group_of(series.path)
        if storage_group is not None:
            check_held(member, (slot_of(storage_group),))

    def close(self) -> None:
        """End what is still open elsewhere."""
        self.remote.close()


def _ignore(_: Any) -> None:
    """Whether the other node heard that the query is over does not matter: its readers end by themselves."""
