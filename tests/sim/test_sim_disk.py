"""The simulated disk keeps what was synced, loses in all the ways a real one may, and repeats itself from a seed."""

from collections.abc import Callable
from random import Random

import pytest

from iotdb_cluster.errors import MalformedInput, StorageFailure
from iotdb_cluster.types.disk import Disk
from tests.sim.disk import SimDisk, SimulatedCrash


def outcomes(make: Callable[[SimDisk], None], look: Callable[[SimDisk], object], seeds: int = 300) -> set[object]:
    """What is there after a power cut, over many seeds."""
    found = set()
    for seed in range(seeds):
        disk = SimDisk(Random(seed))
        make(disk)
        disk.crash()
        found.add(look(disk))
    return found


def test_it_is_a_disk() -> None:
    disk: Disk = SimDisk(Random(0))
    disk.write_durably("a/b/c", b"x")
    assert (["b"], ["c"], True, False) == (
        disk.list_folder("a"),
        disk.list_folder("a/b"),
        disk.exists("a/b"),
        disk.exists("a/x"),
    )
    assert (b"x", 1, b"x") == (disk.read("a/b/c"), disk.size("a/b/c"), bytes(disk.view("a/b/c")))
    disk.rename("a/b/c", "d")
    disk.remove("a/b/c")
    assert ["d"] == disk.list_folder("")
    with pytest.raises(FileNotFoundError):
        disk.read("a/b/c")
    with pytest.raises(MalformedInput):
        disk.read("../d")


def test_what_was_synced_stays_and_what_was_not_is_lost_in_every_way() -> None:
    def make(disk: SimDisk) -> None:
        file = disk.append("log")
        file.write(b"AA")
        file.sync()
        file.write(b"BB")
        file.write(b"CC")
        assert b"AABBCC" == disk.read("log")

    found = outcomes(make, lambda disk: disk.read("log"))
    assert {b"AA", b"AAB", b"AABB", b"AABBC", b"AABBCC", b"AA\0\0", b"AA\0", b"AAB\0", b"AABB\0\0"} <= found
    assert all(isinstance(content, bytes) and content.startswith(b"AA") and len(content) <= 6 for content in found)
    garbage = {content for content in found if isinstance(content, bytes) and set(content) - set(b"ABC\0")}
    assert garbage and not any(isinstance(content, bytes) and b"CC" in content[:4] for content in found)


def test_a_killed_process_loses_nothing_that_it_wrote() -> None:
    disk = SimDisk(Random(0))
    file = disk.append("log")
    file.write(b"AA")
    disk.crash(power_loss=False)
    assert b"AA" == disk.read("log")
    with pytest.raises(StorageFailure):
        file.write(b"BB")
    disk.crash()
    assert b"AA" == disk.read("log")


def test_a_failed_sync_loses_what_it_was_for_although_the_next_one_succeeds() -> None:
    def make(disk: SimDisk) -> None:
        file = disk.append("log")
        file.write(b"AA")
        disk.refuse_next("sync", "log")
        with pytest.raises(StorageFailure):
            file.sync()
        with pytest.raises(StorageFailure):
            file.sync()
        disk.crash(power_loss=False)
        again = disk.append("log")
        again.write(b"BB")
        again.sync()
        assert b"AABB" == disk.read("log")

    assert {b"\0\0BB", b"A\0BB", b"AABB"} == outcomes(make, lambda disk: disk.read("log"))


def test_a_replaced_file_is_the_old_one_or_the_new_one_at_every_step() -> None:
    steps: list[str] = []
    found: dict[str, set[object]] = {}
    for at in range(1, 9):

        def make(disk: SimDisk, at: int = at) -> None:
            disk.write_durably("file", b"old")
            disk.on_step = lambda name, path: steps.append(name)
            disk.crash_at(at)
            with pytest.raises(SimulatedCrash):
                disk.write_durably("file", b"new")

        seen = outcomes(make, lambda disk: disk.read("file"), seeds=30)
        found[steps[-1]] = seen
    assert {b"old"} == found["before_rename"] == found["after_sync"] == found["before_write"]
    assert {b"old", b"new"} == found["after_rename"] == found["before_sync_folder"]
    assert {b"new"} == found["after_sync_folder"]


def test_a_removal_that_was_not_synced_may_not_have_happened() -> None:
    def make(disk: SimDisk) -> None:
        disk.write_durably("data/a", b"")
        disk.write_durably("data/b", b"")
        disk.crash_at(4)
        with pytest.raises(SimulatedCrash):
            disk.remove_folder("data")

    assert {("a", "b"), ("b",), ()} == outcomes(make, lambda disk: tuple(disk.list_folder("data")))


def test_a_file_is_cut_durably() -> None:
    def make(disk: SimDisk) -> None:
        disk.write_durably("log", b"0123")
        disk.append("log", truncate_to=2).close()

    assert {b"01"} == outcomes(make, lambda disk: disk.read("log"), seeds=20)
    with pytest.raises(StorageFailure):
        SimDisk(Random(0)).append("log", truncate_to=1)


def test_a_full_disk_takes_a_part_and_says_so() -> None:
    disk = SimDisk(Random(3), capacity_bytes=10)
    disk.write_durably("a", b"12345")
    file = disk.append("log")
    assert 5 == disk.free_bytes()
    with pytest.raises(StorageFailure, match="no space"):
        file.write(b"123456")
    assert b"123456".startswith(disk.read("log")) and disk.used_bytes <= 10
    disk.capacity_bytes = 100
    with pytest.raises(StorageFailure, match="failed before"):
        file.write(b"x")


def test_a_sync_takes_the_time_that_its_bytes_need() -> None:
    disk = SimDisk(Random(0))
    told: list[tuple[str, int]] = []
    disk.on_sync = lambda path, count: told.append((path, count))
    file = disk.append("log")
    file.write(b"123")
    file.sync()
    file.sync()
    assert [("log", 3), ("log", 0)] == told
    assert 2 == disk.counts["before_sync"] and 1 == disk.counts["after_write"]


def test_a_flip_is_one_bit_and_a_copy_is_another_disk() -> None:
    disk = SimDisk(Random(0))
    disk.write_durably("a", bytes(8))
    other = disk.copy(Random(1))
    offset = other.flip_somewhere("a")
    assert 1 == other.read("a")[offset].bit_count() == sum(byte.bit_count() for byte in other.read("a"))
    assert bytes(8) == disk.read("a")


def test_the_same_seed_gives_the_same_disk() -> None:
    def run(seed: int) -> list[bytes]:
        disk, states = SimDisk(Random(seed)), []
        for _ in range(20):
            file = disk.append("log")
            for number in range(5):
                file.write(bytes([number]) * 10)
            disk.crash()
            states.append(disk.read("log"))
        return states

    assert run(5) == run(5)
    assert run(5) != run(6)
