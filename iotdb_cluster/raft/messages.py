"""What members of one group say to each other, and what they answer.

One frozen class a message (house rule 2). A message knows nothing of Thrift; `members` turns it into a call of the
interface and back. Who sent it and to whom is the envelope's business, except where the protocol itself needs a name.
"""

from dataclasses import dataclass
from enum import IntEnum

from iotdb_cluster.types.entries import Entry
from iotdb_cluster.types.identity import EntryId, LogIndex, NodeId, Term


class Verdict(IntEnum):
    """How a vote request or an append is judged; the negative numbers are the interface's."""

    AGREE = -1
    LOG_MISMATCH = -2
    PARTITION_TABLE_UNAVAILABLE = -4
    META_LOG_STALE = -7
    LEADER_STILL_ONLINE = -8
    NOT_IN_GROUP = -11
    STALE_TERM = 0
    """The sender's term is behind; on the wire the answer is the answerer's term itself (>= 0)."""


@dataclass(frozen=True, slots=True)
class VoteRequest:
    """RequestVote. `last` is the candidate's last entry in this group's log.

    `pre` asks what the answer would be and changes nothing (`term` is then the term the candidate would take).
    `handover`: the leader told the candidate to campaign, so LEADER_STILL_ONLINE does not apply.
    `meta_last`: in a data group, the last entry of the candidate's meta log (rule 3.7), else None.
    """

    term: Term
    candidate: NodeId
    last: EntryId
    meta_last: EntryId | None = None
    pre: bool = False
    handover: bool = False


@dataclass(frozen=True, slots=True)
class VoteAnswer:
    """`term` is the answerer's."""

    verdict: Verdict
    term: Term


@dataclass(frozen=True, slots=True)
class AppendRequest:
    """AppendEntries: a chain of at least one entry behind `prev`. The interface carries no leader or commit index."""

    term: Term
    prev: EntryId
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class AppendAnswer:
    """AGREE: everything in the request stands durably in the answerer's log. `term` is the answerer's."""

    verdict: Verdict
    term: Term


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The leader lives and has committed up to `commit_index`. `round` counts up at the leader and never travels."""

    term: Term
    leader: NodeId
    commit_index: LogIndex
    round: int = 0


@dataclass(frozen=True, slots=True)
class HeartbeatAnswer:
    """AGREE: the sender is accepted as leader; `last` is then the follower's last entry.

    Else STALE_TERM or NOT_IN_GROUP. It also answers `TimeoutNow`, where AGREE means: it campaigns.
    """

    verdict: Verdict
    term: Term
    last: EntryId | None = None


@dataclass(frozen=True, slots=True)
class TimeoutNow:
    """The leader of `term` asks a caught-up voter to campaign at once (leadership hand-over)."""

    term: Term
    leader: NodeId


Message = VoteRequest | AppendRequest | Heartbeat | TimeoutNow
Answer = VoteAnswer | AppendAnswer | HeartbeatAnswer
