"""What should happen next: the outputs of `Raft.step`, in the order in which they are to be carried out.

Everything a `Save...` effect names is one write, made durable by one sync before any effect with `durable=True` of the
same or a later step is carried out (rule 3.1). The runtime then steps `Persisted`.
"""

from dataclasses import dataclass
from enum import Enum

from iotdb_cluster.raft.events import Token
from iotdb_cluster.raft.messages import Answer, Message
from iotdb_cluster.types.entries import Entry
from iotdb_cluster.types.identity import EntryId, HardState, LogIndex, NodeId, Term
from iotdb_cluster.types.membership import Membership


class Role(Enum):
    """The three roles of the paper; a learner is a follower that does not campaign."""

    FOLLOWER = "follower"
    CANDIDATE = "candidate"
    LEADER = "leader"


@dataclass(frozen=True, slots=True)
class SaveHardState:
    """Term and vote to be made durable."""

    hard_state: HardState


@dataclass(frozen=True, slots=True)
class SaveEntries:
    """Entries to be made durable; whatever the log held from the first one's index on is replaced."""

    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class SaveSnapshotPoint:
    """The log now begins behind `last`, where `membership` is in force. Entries behind it stay unless `drop_log`."""

    last: EntryId
    membership: Membership
    drop_log: bool = False


@dataclass(frozen=True, slots=True)
class Send:
    """Call `to` with `message`; the runtime steps `Answered` or `CallFailed`."""

    to: NodeId
    message: Message
    durable: bool = False


@dataclass(frozen=True, slots=True)
class Reply:
    """Answer the request that came with `token`."""

    token: Token
    answer: Answer
    durable: bool = False


@dataclass(frozen=True, slots=True)
class Accepted:
    """The proposal stands in the log as `ids`; its outcome is known when they are applied."""

    token: Token
    ids: tuple[EntryId, ...]


class Refusal(Enum):
    """Why a proposal or a read was certainly not taken up."""

    NOT_LEADER = "not leader"
    BUSY = "too much waits to be committed"
    CHANGE_PENDING = "another membership change is not committed yet"
    NOT_READY = "no entry of the leader's own term is committed yet"
    NOT_CAUGHT_UP = "a new voter's log is not level yet"
    NOT_ALLOWED = "this membership cannot follow the present one"


@dataclass(frozen=True, slots=True)
class Refused:
    """The proposal or read with `token` was not appended; `leader` is who is thought to lead, if anyone."""

    token: Token
    reason: Refusal
    leader: NodeId | None


@dataclass(frozen=True, slots=True)
class Committed:
    """Apply `entries`, which follow what was applied last without a gap."""

    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class ReadConfirmed:
    """Reads at or behind `index` are linearizable for the `ReadIndex` with `token`."""

    token: Token
    index: LogIndex


@dataclass(frozen=True, slots=True)
class RoleChanged:
    """Role, term or known leader is another one now."""

    role: Role
    term: Term
    leader: NodeId | None


@dataclass(frozen=True, slots=True)
class SendSnapshot:
    """`to` needs entries that the log has forgotten: send it a snapshot that reaches at least to `at_least`."""

    to: NodeId
    at_least: LogIndex


@dataclass(frozen=True, slots=True)
class PeerRegressed:
    """`peer` lost entries that it had acknowledged (an old copy of a disk): it gets nothing more from this leader."""

    peer: NodeId
    acknowledged: LogIndex
    found: LogIndex


Effect = (
    SaveHardState
    | SaveEntries
    | SaveSnapshotPoint
    | Send
    | Reply
    | Accepted
    | Refused
    | Committed
    | ReadConfirmed
    | RoleChanged
    | SendSnapshot
    | PeerRegressed
)
