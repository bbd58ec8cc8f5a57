"""A leader: what it takes in, what it sends, what it commits."""

from iotdb_cluster.raft.effects import Accepted, PeerRegressed, SaveEntries, Send, SendSnapshot
from iotdb_cluster.raft.events import Answered, CallFailed, Propose
from iotdb_cluster.raft.messages import AppendAnswer, AppendRequest, Heartbeat, HeartbeatAnswer, Verdict
from iotdb_cluster.types.identity import EntryId, NodeId
from tests.raft.group import FOUNDING, Group, entry, members, put, refusals, sent


def led(*voters: int, **options: object) -> Group:
    """A group that 1 leads, in which everything is committed everywhere."""
    group = Group(*voters, **options)  # type: ignore[arg-type]
    group.elect(1)
    group.beat(1)
    group.forget()
    return group


# ---- taking in ----


def test_a_proposal_is_appended_with_the_identities_it_is_told() -> None:
    group = led(1, 2, 3)
    effects = group.propose(1, "a", "b", token="mine")
    assert Accepted("mine", (EntryId(1, 3), EntryId(1, 4))) in effects


def test_what_waits_goes_out_together() -> None:
    group = led(1, 2, 3)
    effects = group.step(1, *[Propose(k, put(f"{k}")) for k in range(32)])
    assert [32] == [len(effect.entries) for effect in effects if isinstance(effect, SaveEntries)]
    assert [32, 32] == [len(send.message.entries) for send in sent(effects, AppendRequest)]  # type: ignore[union-attr]


def test_a_follower_refuses_and_names_the_leader() -> None:
    group = led(1, 2, 3)
    effects = group.propose(2, "a")
    assert (["NOT_LEADER"], 1) == (refusals(effects), effects[0].leader)  # type: ignore[union-attr]


def test_too_much_that_waits_is_refused_as_busy() -> None:
    group = led(1, 2, 3, uncommitted_max_entries=3)
    assert [[], [], [], ["BUSY"]] == [refusals(group.propose(1, "a")) for _ in range(4)]
    group.settle()
    assert [] == refusals(group.propose(1, "a"))


def test_too_many_bytes_that_wait_are_refused_but_one_large_proposal_is_not() -> None:
    group = led(1, 2, 3, uncommitted_max_bytes=100)
    assert [] == refusals(group.propose(1, "x" * 500))
    assert ["BUSY"] == refusals(group.propose(1, "y"))
    group.settle()
    assert [] == refusals(group.propose(1, "y"))


# ---- sending ----


def test_appends_do_not_wait_for_the_leaders_own_sync() -> None:
    group = led(1, 2, 3)
    group.hold_syncs(1)
    group.propose(1, "a")
    group.deliver(1, 2, AppendRequest)
    group.deliver(1, 3, AppendRequest)
    assert 2 == group[1].commit_index  # nothing is applied that the own log may lose
    group.sync(1)
    assert 3 == group[1].commit_index


def test_one_append_is_under_way_and_the_next_takes_everything_that_came_meanwhile() -> None:
    group = led(1, 2, 3)
    for text in "abcd":
        group.propose(1, text)
    assert 1 == len(group.under_way(1, 2, AppendRequest))
    group.deliver(1, 2, AppendRequest)
    (call,) = group.under_way(1, 2, AppendRequest)
    assert ["b", "c", "d"] == [e.body.decode() for e in call.message.entries]  # type: ignore[union-attr]


def test_several_appends_may_be_under_way_and_come_in_any_order() -> None:
    group = led(1, 2, 3, inflight_appends_max=3)
    for text in "abcd":
        group.propose(1, text)
    first, second, third = group.under_way(1, 2, AppendRequest)
    for call in (third, second, first):
        group.request(call)
    for call in (third, second, first):
        group.answer(call)
    group.settle()
    assert ["a", "b", "c", "d"] == group.texts(1)
    assert group[2].last_id == group[1].last_id


def test_an_append_is_limited_in_entries_and_bytes_but_never_empty() -> None:
    group = led(1, 2, 3, append_max_entries=2, append_max_bytes=150)
    group.step(1, Propose("w", put("a" * 60, "b" * 60, "c" * 60, "d" * 500, "e")))
    sizes = []
    while calls := group.under_way(1, 2, AppendRequest):
        sizes.append(len(calls[0].message.entries))  # type: ignore[union-attr]
        group.deliver(1, 2, AppendRequest)
    assert [1, 1, 1, 1, 1] == sizes
    group = led(1, 2, 3, append_max_entries=2)
    group.step(1, Propose("w", put(*"abcde")))
    sizes = []
    while calls := group.under_way(1, 2, AppendRequest):
        sizes.append(len(calls[0].message.entries))  # type: ignore[union-attr]
        group.deliver(1, 2, AppendRequest)
    assert [2, 2, 1] == sizes


def test_a_dead_peer_costs_at_most_one_probe_an_interval() -> None:
    group = led(1, 2, 3)
    group.crash(3)
    group.forget()
    for k in range(10):
        group.propose(1, f"{k}")
        group.wait(100, 1)
        group.settle()
    to_the_dead = [effect for effect in group.members[1].of(Send) if effect.to == 3]
    assert 1 == len([effect for effect in to_the_dead if isinstance(effect.message, AppendRequest)])
    assert len(to_the_dead) <= 12
    group.start(3)
    group.beat(1)
    group.beat(1)
    assert group[3].last_id == group[1].last_id


def test_a_failed_append_is_sent_again_after_the_next_heartbeat_that_is_answered() -> None:
    group = led(1, 2, 3)
    group.propose(1, "a")
    group.lose(1, 2, AppendRequest)
    assert [] == group.under_way(1, 2, AppendRequest)
    group.beat(1)
    group.beat(1)
    assert ["a"] == group.texts(2)


# ---- where the logs meet ----


def rounds_until_level(group: Group, leader: int, follower: int) -> int:
    """Appends that a leader needs until a follower's log is its own."""
    group.elect(leader, *[n for n in group.members if n != follower])
    group.forget()
    for count in range(100):
        if group[follower].last_id == group[leader].last_id:
            return len([s for s in sent(group.members[leader].effects, AppendRequest) if s.to == follower])
        group.beat(leader)
        assert count < 99
    raise AssertionError


def test_a_follower_that_lacks_the_end_is_found_by_its_heartbeat() -> None:
    log = [entry(1, k) for k in range(2, 1_000)]
    group = Group(1, 2, 3, logs={1: log, 2: log, 3: log[:400]})
    assert rounds_until_level(group, 1, 3) <= 3


def test_a_follower_with_a_long_tail_of_its_own_is_found_by_terms() -> None:
    common = [entry(1, k) for k in range(2, 300)]
    ours = common + [entry(3, k) for k in range(300, 310)]
    theirs = common + [entry(2, k) for k in range(300, 1_000)]
    group = Group(1, 2, 3, logs={1: ours, 2: ours, 3: theirs})
    assert rounds_until_level(group, 1, 3) <= 3


def test_a_conflict_within_one_term_is_found_in_logarithmic_time() -> None:
    # Terms alone do not tell where the logs meet: term 2 is in both.
    common = [entry(1, k) for k in range(2, 100)]
    ours = common + [entry(2, k) for k in range(100, 200)] + [entry(4, 200)]
    theirs = common + [entry(1, k, "other") for k in range(100, 150)] + [entry(3, k) for k in range(150, 900)]
    group = Group(1, 2, 3, logs={1: ours, 2: ours, 3: theirs})
    assert rounds_until_level(group, 1, 3) <= 12


# ---- heartbeats ----


def test_heartbeats_go_out_at_once_when_somebody_leads_and_when_the_commit_index_moves() -> None:
    group = Group(1, 2, 3)
    group.elect(1, 1, 2)
    group.beat(1)
    group.propose(1, "a")
    group.deliver(1, 2, AppendRequest)
    assert [3] == [call.message.commit_index for call in group.under_way(1, 2, Heartbeat)]  # type: ignore[union-attr]


def test_one_heartbeat_is_under_way_at_a_time_and_the_next_tells_the_newest() -> None:
    group = led(1, 2, 3)
    for text in "abc":
        group.propose(1, text)
        group.deliver(1, 2, AppendRequest)
    assert 1 == len(group.under_way(1, 2, Heartbeat))
    group.deliver(1, 2, Heartbeat)
    assert [5] == [call.message.commit_index for call in group.under_way(1, 2, Heartbeat)]  # type: ignore[union-attr]


def test_an_idle_leader_sends_one_heartbeat_an_interval_to_each_peer() -> None:
    group = led(1, 2, 3)
    for _ in range(10):
        group.beat(1)
    assert 20 == len(sent(group.members[1].effects, Heartbeat))


def test_a_moved_commit_index_is_told_within_its_interval_when_one_is_set() -> None:
    group = led(1, 2, 3, commit_heartbeat_interval_ms=10)
    group.wait(50, 1)
    group.propose(1, "a")
    group.deliver(1, 2, AppendRequest)
    group.settle()
    group.propose(1, "b")
    group.deliver(1, 2, AppendRequest)
    assert [] == group.under_way(1, 2, Heartbeat)
    assert group.now_ms + 10 == group[1].next_deadline_ms
    group.wait(10, 1)
    assert [4] == [call.message.commit_index for call in group.under_way(1, 2, Heartbeat)]  # type: ignore[union-attr]


def test_a_leader_is_busy_appending_while_no_voter_can_be_sent_another_call() -> None:
    group = led(1, 2, 3, inflight_appends_max=1)
    assert not group[1].is_busy_appending
    group.propose(1, "a")
    assert group[1].is_busy_appending
    group.deliver(1, 2, AppendRequest)
    assert not group[1].is_busy_appending


def test_a_leader_whose_calls_failed_does_not_hold_proposals_up() -> None:
    group = led(1, 2, 3, inflight_appends_max=1)
    group.propose(1, "a")
    group.lose(1, 2, AppendRequest)
    assert group[1].is_busy_appending
    group.lose(1, 3, AppendRequest)
    assert not group[1].is_busy_appending


# ---- committing ----


def test_a_quorum_that_holds_an_entry_durably_commits_it() -> None:
    group = led(1, 2, 3, 4, 5)
    group.propose(1, "a")
    group.deliver(1, 2, AppendRequest)
    assert [] == group.texts(1)
    group.deliver(1, 3, AppendRequest)
    assert ["a"] == group.texts(1)


def test_learners_do_not_count_and_are_sent_committed_entries_only() -> None:
    group = led(1, 2, 3, learners=[4])
    group.propose(1, "a")
    assert [] == group.under_way(1, 4, AppendRequest)
    group.deliver(1, 2, AppendRequest)
    assert [3] == [call.message.entries[-1].index for call in group.under_way(1, 4, AppendRequest)]  # type: ignore[union-attr]


def test_an_acknowledgement_of_an_earlier_term_counts_no_more() -> None:
    group = led(1, 2, 3, 4, 5)
    group.propose(1, "a")
    late = group.under_way(1, 2, AppendRequest)[0]
    group.request(late)
    group.elect(5, 3, 4, 5)
    group.beat(5)
    group.elect(1)
    group.propose(1, "b")
    before = group[1].progress[NodeId(2)].match_index
    longer = AppendRequest(1, FOUNDING, tuple(entry(1, k) for k in range(2, 10)))
    group.step(1, Answered(NodeId(2), longer, AppendAnswer(Verdict.AGREE, 1)))
    group.step(1, Answered(NodeId(2), late.message, AppendAnswer(Verdict.AGREE, 1)))
    assert before == group[1].progress[NodeId(2)].match_index


def test_an_acknowledgement_counts_once_and_only_for_the_replica_it_was_sent_to() -> None:
    group = led(1, 2, 3)
    group.propose(1, "a")
    call = group.under_way(1, 2, AppendRequest)[0]
    group.step(1, CallFailed(NodeId(2), call.message))
    group.step(1, Answered(NodeId(2), call.message, AppendAnswer(Verdict.AGREE, 1)))
    assert [] == group.texts(1)


# ---- a peer that lost what it had acknowledged ----


def test_a_voter_whose_log_is_shorter_than_what_it_acknowledged_gets_nothing_more() -> None:
    group = led(1, 2, 3)
    group.propose(1, "a", "b")
    group.settle()
    group.wait(100, 1)
    (call,) = group.under_way(1, 3, Heartbeat)
    group.answer(call, HeartbeatAnswer(Verdict.AGREE, 1, EntryId(1, 2)))
    assert [PeerRegressed(NodeId(3), acknowledged=4, found=2)] == group.members[1].of(PeerRegressed)
    group.forget()
    group.propose(1, "c")
    group.beat(1)
    group.beat(1)
    assert [] == [effect for effect in group.members[1].of(Send) if effect.to == 3]
    assert ["a", "b", "c"] == group.texts(1)  # 2 is enough


def test_an_answer_that_was_overtaken_by_an_acknowledgement_is_no_regression() -> None:
    group = led(1, 2, 3)
    group.wait(100, 1)
    (heartbeat,) = group.under_way(1, 3, Heartbeat)
    group.request(heartbeat)
    group.propose(1, "a", "b")
    group.deliver(1, 3, AppendRequest)
    group.answer(heartbeat)
    assert [] == group.members[1].of(PeerRegressed)


def starts_over(group: Group, member: int) -> None:
    """An empty replica is no fault of its node: it is brought up by a snapshot, and follows."""
    group.beat(1)
    group.beat(1)
    assert [] == group.members[1].of(PeerRegressed)
    assert [SendSnapshot(NodeId(member), 1)] == group.members[1].of(SendSnapshot)
    group.snapshot(1, member)
    group.propose(1, "b")
    group.beat(1)
    assert ["b"] == group.texts(member)


def test_a_learner_that_lost_its_replica_starts_over() -> None:
    group = led(1, 2, learners=[3])
    group.propose(1, "a")
    group.beat(1)
    assert ["a"] == group.texts(3)
    group.add(3)
    starts_over(group, 3)


def test_a_voter_whose_replica_went_before_it_acknowledged_its_promotion_starts_over() -> None:
    """Group seed 9656: removed, added again, its old replica answers and is dropped, the new one is promoted."""
    group = led(1, 2, learners=[3])
    group.propose(1, "a")
    for _ in range(3):
        group.beat(1)
    group.settle()
    assert group[1].progress[NodeId(3)].is_caught_up
    group.add(3)  # the replica that acknowledged all this is dropped, another one is made
    assert [] == refusals(group.change(1, members([1, 2, 3])))
    starts_over(group, 3)


def test_a_promoted_voter_that_lost_its_promotion_gets_nothing_more() -> None:
    group = led(1, 2, learners=[3])
    group.propose(1, "a")
    for _ in range(3):
        group.beat(1)
    group.settle()
    assert [] == refusals(group.change(1, members([1, 2, 3])))
    group.settle()
    promoted = group[1].log.membership_index
    assert group[1].progress[NodeId(3)].match_index >= promoted
    group.add(3)
    group.beat(1)
    assert [NodeId(3)] == [effect.peer for effect in group.members[1].of(PeerRegressed)]
