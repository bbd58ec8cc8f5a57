"""Between the core's messages and the interface's calls: the only place where Raft meets Thrift structs.

What comes in was walked and checked for required fields by `wire` already; here numbers get their meaning.
"""

from typing import Any

from iotdb_cluster.errors import MalformedInput
from iotdb_cluster.members import structs
from iotdb_cluster.members.transport import Invocation
from iotdb_cluster.raft.messages import (
    Answer,
    AppendAnswer,
    AppendRequest,
    Heartbeat,
    HeartbeatAnswer,
    Message,
    TimeoutNow,
    Verdict,
    VoteAnswer,
    VoteRequest,
)
from iotdb_cluster.types.identity import BEFORE_FIRST, META_GROUP, EntryId, GroupId, Node, NodeId
from iotdb_cluster.wire.append_call import append_arguments
from iotdb_cluster.wire.entries import decode_chain

TERM_MAX = 2**62
"""No group comes so far in its life; a greater number would leave no term for the next election."""

_REFUSALS = frozenset(verdict for verdict in Verdict if verdict < 0)


def node_struct(node: Node) -> Any:
    """A `Node` as the interface's struct."""
    return structs.NodeStruct(
        ip=node.ip, metaPort=node.meta_port, nodeIdentifier=node.identifier, dataPort=node.data_port
    )


def node_of(struct: Any) -> Node:
    """The interface's struct as a `Node`."""
    return Node(struct.ip, struct.metaPort, NodeId(struct.nodeIdentifier), struct.dataPort)


def group_of(header: Any) -> GroupId:
    """The group that a `header` field names: by its identifier alone; absent for the meta group."""
    return META_GROUP if header is None else GroupId(header.nodeIdentifier)


def read_index_arguments(header: Node | None, left_ms: int) -> tuple[Any, ...]:
    """The arguments of the extension's `readIndex`."""
    return (None if header is None else node_struct(header), left_ms)


# -- out: message to call, result to answer --------------------------------------------------------------------------


def invocation(message: Message, me: Node, header: Node | None) -> Invocation:
    """The call that carries `message` from `me`; `header` names the data group, None the meta group."""
    head = None if header is None else node_struct(header)
    match message:
        case AppendRequest():
            return "appendEntries", append_arguments(message.term, message.prev, message.entries, head)
        case Heartbeat():
            request = structs.HeartBeatRequest(
                term=message.term,
                commitLogIndex=message.commit_index,
                leader=node_struct(me),
                requireIdentifier=False,
                regenerateIdentifier=False,
                header=head,
            )
            return "sendHeartBeat", (request,)
        case VoteRequest():
            election = _election_struct(message, me, head)
            if message.pre or message.handover:
                return "vote", (election, message.pre, message.handover)
            return "startElection", (election,)
        case TimeoutNow():
            return "timeoutNow", (message.term, node_struct(me), head)


def answer(message: Message, result: Any) -> Answer:
    """What the peer's `result` means for `message`; raises `MalformedInput` for a number without a meaning."""
    if isinstance(message, Heartbeat):
        return _heartbeat_answer(message, result)
    if isinstance(result, bool) or not isinstance(result, int):
        raise MalformedInput(f"a vote or append was answered by {result!r}")
    verdict, term = _verdict(result, message.term)
    match message:
        case AppendRequest():
            return AppendAnswer(verdict, term)
        case VoteRequest():
            return VoteAnswer(verdict, term)
        case TimeoutNow():
            return HeartbeatAnswer(verdict, term)


def _election_struct(message: VoteRequest, me: Node, head: Any) -> Any:
    meta_last = message.last if head is None else message.meta_last or BEFORE_FIRST
    return structs.ElectionRequest(
        term=message.term,
        lastLogTerm=meta_last.term,
        lastLogIndex=meta_last.index,
        elector=node_struct(me),
        header=head,
        dataLogLastIndex=None if head is None else message.last.index,
        dataLogLastTerm=None if head is None else message.last.term,
    )


def _verdict(number: int, own_term: int) -> tuple[Verdict, int]:
    """An answer as verdict and the answerer's term; where the number does not say it, the term of the question."""
    if number >= 0:
        return Verdict.STALE_TERM, _term(number)
    if number not in _REFUSALS:
        raise MalformedInput(f"a peer answered {number}, which means nothing")
    return Verdict(number), own_term


def _heartbeat_answer(message: Heartbeat, result: Any) -> HeartbeatAnswer:
    if result.term >= 0:
        return HeartbeatAnswer(Verdict.STALE_TERM, _term(result.term))
    if result.term == Verdict.NOT_IN_GROUP:
        return HeartbeatAnswer(Verdict.NOT_IN_GROUP, message.term)
    if result.lastLogIndex is None or result.lastLogTerm is None:
        raise MalformedInput("a heartbeat was agreed to without the follower's last entry")
    return HeartbeatAnswer(Verdict.AGREE, message.term, EntryId(result.lastLogTerm, result.lastLogIndex))


def _term(number: int) -> int:
    """A term that somebody else names; raises `MalformedInput` for one that no group can be in."""
    if not 0 <= number <= TERM_MAX:
        raise MalformedInput(f"a term of {number}: 0 to {TERM_MAX} are possible")
    return number


# -- in: call to message, answer to result ---------------------------------------------------------------------------


def append_request(term: int, entries: list[bytes]) -> AppendRequest:
    """`appendEntries` or `appendEntry`; raises `MalformedInput` when the entries are no chain, or none."""
    prev, chain = decode_chain(entries)
    return AppendRequest(_term(term), prev, chain)


def heartbeat(request: Any) -> Heartbeat:
    """`sendHeartBeat`."""
    if request.commitLogIndex < 0:
        raise MalformedInput(f"a heartbeat with commit index {request.commitLogIndex}")
    return Heartbeat(_term(request.term), NodeId(request.leader.nodeIdentifier), request.commitLogIndex)


def vote_request(request: Any, *, pre: bool = False, handover: bool = False) -> VoteRequest:
    """`startElection`, or the extension's `vote`.

    In a data group `lastLog*` are those of the candidate's meta log and `dataLogLast*` those of the data log.
    """
    term = _term(request.term)
    candidate = NodeId(request.elector.nodeIdentifier)
    last = EntryId(request.lastLogTerm, request.lastLogIndex)
    if request.header is None:
        return VoteRequest(term, candidate, last, None, pre, handover)
    if request.dataLogLastIndex is None or request.dataLogLastTerm is None:
        raise MalformedInput("a vote request for a data group without dataLogLastIndex and dataLogLastTerm")
    data_last = EntryId(request.dataLogLastTerm, request.dataLogLastIndex)
    return VoteRequest(term, candidate, data_last, last, pre, handover)


def timeout_now(term: int, leader: Any) -> TimeoutNow:
    """The extension's `timeoutNow`."""
    return TimeoutNow(_term(term), NodeId(leader.nodeIdentifier))


def number(given: Answer) -> int:
    """A vote's or an append's answer as the interface's number."""
    return given.term if given.verdict is Verdict.STALE_TERM else int(given.verdict)


def heartbeat_response(given: HeartbeatAnswer, me: Node, header: Any) -> Any:
    """A heartbeat's answer: for a stale leader nothing but the own term (interface page)."""
    if given.verdict is not Verdict.AGREE:
        return structs.HeartBeatResponse(term=number(given), requirePartitionTable=False)
    last = given.last or BEFORE_FIRST
    return structs.HeartBeatResponse(
        term=int(Verdict.AGREE),
        lastLogIndex=last.index,
        lastLogTerm=last.term,
        follower=node_struct(me),
        requirePartitionTable=False,
        header=header,
    )
