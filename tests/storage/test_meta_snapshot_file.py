"""The meta group's snapshot on disk: whole, or refused."""

from random import Random

import pytest

from iotdb_cluster.errors import Corruption
from iotdb_cluster.storage.snapshots import META_SNAPSHOT_FILE, MetaSnapshotFile, StoredSnapshot
from iotdb_cluster.types.identity import EntryId
from tests.sim.disk import SimDisk, SimulatedCrash


def test_the_newest_snapshot_is_the_one_that_is_there() -> None:
    disk = SimDisk(Random(0))
    snapshots = MetaSnapshotFile(disk)
    assert None is snapshots.load()
    snapshots.save(EntryId(2, 10), b"old")
    snapshots.save(EntryId(3, 20), b"")
    disk.crash()
    assert StoredSnapshot(EntryId(3, 20), b"") == snapshots.load()


def test_every_flipped_byte_and_every_cut_is_refused() -> None:
    disk = SimDisk(Random(0))
    MetaSnapshotFile(disk).save(EntryId(2, 10), b"a state")
    data = disk.read(META_SNAPSHOT_FILE)
    damaged = [data[:length] for length in range(len(data))] + [data + b"\0"]
    for offset in range(len(data)):
        damaged.append(data[:offset] + bytes([data[offset] ^ 0x40]) + data[offset + 1 :])
    for wrong in damaged:
        disk.put(META_SNAPSHOT_FILE, wrong)
        with pytest.raises(Corruption, match="raft/meta-snapshot, offset"):
            MetaSnapshotFile(disk).load()


def test_a_crash_at_any_step_leaves_the_old_snapshot_or_the_new() -> None:
    old, new = StoredSnapshot(EntryId(1, 1), b"old"), StoredSnapshot(EntryId(1, 2), b"new" * 50)
    seen = set()
    for seed in range(10):
        for at in range(1, 9):
            disk = SimDisk(Random(f"{seed}/{at}"))
            MetaSnapshotFile(disk).save(old.last, old.data)
            disk.crash_at(at)
            with pytest.raises(SimulatedCrash):
                MetaSnapshotFile(disk).save(new.last, new.data)
            disk.crash()
            seen.add(MetaSnapshotFile(disk).load())
    assert {old, new} == seen
