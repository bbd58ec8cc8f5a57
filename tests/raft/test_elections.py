"""Campaigns: who may, how votes are counted, when a leader steps down."""

from iotdb_cluster.raft.effects import Role, RoleChanged
from iotdb_cluster.raft.events import Answered
from iotdb_cluster.raft.messages import AppendRequest, Heartbeat, HeartbeatAnswer, Verdict, VoteRequest
from iotdb_cluster.types.identity import HardState, NodeId
from tests.raft.group import Group, entry, members, refusals, sent


def test_each_campaign_is_preceded_by_a_pre_vote_that_moves_no_term() -> None:
    group = Group(1, 2, 3)
    group.time_out(1)
    assert [True, True] == [call.message.pre for call in group.calls]  # type: ignore[union-attr]
    assert (Role.FOLLOWER, 0) == (group[1].role, group[1].term)
    group.deliver(1, 2)
    assert (Role.CANDIDATE, 1) == (group[1].role, group[1].term)
    group.settle()
    assert Role.LEADER is group[1].role


def test_a_member_that_is_cut_off_never_raises_its_term() -> None:
    group = Group(1, 2, 3)
    group.elect(1)
    for _ in range(5):
        group.time_out(3)
        group.lose(3, 1)
        group.lose(3, 2)
    assert 1 == group[3].term


def test_vote_requests_wait_for_the_own_vote_to_be_durable() -> None:
    group = Group(1, 2, 3)
    group.hold_syncs(1)
    group.time_out(1)
    group.deliver(1, 2)
    assert Role.CANDIDATE is group[1].role
    assert [] == group.under_way(1, 3, VoteRequest)[1:]  # only the pre-vote is under way
    group.sync(1)
    assert HardState(1, NodeId(1)) == group.members[1].disk.hard_state
    assert [False] == [call.message.pre for call in group.under_way(1, 3)[1:]]  # type: ignore[union-attr]


def test_a_lone_voter_leads_when_its_own_vote_is_durable() -> None:
    group = Group(1)
    group.hold_syncs(1)
    group.time_out(1)
    assert Role.CANDIDATE is group[1].role
    group.sync(1)
    assert Role.LEADER is group[1].role


def test_votes_are_a_set_so_a_repeated_answer_adds_nothing() -> None:
    group = Group(1, 2, 3, 4, 5)
    group.time_out(1)
    group.deliver(1, 2)
    group.deliver(1, 3)
    assert Role.CANDIDATE is group[1].role
    call = group.under_way(1, 2, VoteRequest)[0]
    group.request(call)
    for _ in range(5):
        group.answer(call)
    assert Role.CANDIDATE is group[1].role
    group.deliver(1, 4, VoteRequest)
    group.deliver(1, 4, VoteRequest)
    assert Role.LEADER is group[1].role


def test_an_answer_to_an_earlier_campaign_does_not_count() -> None:
    group = Group(1, 2, 3)
    group.time_out(1)
    group.deliver(1, 2)
    late = group.under_way(1, 2, VoteRequest)[0]
    group.request(late)
    group.time_out(1)
    group.deliver(1, 3, VoteRequest)  # the first pre-vote, which counts in no later round
    group.lose(1, 2, VoteRequest)
    while group[1].role is not Role.CANDIDATE:
        group.deliver(1, 3, VoteRequest)
    assert 2 == group[1].term
    group.answer(late)
    assert Role.CANDIDATE is group[1].role


def test_learners_neither_campaign_nor_count() -> None:
    group = Group(1, 2, learners=[3])
    group.wait(5_000, 3)
    assert [] == group.calls
    group.time_out(1)
    assert [] == group.under_way(1, 3)
    call = group.under_way(1, 2)[0]
    group.step(1, *[])
    group.calls.append(call)
    assert Role.FOLLOWER is group[1].role


def test_a_higher_term_in_an_answer_is_adopted_from_members_only() -> None:
    group = Group(1, 2, 3, learners=[4])
    group.elect(1)
    group.beat(1)
    group.wait(100, 1)
    call = group.under_way(1, 4, Heartbeat)[0]
    later = HeartbeatAnswer(Verdict.STALE_TERM, 50)
    group.step(1, Answered(NodeId(9), call.message, later))
    assert 1 == group[1].term
    group.step(1, Answered(NodeId(4), call.message, later))
    assert (50, Role.FOLLOWER) == (group[1].term, group[1].role)


def test_a_follower_of_a_higher_term_is_followed_by_its_leader() -> None:
    group = Group(1, 2, 3)
    group.elect(1)
    group.elect(2, 2, 3)
    group.beat(1)
    group.beat(2)
    assert (Role.FOLLOWER, 2, 2) == (group[1].role, group[1].term, group[1].leader)


def test_a_leader_that_hears_from_no_quorum_for_an_election_time_out_steps_down() -> None:
    group = Group(1, 2, 3, 4, 5)
    group.elect(1)
    group.wait(950, 1)
    group.settle(1, 2)
    assert group[1].is_leader
    group.wait(200, 1)
    assert not group[1].is_leader
    assert RoleChanged(Role.FOLLOWER, 1, None) in group.members[1].effects


def test_a_leader_with_a_quorum_stays_however_long() -> None:
    group = Group(1, 2, 3)
    group.elect(1)
    for _ in range(50):
        group.beat(1, 1, 2)
    assert group[1].is_leader


def test_a_leader_whose_entries_stand_still_steps_down_although_a_quorum_answers() -> None:
    group = Group(1, 2, 3, leader_stall_timeout_ms=3_000)
    group.elect(1)
    group.hold_syncs(1)
    group.propose(1, "a")
    for _ in range(29):
        group.beat(1)
    assert group[1].is_leader
    group.beat(1)
    group.beat(1)
    assert not group[1].is_leader


def test_an_idle_leader_does_not_stall() -> None:
    group = Group(1, 2, 3, leader_stall_timeout_ms=3_000)
    group.elect(1)
    for _ in range(40):
        group.beat(1)
    assert group[1].is_leader


def test_a_candidate_that_hears_of_a_leader_follows_it() -> None:
    group = Group(1, 2, 3)
    group.time_out(1)
    group.time_out(2)
    group.deliver(1, 3)
    group.deliver(2, 3)
    assert [Role.CANDIDATE, Role.CANDIDATE] == [group[1].role, group[2].role]
    group.deliver(1, 3, VoteRequest)
    assert Role.LEADER is group[1].role
    group.deliver(1, 2, Heartbeat)
    assert (Role.FOLLOWER, 1) == (group[2].role, group[2].leader)


def test_an_append_of_this_term_makes_a_follower_of_a_candidate_and_keeps_the_timer_from_ending() -> None:
    group = Group(1, 2, 3)
    group.elect(1, 1, 2)
    group.now_ms += 400
    group.propose(1, "a")
    group.settle()
    before_ms = group[2].next_deadline_ms
    group.now_ms += 50
    group.propose(1, "b")
    group.deliver(1, 2, AppendRequest)
    assert before_ms < group[2].next_deadline_ms


def test_who_claims_to_lead_a_term_that_another_leads_is_refused() -> None:
    group = Group(1, 2, 3)
    group.elect(1)
    assert Verdict.NOT_IN_GROUP is group.receive(2, Heartbeat(1, NodeId(3), 99)).verdict
    assert Verdict.NOT_IN_GROUP is group.receive(1, Heartbeat(1, NodeId(3), 99)).verdict
    assert [1, 1] == [group[1].leader, group[2].leader]


def test_role_term_and_leader_are_told_when_they_change_and_only_then() -> None:
    group = Group(1, 2, 3)
    group.elect(1)
    told = [(e.role, e.term, e.leader) for e in group.members[2].of(RoleChanged)]
    assert [(Role.FOLLOWER, 1, None), (Role.FOLLOWER, 1, 1)] == told
    group.forget()
    group.beat(1)
    assert [] == group.members[1].of(RoleChanged) + group.members[2].of(RoleChanged)


def test_a_member_that_has_heard_no_leader_since_it_started_says_so() -> None:
    group = Group(1, 2, 3)
    group.elect(1)
    assert group[2].has_heard_leader
    group.restart(2)
    assert not group[2].has_heard_leader
    assert ["NOT_LEADER"] == refusals(group.read(2))
    group.beat(1)
    assert group[2].has_heard_leader


def test_a_new_leader_appends_an_empty_entry_of_its_term_first() -> None:
    group = Group(1, 2, 3, logs={1: [entry(1, 2)]})
    group.elect(1)
    assert [(2, 1), (3, 2)] == group.positions(1)
    assert members([1, 2, 3]) == group[1].membership
    assert [] == sent(group.members[1].effects, VoteRequest)[4:]
