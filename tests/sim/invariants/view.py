"""What a world of one Raft group shows to the invariants."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from iotdb_cluster.raft.core import Raft
from iotdb_cluster.raft.effects import Effect, Reply, Role, Send
from iotdb_cluster.raft.events import Event
from iotdb_cluster.raft.messages import Message
from iotdb_cluster.types.identity import EntryId, HardState, LogIndex, NodeId, Term

if TYPE_CHECKING:
    from tests.sim.invariants.ledger import Ledger


@dataclass(frozen=True, slots=True)
class Violation:
    """An invariant that does not hold, by its number, and what was seen."""

    invariant: int
    what: str

    def __str__(self) -> str:
        return f"invariant {self.invariant}: {self.what}"


class Before:
    """Where a member stood before a step."""

    __slots__ = ("commit_index", "last_id", "leader", "role", "term")

    def __init__(self, raft: Raft) -> None:
        self.role: Role = raft.role
        self.term: Term = raft.term
        self.leader: NodeId | None = raft.leader
        self.commit_index: LogIndex = raft.commit_index
        self.last_id: EntryId = raft.last_id


class Step:
    """One call of `Raft.step_all`: who, from where, with what, and what came out."""

    __slots__ = ("became_leader", "before", "effects", "events", "incarnation", "led", "node", "raft")

    def __init__(
        self,
        node: NodeId,
        incarnation: int,
        before: Before,
        events: Sequence[Event],
        effects: Sequence[Effect],
        raft: Raft,
    ) -> None:
        self.node = node
        self.incarnation = incarnation
        self.before = before
        self.events = events
        self.effects = effects
        self.raft = raft
        leads, has_led = raft.is_leader, before.role is Role.LEADER
        self.led = leads or has_led
        """True for a member that leads after the step or did before it."""
        self.became_leader = leads and (not has_led or before.term != raft.term)

    @property
    def is_quiet(self) -> bool:
        """True for a step that left everything as it was and says nothing: there is nothing to judge."""
        raft, before = self.raft, self.before
        return not self.effects and (raft.term, raft.commit_index, raft.role, raft.leader, raft.last_id) == (
            before.term, before.commit_index, before.role, before.leader, before.last_id
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Speech:
    """A call or an answer that leaves `node`; `request` is what an answer answers."""

    node: NodeId
    incarnation: int
    effect: Send | Reply
    request: Message | None = None


class Disk(Protocol):
    """What would be left of a member if it lost power now; a member that dropped its replica shows its mark."""

    @property
    def hard_state(self) -> HardState: ...

    def holds(self, entry_id: EntryId) -> bool:
        """True when the entry is durable here, or lies behind a durable snapshot point."""
        ...


class World(Protocol):
    """One group: what just happened, what was seen before, and what is on the disks (of dead members, too)."""

    step: Step
    speech: Speech
    ledger: "Ledger"

    @property
    def disks(self) -> Mapping[NodeId, Disk]: ...
