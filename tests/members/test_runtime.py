"""The runtime's turn: what it takes together."""

from collections.abc import Sequence

import pytest

from iotdb_cluster.errors import StorageFailure, UnknownGroup
from iotdb_cluster.members.runtime import Runtime
from iotdb_cluster.members.waiting import Proposal
from iotdb_cluster.raft.events import Event, Persisted, Propose, ReadIndex, Tick, TransferLeadership
from iotdb_cluster.types.entries import EntryKind, Payload
from iotdb_cluster.types.identity import EntryId, GroupId

GROUP = GroupId(7)


class Clock:
    def now_ms(self) -> int:
        return 1_000

    def wall_ms(self) -> int:
        return 1_000


class IdleJournal:
    """A log to which nothing is saved."""

    unsynced_bytes = 0

    def maintain(self) -> bool:
        return False


class Member:
    """Notes what it is stepped."""

    group = GROUP
    next_deadline_ms = 2_000

    def __init__(self) -> None:
        self.gathers_proposals = False
        self.stepped: list[Event] = []
        self.looks = 0

    def step_all(self, events: Sequence[Event], now_ms: int) -> None:
        self.stepped += events

    def after_turn(self, now_ms: int) -> None:
        self.looks += 1


def proposal(text: str) -> Proposal:
    """One payload."""
    return Proposal((Payload(EntryKind.PHYSICAL_PLAN, text.encode()),), (None,))


def proposed(member: Member) -> list[list[bytes]]:
    """The bodies of each `Propose`."""
    return [[payload.body for payload in event.payloads] for event in member.stepped if isinstance(event, Propose)]


@pytest.fixture
def member() -> Member:
    return Member()


@pytest.fixture
def runtime(member: Member) -> Runtime:
    runtime = Runtime(clock=Clock(), journal=IdleJournal(), wake=lambda: None)  # type: ignore[arg-type]
    runtime.add(member)
    return runtime


def test_everything_that_was_proposed_since_the_last_turn_is_one_step(runtime: Runtime, member: Member) -> None:
    runtime.propose(GROUP, proposal("a"))
    runtime.propose(GROUP, proposal("b"))
    runtime.turn()
    assert [[b"a", b"b"]] == proposed(member)


def test_proposals_are_gathered_over_turns_until_the_member_has_a_use_for_them(
    runtime: Runtime, member: Member
) -> None:
    member.gathers_proposals = True
    runtime.propose(GROUP, proposal("a"))
    runtime.turn()
    runtime.propose(GROUP, proposal("b"))
    runtime.turn()
    assert [] == proposed(member)
    member.gathers_proposals = False
    runtime.turn()
    runtime.turn()
    assert [[b"a", b"b"]] == proposed(member)


def test_a_member_looks_after_what_grows_behind_a_turn_that_did_more_than_read(
    runtime: Runtime, member: Member
) -> None:
    looks = []
    for events in ([ReadIndex("a"), ReadIndex("b")], [ReadIndex("c"), TransferLeadership()], []):
        for event in events:
            runtime.post(GROUP, event)
        before = member.looks
        runtime.turn()
        looks.append(member.looks - before)
    assert [0, 1, 0] == looks
    assert 4 == len(member.stepped)


def test_gathered_proposals_are_refused_when_the_member_goes(runtime: Runtime, member: Member) -> None:
    member.gathers_proposals = True
    waiting = proposal("a")
    runtime.propose(GROUP, waiting)
    runtime.turn()
    runtime.remove(GROUP)
    assert isinstance(waiting.pending.error, UnknownGroup)


def test_what_waits_is_stepped_before_timers(runtime: Runtime, member: Member) -> None:
    """After a pause the heartbeat that came meanwhile counts before the election time-out that passed meanwhile."""
    member.next_deadline_ms = 1_000
    runtime.post(GROUP, ReadIndex("a"))
    runtime.turn()
    assert [ReadIndex, Tick] == [type(event) for event in member.stepped]


class SavingJournal(IdleJournal):
    """A log whose syncs are noted in `done`, or fail."""

    def __init__(self, done: list[str]) -> None:
        self._done = done
        self.fails = False

    def sync(self) -> None:
        if self.fails:
            raise StorageFailure("sync", "raft/1.log")
        self._done.append("sync")
        self.unsynced_bytes = 0


class SavingMember(Member):
    """Saves an entry, and says something once that is durable, for each event but `Persisted`."""

    next_deadline_ms = 1_000

    def __init__(self, group: int, runtime: Runtime, journal: SavingJournal, done: list[str]) -> None:
        super().__init__()
        self.group = GroupId(group)
        self._runtime, self._journal, self._done = runtime, journal, done

    def step_all(self, events: Sequence[Event], now_ms: int) -> None:
        for event in events:
            self._done.append(f"{type(event).__name__} {self.group}")
            if not isinstance(event, Persisted):
                self._journal.unsynced_bytes += 1
                self._runtime.entries_saved(self.group, EntryId(1, 1))
                self._runtime.after_sync(lambda: self._done.append(f"said {self.group}"))


@pytest.fixture
def saving() -> tuple[Runtime, SavingJournal, list[str]]:
    """Two groups with something to do, both due by time."""
    done: list[str] = []
    journal = SavingJournal(done)
    runtime = Runtime(clock=Clock(), journal=journal, wake=lambda: None)  # type: ignore[arg-type]
    for group in (7, 8):
        runtime.add(SavingMember(group, runtime, journal, done))
        runtime.post(GroupId(group), ReadIndex("a"))
    return runtime, journal, done


def test_one_sync_covers_all_groups_behind_what_is_due_and_before_what_stands_on_it(
    saving: tuple[Runtime, SavingJournal, list[str]],
) -> None:
    runtime, _, done = saving
    runtime.turn()
    # A tick sends heartbeats: they wait for no disk.
    assert ["ReadIndex 7", "ReadIndex 8", "Tick 7", "Tick 8", "sync"] == done[:5]
    assert ["said 7", "said 8", "said 7", "said 8", "Persisted 7", "Persisted 8"] == done[5:]


def test_behind_a_failed_sync_nothing_is_said(saving: tuple[Runtime, SavingJournal, list[str]]) -> None:
    runtime, journal, done = saving
    journal.fails = True
    with pytest.raises(StorageFailure):
        runtime.turn()
    assert [] == [each for each in done if each.startswith(("said", "Persisted"))]
