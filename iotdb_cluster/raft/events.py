"""What can happen to a member of a group: the inputs of `Raft.step`."""

from dataclasses import dataclass

from iotdb_cluster.raft.messages import Answer, Message
from iotdb_cluster.types.entries import Payload
from iotdb_cluster.types.identity import EntryId, LogIndex, NodeId
from iotdb_cluster.types.membership import Membership

Token = object
"""Names whoever waits for an answer; the core only hands it back."""


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed: `Raft.next_deadline_ms` is reached, or the runtime looked in anyway."""


@dataclass(frozen=True, slots=True)
class Received:
    """A request of another member; exactly one `Reply` with this token follows, at once or later."""

    message: Message
    token: Token


@dataclass(frozen=True, slots=True)
class Answered:
    """`peer` answered `message`, which this member sent (rule 3.1: the answer counts in `message.term` only)."""

    peer: NodeId
    message: Message
    answer: Answer


@dataclass(frozen=True, slots=True)
class CallFailed:
    """`message` got no answer from `peer`: refused, timed out, or cut; it may have been carried out all the same."""

    peer: NodeId
    message: Message


@dataclass(frozen=True, slots=True)
class Propose:
    """A client's payloads, to be appended next to each other; answered by `Accepted` or `Refused`."""

    token: Token
    payloads: tuple[Payload, ...]


@dataclass(frozen=True, slots=True)
class ReadIndex:
    """A strong read asks for the commit index; answered by `ReadConfirmed` or `Refused`."""

    token: Token


@dataclass(frozen=True, slots=True)
class Persisted:
    """Everything that effects of earlier steps asked to save is durable, up to and with the entry `last`."""

    last: EntryId


@dataclass(frozen=True, slots=True)
class ChangeMembership:
    """Propose a membership (rule 4.2); `rest` follows it in the entry's body. Answered like `Propose`."""

    token: Token
    membership: Membership
    rest: bytes = b""


@dataclass(frozen=True, slots=True)
class TransferLeadership:
    """Hand leadership over, to `to` or to the best follower; nothing happens where this member does not lead."""

    to: NodeId | None = None


@dataclass(frozen=True, slots=True)
class SnapshotSent:
    """The snapshot that `SendSnapshot` asked for reached up to `last` and was taken (`ok`), or was not."""

    peer: NodeId
    last: EntryId
    ok: bool


@dataclass(frozen=True, slots=True)
class SnapshotInstalled:
    """The state machine was replaced, durably, by a snapshot up to `last` with `membership` in force there."""

    last: EntryId
    membership: Membership


@dataclass(frozen=True, slots=True)
class Compact:
    """The state machine holds everything up to `upto` durably: the log may forget it."""

    upto: LogIndex


@dataclass(frozen=True, slots=True)
class ContextChanged:
    """What this member knows from the meta log (rules 3.5 and 3.7): its last and its applied entry, removed nodes."""

    meta_last: EntryId
    meta_applied: EntryId
    tombstones: frozenset[NodeId] = frozenset()


Event = (
    Tick
    | Received
    | Answered
    | CallFailed
    | Propose
    | ReadIndex
    | Persisted
    | ChangeMembership
    | TransferLeadership
    | SnapshotSent
    | SnapshotInstalled
    | Compact
    | ContextChanged
)
