"""Strong reads: confirmed by a round of heartbeats that began after the question (thesis 6.4)."""

from iotdb_cluster.raft.effects import ReadConfirmed, Refusal, Refused
from iotdb_cluster.raft.messages import AppendRequest, Heartbeat
from tests.raft.group import Group, members, refusals, sent


def led(*voters: int, **options: object) -> Group:
    group = Group(*voters, **options)  # type: ignore[arg-type]
    group.elect(1)
    group.beat(1)
    group.forget()
    return group


def confirmed(group: Group, number: int = 1) -> list[tuple[object, int]]:
    return [(effect.token, effect.index) for effect in group.members[number].of(ReadConfirmed)]


def test_a_read_waits_for_a_quorum_of_heartbeats() -> None:
    group = led(1, 2, 3, 4, 5)
    group.read(1, "r")
    group.deliver(1, 2, Heartbeat)
    assert [] == confirmed(group)
    group.deliver(1, 3, Heartbeat)
    assert [("r", 2)] == confirmed(group)


def test_a_round_that_began_before_the_question_confirms_nothing() -> None:
    group = led(1, 2, 3)
    group.wait(100, 1)
    early = group.under_way(1, 2, Heartbeat)[0]
    group.read(1, "r")
    group.request(early)
    group.answer(early)
    assert [] == confirmed(group)
    group.deliver(1, 2, Heartbeat)
    assert [("r", 2)] == confirmed(group)


def test_reads_that_come_while_a_round_is_under_way_share_the_next_one() -> None:
    group = led(1, 2, 3)
    group.read(1, 0)
    for k in range(1, 50):
        group.read(1, k)
    group.settle()
    assert [(k, 2) for k in range(50)] == confirmed(group)
    assert 4 == len(sent(group.members[1].effects, Heartbeat))


def test_a_lone_voter_answers_at_once() -> None:
    group = led(1)
    group.read(1, "r")
    assert [("r", 2)] == confirmed(group)


def test_a_fresh_leader_answers_when_an_entry_of_its_own_term_is_committed() -> None:
    group = Group(1, 2, 3)
    group.elect(1)
    group.propose(1, "a")
    group.deliver(1, 2, AppendRequest)  # committed at 1, of which 2 has not heard
    group.crash(1)
    group.now_ms += 1_000
    group.time_out(2)
    while not group[2].is_leader:
        group.deliver(2, 3)
    group.read(2, "r")
    while group.under_way(2, 3, Heartbeat):
        group.deliver(2, 3, Heartbeat)
    assert [] == confirmed(group, 2)
    group.settle()
    assert [("r", 4)] == confirmed(group, 2)


def test_a_read_that_waits_for_its_own_term_in_vain_is_refused() -> None:
    group = Group(1, 2, 3)
    group.elect(1, 1, 2)
    group.hold_syncs(1)
    group.crash(1)
    group.start(1)
    group.time_out(1)
    while not group[1].is_leader:
        group.deliver(1, 2)
    group.read(1, "r")
    for _ in range(12):
        group.wait(100, 1)
        for call in group.under_way(1, 2, Heartbeat):
            group.request(call)
            group.answer(call)
    assert Refused("r", Refusal.NOT_READY, 1) in group.members[1].effects


def test_a_deposed_leader_answers_no_read() -> None:
    group = led(1, 2, 3)
    group.elect(2, 2, 3)
    group.propose(2, "new")
    group.settle(2, 3)
    group.read(1, "r")
    group.settle()
    assert [] == confirmed(group)
    assert Refused("r", Refusal.NOT_LEADER, None) in group.members[1].effects


def test_a_leader_that_is_cut_off_answers_no_read() -> None:
    group = led(1, 2, 3)
    group.read(1, "r")
    group.wait(1_500, 1)
    assert [] == confirmed(group)
    assert Refused("r", Refusal.NOT_LEADER, None) in group.members[1].effects


def test_a_follower_refuses_and_names_the_leader() -> None:
    group = led(1, 2, 3)
    assert [Refused("r", Refusal.NOT_LEADER, 1)] == group.read(2, "r")


def test_a_read_sees_everything_that_was_acknowledged_before_it() -> None:
    group = led(1, 2, 3)
    group.propose(1, "a")
    group.deliver(1, 2, AppendRequest)
    assert ["a"] == group.texts(1)
    group.read(1, "r")
    group.settle()
    assert [("r", 3)] == confirmed(group)


def test_learners_confirm_nothing() -> None:
    group = Group(1, 2, 3, learners=[4, 5])
    group.elect(1)
    group.beat(1)
    group.read(1, "r")
    for learner in (4, 5):
        for call in group.under_way(1, learner, Heartbeat):
            group.request(call)
            group.answer(call)
    assert [] == confirmed(group)


def test_a_joint_membership_confirms_with_both_majorities() -> None:
    group = Group(1, 2, 3, learners=[4, 5])
    group.elect(1)
    for _ in range(4):
        group.beat(1)
    assert [] == refusals(group.change(1, members([1, 4, 5])))
    assert group[1].membership is not None and group[1].membership.is_joint
    group.lose(1, 2)
    group.lose(1, 3)
    group.read(1, "r")
    group.wait(100, 1)
    for peer in (4, 5):
        group.deliver(1, peer, Heartbeat)
    assert [] == confirmed(group)
    group.deliver(1, 2, Heartbeat)
    assert 1 == len(confirmed(group))
