"""Which proposals go together: those of a batch's callers, who are waited for, but not for long."""

from iotdb_cluster.members.gathering import DISTRUST_MAX_BATCHES, WAIT_MAX_MS, Gathering
from iotdb_cluster.members.waiting import Proposal
from iotdb_cluster.types.entries import EntryKind, Payload
from iotdb_cluster.types.identity import GroupId

GROUP = GroupId(7)
OTHER = GroupId(8)


def add(gathering: Gathering, count: int = 1, group: GroupId = GROUP) -> list[bool]:
    """Which of so many proposals ask for a turn."""
    return [gathering.add(group, Proposal((Payload(EntryKind.PHYSICAL_PLAN, b""),), (None,))) for _ in range(count)]


def answered_together(count: int, took_ms: int = 4, then_ms: int = 1_004) -> Gathering:
    """A batch of so many was proposed and answered, and the turn is over."""
    gathering = Gathering()
    add(gathering, count)
    gathering.take_in()
    gathering.take(GROUP, then_ms - took_ms)
    gathering.answered(GROUP, count, then_ms)
    gathering.hold([], then_ms)
    return gathering


def test_callers_of_a_batch_are_waited_for_and_only_the_last_of_them_asks_for_a_turn() -> None:
    gathering = answered_together(3)
    assert [False, False, True] == add(gathering, 3)
    gathering.take_in()
    assert 0 == gathering.lack(GROUP, 1_005)
    assert 3 == len(gathering.take(GROUP, 1_005).proposals)


def test_what_came_meanwhile_waits_with_them() -> None:
    gathering = Gathering()
    add(gathering, 2)
    gathering.take_in()
    gathering.take(GROUP, 1_000)
    add(gathering, 3)
    gathering.take_in()
    gathering.answered(GROUP, 2, 1_004)
    assert 2 == gathering.lack(GROUP, 1_004)


def test_they_are_waited_for_no_longer_than_twice_what_their_batch_took() -> None:
    gathering = answered_together(3, took_ms=4, then_ms=1_004)
    add(gathering)
    gathering.take_in()
    assert 1_012 == gathering.hold([], 1_011)
    assert not gathering.is_due
    assert gathering.hold([], 1_012) is None
    assert gathering.is_due


def test_nobody_is_waited_for_longer_than_the_limit() -> None:
    gathering = answered_together(3, took_ms=500, then_ms=1_500)
    assert 1_500 + WAIT_MAX_MS == gathering.hold([], 1_501)


def test_who_is_alone_waits_for_nobody() -> None:
    gathering = answered_together(1)
    assert [True] == add(gathering)
    assert 0 == gathering.lack(GROUP, 1_004)


def stays_away(gathering: Gathering, at_ms: int) -> int:
    """Four callers are answered and stay away; how many batches pass until such callers are waited for again."""
    assert 4 == gathering.lack(GROUP, at_ms)
    assert 0 == gathering.lack(GROUP, at_ms + WAIT_MAX_MS)
    passed = 0
    while True:
        gathering.answered(GROUP, 4, at_ms + 1_000)
        if gathering.lack(GROUP, at_ms + 1_000):
            return passed
        passed += 1


def test_callers_who_did_not_come_back_are_not_waited_for_for_a_while_that_grows() -> None:
    gathering = answered_together(4)
    found = [stays_away(gathering, 1_004 + 1_000 * number) for number in range(6)]
    assert [2, 4, 8, DISTRUST_MAX_BATCHES, DISTRUST_MAX_BATCHES, DISTRUST_MAX_BATCHES] == found


def test_who_came_back_is_trusted_again() -> None:
    gathering = answered_together(4)
    assert [2, 4] == [stays_away(gathering, 1_004), stays_away(gathering, 2_004)]
    add(gathering, 3)
    gathering.take_in()
    assert 0 == gathering.lack(GROUP, 3_004 + WAIT_MAX_MS), "most of them are there"
    gathering.take(GROUP, 3_004)
    gathering.answered(GROUP, 4, 4_004)
    assert 2 == stays_away(gathering, 4_004)


def test_proposals_of_a_busy_group_ask_for_no_turn_until_it_is_free() -> None:
    gathering = Gathering()
    gathering.hold([GROUP], 1_000)
    assert [False, False] == add(gathering, 2)
    assert [True] == add(gathering, 1, OTHER)
    gathering.take_in()
    gathering.hold([GROUP, OTHER], 1_000)
    assert not gathering.is_due
    gathering.hold([OTHER], 1_001)
    assert gathering.is_due


def test_what_came_while_a_turn_let_its_group_go_is_not_left_behind() -> None:
    gathering = Gathering()
    gathering.hold([GROUP], 1_000)
    gathering.take_in()
    assert [False] == add(gathering), "as the turn before had left it"
    gathering.hold([], 1_001)
    assert gathering.is_due
