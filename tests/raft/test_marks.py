"""What a node remembers of a group that it left (rule 3.12)."""

from iotdb_cluster.raft.left_mark import LeftMark
from iotdb_cluster.raft.messages import Verdict, VoteRequest
from iotdb_cluster.types.identity import EntryId, HardState, NodeId
from tests.raft.group import FOUNDING, Group, entry, members

MARK = LeftMark(HardState(4, NodeId(2)), EntryId(3, 7))


def returned() -> Group:
    """3 has an empty replica again."""
    group = Group(1, 2)
    group.add(3, mark=MARK)
    return group


def ask(group: Group, term: int, candidate: int, last: tuple[int, int]) -> Verdict:
    return group.receive(3, VoteRequest(term, NodeId(candidate), EntryId(*last))).verdict


def test_it_begins_with_the_term_and_vote_of_the_mark() -> None:
    group = returned()
    assert HardState(4, NodeId(2)) == group[3].hard_state
    assert Verdict.STALE_TERM is ask(group, 3, 1, (9, 9))
    assert Verdict.STALE_TERM is ask(group, 4, 1, (9, 9))
    assert Verdict.AGREE is ask(group, 4, 2, (9, 9))


def test_it_votes_by_the_marks_position_until_its_log_reaches_it() -> None:
    group = returned()
    assert Verdict.LOG_MISMATCH is ask(group, 5, 1, (3, 6))
    assert Verdict.AGREE is ask(group, 6, 1, (3, 7))


def test_it_does_not_campaign_until_its_log_reaches_the_mark() -> None:
    for last, may in ((6, False), (7, True)):
        group = Group(1, 2, 3)
        log = [entry(3, k) for k in range(2, last + 1)]
        group.add(3, snapshot=FOUNDING, membership=members([1, 2, 3]), entries=log, mark=MARK)
        group.wait(5_000, 3)
        assert may is bool(group.calls)


def test_a_replica_dropped_before_it_reached_its_mark_hands_that_mark_on() -> None:
    group = returned()
    assert LeftMark(HardState(4, NodeId(2)), EntryId(3, 7)) == group[3].left_mark


def test_a_replica_that_went_on_leaves_a_mark_of_its_own() -> None:
    group = Group(1, 2, 3, logs={3: [entry(5, 2)]}, terms={3: 6})
    assert LeftMark(HardState(6), EntryId(5, 2)) == group[3].left_mark


def test_saved_state_that_is_newer_than_the_mark_stands() -> None:
    group = Group(1, 2)
    group.add(3, mark=MARK, term=9)
    assert HardState(9) == group[3].hard_state
