"""The runtime's turn: what it takes together."""

from collections.abc import Sequence

import pytest

from iotdb_cluster.errors import UnknownGroup
from iotdb_cluster.members.runtime import Runtime
from iotdb_cluster.members.waiting import Proposal
from iotdb_cluster.raft.events import Event, Propose, ReadIndex, TransferLeadership
from iotdb_cluster.types.entries import EntryKind, Payload
from iotdb_cluster.types.identity import GroupId

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
