"""Leadership handed over: a planned stop, or a preferred leader (thesis 3.10)."""

from iotdb_cluster.raft.effects import Refusal, Refused
from iotdb_cluster.raft.messages import AppendRequest, TimeoutNow
from iotdb_cluster.types.identity import NodeId
from tests.raft.group import Group, refusals, sent


def led(*voters: int, **options: object) -> Group:
    group = Group(*voters, **options)  # type: ignore[arg-type]
    group.elect(1)
    group.beat(1)
    group.forget()
    return group


def test_the_target_is_caught_up_first_and_then_told_to_campaign() -> None:
    group = led(1, 2, 3)
    group.propose(1, "a")
    group.lose(1, 2, AppendRequest)
    group.transfer(1, 2)
    assert [] == sent(group.members[1].effects, TimeoutNow)
    group.beat(1)
    group.beat(1)
    assert [NodeId(2)] == [send.to for send in sent(group.members[1].effects, TimeoutNow)]
    assert group[2].is_leader
    assert 2 == group[2].term


def test_voters_pass_over_that_the_old_leader_is_still_live() -> None:
    group = led(1, 2, 3)
    group.transfer(1)
    group.settle()
    assert [2] == [n for n in (1, 2, 3) if group[n].is_leader]  # the best follower; of equals the lower number


def test_the_best_follower_is_the_one_with_the_longest_match_that_answers() -> None:
    group = led(1, 2, 3)
    group.propose(1, "a")
    group.deliver(1, 3, AppendRequest)
    group.lose(1, 2)
    group.transfer(1)
    group.settle()
    assert group[3].is_leader


def test_proposals_are_refused_while_it_lasts_and_taken_again_when_it_came_to_nothing() -> None:
    group = led(1, 2, 3)
    group.crash(2)
    group.transfer(1, 2)
    assert [Refused("write", Refusal.NOT_LEADER, None)] == group.propose(1, "a")
    for _ in range(11):
        group.beat(1)
    assert group[1].is_leader
    assert [] == refusals(group.propose(1, "a"))


def test_a_target_that_cannot_be_told_ends_it_at_once() -> None:
    group = led(1, 2, 3)
    group.transfer(1, 2)
    group.lose(1, 2, TimeoutNow)
    assert not group[1].is_handing_over
    assert [] == refusals(group.propose(1, "a"))


def test_nothing_happens_for_a_learner_a_stranger_a_lone_voter_or_at_a_follower() -> None:
    group = led(1, 2, 3, learners=[4])
    for target in (4, 9, 1):
        group.transfer(1, target)
        assert not group[1].is_handing_over
    assert [] == group.transfer(2, 3)
    alone = led(1)
    alone.transfer(1)
    assert not alone[1].is_handing_over


def test_a_late_word_to_campaign_of_an_earlier_term_is_refused() -> None:
    group = led(1, 2, 3)
    group.transfer(1, 2)
    (call,) = group.under_way(1, 2, TimeoutNow)
    group.elect(3, 2, 3)
    group.beat(3)
    group.request(call)
    assert (2, 3) == (group[2].term, group[2].leader)
