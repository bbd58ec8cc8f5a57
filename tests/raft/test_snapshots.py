"""Snapshots and the log's beginning (DESIGN 3, InstallSnapshot)."""

from iotdb_cluster.raft.effects import Committed, SaveSnapshotPoint, SendSnapshot
from iotdb_cluster.raft.events import SnapshotInstalled, SnapshotSent
from iotdb_cluster.raft.messages import AppendRequest, Heartbeat, Verdict
from iotdb_cluster.types.identity import EntryId, NodeId
from tests.raft.group import Group, entry, members

GROUP = members([1, 2, 3])


def lagging() -> Group:
    """1 leads and has compacted what 3 lacks."""
    group = Group(1, 2, 3)
    group.elect(1)
    group.beat(1)
    group.crash(3)
    for k in range(10):
        group.propose(1, f"{k}")
        group.beat(1)
    group.compact(1, 10)
    group.start(3)
    group.forget()
    return group


def test_compaction_forgets_applied_entries_only_and_keeps_the_last_one() -> None:
    group = Group(1, 2, 3)
    group.elect(1)
    group.beat(1)
    group.propose(1, "a")
    group.deliver(1, 2, AppendRequest)
    group.propose(1, "b")
    effects = group.compact(1, 99)
    assert [SaveSnapshotPoint(EntryId(1, 3), GROUP)] == [e for e in effects if isinstance(e, SaveSnapshotPoint)]
    assert [] == group.compact(1, 3)
    group.settle()
    group.compact(1, 99)
    assert [(4, 1)] == group.positions(1)


def test_the_membership_survives_the_entry_that_made_it() -> None:
    group = Group(1, 2, 3)
    group.elect(1)
    group.beat(1)
    group.change(1, members([1, 2, 3], [4]))
    group.beat(1)
    group.propose(1, "a")
    group.beat(1)
    group.compact(1, 99)
    group.restart(1)
    assert members([1, 2, 3], [4]) == group[1].membership == group[1].committed_membership


def test_a_follower_that_needs_forgotten_entries_is_sent_one_snapshot_at_a_time() -> None:
    group = lagging()
    for _ in range(5):
        group.beat(1)
    assert [SendSnapshot(NodeId(3), 10)] == group.members[1].of(SendSnapshot)


def test_behind_the_snapshot_the_log_goes_on() -> None:
    group = lagging()
    group.beat(1)
    group.propose(1, "later")
    group.snapshot(1, 3)
    group.beat(1)
    assert group[3].last_id == group[1].last_id
    assert group[1].commit_index == group[3].commit_index
    assert ["later"] == group.texts(3)


def test_a_snapshot_that_was_not_taken_is_offered_again_but_not_before_a_heartbeat_interval() -> None:
    group = lagging()
    group.beat(1)
    group.step(1, SnapshotSent(NodeId(3), EntryId(1, 12), ok=False))
    group.settle()
    assert 1 == len(group.members[1].of(SendSnapshot))
    group.beat(1)
    assert 2 == len(group.members[1].of(SendSnapshot))


def test_the_answer_to_a_snapshot_is_no_match() -> None:
    group = lagging()
    group.beat(1)
    before = group[1].progress[NodeId(3)].match_index
    group.step(1, SnapshotSent(NodeId(3), EntryId(1, 12), ok=True))  # but 3 has nothing
    assert before == group[1].progress[NodeId(3)].match_index
    group.beat(1)
    group.beat(1)
    assert 2 == len(group.members[1].of(SendSnapshot))  # an append has shown it


def test_a_snapshot_replaces_a_log_that_does_not_lead_up_to_it() -> None:
    group = Group(1, 2, 3, logs={3: [entry(1, k) for k in range(2, 9)]})
    effects = group.step(3, SnapshotInstalled(EntryId(2, 6), GROUP))
    points = [effect for effect in effects if isinstance(effect, SaveSnapshotPoint)]
    assert [SaveSnapshotPoint(EntryId(2, 6), GROUP, drop_log=True)] == points
    assert (EntryId(2, 6), 6, 2) == (group[3].last_id, group[3].commit_index, group[3].term)
    assert [] == [e for e in group.members[3].effects if isinstance(e, Committed)]


def test_a_snapshot_of_what_the_log_holds_keeps_the_entries_behind_it() -> None:
    group = Group(1, 2, 3, logs={3: [entry(1, k) for k in range(2, 9)]})
    group.step(3, SnapshotInstalled(EntryId(1, 6), GROUP))
    assert [(7, 1), (8, 1)] == group.positions(3)
    assert 6 == group[3].commit_index


def test_a_snapshot_behind_the_commit_index_changes_nothing() -> None:
    group = Group(1, 2, 3)
    group.elect(1)
    for text in "abc":
        group.propose(1, text)
        group.beat(1)
    assert [] == group.step(2, SnapshotInstalled(EntryId(1, 3), GROUP))
    assert (5, ["a", "b", "c"]) == (group[2].commit_index, group.texts(2))


def test_two_snapshots_that_race_end_at_the_newer_one() -> None:
    group = Group(1, 2, 3)
    group.step(3, SnapshotInstalled(EntryId(2, 9), GROUP))
    group.step(3, SnapshotInstalled(EntryId(2, 6), GROUP))
    assert EntryId(2, 9) == group[3].last_id


def test_a_snapshot_that_comes_while_the_log_catches_up_takes_nothing_back() -> None:
    group = lagging()
    group.beat(1)
    image = group[1].log.id_at(11)
    group.step(3, SnapshotInstalled(image, GROUP))
    group.step(1, SnapshotSent(NodeId(3), image, ok=True))
    group.beat(1)
    group.propose(1, "z")
    group.beat(1)
    assert [] == group.step(3, SnapshotInstalled(image, GROUP))
    assert group[3].last_id == group[1].last_id


def test_a_leader_that_is_given_committed_entries_it_lacks_was_deposed() -> None:
    group = Group(1, 2, 3)
    group.elect(1)
    group.step(1, SnapshotInstalled(EntryId(4, 9), GROUP))
    assert not group[1].is_leader
    assert 4 == group[1].term


def test_what_was_acknowledged_before_a_snapshot_replaced_it_is_no_match_any_more() -> None:
    group = Group(1, 2, 3)
    request = AppendRequest(3, EntryId(0, 1), tuple(entry(3, k) for k in range(2, 9)))
    assert Verdict.AGREE is group.receive(3, request).verdict
    group.step(3, SnapshotInstalled(EntryId(2, 5), GROUP))
    group.receive(3, Heartbeat(3, NodeId(1), 8))
    assert (5, EntryId(2, 5)) == (group[3].commit_index, group[3].last_id)
