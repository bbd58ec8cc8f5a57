"""A group of real cores in the hand of a test: every message waits until the test delivers or loses it.

Time stands still unless the test moves it. Saves are synced at once, except at a member whose syncs are held.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from iotdb_cluster.raft.core import Raft
from iotdb_cluster.raft.effects import (
    Accepted,
    Committed,
    Effect,
    PeerRegressed,
    ReadConfirmed,
    Refused,
    Reply,
    RoleChanged,
    SaveEntries,
    SaveHardState,
    SaveSnapshotPoint,
    Send,
    SendSnapshot,
)
from iotdb_cluster.raft.events import (
    Answered,
    CallFailed,
    ChangeMembership,
    Compact,
    Event,
    Persisted,
    Propose,
    ReadIndex,
    Received,
    SnapshotInstalled,
    SnapshotSent,
    Tick,
    TransferLeadership,
)
from iotdb_cluster.raft.left_mark import LeftMark
from iotdb_cluster.raft.messages import Answer, Message
from iotdb_cluster.raft.settings import RaftSettings
from iotdb_cluster.types.entries import Entry, EntryKind, Payload
from iotdb_cluster.types.identity import BEFORE_FIRST, EntryId, HardState, NodeId
from iotdb_cluster.types.membership import Membership
from tests.sim.group.disk import SimulatedDisk

FOUNDING = EntryId(0, 1)
SETTINGS = RaftSettings(
    heartbeat_interval_ms=100,
    commit_heartbeat_interval_ms=0,
    election_timeout_min_ms=500,
    election_timeout_max_ms=1_000,
    transfer_timeout_ms=1_000,
)


def ids(*numbers: int) -> frozenset[NodeId]:
    """Node identifiers."""
    return frozenset(NodeId(number) for number in numbers)


def members(voters: Iterable[int], learners: Iterable[int] = (), outgoing: Iterable[int] = ()) -> Membership:
    """A membership of plain numbers."""
    return Membership(ids(*voters), ids(*learners), ids(*outgoing))


def put(*texts: str) -> tuple[Payload, ...]:
    """Payloads of a client."""
    return tuple(Payload(EntryKind.PHYSICAL_PLAN, text.encode()) for text in texts)


def entry(term: int, index: int, text: str = "x") -> Entry:
    """An entry as another leader would have made it."""
    return Entry(term, index, EntryKind.PHYSICAL_PLAN, text.encode())


@dataclass(eq=False)
class Call:
    """A request that somebody sent; `answer` once its target has given one."""

    source: NodeId
    target: NodeId
    message: Message
    answer: Answer | None = None

    def __repr__(self) -> str:
        return f"{self.source}->{self.target} {type(self.message).__name__}"


@dataclass
class Member:
    """One member: its core while it runs, its disk for ever, and what came out of it."""

    number: NodeId
    disk: SimulatedDisk
    raft: Raft
    is_up: bool = True
    holds_syncs: bool = False
    held: list[Send | Reply] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)
    applied: list[Entry] = field(default_factory=list)

    def of(self, *kinds: type) -> list[Any]:
        """The effects of these kinds since the last `forget`."""
        return [effect for effect in self.effects if isinstance(effect, kinds)]


class Group:
    """Members by number; `calls` are under way, oldest first."""

    def __init__(
        self,
        *voters: int,
        learners: Iterable[int] = (),
        outside: Iterable[int] = (),
        founding: bool = False,
        settings: RaftSettings = SETTINGS,
        logs: dict[int, list[Entry]] | None = None,
        terms: dict[int, int] | None = None,
        **changed: int,
    ) -> None:
        self.settings = replace(settings, **changed)  # type: ignore[arg-type]
        self.now_ms = 10_000
        self.calls: list[Call] = []
        self.membership = members(voters, learners)
        self.founders = ids(*voters) if founding else frozenset()
        self.members: dict[int, Member] = {}
        self.note: Callable[[str, Member, Any], None] = lambda what, member, value: None
        for number in [*voters, *learners]:
            self.add(
                number,
                snapshot=BEFORE_FIRST if founding else FOUNDING,
                membership=None if founding else self.membership,
                entries=(logs or {}).get(number, []),
                term=(terms or {}).get(number, 0),
            )
        for number in outside:
            self.add(number)

    def __getitem__(self, number: int) -> Raft:
        return self.members[number].raft

    # ---- members ----

    def add(
        self,
        number: int,
        *,
        snapshot: EntryId = BEFORE_FIRST,
        membership: Membership | None = None,
        entries: Iterable[Entry] = (),
        term: int = 0,
        mark: LeftMark | None = None,
    ) -> Member:
        """Give a node a replica with this disk; empty when nothing is said."""
        disk = SimulatedDisk(snapshot=snapshot, membership=membership)
        disk.entries = list(entries)
        last_term = disk.entries[-1].term if disk.entries else snapshot.term
        disk.hard_state = HardState(max(term, last_term))
        disk.mark = mark
        member = self.members[number] = Member(NodeId(number), disk, self._raft(NodeId(number), disk))
        return member

    def _raft(self, number: NodeId, disk: SimulatedDisk) -> Raft:
        return Raft(
            me=number,
            settings=self.settings,
            log=disk.read_log(),
            hard_state=disk.hard_state,
            # Time-outs differ by node and never by chance: the lower number first.
            draw=lambda low, high: min(high, low + 50 * number),
            founders=self.founders,
            founded=disk.is_founded or not self.founders,
            mark=disk.mark,
            now_ms=self.now_ms,
        )

    def crash(self, *numbers: int) -> None:
        """Take the power away: what is not synced is lost, and so are answers under way."""
        for number in numbers:
            member = self.members[number]
            member.is_up = False
            member.held.clear()
            member.disk.unsynced.clear()
            self.calls = [call for call in self.calls if call.source != number]

    def start(self, *numbers: int) -> None:
        """Start again from the disk."""
        for number in numbers:
            member = self.members[number]
            member.raft = self._raft(member.number, member.disk)
            member.is_up, member.holds_syncs = True, False
            member.applied.clear()

    def restart(self, *numbers: int) -> None:
        """Crash and start."""
        self.crash(*numbers)
        self.start(*numbers)

    # ---- steps ----

    def step(self, number: int, *events: Event) -> list[Effect]:
        """Step events together, and carry out what comes of it."""
        member = self.members[number]
        assert member.is_up, f"{number} is down"
        effects = member.raft.step_all(events, self.now_ms)
        member.raft.check(whole_log=True)
        member.effects += effects
        for effect in effects:
            self._carry_out(member, effect)
        if not member.holds_syncs:
            self._sync(member)
        return effects

    def _carry_out(self, member: Member, effect: Effect) -> None:
        match effect:
            case Send() | Reply():
                if effect.durable and (member.disk.unsynced or member.holds_syncs):
                    member.held.append(effect)
                else:
                    self._speak(member, effect)
            case SaveEntries() | SaveHardState() | SaveSnapshotPoint():
                member.disk.write(effect)
            case Committed(entries):
                member.applied += entries
                member.disk.is_founded = True
                self.note("applies", member, entries)
            case Accepted() | Refused() | ReadConfirmed() | RoleChanged() | SendSnapshot() | PeerRegressed():
                self.note("says", member, effect)

    def _speak(self, member: Member, effect: Send | Reply) -> None:
        if isinstance(effect, Send):
            self.calls.append(Call(member.number, effect.to, effect.message))
        else:
            assert isinstance(effect.token, Call)
            effect.token.answer = effect.answer

    def _sync(self, member: Member) -> None:
        while member.disk.unsynced or member.held:
            saved = bool(member.disk.unsynced)
            member.disk.sync()
            held, member.held = member.held, []
            for effect in held:
                self._speak(member, effect)
            if saved:
                self.step(member.number, Persisted(member.raft.last_id))

    def hold_syncs(self, number: int) -> None:
        """From now on what this member saves stays unsynced."""
        self.members[number].holds_syncs = True

    def sync(self, number: int) -> None:
        """The disk of a member comes back: everything so far is durable."""
        member = self.members[number]
        member.holds_syncs = False
        self._sync(member)

    # ---- time ----

    def wait(self, ms: int, *numbers: int) -> None:
        """Let time pass, and tick the members named (all that run when none is) as often as they are due."""
        end_ms = self.now_ms + ms
        ticking = [self.members[n] for n in (numbers or self.members) if self.members[n].is_up]
        while True:
            due = min((member.raft.next_deadline_ms for member in ticking if member.is_up), default=end_ms + 1)
            if due > end_ms:
                break
            self.now_ms = max(self.now_ms, due)
            for member in ticking:
                if member.is_up and member.raft.next_deadline_ms <= self.now_ms:
                    self.step(member.number, Tick())
        self.now_ms = end_ms

    def time_out(self, number: int) -> None:
        """Let time pass until this member's election timer ends, and tick only this one."""
        self.now_ms = max(self.now_ms, self[number].next_deadline_ms)
        self.step(number, Tick())

    # ---- messages ----

    def under_way(self, source: int, target: int, kind: type | None = None) -> list[Call]:
        """Calls from one member to another, oldest first."""
        return [
            call
            for call in self.calls
            if (call.source, call.target) == (source, target) and (kind is None or isinstance(call.message, kind))
        ]

    def request(self, call: Call) -> None:
        """Bring a request over; it may be brought again."""
        if self.members[call.target].is_up:
            self.step(call.target, Received(call.message, call))

    def answer(self, call: Call, answer: Answer | None = None) -> None:
        """Bring an answer back, or another one in its place."""
        if call in self.calls:
            self.calls.remove(call)
        given = answer or call.answer
        assert given is not None, f"{call} has no answer yet"
        if self.members[call.source].is_up:
            self.step(call.source, Answered(call.target, call.message, given))

    def receive(self, target: int, message: Message) -> Answer:
        """Put a message before a member as if somebody had sent it; what it answers once everything is synced."""
        call = Call(NodeId(0), NodeId(target), message)
        self.step(target, Received(message, call))
        assert call.answer is not None, f"{target} has not answered yet"
        return call.answer

    def snapshot(self, source: int, target: int) -> EntryId:
        """Bring a snapshot of everything that `source` has applied to `target`, as `SendSnapshot` asked."""
        raft = self[source]
        last = raft.log.id_at(raft.commit_index)
        membership = raft.log.membership_at(last.index)
        assert membership is not None
        self.step(target, SnapshotInstalled(last, membership))
        self.step(source, SnapshotSent(NodeId(target), last, ok=True))
        return last

    def deliver(self, source: int, target: int, kind: type | None = None) -> Call:
        """Bring the oldest call of this kind over, and its answer back."""
        call = self.under_way(source, target, kind)[0]
        self.request(call)
        if call.answer is not None:
            self.answer(call)
        return call

    def lose(self, source: int, target: int, kind: type | None = None) -> None:
        """Fail all calls of this kind at their caller; nothing arrives."""
        for call in self.under_way(source, target, kind):
            self.calls.remove(call)
            if self.members[source].is_up:
                self.step(source, CallFailed(call.target, call.message))

    def settle(self, *numbers: int) -> None:
        """Deliver everything between these members (all, when none is named) until nothing is left; fail the rest."""
        among = set(numbers or self.members)
        for _ in range(10_000):
            if not self.calls:
                return
            call = self.calls.pop(0)
            if not self.members[call.source].is_up:
                continue
            target = self.members.get(call.target)
            if {call.source, call.target} <= among and target is not None and target.is_up:
                self.request(call)
                if call.answer is not None:
                    self.answer(call)
                    continue
                if target.holds_syncs:
                    self.calls.append(call)
                    if all(self.members[c.target].holds_syncs for c in self.calls if c.target in self.members):
                        return
                    continue
            self.step(call.source, CallFailed(call.target, call.message))
        raise AssertionError("messages never end")

    # ---- what tests want to say ----

    def elect(self, number: int, *among: int) -> None:
        """Make a member leader of the next term, with the votes of these (all that run when none is named)."""
        self.now_ms += self.settings.election_timeout_max_ms  # whoever led before is not heard any more
        self.time_out(number)
        self.settle(*(among or ()))
        assert self[number].is_leader, f"{number} was not elected"

    def propose(self, number: int, *texts: str, token: object = "write") -> list[Effect]:
        """A client writes."""
        return self.step(number, Propose(token, put(*texts)))

    def change(self, number: int, membership: Membership, rest: bytes = b"") -> list[Effect]:
        """An operator changes the membership."""
        return self.step(number, ChangeMembership("change", membership, rest))

    def read(self, number: int, token: object = "read") -> list[Effect]:
        """A client wants a strong read."""
        return self.step(number, ReadIndex(token))

    def transfer(self, number: int, to: int | None = None) -> list[Effect]:
        """An operator moves the leadership."""
        return self.step(number, TransferLeadership(None if to is None else NodeId(to)))

    def compact(self, number: int, upto: int) -> list[Effect]:
        """The machine holds everything up to there."""
        return self.step(number, Compact(upto))

    def beat(self, number: int, *among: int) -> None:
        """One heartbeat interval passes for a leader, and everything is delivered."""
        self.wait(self.settings.heartbeat_interval_ms, number)
        self.settle(*among)

    def texts(self, number: int) -> list[str]:
        """What clients wrote, as this member has applied it."""
        return [e.body.decode() for e in self.members[number].applied if e.kind == EntryKind.PHYSICAL_PLAN]

    def positions(self, number: int) -> list[tuple[int, int]]:
        """(index, term) of every entry in a member's log."""
        log = self[number].log
        return [(e.index, e.term) for e in log.entries(log.first_index, log.last_index)]

    def forget(self) -> None:
        """Forget the effects so far."""
        for member in self.members.values():
            member.effects.clear()


def refusals(effects: Iterable[Effect]) -> list[str]:
    """The reasons of what was refused."""
    return [effect.reason.name for effect in effects if isinstance(effect, Refused)]


def sent(effects: Iterable[Effect], kind: type) -> list[Send]:
    """The calls of a kind."""
    return [effect for effect in effects if isinstance(effect, Send) and isinstance(effect.message, kind)]
