"""What the journal promises: one sync for all, bounded space, and an end at the first failure."""

from dataclasses import replace
from random import Random

import pytest

from iotdb_cluster.errors import Fault, StartRefused, StorageFailure
from iotdb_cluster.raft.left_mark import LeftMark
from iotdb_cluster.storage.journal import Journal
from iotdb_cluster.storage.segment import segment_name
from iotdb_cluster.storage.settings import JournalSettings
from iotdb_cluster.types.entries import Entry
from iotdb_cluster.types.identity import META_GROUP, EntryId, GroupId, HardState, NodeId
from tests.sim.disk import SimDisk
from tests.storage.journal_world import SMALL, THREE, World, entries_from, new_world


def test_an_empty_folder_is_an_empty_log() -> None:
    assert {} == new_world().durable


def test_everything_that_waits_takes_one_write_and_one_sync() -> None:
    world = new_world()
    world.disk.counts.clear()
    for group in range(9):
        world.create(group)
        world.vote(group, 1, vote=2)
        world.append(group, entries_from(1, 100))
    assert 0 == world.disk.counts["before_write"]
    assert world.journal.unsynced_bytes > 9 * 100 * 20
    world.sync()
    assert (1, 1) == (world.disk.counts["before_write"], world.disk.counts["before_sync"])
    assert 0 == world.journal.unsynced_bytes
    world.sync()
    assert 1 == world.disk.counts["before_sync"]


def test_what_was_saved_and_not_synced_is_not_there_after_a_crash() -> None:
    world = new_world()
    world.create(1)
    world.sync()
    world.vote(1, 7, vote=3)
    assert HardState() == world.restart()[GroupId(1)].hard_state


def test_entries_replace_the_suffix_from_their_first_index_on() -> None:
    world = new_world()
    world.create(1)
    world.append(1, entries_from(1, 5, term=1))
    world.append(1, entries_from(3, 1, term=2))
    world.sync()
    found = world.restart()[GroupId(1)]
    assert (*entries_from(1, 2, term=1), *entries_from(3, 1, term=2)) == found.entries


def test_any_body_kind_and_vote_comes_back_as_it_was() -> None:
    world = new_world()
    world.create(META_GROUP)
    world.append(META_GROUP, [Entry(0, 1, 16, b""), Entry(3, 2, 255, bytes(range(256)) * 300)])
    world.vote(META_GROUP, 1 << 40, vote=-(1 << 31))
    world.sync()
    world.restart()
    world.vote(META_GROUP, 1 << 41)
    world.compact(META_GROUP, EntryId(3, 2))
    world.sync()
    assert world.restart()[META_GROUP].snapshot_membership == THREE


def test_a_group_that_was_left_keeps_its_mark_and_a_new_replica_starts_from_it() -> None:
    world = new_world()
    world.create(1)
    world.vote(1, 4, vote=2)
    world.append(1, entries_from(1, 9, term=3))
    world.drop(1)
    world.sync()
    mark = LeftMark(HardState(4, NodeId(2)), EntryId(3, 9))
    found = world.restart()[GroupId(1)]
    assert (False, mark, ()) == (found.present, found.mark, found.entries)
    assert mark == world.journal.mark_of(GroupId(1))
    world.create(1)
    world.append(1, entries_from(1, 2, term=5))
    world.sync()
    found = world.restart()[GroupId(1)]
    assert (True, mark, HardState(4, NodeId(2))) == (found.present, found.mark, found.hard_state)
    assert entries_from(1, 2, term=5) == found.entries


def test_a_mark_that_fills_a_segment_is_durable_before_the_next_one_begins() -> None:
    for seed in range(20):
        disk = SimDisk(Random(seed))
        journal = Journal(disk, settings=SMALL)
        journal.recover()
        journal.create_group(GroupId(1))
        journal.save_entries(GroupId(1), entries_from(1, 1))
        journal.sync()
        left = SMALL.segment_max_bytes - journal.segments[-1][1]
        # The batch ends a few bytes below the limit, so that it is the mark which reaches it.
        overhead = 110
        journal.save_entries(GroupId(1), [Entry(1, 2, 1, bytes(left - overhead))])
        journal.sync()
        assert len(journal.segments) == 1
        while len(journal.segments) == 1:
            journal.maintain()
        disk.crash()
        found = Journal(disk, settings=SMALL).recover()[GroupId(1)]
        assert 2 == found.entries[-1].index


def test_votes_without_end_do_not_fill_the_disk() -> None:
    world = new_world()
    world.create(1)
    world.append(1, entries_from(1, 3))
    for term in range(1, 3000):
        world.vote(1, term, vote=1)
        world.sync()
        world.maintain()
        assert world.journal.total_bytes < 4 * SMALL.segment_max_bytes
    assert 2999 == world.restart()[GroupId(1)].hard_state.term
    assert len(world.disk.list_folder("raft")) <= 4


def test_a_slow_group_is_carried_over_while_a_busy_one_moves_on() -> None:
    world = new_world()
    for group in (1, 2, 3):
        world.create(group)
    world.append(1, entries_from(1, 40, size=200))
    world.append(3, entries_from(1, 5))
    world.drop(3)
    for turn in range(300):
        world.append(2, entries_from(1 + 5 * turn, 5, size=100))
        world.sync()
        world.compact(2, EntryId(1, 5 * turn + 1))
        world.settle()
        assert world.journal.total_bytes < 2 * world.journal.needed_bytes + 4 * SMALL.segment_max_bytes
    assert world.journal.segments[0][0] > f"raft/{segment_name(10)}"
    assert sum(size for _, size in world.journal.segments) == world.journal.total_bytes == world.disk.used_bytes
    found = world.restart()
    assert entries_from(1, 40, size=200) == found[GroupId(1)].entries
    assert 4 == len(found[GroupId(2)].entries)
    assert not found[GroupId(3)].present


def test_carrying_over_goes_in_small_steps_and_survives_changes_between_them() -> None:
    settings = JournalSettings(segment_max_bytes=64 * 1024, carry_over_step_bytes=4096)
    world = new_world(settings=settings)
    for group in (1, 2):
        world.create(group)
    world.append(1, entries_from(1, 150, size=200))
    steps = 0
    for turn in range(4000):
        index = turn + 1
        world.append(2, entries_from(index, 1, size=300))
        world.sync()
        world.compact(2, EntryId(1, index))
        written = world.disk.used_bytes
        world.maintain()
        steps += world.disk.used_bytes > written + 1000
        assert world.disk.used_bytes <= written + 2 * 4096
        if turn == 1500:
            world.append(1, entries_from(100, 3, term=2))
        if turn == 1600:
            world.compact(1, EntryId(1, 20))
    assert steps > 8
    found = world.restart()[GroupId(1)]
    assert 21 == found.entries[0].index and (2, 102) == (found.entries[-1].term, found.entries[-1].index)


def test_restarts_do_not_pile_up_segments() -> None:
    world = new_world()
    world.create(1)
    for turn in range(60):
        world.append(1, entries_from(1 + turn, 1))
        world.sync()
        world.restart(power_loss=turn % 2 == 0)
        world.settle()
        full = world.journal.total_bytes // SMALL.segment_max_bytes
        assert len(world.journal.segments) <= SMALL.small_segments_max_count + 2 * full + 1
    assert 60 == len(world.durable[GroupId(1)].entries)


def test_a_start_that_saves_nothing_makes_no_segment() -> None:
    world = new_world()
    for _ in range(5):
        world.restart()
    assert [segment_name(1)] == world.disk.list_folder("raft")


def test_after_a_failed_sync_nothing_is_ever_written_again() -> None:
    world = new_world()
    world.create(1)
    world.sync()
    world.vote(1, 1)
    world.disk.refuse_next("sync")
    with pytest.raises(StorageFailure, match="input/output error"):
        world.sync()
    written = world.disk.counts["before_write"]
    for action in (world.sync, world.maintain, lambda: world.vote(1, 2), lambda: world.create(2)):
        with pytest.raises(StorageFailure, match="failed before"):
            action()
    world.journal.close()
    assert written == world.disk.counts["before_write"]


@pytest.mark.parametrize("operation", ["write", "rename", "remove"])
def test_a_failure_of_the_housekeeping_ends_the_log_too(operation: str) -> None:
    world = new_world()
    world.create(1)
    world.disk.refuse_next(operation)
    with pytest.raises(StorageFailure, match="input/output error"):
        for term in range(1, 1000):
            world.vote(1, term)
            world.sync()
            world.maintain()
    with pytest.raises(StorageFailure, match="failed before"):
        world.vote(1, 1000)
    world.restart()


def test_what_a_failed_sync_left_in_memory_only_is_written_anew_at_the_next_start() -> None:
    """The pages read well and are marked clean: a second sync would make nothing durable (ATC 2020)."""
    for seed in range(20):
        world = new_world(seed)
        world.create(1)
        world.sync()
        world.vote(1, 5, vote=2)
        world.disk.refuse_next("sync")
        with pytest.raises(StorageFailure):
            world.sync()
        found = world.restart(power_loss=False)
        assert 5 == found[GroupId(1)].hard_state.term
        # Only the log as it was found is durable from here on.
        world.restart(power_loss=True)


def test_a_full_disk_ends_the_log_and_loses_nothing_durable() -> None:
    world = new_world()
    world.create(1)
    world.append(1, entries_from(1, 10))
    world.sync()
    world.disk.capacity_bytes = world.disk.used_bytes + 500
    world.append(1, entries_from(11, 50))
    with pytest.raises(StorageFailure, match="no space"):
        world.sync()
    world.disk.capacity_bytes = 1 << 30
    assert entries_from(1, 10) == world.restart()[GroupId(1)].entries


def test_what_does_not_fit_the_log_is_refused_and_changes_nothing() -> None:
    world = new_world()
    world.create(1)
    world.append(1, entries_from(1, 5))
    world.compact(1, EntryId(1, 3))
    journal, group = world.journal, GroupId(1)
    gap = [entries_from(4, 1)[0], entries_from(6, 1)[0]]
    for wrong in (
        lambda: journal.save_entries(group, entries_from(7, 1)),
        lambda: journal.save_entries(group, entries_from(3, 1)),
        lambda: journal.save_entries(group, gap),
        lambda: journal.save_snapshot_point(group, EntryId(1, 2), THREE, False),
        lambda: journal.create_group(group),
        lambda: journal.save_hard_state(GroupId(2), HardState(1)),
        lambda: journal.drop_group(GroupId(2), LeftMark(HardState(), EntryId(0, 0))),
        lambda: journal.recover(),
        lambda: Journal(world.disk).sync() or Journal(world.disk).save_hard_state(group, HardState(1)),
    ):
        with pytest.raises(Fault):
            wrong()
    world.sync()
    assert entries_from(4, 2) == world.restart()[group].entries
    world.drop(1)
    with pytest.raises(Fault, match="no replica"):
        world.journal.save_hard_state(group, HardState(9))


def test_sizes_that_make_no_sense_are_refused() -> None:
    with pytest.raises(StartRefused):
        JournalSettings(segment_max_bytes=100)
    with pytest.raises(StartRefused):
        replace(SMALL, carry_over_step_bytes=0)


def test_left_overs_of_a_crash_are_cleared_away() -> None:
    world = World(SimDisk(Random(0)))
    world.start()
    world.create(1)
    world.sync()
    world.disk.put(f"raft/{segment_name(2)}.tmp", b"half")
    world.disk.put("raft/meta-snapshot", b"not mine")
    world.restart()
    assert [segment_name(1), segment_name(2), "meta-snapshot"] == world.disk.list_folder("raft")


def test_a_stop_whose_last_sync_fails_leaves_a_log_that_can_be_started() -> None:
    for seed in range(20):
        world = new_world(seed)
        world.create(1)
        world.sync()
        world.disk.refuse_next("sync")
        with pytest.raises(StorageFailure):
            world.journal.close()
        world.restart(power_loss=False)
        world.restart(power_loss=True)
