"""`RaftService` and the extension's calls between nodes, the same on both ports (interface page CLUSTER)."""

from collections.abc import Sequence
from typing import Any, Protocol

from iotdb_cluster.errors import (
    MalformedInput,
    NoLeader,
    NotReady,
    PathIllegal,
    RequestError,
    StatusCode,
    UnknownGroup,
)
from iotdb_cluster.members import convert, structs
from iotdb_cluster.members.clock import Deadline
from iotdb_cluster.members.data.member import DataGroupMember
from iotdb_cluster.members.data.planning import check_target
from iotdb_cluster.members.data.slot_reads import series_of_group
from iotdb_cluster.members.meta.member import MetaGroupMember
from iotdb_cluster.members.node_view import NodeView
from iotdb_cluster.members.runtime import unknown_group
from iotdb_cluster.members.status import status, status_of, status_of_error
from iotdb_cluster.members.transport import Port
from iotdb_cluster.members.waiting import NotLeader
from iotdb_cluster.raft.messages import HeartbeatAnswer, Verdict
from iotdb_cluster.types import paths
from iotdb_cluster.types.identity import BEFORE_FIRST, META_GROUP, GroupId, Node, NodeId
from iotdb_cluster.wire.plans import target_of
from iotdb_cluster.wire.schemas import encode_schemas

READ_FILE_MAX_BYTES = 4 * 1024 * 1024

STRANGERS_TERMS_AHEAD = 2**32
"""A stranger's call may raise a term, but not so that none is left for the elections of all time to come."""


_ASK_ANOTHER = frozenset({StatusCode.NO_LEADER, StatusCode.TIME_OUT, StatusCode.PARTITION_NOT_READY})
"""What a member says, or is said of it, after which another member may know more."""


class PeerConnection(Protocol):
    """What a service knows of a connection: who said `hello` on it."""

    peer_identity: object


class RaftService:
    """Handlers of one port. A header names a data group; without one the meta group is meant, on the meta port."""

    def __init__(self, node: NodeView, port: Port) -> None:
        self._node = node
        self._port = port

    # -- who is addressed --------------------------------------------------------------------------------------------

    def _raft_member(self, header: Any) -> MetaGroupMember | DataGroupMember | None:
        """The member for a Raft call; on the meta port the header is ignored (interface page)."""
        if self._port is Port.META:
            return self._node.meta
        if header is None:
            raise MalformedInput("a call on the data port must name the header of a data group")
        return self._node.data(convert.group_of(header))

    def _addressed(self, request: Any) -> Any:
        """The request of a Raft call, without a header on the meta port."""
        if self._port is Port.META:
            request.header = None
        return request

    def _member(self, header: Any) -> MetaGroupMember | DataGroupMember | None:
        """The member for any other call; None where it is known to be elsewhere.

        Raises `UnknownGroup`, or `NotReady` while the node is blind.
        """
        member = self._raft_member(header)
        table = self._node.state.table
        if member is not None and member.raft.membership is None and self._port is Port.DATA:
            member = None  # an empty replica, which its leader has yet to fill: others have the data
        if member is None:
            if table is None:
                raise NotReady("this node does not know the partition table yet: ask again, or ask another node")
            if self._port is Port.META or NodeId(header.nodeIdentifier) not in table.identifiers:
                raise unknown_group(convert.group_of(header))
        return member

    def _members_of(self, group: GroupId) -> Sequence[Node]:
        return self._node.state.members_of(NodeId(group))

    async def _elsewhere(self, header: Any, method: str, arguments: tuple[Any, ...], connection: PeerConnection) -> Any:
        """Ask the members of a group that is not here, one after the other, for something that changes nothing."""
        group = convert.group_of(header)
        if connection.peer_identity is not None:
            raise unknown_group(group)  # a node passed this on already
        context = self._node.context
        deadline = Deadline.after(context.clock, context.settings.connection_time_out_ms)
        members = self._members_of(group)
        refusal: RequestError = NoLeader(f"the data group of header {group} has no members")
        for asked, node in enumerate(members):
            timeout_ms = deadline.left_ms(context.clock.now_ms()) // (len(members) - asked)
            try:
                return await context.transport.call(node, Port.DATA, method, arguments, timeout_ms)
            except RequestError as error:
                if error.code not in _ASK_ANOTHER:
                    raise
                refusal = error
        raise refusal

    def _write_deadline(self) -> Deadline:
        return Deadline.after(self._node.context.clock, self._node.context.settings.write_deadline_ms)

    # -- Raft --------------------------------------------------------------------------------------------------------

    @staticmethod
    def _check_term(term: int, member: MetaGroupMember | DataGroupMember | None, connection: PeerConnection) -> None:
        """Raise `MalformedInput` for a term out of all reach that comes from somebody who has not said `hello`."""
        if member is None or connection.peer_identity is not None:
            return
        most = member.raft.term + STRANGERS_TERMS_AHEAD
        if term > most:
            raise MalformedInput(
                f"a term of {term}, from a caller that is no known node: the term here is {member.raft.term}, "
                f"at most {most} is possible"
            )

    async def send_heart_beat(self, request: Any, connection: PeerConnection) -> Any:
        """Heartbeat of a leader; asked for the identifier, this node tells it."""
        message = convert.heartbeat(self._addressed(request))
        member = self._raft_member(request.header)
        self._check_term(message.term, member, connection)
        if member is None:
            response = self._heartbeat_of_a_blind_node(request)
        else:
            answer = await member.receive(message)
            assert isinstance(answer, HeartbeatAnswer)
            response = convert.heartbeat_response(answer, self._node.me, request.header)
        if request.requireIdentifier and response.term == Verdict.AGREE:
            if request.regenerateIdentifier:
                self._node.regenerate_identifier()
            response.followerIdentifier = self._node.me.identifier
        return response

    def _heartbeat_of_a_blind_node(self, request: Any) -> Any:
        if self._port is Port.DATA or self._node.state.table is not None:
            return structs.HeartBeatResponse(term=int(Verdict.NOT_IN_GROUP), requirePartitionTable=False)
        answer = HeartbeatAnswer(Verdict.AGREE, request.term, BEFORE_FIRST)
        response = convert.heartbeat_response(answer, self._node.me, request.header)
        response.requirePartitionTable = request.partitionTableBytes is None
        return response

    async def start_election(self, request: Any, connection: PeerConnection) -> int:
        """A vote is asked for."""
        return await self._vote(request, connection, pre=False, handover=False)

    async def vote(self, request: Any, pre_vote: bool, handover: bool, connection: PeerConnection) -> int:
        """Extension: a vote request that the mirrored call cannot say."""
        return await self._vote(request, connection, pre=pre_vote, handover=handover)

    async def _vote(self, request: Any, connection: PeerConnection, *, pre: bool, handover: bool) -> int:
        message = convert.vote_request(self._addressed(request), pre=pre, handover=handover)
        member = self._raft_member(request.header)
        self._check_term(message.term, member, connection)
        if member is None:
            return int(Verdict.NOT_IN_GROUP)
        return convert.number(await member.receive(message))

    async def timeout_now(self, term: int, leader: Any, header: Any, connection: PeerConnection) -> int:
        """Extension: the leader wants this member to campaign at once."""
        member = self._raft_member(header)
        self._check_term(term, member, connection)
        if member is None or self._node.is_stopping:
            return int(Verdict.NOT_IN_GROUP)
        return convert.number(await member.receive(convert.timeout_now(term, leader)))

    async def append_entry(self, request: Any, connection: PeerConnection) -> int:
        """One entry."""
        return await self._append(request.term, [request.entry], request.header, connection)

    async def append_entries(self, request: Any, connection: PeerConnection) -> int:
        """A chain of entries: all or nothing."""
        return await self._append(request.term, request.entries, request.header, connection)

    async def _append(self, term: int, entries: Sequence[bytes], header: Any, connection: PeerConnection) -> int:
        message = convert.append_request(term, list(entries))
        member = self._raft_member(header)
        self._check_term(term, member, connection)
        if member is None:
            blind = self._port is Port.META
            return int(Verdict.PARTITION_TABLE_UNAVAILABLE if blind else Verdict.NOT_IN_GROUP)
        if connection.peer_identity is None:
            return convert.number(await member.receive_from_stranger(message))
        return convert.number(await member.receive(message))

    async def send_snapshot(self, request: Any, connection: PeerConnection) -> None:
        """A snapshot; answered when it is durable here, or was not needed. Installed from nodes of this cluster only.

        The call names no sender, and what it brings takes the place of all that the group holds here.
        """
        member = self._raft_member(request.header)
        if member is None:
            raise unknown_group(convert.group_of(request.header))
        await member.receive_snapshot(request.snapshotBytes, is_from_node=connection.peer_identity is not None)

    # -- plans and reads ---------------------------------------------------------------------------------------------

    async def execute_non_query_plan(self, request: Any, connection: object) -> Any:
        """Any plan on either port finds its group, a wrong header included."""
        try:
            kind, path = target_of(request.planBytes)
            check_target(kind, path)
            await self._node.router.execute(kind, path, request.planBytes, self._write_deadline())
        except RequestError as error:
            return status_of_error(error)
        return status()

    async def propose(self, request: Any, connection: object) -> Any:
        """Extension: plans that another node's router brings here; never forwarded again."""
        group = convert.group_of(request.header)
        member = self._node.meta if group == META_GROUP else self._node.data(group)
        if member is None:
            return structs.ProposeAnswer(statuses=[], not_leader=True)
        left_ms = min(max(0, request.deadline_ms), self._node.context.settings.write_deadline_ms)
        deadline = Deadline.after(self._node.context.clock, left_ms)
        try:
            outcomes = await member.execute(request.plans, deadline)
        except NotLeader as refusal:
            return structs.ProposeAnswer(statuses=[], not_leader=True, leader=self._leader_struct(refusal.leader))
        except RequestError as error:
            return structs.ProposeAnswer(statuses=[status_of_error(error)] * len(request.plans), not_leader=False)
        return structs.ProposeAnswer(statuses=[status_of(outcome) for outcome in outcomes], not_leader=False)

    async def request_commit_index(self, header: Any, connection: PeerConnection) -> int:
        """The commit index, confirmed by a quorum; a follower asks its leader."""
        member = self._member(header)
        if member is None:
            return int(await self._elsewhere(header, "requestCommitIndex", (header,), connection))
        return await member.read_index(self._write_deadline())

    async def read_index(self, header: Any, deadline_ms: int, connection: object) -> Any:
        """Extension: the same, where this member leads; never forwarded."""
        member = self._raft_member(header)
        if member is None:
            return structs.ReadIndexAnswer(index=0, not_leader=True)
        left_ms = min(max(0, deadline_ms), self._node.context.settings.write_deadline_ms)
        try:
            index = await member.local_read_index(Deadline.after(self._node.context.clock, left_ms))
        except NotLeader as refusal:
            return structs.ReadIndexAnswer(index=0, not_leader=True, leader=self._leader_struct(refusal.leader))
        return structs.ReadIndexAnswer(index=index, not_leader=False)

    async def pull_time_series_schema(self, request: Any, connection: PeerConnection) -> Any:
        """All series of one group under a path, level with the leader."""
        paths.check_pattern(request.prefixPath)
        member = self._member(request.header)
        if member is None:
            return await self._elsewhere(request.header, "pullTimeSeriesSchema", (request,), connection)
        if not isinstance(member, DataGroupMember):
            raise UnknownGroup("the meta group has no series: ask on the data port, with a header")
        found = await series_of_group(self._node, member, request.prefixPath, self._write_deadline())
        return structs.PullSchemaResp(schemaBytes=encode_schemas(found))

    async def read_file(self, path: str, offset: int, length: int, header: Any, connection: object) -> bytes:
        """Part of a file that a snapshot offered."""
        if offset < 0 or not 0 <= length <= READ_FILE_MAX_BYTES:
            raise PathIllegal(f"offset {offset}, length {length}: neither is negative, a length is at most 4 MiB")
        return self._node.offered_files.read(path, offset, length)

    # -- extension: who and what -------------------------------------------------------------------------------------

    def hello(self, request: Any, connection: PeerConnection) -> Any:
        """Who this node is; whom it refuses, it tells why."""
        answer, peer = self._node.introductions.answer(request)
        connection.peer_identity = None if peer is None else peer.node.identifier
        return answer

    def exile(self, identifier: int, meta_index: int, connection: object) -> None:
        """This node was removed; obeyed for the own identifier only."""
        if identifier == self._node.me.identifier:
            self._node.exiled(meta_index)

    def report(self, connection: object) -> Any:
        """What this node knows, for people."""
        return structs.NodeReport(json=self._node.report().to_json())

    def _leader_struct(self, leader: NodeId | None) -> Any:
        node = None if leader is None else self._node.context.directory.find(leader)
        return None if node is None else convert.node_struct(node)
