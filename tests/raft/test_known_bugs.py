"""Known bugs of other implementations, each by the name of RELIABILITY 4 (those that concern one group)."""

import pytest

from iotdb_cluster.raft.effects import ReadConfirmed
from iotdb_cluster.raft.messages import AppendRequest, Heartbeat, Verdict, VoteRequest
from iotdb_cluster.types.identity import EntryId, HardState, NodeId
from tests.raft.group import FOUNDING, Group, entry, members, refusals


def test_m1_single_server_changes_in_two_terms_do_not_split_the_majorities() -> None:
    """S1 appends add-S5, cut; S2 leads, appends remove-S1, commits; S1 returns (Ongaro, raft-dev 2015-07-10)."""
    group = Group(1, 2, 3, 4, learners=[5])
    group.elect(1)
    for _ in range(3):
        group.beat(1)
    assert [] == refusals(group.change(1, members([1, 2, 3, 4, 5])))
    group.deliver(1, 5, AppendRequest)  # on 1 and 5 only, then 1 is cut off
    group.now_ms += 1_000
    group.time_out(2)
    while not group[2].is_leader:
        group.deliver(2, 3)
        group.deliver(2, 4)
    # The cure: no change before an entry of its own term is committed, which 1 then has to have.
    assert ["NOT_READY"] == refusals(group.change(2, members([2, 3, 4], [5])))
    group.settle(2, 3, 4)
    assert [] == refusals(group.change(2, members([2, 3, 4], [5])))
    group.settle(2, 3, 4)
    committed = group[2].commit_index
    group.now_ms += 1_000
    group.time_out(1)
    group.settle()
    assert not group[1].is_leader
    assert group[2].log.id_at(committed) == group[3].log.id_at(committed)


def test_f8_an_entry_of_an_old_term_is_not_committed_by_counting() -> None:
    """Figure 8 (c) of the Raft paper: a majority holds it, and 5 may still overwrite it (d)."""
    old = entry(2, 3, "old")
    group = Group(1, 2, 3, logs={1: [entry(1, 2), old], 2: [entry(1, 2)], 3: [entry(1, 2)]}, append_max_entries=1)
    group.crash(2)
    group.time_out(1)
    while not group[1].is_leader:
        group.deliver(1, 3)
    while group[3].last_id != old.id:
        group.deliver(1, 3)
    assert EntryId(3, 4) == group[1].last_id
    assert 3 == group[1].progress[NodeId(3)].match_index
    assert 1 == group[1].commit_index
    group.settle()
    assert ["x", "old"] == group.texts(1)  # with an entry of the own term beside it, it is


def test_v1_a_vote_survives_a_restart() -> None:
    group = Group(1, 2, 3)
    assert Verdict.AGREE is group.receive(1, VoteRequest(1, NodeId(2), FOUNDING)).verdict
    group.restart(1)
    assert HardState(1, NodeId(2)) == group[1].hard_state
    assert Verdict.STALE_TERM is group.receive(1, VoteRequest(1, NodeId(3), FOUNDING)).verdict


def test_d1_a_server_that_comes_back_with_a_high_term_disturbs_nobody() -> None:
    group = Group(1, 2, 3)
    group.elect(1)
    group.beat(1)
    group.crash(3)
    group.members[3].disk.hard_state = HardState(50)
    group.start(3)
    for _ in range(12):  # 2 hears both of them, and the leader does not hear 3
        group.wait(100, 1, 3)
        while group.under_way(3, 2):
            group.deliver(3, 2)
        group.settle(1, 2)
    assert (1, 1) == (group[2].term, group[2].leader)
    # It has a higher term, so the leader learns of it and makes way once: the group goes on in a term above it.
    group.beat(1)
    group.wait(3_000)
    group.settle()
    assert 51 <= max(group[n].term for n in (1, 2, 3))


def test_r1_a_fresh_leader_serves_no_read_before_an_entry_of_its_term_is_committed() -> None:
    group = Group(1, 2, 3)
    group.elect(1)
    group.propose(1, "a")
    group.deliver(1, 2, AppendRequest)
    assert ["a"] == group.texts(1)  # acknowledged; 2 has not heard that it is committed
    group.crash(1)
    group.now_ms += 1_000
    group.time_out(2)
    while not group[2].is_leader:
        group.deliver(2, 3)
    group.read(2)
    while group.under_way(2, 3, Heartbeat):
        group.deliver(2, 3, Heartbeat)
    assert [] == group.members[2].of(ReadConfirmed)
    group.settle(2, 3)
    (read,) = group.members[2].of(ReadConfirmed)
    assert ["a"] == group.texts(2) and read.index >= 3


def test_r2_a_leader_that_slept_and_was_deposed_serves_no_read() -> None:
    group = Group(1, 2, 3)
    group.elect(1)
    group.beat(1)
    group.elect(2, 2, 3)
    group.propose(2, "new")
    group.settle(2, 3)
    assert group[1].is_leader  # as far as it knows
    group.read(1)
    group.settle()
    assert [] == group.members[1].of(ReadConfirmed)


def test_t1_a_delayed_append_truncates_no_matching_suffix() -> None:
    group = Group(1, 2, 3)
    group.elect(1)
    group.propose(1, "a")
    late = group.under_way(1, 2, AppendRequest)[0]
    group.settle()
    group.propose(1, "b")
    group.settle()
    before = group[2].last_id
    assert Verdict.AGREE is group.receive(2, late.message).verdict
    assert before == group[2].last_id


def test_h1_a_follower_does_not_commit_what_it_has_not_matched() -> None:
    group = Group(1, 2, 3, logs={2: [entry(1, 2, "of a dead leader")]}, terms={2: 1})
    assert Verdict.AGREE is group.receive(2, Heartbeat(2, NodeId(1), 2)).verdict
    assert [] == group.texts(2)


def test_s1_neither_a_snapshot_behind_the_log_nor_the_older_of_two_takes_anything_back() -> None:
    from iotdb_cluster.raft.events import SnapshotInstalled

    group = Group(1, 2, 3)
    group.elect(1)
    for text in "abc":
        group.propose(1, text)
        group.beat(1)
    before = (group[2].last_id, group[2].commit_index)
    group.step(2, SnapshotInstalled(EntryId(1, 3), members([1, 2, 3])))
    assert before == (group[2].last_id, group[2].commit_index)
    group.step(3, SnapshotInstalled(EntryId(1, 9), members([1, 2, 3])))
    group.step(3, SnapshotInstalled(EntryId(1, 7), members([1, 2, 3])))
    assert EntryId(1, 9) == group[3].last_id


def test_a1_a_lone_member_acknowledges_after_its_own_sync_only() -> None:
    group = Group(1)
    group.elect(1)
    group.hold_syncs(1)
    group.propose(1, "a")
    assert [] == group.texts(1)
    group.sync(1)
    assert ["a"] == group.texts(1)


def test_o1_the_term_is_saved_before_the_entries_of_that_term() -> None:
    """A crash that keeps entries and loses their term must not let the node vote in it again."""
    group = Group(1, 2, 3)
    group.hold_syncs(2)
    with pytest.raises(AssertionError, match="not answered"):
        group.receive(2, AppendRequest(4, FOUNDING, (entry(4, 2),)))
    saves = [type(save).__name__ for save in group.members[2].disk.unsynced]
    assert ["SaveHardState", "SaveEntries"] == saves
    group.crash(2)
    group.members[2].disk.entries = [entry(4, 2)]
    group.start(2)
    assert 4 == group[2].term


def test_v2_repeated_vote_answers_are_counted_once() -> None:
    group = Group(1, 2, 3, 4, 5)
    group.time_out(1)
    group.deliver(1, 2)
    group.deliver(1, 3)
    call = group.under_way(1, 2, VoteRequest)[0]
    group.request(call)
    for _ in range(9):
        group.answer(call)
    assert not group[1].is_leader
