"""`TSDataService`: reads of single series, paths and snapshots on the data port (interface page CLUSTER)."""

from collections.abc import Sequence
from typing import Any

from iotdb_cluster.errors import MalformedInput, RequestError, UnknownGroup
from iotdb_cluster.members import convert, structs
from iotdb_cluster.members.clock import Deadline
from iotdb_cluster.members.data_member import DataGroupMember
from iotdb_cluster.members.node_view import NodeView
from iotdb_cluster.members.raft_service import RaftService
from iotdb_cluster.members.transport import Port
from iotdb_cluster.types import paths
from iotdb_cluster.types.filters import Filter
from iotdb_cluster.types.identity import NodeId
from iotdb_cluster.types.schema import DataType
from iotdb_cluster.wire.batches import encode_batch
from iotdb_cluster.wire.filters import decode_filter
from iotdb_cluster.wire.scalars import encode_value


class DataService(RaftService):
    """The handlers of the data port."""

    def __init__(self, node: NodeView) -> None:
        super().__init__(node, Port.DATA)

    async def query_single_series(self, request: Any, connection: object) -> int:
        """Open a reader on this node, level with the leader; its id."""
        condition = None if request.filterBytes is None else decode_filter(request.filterBytes)
        return await self._open(request, condition)

    async def query_single_series_by_timestamp(self, request: Any, connection: object) -> int:
        """Open a reader for single values; a filter is ignored, as in the original."""
        return await self._open(request, None)

    def fetch_single_series(self, header: Any, reader_id: int, connection: object) -> bytes:
        """The next batch of a reader; empty at its end, which also closes it."""
        reader = self._node.readers.find(convert.group_of(header), reader_id)
        with reader.lock:
            times, values = reader.source.next_batch(self._node.context.settings.fetch_size)
        if len(times) == 0:
            return b""
        return encode_batch(reader.data_type, times, values)

    def fetch_single_series_by_timestamp(
        self, header: Any, reader_id: int, timestamp: int, connection: object
    ) -> bytes:
        """The value at one time, in any order of times; empty when there is none."""
        reader = self._node.readers.find(convert.group_of(header), reader_id)
        value = self._data_member(header).store.value_at(reader.path, timestamp)
        return b"" if value is None else encode_value(reader.data_type, value)

    def end_query(self, header: Any, requester: Any, query_id: int, connection: object) -> None:
        """Close all readers of a query; an unknown one is none."""
        self._node.readers.end_query(NodeId(requester.nodeIdentifier), query_id)

    async def get_all_paths(self, header: Any, path: str, connection: object) -> Sequence[str]:
        """Full paths of the group's series that match, sorted."""
        paths.check_pattern(path)
        member = self._data_member(header)
        await member.catch_up(self._read_deadline())
        return sorted(schema.path for schema in member.store.series(path))

    async def pull_snapshot(self, request: Any, connection: object) -> Any:
        """Files and series of the required slots, as the group's leader holds them."""
        member = self._data_member(request.header)
        if member.leader != self._node.me.identifier:
            return await self._pull_from_leader(member, request)
        return structs.PullSnapshotResp(
            snapshotBytes=await member.slots_snapshot(request.requiredSlots, self._read_deadline()) or None
        )

    async def _pull_from_leader(self, member: DataGroupMember, request: Any) -> Any:
        leader = None if member.leader is None else self._node.context.directory.find(member.leader)
        if leader is None:
            raise RequestError("the group has no leader at the moment: ask again")
        timeout_ms = self._node.context.settings.connection_time_out_ms
        return await self._node.context.transport.call(leader, Port.DATA, "pullSnapshot", (request,), timeout_ms)

    async def _open(self, request: Any, condition: Filter | None) -> int:
        try:
            data_type = DataType(request.dataTypeOrdinal)
        except ValueError:
            raise MalformedInput(f"dataTypeOrdinal {request.dataTypeOrdinal} names no type") from None
        paths.check_series(request.path)
        member = self._data_member(request.header)
        await member.catch_up(self._read_deadline())
        schema = member.store.find(request.path)
        if schema is not None and schema.data_type != data_type:
            raise RequestError(f"{request.path} is {schema.data_type.name}, dataTypeOrdinal says {data_type.name}")
        # A series that does not exist has a reader, too: reading it gives nothing (interface page).
        source = member.store.open_series(request.path, condition)
        requester = NodeId(request.requester.nodeIdentifier)
        return self._node.readers.open(member.group, requester, request.queryId, request.path, data_type, source)

    def _data_member(self, header: Any) -> DataGroupMember:
        """The member that a header names; where it is elsewhere, the error says where."""
        group = convert.group_of(header)
        member = self._node.data(group)
        if member is not None:
            return member
        table = self._node.router.ready_state().table
        if header is not None and table is not None and NodeId(group) in table.identifiers:
            addresses = ", ".join(f"{node.ip}:{node.data_port}" for node in table.group_of(NodeId(group)))
            raise UnknownGroup(
                f"this node is no member of the data group of header {group}; its members are {addresses}"
            )
        raise UnknownGroup(f"no data group has the header {group}")

    def _read_deadline(self) -> Deadline:
        return Deadline.after(self._node.context.clock, self._node.context.settings.connection_time_out_ms)
