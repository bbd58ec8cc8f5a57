"""Damage: behind the last durable mark it is a torn tail, anywhere else it is refused with file and offset."""

import zlib
from random import Random

import pytest

from iotdb_cluster.errors import Corruption, StartRefused
from iotdb_cluster.storage.journal import Journal
from iotdb_cluster.storage.segment import (
    BATCH_HEADER_BYTES,
    SEGMENT_HEADER_BYTES,
    SegmentEnd,
    SegmentHeader,
    segment_name,
)
from iotdb_cluster.types.identity import EntryId, GroupId
from tests.sim.disk import SimDisk
from tests.storage.journal_world import SMALL, Groups, World, entries_from, last_index, new_world

FIRST = f"raft/{segment_name(1)}"


def recover(disk: SimDisk) -> Groups:
    return Journal(disk, settings=SMALL).recover()


def recover_with(path: str, data: bytes, disk: SimDisk) -> Groups:
    """What a start says when a file of this disk has other content; the disk itself stays as it is."""
    other = disk.copy()
    other.put(path, data)
    return recover(other)


def three_batches() -> tuple[World, list[int], list[Groups]]:
    """A log of three synced batches, where each of them ends, and what it says up to there."""
    world = new_world()
    ends: list[int] = []
    states: list[Groups] = []
    for step in (
        lambda: world.create(5),
        lambda: world.append(5, entries_from(1, 3)),
        lambda: world.vote(5, 2, vote=3),
    ):
        step()
        world.sync()
        ends.append(world.journal.total_bytes)
        states.append(world.durable)
    world.disk.crash()
    return world, ends, states


def test_a_log_cut_at_any_byte_of_its_last_batch_ends_before_it() -> None:
    world, ends, states = three_batches()
    whole = world.disk.read(FIRST)
    assert ends[-1] == len(whole)
    for length in range(ends[1], len(whole)):
        assert states[1] == recover_with(FIRST, whole[:length], world.disk)
    assert states[2] == recover_with(FIRST, whole, world.disk)


def test_a_torn_tail_of_zeros_or_garbage_is_cut_off() -> None:
    world, ends, states = three_batches()
    whole = world.disk.read(FIRST)
    random = Random(1)
    for kept in range(ends[1], len(whole), 7):
        rest = len(whole) - kept
        assert states[1] == recover_with(FIRST, whole[:kept] + bytes(rest), world.disk)
        assert states[1] == recover_with(FIRST, whole[:kept] + random.randbytes(rest), world.disk)
    assert states[2] == recover_with(FIRST, whole + random.randbytes(300), world.disk)


def test_every_flipped_byte_before_the_last_mark_is_refused_and_behind_it_cut() -> None:
    world, ends, states = three_batches()
    whole = world.disk.read(FIRST)
    for offset in range(len(whole)):
        for mask in (0x01, 0x80, 0xFF):
            damaged = bytearray(whole)
            damaged[offset] ^= mask
            if offset >= ends[1]:
                # Nothing was written behind this batch: it cannot be told from one that was never acknowledged.
                assert states[1] == recover_with(FIRST, bytes(damaged), world.disk)
                continue
            with pytest.raises(Corruption) as refused:
                recover_with(FIRST, bytes(damaged), world.disk)
            begin = max(start for start in (0, SEGMENT_HEADER_BYTES, *ends) if start <= offset)
            assert (FIRST, begin) == (refused.value.path, refused.value.offset)


def test_once_the_log_is_quiet_every_flipped_byte_is_refused() -> None:
    world = new_world()
    world.create(5)
    world.append(5, entries_from(1, 3))
    world.sync()
    size = world.journal.total_bytes
    assert not world.maintain() and not world.maintain()
    assert size + BATCH_HEADER_BYTES == world.journal.total_bytes
    world.crash(power_loss=False)
    assert size + BATCH_HEADER_BYTES == world.disk.size(FIRST)
    whole = world.disk.read(FIRST)
    for offset in range(size):
        with pytest.raises(Corruption):
            recover_with(FIRST, flipped(whole, offset), world.disk)
    for offset in range(size, len(whole)):
        assert world.durable == recover_with(FIRST, flipped(whole, offset), world.disk)


def test_a_planned_stop_and_a_start_mark_the_log_too() -> None:
    for stop in (lambda world: world.journal.close(), lambda world: world.restart()):
        world = new_world()
        world.create(5)
        world.append(5, entries_from(1, 3))
        world.sync()
        size = world.disk.size(FIRST)
        stop(world)
        world.disk.crash()
        for offset in range(size):
            with pytest.raises(Corruption):
                recover_with(FIRST, flipped(world.disk.read(FIRST), offset), world.disk)


def test_a_lost_mark_takes_nothing_with_it_and_does_not_accuse_the_tail() -> None:
    """A mark is not synced; a later batch that became durable without it is no proof of what lies between."""
    world = new_world()
    world.create(5)
    world.sync()
    before_mark = world.disk.size(FIRST)
    world.maintain()
    world.maintain()
    world.append(5, entries_from(1, 3))
    world.sync()
    whole = bytearray(world.disk.read(FIRST))
    whole[before_mark : before_mark + BATCH_HEADER_BYTES] = bytes(BATCH_HEADER_BYTES)
    assert () == recover_with(FIRST, bytes(whole), world.disk)[GroupId(5)].entries


def flipped(data: bytes, offset: int) -> bytes:
    return data[:offset] + bytes([data[offset] ^ 0x10]) + data[offset + 1 :]


def test_stale_bytes_of_another_life_are_never_taken_for_new() -> None:
    """The same place, the same length, a valid checksum of its own: only the chain tells."""
    lives: list[bytes] = []
    for term in (1, 2):
        world = new_world()
        world.create(5)
        world.append(5, entries_from(1, 2, term))
        world.sync()
        middle = world.journal.total_bytes
        world.append(5, entries_from(3, 2, term))
        world.sync()
        lives.append(world.disk.read(FIRST))
    assert len(lives[0]) == len(lives[1])
    found = recover_with(FIRST, lives[1][:middle] + lives[0][middle:], world.disk)[GroupId(5)]
    assert entries_from(1, 2, term=2) == found.entries


def test_nothing_is_written_behind_a_tail_that_was_cut_off() -> None:
    world, ends, _ = three_batches()
    whole = world.disk.read(FIRST)
    world.disk.put(FIRST, whole[:-1])
    world.durable = world.saved = recover(world.disk.copy())
    world.start()
    world.vote(5, 9)
    world.sync()
    world.disk.crash()
    assert [segment_name(1), segment_name(2)] == world.disk.list_folder("raft")
    assert ends[1] == world.disk.size(FIRST)
    # Should the old tail come back, the second segment says that it does not belong there.
    with pytest.raises(Corruption, match="continues"):
        recover_with(FIRST, whole, world.disk)


def many_segments() -> World:
    """A log of at least four segments, all of which are needed."""
    world = new_world()
    world.create(5)
    for turn in range(8):
        world.append(5, entries_from(1 + 10 * turn, 10, size=200))
        world.sync()
        world.maintain()
    assert len(world.journal.segments) >= 4
    world.disk.crash()
    return world


def test_an_older_segment_must_be_whole_and_end_where_the_next_begins() -> None:
    world = many_segments()
    path = f"raft/{segment_name(2)}"
    whole = world.disk.read(path)
    assert world.durable == recover(world.disk.copy())
    for data in (whole[:-1], whole[:SEGMENT_HEADER_BYTES], whole + b"\0", flipped(whole, len(whole) - 1), b""):
        with pytest.raises(Corruption, match=segment_name(2)):
            recover_with(path, data, world.disk)


def test_a_segment_that_is_missing_or_in_the_place_of_another_is_refused() -> None:
    world = many_segments()
    missing = world.disk.copy()
    missing.remove(f"raft/{segment_name(2)}")
    with pytest.raises(Corruption, match=f"{segment_name(2)}.*missing"):
        recover(missing)
    first_missing = world.disk.copy()
    first_missing.remove(FIRST)
    with pytest.raises(Corruption, match=f"{segment_name(1)}.*missing"):
        recover(first_missing)
    with pytest.raises(Corruption, match="another's name"):
        recover_with(f"raft/{segment_name(3)}", world.disk.read(f"raft/{segment_name(2)}"), world.disk)


def test_a_segment_of_another_format_says_so() -> None:
    world = new_world()
    header = SegmentHeader(1, SegmentEnd(), 1)
    data = bytearray(header.encode())
    data[11] = 2
    data[-4:] = zlib.crc32(data[:-4]).to_bytes(4, "big")
    with pytest.raises(StartRefused, match="log format 2"):
        recover_with(FIRST, bytes(data), world.disk)


def test_random_flips_in_a_long_log_never_show_wrong_data() -> None:
    world = many_segments()
    names = world.disk.list_folder("raft")
    for seed in range(400):
        disk = world.disk.copy(Random(seed))
        name = names[seed % len(names)]
        disk.flip_somewhere(f"raft/{name}")
        try:
            found = recover(disk)
        except Corruption as refused:
            assert f"raft/{name}" == refused.path
        else:
            group = found[GroupId(5)]
            assert name == names[-1]
            assert group.entries == world.durable[GroupId(5)].entries[: len(group.entries)]
            assert EntryId(0, 0) == group.snapshot and 70 <= last_index(group)
