"""`check_folder` finds what is wrong with a folder and leaves it as it is."""

from random import Random

from iotdb_cluster.storage.check import Finding, check_folder
from iotdb_cluster.storage.identity import IdentityStore, LocalAddress, Tombstone
from iotdb_cluster.storage.segment import segment_name
from iotdb_cluster.storage.snapshots import META_SNAPSHOT_FILE, MetaSnapshotFile
from iotdb_cluster.types.identity import META_GROUP, EntryId, NodeId
from tests.sim.disk import SimDisk
from tests.storage.journal_world import World, entries_from, new_world


def sound() -> World:
    """A folder with several segments and a meta snapshot that the log stands on."""
    world = new_world()
    store = IdentityStore(world.disk)
    store.create(NodeId(7), LocalAddress("127.0.0.1", 1, 2, 3))
    store.found(bytes(16))
    world.create(META_GROUP)
    for turn in range(6):
        world.append(META_GROUP, entries_from(1 + 10 * turn, 10, size=200))
        world.sync()
        world.maintain()
    MetaSnapshotFile(world.disk).save(EntryId(1, 5), b"state")
    world.compact(META_GROUP, EntryId(1, 5))
    world.journal.close()
    return world


def content_of(disk: SimDisk) -> dict[str, bytes]:
    paths = ["identity", *(f"raft/{name}" for name in disk.list_folder("raft"))]
    return {path: disk.read(path) for path in paths if disk.exists(path)}


def findings_of(disk: SimDisk) -> list[Finding]:
    before = content_of(disk)
    findings = check_folder(disk)
    assert before == content_of(disk)
    return findings


def test_nothing_is_found_where_nothing_is_wrong() -> None:
    assert [] == findings_of(sound().disk)
    assert [] == findings_of(SimDisk(Random(0)))


def test_every_damaged_file_is_named() -> None:
    disk = sound().disk
    paths = ["identity", META_SNAPSHOT_FILE, f"raft/{segment_name(1)}", f"raft/{segment_name(2)}"]
    for path in paths:
        disk.flip(path, disk.size(path) // 2)
    findings = findings_of(disk)
    assert sorted(paths) == [finding.path for finding in findings]
    assert all(finding.is_damage for finding in findings)


def test_a_missing_segment_is_named() -> None:
    disk = sound().disk
    disk.remove(f"raft/{segment_name(2)}")
    (finding,) = findings_of(disk)
    assert f"raft/{segment_name(2)}" == finding.path and "missing" in finding.what


def test_a_torn_tail_is_told_and_is_no_damage() -> None:
    world = sound()
    path = world.journal.segments[-1][0]
    end = world.disk.size(path)
    world.disk.put(path, world.disk.read(path) + b"half a batch")
    (finding,) = findings_of(world.disk)
    assert (path, end, False) == (finding.path, finding.offset, finding.is_damage)


def test_a_log_that_begins_behind_its_snapshot_is_damage() -> None:
    disk = sound().disk
    MetaSnapshotFile(disk).save(EntryId(1, 4), b"older")
    (finding,) = findings_of(disk)
    assert (META_SNAPSHOT_FILE, True) == (finding.path, finding.is_damage) and "begins behind 5" in finding.what
    disk.remove(META_SNAPSHOT_FILE)
    assert [META_SNAPSHOT_FILE] == [finding.path for finding in findings_of(disk)]


def test_identity_and_log_belong_together() -> None:
    disk = sound().disk
    without_identity = disk.copy()
    without_identity.remove("identity")
    assert ["identity"] == [finding.path for finding in findings_of(without_identity)]
    disk.remove_folder("raft")
    (finding,) = findings_of(disk)
    assert "node 7 belongs to a cluster and has no log" == finding.what


def test_a_tombstone_is_told() -> None:
    disk = sound().disk
    store = IdentityStore(disk)
    store.load()
    store.bury(Tombstone("drained", 0, 9))
    assert [Finding("identity", 0, "node 7 was removed: drained", is_damage=False)] == findings_of(disk)
