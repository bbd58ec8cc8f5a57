"""How a vote request is judged: the order of rule 3.5, one test a line."""

import pytest

from iotdb_cluster.raft.effects import Role
from iotdb_cluster.raft.events import ContextChanged
from iotdb_cluster.raft.messages import Heartbeat, Verdict, VoteAnswer, VoteRequest
from iotdb_cluster.types.identity import BEFORE_FIRST, EntryId, HardState, NodeId
from tests.raft.group import Group, entry, ids, members

LONG = EntryId(9, 99)
"""A log that is newer than any here."""
FIRST = EntryId(0, 1)
"""A log that holds nothing but the founding membership."""


def ask(
    group: Group,
    voter: int,
    candidate: int,
    *,
    term: int,
    last: EntryId = LONG,
    meta_last: EntryId | None = None,
    pre: bool = False,
    handover: bool = False,
) -> VoteAnswer:
    """What a member answers to a vote request."""
    answer = group.receive(voter, VoteRequest(term, NodeId(candidate), last, meta_last, pre, handover))
    assert isinstance(answer, VoteAnswer)
    return answer


def hear_leader(group: Group, follower: int, leader: int, *, term: int) -> None:
    group.receive(follower, Heartbeat(term, NodeId(leader), 1))


def test_a_lower_term_is_answered_with_the_own_term() -> None:
    group = Group(1, 2, 3, terms={1: 5})
    assert VoteAnswer(Verdict.STALE_TERM, 5) == ask(group, 1, 2, term=4)


def test_a_live_leader_stands_before_everything_but_the_term_and_no_term_is_adopted() -> None:
    group = Group(1, 2, 3)
    hear_leader(group, 1, 3, term=2)
    group.now_ms += 499
    assert VoteAnswer(Verdict.LEADER_STILL_ONLINE, 2) == ask(group, 1, 2, term=7)
    assert (2, 3) == (group[1].term, group[1].leader)


def test_a_leader_that_was_silent_for_the_minimum_time_out_protects_nobody() -> None:
    group = Group(1, 2, 3)
    hear_leader(group, 1, 3, term=2)
    group.now_ms += 500
    assert Verdict.AGREE is ask(group, 1, 2, term=7).verdict


def test_a_hand_over_passes_a_live_leader() -> None:
    group = Group(1, 2, 3)
    hear_leader(group, 1, 3, term=2)
    assert Verdict.AGREE is ask(group, 1, 2, term=3, handover=True).verdict


def test_a_tombstoned_sender_is_refused_whatever_its_log_and_moves_no_term() -> None:
    group = Group(1, 2, 3)
    group.step(1, ContextChanged(BEFORE_FIRST, BEFORE_FIRST, ids(2)))
    assert VoteAnswer(Verdict.NOT_IN_GROUP, 0) == ask(group, 1, 2, term=7)
    assert 0 == group[1].term


def test_a_stranger_whose_log_is_not_newer_is_refused_and_moves_no_term() -> None:
    group = Group(1, 2, 3)
    assert VoteAnswer(Verdict.NOT_IN_GROUP, 0) == ask(group, 1, 9, term=7, last=group[1].last_id)
    assert 0 == group[1].term


def test_a_stranger_whose_log_is_newer_may_know_a_newer_membership() -> None:
    group = Group(1, 2, 3)
    assert Verdict.AGREE is ask(group, 1, 9, term=7).verdict


def test_a_member_of_the_committed_membership_only_is_heard() -> None:
    group = Group(1, 2, 3, 4)
    group.elect(1)
    group.settle()
    group.change(1, members([1, 2, 3]))  # stands on 1 alone
    group.crash(1)
    group.start(1)
    assert members([1, 2, 3]) == group[1].membership
    assert Verdict.LOG_MISMATCH is ask(group, 1, 4, term=7, last=FIRST).verdict
    assert 7 == group[1].term


def test_all_other_requests_adopt_the_term_even_when_they_are_refused() -> None:
    group = Group(1, 2, 3, logs={1: [entry(1, 2)]})
    assert VoteAnswer(Verdict.LOG_MISMATCH, 7) == ask(group, 1, 2, term=7, last=FIRST)
    assert HardState(7) == group.members[1].disk.hard_state


def test_one_vote_a_term_and_the_same_candidate_may_ask_again() -> None:
    group = Group(1, 2, 3)
    assert Verdict.AGREE is ask(group, 1, 2, term=1).verdict
    assert VoteAnswer(Verdict.STALE_TERM, 1) == ask(group, 1, 3, term=1)
    assert Verdict.AGREE is ask(group, 1, 2, term=1).verdict


def test_the_log_that_ends_in_a_higher_term_is_newer_then_the_longer_one() -> None:
    for last, is_newer in (((3, 2), True), ((2, 3), True), ((2, 2), False), ((1, 9), False)):
        group = Group(1, 2, 3, logs={1: [entry(1, 2), entry(2, 3)]})
        verdict = Verdict.AGREE if is_newer else Verdict.LOG_MISMATCH
        assert verdict is ask(group, 1, 2, term=5, last=EntryId(*last)).verdict, last


def test_a_learner_that_is_asked_answers_like_anyone() -> None:
    group = Group(1, 2, learners=[3])
    assert Verdict.AGREE is ask(group, 3, 1, term=1).verdict
    assert HardState(1, NodeId(1)) == group.members[3].disk.hard_state


def test_a_member_without_a_membership_answers_by_log_and_vote() -> None:
    group = Group(1, 2, outside=[3])
    assert Verdict.AGREE is ask(group, 3, 1, term=1).verdict
    assert Verdict.STALE_TERM is ask(group, 3, 2, term=1).verdict


def test_a_pre_vote_says_what_the_answer_would_be_and_changes_nothing() -> None:
    group = Group(1, 2, 3, terms={1: 4})
    deadline_ms = group[1].next_deadline_ms
    assert VoteAnswer(Verdict.AGREE, 4) == ask(group, 1, 2, term=5, pre=True)
    assert VoteAnswer(Verdict.AGREE, 4) == ask(group, 1, 3, term=5, pre=True)
    assert (4, None, deadline_ms) == (group[1].term, group[1].hard_state.vote, group[1].next_deadline_ms)


def test_a_pre_vote_for_a_term_in_which_another_has_the_vote_is_refused() -> None:
    group = Group(1, 2, 3)
    ask(group, 1, 2, term=1)
    assert VoteAnswer(Verdict.STALE_TERM, 1) == ask(group, 1, 3, term=1, pre=True)


def test_a_vote_is_durable_before_it_is_answered() -> None:
    group = Group(1, 2, 3)
    group.hold_syncs(1)
    with pytest.raises(AssertionError, match="has not answered"):
        ask(group, 1, 2, term=1)
    assert HardState() == group.members[1].disk.hard_state
    group.sync(1)
    assert HardState(1, NodeId(2)) == group.members[1].disk.hard_state


def test_a_granted_vote_begins_the_election_timer_anew() -> None:
    group = Group(1, 2, 3)
    group.now_ms += 400
    ask(group, 1, 2, term=1)
    assert group.now_ms + 500 <= group[1].next_deadline_ms


def test_a_leader_that_reaches_its_quorum_does_not_give_way() -> None:
    group = Group(1, 2, 3)
    group.elect(1)
    assert Verdict.LEADER_STILL_ONLINE is ask(group, 1, 2, term=9).verdict
    assert group[1].is_leader


def test_a_leader_that_hears_nobody_gives_way() -> None:
    group = Group(1, 2, 3)
    group.elect(1)
    group.now_ms += 500
    assert Verdict.AGREE is ask(group, 1, 2, term=9).verdict
    assert Role.FOLLOWER is group[1].role


# ---- rule 3.7: the preference for whoever knows the meta log ----


def stale_meta(group: Group, voter: int, term: int) -> Verdict:
    return ask(group, voter, 2, term=term, meta_last=EntryId(1, 4)).verdict


def test_a_candidate_with_an_older_meta_log_waits_for_one_maximum_election_time_out() -> None:
    group = Group(1, 2, 3)
    group.step(1, ContextChanged(EntryId(1, 9), EntryId(1, 5)))
    hear_leader(group, 1, 3, term=1)
    group.now_ms += 500  # from now on the leader counts as lost
    assert Verdict.META_LOG_STALE is stale_meta(group, 1, 2)
    assert Verdict.AGREE is ask(group, 1, 3, term=3, meta_last=EntryId(1, 5)).verdict
    group.now_ms += 999
    assert Verdict.META_LOG_STALE is stale_meta(group, 1, 4)
    group.now_ms += 1
    assert Verdict.AGREE is stale_meta(group, 1, 5)


def test_the_newest_data_log_and_the_newest_meta_log_on_different_nodes_do_not_wedge_a_group() -> None:
    group = Group(1, 2, 3, logs={1: [entry(1, 2)]})
    group.step(2, ContextChanged(EntryId(1, 9), EntryId(1, 9)))
    group.step(1, ContextChanged(EntryId(1, 4), EntryId(1, 4)))
    group.crash(3)
    group.time_out(1)
    group.settle()
    assert not group[1].is_leader  # 2 prefers somebody who knows as much of the meta log
    group.wait(3_000)
    group.settle()
    assert group[1].is_leader
