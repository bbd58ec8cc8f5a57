"""Executions that break a careless design of this system (the second table of RELIABILITY 4), as far as one group goes.

Most were found by exhaustive search of small models (`tests/models/membership.py`), with the rules that cure them.
"""

from iotdb_cluster.raft.effects import Role, RoleChanged
from iotdb_cluster.raft.messages import AppendRequest, Verdict, VoteRequest
from iotdb_cluster.types.entries import Entry, EntryKind
from iotdb_cluster.types.identity import EntryId, NodeId
from iotdb_cluster.types.membership import Membership
from tests.raft.group import FOUNDING, Group, entry, members, refusals


def change(term: int, index: int, membership: Membership) -> Entry:
    return Entry(term, index, EntryKind.MEMBERSHIP, membership.encode())


def elect_somebody(group: Group, *among: int) -> int:
    """Let time pass until one of these leads."""
    for _ in range(60):
        group.wait(100, *among)
        group.settle(*among)
        leaders = [n for n in among if group[n].is_leader and group[n].has_committed_own_term]
        if leaders:
            return leaders[0]
    raise AssertionError(f"nobody of {among} can be elected")


def test_a_half_made_promotion_whose_leader_dies() -> None:
    """Promote 4 in {1,2,3}; the entry stands on 1 and 2; 1 dies. 2 needs the vote of 4, a learner as far as 4 knows."""
    group = Group(1, 2, 3, learners=[4])
    group.elect(1)
    for _ in range(3):
        group.beat(1)
    assert [] == refusals(group.change(1, members([1, 2, 3, 4])))
    group.deliver(1, 2, AppendRequest)
    group.crash(1)
    assert members([1, 2, 3], [4]) == group[4].membership
    assert elect_somebody(group, 2, 3, 4)


def test_a_member_with_an_old_membership_hears_a_stranger_whose_log_is_newer() -> None:
    """Committed is {1,4,5}; 1 still knows {1,2,3}; 5 dies. 4 is unknown to 1, and nobody else is left."""
    new = [change(1, 2, members([1, 2, 3], [4, 5])), change(1, 3, members([1, 4, 5], outgoing=[1, 2, 3]))]
    log = [*new, change(1, 4, members([1, 4, 5])), entry(1, 5)]
    group = Group(1, 2, 3)
    for number in (4, 5):
        group.add(number, snapshot=FOUNDING, membership=members([1, 2, 3]), entries=log)
    group.crash(2, 3, 5)
    assert 4 == elect_somebody(group, 1, 4)
    assert group[1].last_id == group[4].last_id


def test_a_node_that_left_and_came_back_does_not_vote_for_less_than_it_knew() -> None:
    """{1,2,3} became {1,2,4} while 2 was cut off; 3 left, dropped its replica, is added again; 2 asks 3 for a vote."""
    group = Group(1, 2, 3, learners=[4])
    group.elect(1, 1, 3, 4)
    for _ in range(3):
        group.beat(1, 1, 3, 4)
    group.change(1, members([1, 2, 4]))
    for _ in range(4):
        group.beat(1, 1, 3, 4)
    assert members([1, 2, 4]) == group[1].committed_membership
    mark = group[3].left_mark
    group.crash(1, 4)
    group.add(3, mark=mark)
    group.wait(5_000, 2, 3)
    group.settle(2, 3)
    assert not group[2].is_leader
    position = group[2].last_id
    assert Verdict.LOG_MISMATCH is group.receive(3, VoteRequest(9, NodeId(2), position)).verdict


def test_a_removal_that_stands_on_the_removed_and_a_dead_node() -> None:
    """{1,2,3,4}: the removal of 4 stands on 1 and 4, then 1 dies. 4 has the newest log, so only it can be elected."""
    log = [entry(1, 2), change(1, 3, members([1, 2, 3], [4]))]
    group = Group(1, 2, 3, 4, logs={1: log, 2: log[:1], 3: log[:1], 4: log})
    group.crash(1)
    assert elect_somebody(group, 2, 3, 4)
    assert Role.LEADER in [told.role for told in group.members[4].of(RoleChanged)]
    for _ in range(30):
        group.wait(100, 2, 3, 4)
        group.settle(2, 3, 4)
    assert members([1, 2, 3], [4]) == group[2].committed_membership
    assert not group[4].is_leader


def test_a_removed_member_that_knows_its_removal_to_be_committed_does_not_campaign() -> None:
    log = [entry(1, 2), change(1, 3, members([1, 2, 3], [4]))]
    group = Group(1, 2, 3, 4, logs=dict.fromkeys((1, 2, 3, 4), log))
    group.elect(1)
    group.beat(1)
    group.crash(1, 2, 3)
    group.wait(10_000, 4)
    assert (Role.FOLLOWER, 1, []) == (group[4].role, group[1].term - 1, group.calls)


def test_a_learners_log_does_not_outrun_the_voters() -> None:
    """1 enters the promotion of 4 alone; 2 is elected, reaches only 4, dies: had 4 taken it, 4 would refuse 1."""
    group = Group(1, 2, 3, learners=[4])
    group.elect(1)
    for _ in range(3):
        group.beat(1)
    group.change(1, members([1, 2, 3, 4]))
    group.crash(1)  # the entry is on 1 alone
    group.elect(2, 2, 3)
    group.settle(2, 4)
    assert group[4].last_id == group[3].last_id or group[4].last_id < group[2].last_id
    group.crash(2)
    group.start(1)
    assert elect_somebody(group, 1, 3, 4)


def test_a_follower_that_restarts_in_an_idle_group_commits() -> None:
    group = Group(1, 2, 3)
    group.elect(1)
    group.propose(1, "a")
    group.beat(1)
    group.restart(3)
    group.beat(1)
    assert ["a"] == group.texts(3)


def test_a_leader_whose_disk_hangs_while_heartbeats_pass_makes_way() -> None:
    group = Group(1, 2, 3, leader_stall_timeout_ms=3_000)
    group.elect(1)
    group.beat(1)
    group.hold_syncs(1)
    group.propose(1, "a")
    for _ in range(35):
        group.beat(1)
    assert not group[1].is_leader
    assert elect_somebody(group, 2, 3)


def test_a_late_answer_of_an_earlier_term_of_the_same_leader_is_no_match() -> None:
    group = Group(1, 2, 3, 4, 5)
    group.elect(1)
    group.beat(1)
    group.propose(1, "lost")
    (late,) = group.under_way(1, 2, AppendRequest)
    group.request(late)  # 2 has it, its answer is slow
    group.elect(5, 3, 4, 5)
    group.propose(5, "kept")
    group.beat(5, 1, 3, 4, 5)
    group.elect(1, 1, 3, 4)
    group.propose(1, "next")
    group.answer(late)
    match = group[1].progress[NodeId(2)].match_index
    assert match == 0 or group[1].log.id_at(match) == group[2].log.id_at(match)


def test_not_leader_and_busy_are_said_only_of_what_was_never_appended() -> None:
    group = Group(1, 2, 3)
    group.elect(1)
    group.propose(1, "a", token="first")
    group.elect(2, 2, 3)
    group.beat(2)
    assert [] == refusals(group.members[1].effects)  # what became of it, only the log knows
    assert EntryId(1, 3) != group[1].log.id_at(3)
