"""Membership changes through the log (DESIGN 4.1 to 4.6)."""

from iotdb_cluster.raft.effects import Accepted, Role, RoleChanged, Send
from iotdb_cluster.raft.events import Propose
from iotdb_cluster.raft.messages import AppendRequest, Heartbeat, TimeoutNow
from iotdb_cluster.types.entries import EntryKind, Payload
from iotdb_cluster.types.identity import EntryId, NodeId
from iotdb_cluster.types.membership import Membership
from tests.raft.group import Group, entry, members, refusals, sent


def led(*voters: int, learners: tuple[int, ...] = (), **options: object) -> Group:
    """A group that 1 leads, with its learners level."""
    group = Group(*voters, learners=learners, **options)  # type: ignore[arg-type]
    group.elect(1)
    for _ in range(3):
        group.beat(1)
    group.forget()
    return group


def test_one_voter_changes_in_one_step_that_counts_from_the_moment_it_is_appended() -> None:
    group = led(1, 2, 3)
    effects = group.change(1, members([1, 2]), rest=b"why")
    assert Accepted("change", (EntryId(1, 3),)) in effects
    assert members([1, 2]) == group[1].membership
    assert members([1, 2, 3]) == group[1].committed_membership
    group.deliver(1, 2, AppendRequest)
    assert members([1, 2]) == group[1].committed_membership
    (kept,) = group[1].log.entries(3, 3)
    assert b"why" == kept.body[Membership.decode(kept.body)[1] :]


def test_several_voters_change_jointly_and_the_leader_ends_it() -> None:
    group = led(1, 2, 3, learners=(4,))
    effects = group.change(1, members([1, 2, 4]), rest=b"why")
    assert members([1, 2, 4], outgoing=[1, 2, 3]) == group[1].membership
    assert 1 == len([effect for effect in effects if isinstance(effect, Accepted)])
    group.beat(1)
    assert members([1, 2, 4]) == group[1].membership == group[4].committed_membership
    assert NodeId(3) not in group[1].progress


def test_a_joint_membership_needs_both_majorities() -> None:
    group = led(1, 2, 3, learners=(4, 5))
    group.change(1, members([1, 4, 5]))
    group.settle(1, 4, 5)
    assert group[1].commit_index < group[1].log.membership_index
    group.beat(1, 1, 2, 4, 5)
    group.beat(1, 1, 2, 4, 5)
    assert members([1, 4, 5]) == group[1].committed_membership


def test_a_new_leader_finishes_a_joint_membership_that_it_inherits() -> None:
    group = led(1, 2, 3, learners=(4,))
    group.change(1, members([1, 2, 4]))
    group.deliver(1, 2, AppendRequest)
    group.crash(1)
    assert members([1, 2, 4], outgoing=[1, 2, 3]) == group[2].membership
    group.elect(2, 2, 3, 4)
    for _ in range(5):
        group.beat(2, 2, 3, 4)
    assert members([1, 2, 4]) == group[2].committed_membership == group[4].committed_membership


def test_the_next_change_waits_for_the_one_before() -> None:
    group = led(1, 2, 3)
    group.change(1, members([1, 2, 3], [4]))
    assert ["CHANGE_PENDING"] == refusals(group.change(1, members([1, 2])))
    group.deliver(1, 2, AppendRequest)
    assert [] == refusals(group.change(1, members([1, 2], [4])))


def test_no_change_before_an_entry_of_the_own_term_is_committed() -> None:
    group = Group(1, 2, 3)
    group.time_out(1)
    while not group[1].is_leader:
        group.deliver(1, 2)
    assert ["NOT_READY"] == refusals(group.change(1, members([1, 2])))
    group.deliver(1, 2, AppendRequest)
    assert [] == refusals(group.change(1, members([1, 2])))


def test_a_voter_must_have_been_a_learner_that_caught_up() -> None:
    group = led(1, 2, 3, learners=(4,))
    assert ["NOT_ALLOWED"] == refusals(group.change(1, members([1, 2, 3, 5], [4])))
    group.change(1, members([1, 2, 3], [4, 5]))
    group.settle()
    assert ["NOT_CAUGHT_UP"] == refusals(group.change(1, members([1, 2, 3, 5], [4])))
    assert [] == refusals(group.change(1, members([1, 2, 3, 4], [5])))


def test_a_learner_that_is_dead_does_not_count_as_caught_up() -> None:
    group = led(1, 2, 3, learners=(4,))
    group.crash(4)
    for _ in range(12):
        group.beat(1)
    assert ["NOT_CAUGHT_UP"] == refusals(group.change(1, members([1, 2, 3, 4])))


def test_a_learner_that_needs_long_is_level_after_a_short_round() -> None:
    log = [entry(1, k) for k in range(2, 40)]
    group = Group(1, 2, learners=[3], append_max_entries=1, logs={1: log, 2: log})
    group.elect(1, 1, 2)
    group.beat(1, 1, 2)
    group.wait(100, 1)
    group.deliver(1, 3, Heartbeat)
    while group[3].last_id != group[1].last_id:
        group.wait(60, 1)  # each entry takes its time
        group.deliver(1, 3, AppendRequest)
        for call in group.under_way(1, 2):
            group.request(call)
            group.answer(call)
    assert ["NOT_CAUGHT_UP"] == refusals(group.change(1, members([1, 2, 3])))
    group.beat(1)
    assert [] == refusals(group.change(1, members([1, 2, 3])))


def test_a_voter_and_learner_change_that_a_joint_entry_cannot_carry_is_refused() -> None:
    group = led(1, 2, 3, learners=(4,))
    assert ["NOT_ALLOWED"] == refusals(group.change(1, members([1, 2, 4], [3])))
    assert [] == refusals(group.change(1, members([1, 2], [3, 4])))


def test_memberships_come_by_change_membership_only() -> None:
    group = led(1, 2, 3)
    payload = Payload(EntryKind.MEMBERSHIP, members([1]).encode())
    assert ["NOT_ALLOWED"] == refusals(group.step(1, Propose("p", (payload,))))


def test_a_follower_rolls_back_a_membership_that_is_truncated() -> None:
    group = led(1, 2, 3)
    group.change(1, members([1, 2, 3], [4]))  # on 1 only
    group.elect(2, 2, 3)
    group.beat(2, 2, 3)
    group.beat(2)
    assert members([1, 2, 3]) == group[1].membership


def test_a_member_that_a_new_membership_leaves_out_is_sent_nothing_from_then_on() -> None:
    group = led(1, 2, 3)
    group.change(1, members([1, 2]))
    group.propose(1, "a")
    for _ in range(3):
        group.beat(1)
    assert [] == [effect for effect in group.members[1].of(Send) if effect.to == 3]


def test_a_change_that_is_lost_with_its_leader_leaves_the_old_membership() -> None:
    group = led(1, 2, 3)
    group.change(1, members([1, 2]))
    group.lose(1, 2)
    group.crash(1)
    group.elect(2, 2, 3)
    assert members([1, 2, 3]) == group[2].membership
    group.beat(2, 2, 3)
    assert group[3].last_id == group[2].last_id


def test_a_leader_that_is_removed_leads_without_counting_itself_and_then_hands_over() -> None:
    group = led(1, 2, 3)
    group.change(1, members([2, 3]))
    assert group[1].is_leader
    group.deliver(1, 2, AppendRequest)
    assert 2 == group[1].commit_index  # 1 and 2 hold it, but 1 does not count
    group.settle()
    assert members([2, 3]) == group[1].committed_membership
    assert 1 == len(sent(group.members[1].effects, TimeoutNow))
    assert Role.FOLLOWER is group[1].role
    assert [True] == [group[n].is_leader for n in (2, 3) if group[n].is_leader]


def test_a_leader_that_is_removed_takes_nothing_new_while_it_hands_over() -> None:
    group = led(1, 2, 3)
    group.change(1, members([2, 3]))
    group.propose(1, "a")
    group.deliver(1, 2, AppendRequest)
    group.deliver(1, 3, AppendRequest)
    assert group[1].is_leader and group[1].is_handing_over
    assert ["NOT_LEADER"] == refusals(group.propose(1, "b"))
    group.settle()
    assert ["a"] == group.texts(1)  # whoever waits for it hears of it
    assert not group[1].is_leader


def test_a_leader_that_is_removed_and_finds_no_successor_steps_down_all_the_same() -> None:
    group = led(1, 2, 3)
    group.change(1, members([2, 3]))
    group.deliver(1, 2, AppendRequest)
    group.deliver(1, 3, AppendRequest)
    group.lose(1, 2)
    group.lose(1, 3)
    group.crash(2, 3)
    group.wait(2_500, 1)
    assert not group[1].is_leader
    group.wait(5_000, 1)
    assert 1 == group[1].term  # and does not campaign


def test_a_removed_member_that_does_not_know_it_moves_nobody_however_high_its_term() -> None:
    group = led(1, 2, 3, 4)
    group.change(1, members([1, 2, 3]))
    for _ in range(3):
        group.beat(1)
    positions = [(group[n].term, group[n].leader) for n in (1, 2, 3)]
    for _ in range(5):
        group.time_out(4)
        group.settle()
        group.beat(1, 1, 2, 3)
    assert 1 == group[4].term  # it asks first
    group.now_ms += 1_000  # nobody hears of the leader
    group.time_out(4)
    group.settle()
    assert positions == [(group[n].term, group[n].leader) for n in (1, 2, 3)]


def test_a_member_campaigns_when_it_does_not_know_the_membership_that_leaves_it_out_to_be_committed() -> None:
    group = led(1, 2, 3, 4)
    group.elect(4)
    group.beat(4)
    group.change(4, members([1, 2, 3], [4]))
    group.deliver(4, 1, AppendRequest)
    group.crash(1)
    group.restart(4)
    assert not group[4].membership.all_voters & {NodeId(4)}  # type: ignore[union-attr]
    group.forget()
    group.wait(1_000, 4)
    group.settle()
    assert [Role.LEADER] == [told.role for told in group.members[4].of(RoleChanged) if told.role is Role.LEADER]
    assert members([1, 2, 3], [4]) == group[2].committed_membership
    assert not group[4].is_leader  # once that is committed it hands over


def test_heartbeats_reach_learners_too() -> None:
    group = led(1, 2, learners=(3,))
    group.wait(100, 1)
    assert 1 == len(group.under_way(1, 3, Heartbeat))
