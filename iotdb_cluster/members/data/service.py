"""`TSDataService`: reads of single series, paths and snapshots on the data port (interface page CLUSTER)."""

from collections.abc import Sequence
from typing import Any

from iotdb_cluster.errors import MalformedInput, RequestError, UnknownGroup
from iotdb_cluster.members import convert, structs
from iotdb_cluster.members.clock import Deadline
from iotdb_cluster.members.data.held_series import HeldSeries
from iotdb_cluster.members.data.member import DataGroupMember
from iotdb_cluster.members.data.readers import OpenReader
from iotdb_cluster.members.data.slot_reads import series_of_group
from iotdb_cluster.members.moves.offers import offer_of
from iotdb_cluster.members.node_view import NodeView
from iotdb_cluster.members.query.serving import QueryServing
from iotdb_cluster.members.raft_service import PeerConnection, RaftService
from iotdb_cluster.members.transport import Port
from iotdb_cluster.members.waiting import NotLeader
from iotdb_cluster.partition.slots import SLOT_COUNT
from iotdb_cluster.settings import MIB
from iotdb_cluster.timeseries.series_reader import SeriesReader
from iotdb_cluster.types import paths
from iotdb_cluster.types.identity import NodeId
from iotdb_cluster.types.schema import DataType
from iotdb_cluster.wire.batches import NO_MORE, encode_batch
from iotdb_cluster.wire.filters import decode_filter
from iotdb_cluster.wire.scalars import encode_value


class DataService(RaftService):
    """The handlers of the data port."""

    def __init__(self, node: NodeView) -> None:
        super().__init__(node, Port.DATA)
        self._held = HeldSeries(node)
        self.queries = QueryServing(node)
        """Answers the queries of other nodes."""

    async def query_single_series(self, request: Any, connection: object) -> int:
        """Open a reader on this node, level with the leader; its id."""
        condition = None if request.filterBytes is None else decode_filter(request.filterBytes)
        member, data_type = await self._series(request)
        # A series that does not exist has a reader, too: reading it gives nothing (interface page).
        source = member.store.open_series(request.path, condition)
        self._held.check_still(member, request.path)
        return self._open(request, member, data_type, source)

    async def query_single_series_by_timestamp(self, request: Any, connection: object) -> int:
        """Open a reader for single values; a filter is ignored, as in the original."""
        member, data_type = await self._series(request)
        return self._open(request, member, data_type, None)

    def fetch_single_series(self, header: Any, reader_id: int, connection: object) -> bytes:
        """The next batch of a reader; empty at its end."""
        reader = self._reader(header, reader_id, for_batches=True)
        settings = self._node.context.settings
        times, values = reader.next_batch(settings.fetch_size, settings.frame_max_mb * MIB // 2)
        if len(times) == 0:
            self._node.readers.came_to_end(reader_id)
            return NO_MORE
        return encode_batch(reader.data_type, times, values)

    def fetch_single_series_by_timestamp(
        self, header: Any, reader_id: int, timestamp: int, connection: object
    ) -> bytes:
        """The value at one time, in any order of times; empty when there is none."""
        reader = self._reader(header, reader_id, for_batches=False)
        member = self._member_here(header)
        self._held.check_type(member.store.find(reader.path), reader.data_type)
        value = member.store.value_at(reader.path, timestamp)
        self._held.check_still(member, reader.path)
        return b"" if value is None else encode_value(reader.data_type, value)

    def end_query(self, header: Any, requester: Any, query_id: int, connection: object) -> None:
        """Close all readers of a query; an unknown one is none."""
        self._node.readers.end_query(NodeId(requester.nodeIdentifier), query_id)

    async def get_all_paths(self, header: Any, path: str, connection: PeerConnection) -> Sequence[str]:
        """Full paths of the group's series that match, sorted."""
        paths.check_pattern(path)
        member = self._data_member(header)
        if member is None:
            found: Sequence[str] = await self._elsewhere(header, "getAllPaths", (header, path), connection)
            return found
        return [schema.path for schema in await series_of_group(self._node, member, path, self._read_deadline())]

    async def pull_snapshot(self, request: Any, connection: PeerConnection) -> Any:
        """Files and series of the required slots, as the group's leader holds them."""
        member = self._data_member(request.header)
        if member is None:
            return await self._elsewhere(request.header, "pullSnapshot", (request,), connection)
        if member.leader != self._node.me.identifier:
            return await self._pull_from_leader(member, request, connection)
        slots = [slot for slot in sorted(set(request.requiredSlots)) if 0 <= slot < SLOT_COUNT]
        found = await member.slots_snapshot(slots, self._read_deadline())
        return structs.PullSnapshotResp(snapshotBytes=found or None)

    async def offer_store(self, header: Any, at_least: int, connection: PeerConnection) -> bytes:
        """Everything that this member has applied of a group, for a member whose files are damaged."""
        member = self._data_member(header)
        if member is None:
            raise UnknownGroup(f"this node is no member of the data group of header {convert.group_of(header)}")
        return await member.offered_store(at_least, self._read_deadline())

    async def pull_move(self, header: Any, move: int, fenced: bool, connection: object) -> Any:
        """Extension: the content of a slot move, and where its files are read here."""
        member = self._member_here(header)
        record = self._node.state.moves.record(move)
        if record is None or record.move.role_of(member.group) is None:
            raise RequestError(f"no move {move} of the data group of header {member.group} is known here")
        content, places = await offer_of(member, record, self._read_deadline(), fenced=fenced)
        return structs.PullMoveAnswer(content=content.encode(), paths=list(places))

    def nearly_full(self, header: Any, connection: PeerConnection) -> None:
        """Extension: a member of a group says that its disk is nearly full."""
        member = self._data_member(header)
        if member is not None and isinstance(connection.peer_identity, int):
            member.room.heard_full(NodeId(connection.peer_identity))

    async def _pull_from_leader(self, member: DataGroupMember, request: Any, connection: PeerConnection) -> Any:
        leader = None if member.leader is None else self._node.context.directory.find(member.leader)
        if leader is None or connection.peer_identity is not None:
            raise NotLeader("this member does not lead the group: ask again", member.leader)
        timeout_ms = self._node.context.settings.connection_time_out_ms
        return await self._node.context.transport.call(leader, Port.DATA, "pullSnapshot", (request,), timeout_ms)

    # -- readers -----------------------------------------------------------------------------------------------------

    async def _series(self, request: Any) -> tuple[DataGroupMember, DataType]:
        """The member that holds the series of a request, level with its leader, and the series' type."""
        try:
            data_type = DataType(request.dataTypeOrdinal)
        except ValueError:
            raise MalformedInput(f"dataTypeOrdinal {request.dataTypeOrdinal} names no type") from None
        paths.check_series(request.path)
        member = self._member_here(request.header)
        await member.catch_up(self._read_deadline())
        await self._held.check(member, request.path, data_type, self._read_deadline())
        return member, data_type

    def _open(self, request: Any, member: DataGroupMember, data_type: DataType, source: SeriesReader | None) -> int:
        requester = NodeId(request.requester.nodeIdentifier)
        reader = OpenReader(member.group, requester, request.queryId, request.path, data_type, source)
        return self._node.readers.open(reader)

    def _reader(self, header: Any, reader_id: int, *, for_batches: bool) -> OpenReader:
        reader = self._node.readers.find(convert.group_of(header), reader_id)
        if not isinstance(reader, OpenReader):
            raise RequestError(f"reader {reader_id} was opened by openRows")
        if reader.is_for_batches != for_batches:
            method = "querySingleSeries" if reader.is_for_batches else "querySingleSeriesByTimestamp"
            raise RequestError(f"reader {reader_id} was opened by {method}")
        return reader

    # -- who is addressed --------------------------------------------------------------------------------------------

    def _data_member(self, header: Any) -> DataGroupMember | None:
        """The member that a header names; None where it is elsewhere. Raises `UnknownGroup`."""
        member = self._member(header)
        assert member is None or isinstance(member, DataGroupMember), "the data port serves data groups alone"
        return member

    def _member_here(self, header: Any) -> DataGroupMember:
        """As `_data_member`; where it is elsewhere, the error says where: readers live on one node."""
        member = self._data_member(header)
        if member is None:
            group = convert.group_of(header)
            addresses = ", ".join(f"{node.ip}:{node.data_port}" for node in self._members_of(group))
            raise UnknownGroup(
                f"this node is no member of the data group of header {group}; its members are {addresses}"
            )
        return member

    def _read_deadline(self) -> Deadline:
        return Deadline.after(self._node.context.clock, self._node.context.settings.connection_time_out_ms)
