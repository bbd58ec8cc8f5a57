"""Records read from segments of which older ones are gone: what is carried over fits in, what is missing is refused."""

import pytest

from iotdb_cluster.errors import MalformedInput
from iotdb_cluster.storage.group_log import SegmentUse
from iotdb_cluster.storage.records import (
    CarriedRecord,
    EntriesRecord,
    GroupBase,
    Record,
    ResetRecord,
    SnapshotPointRecord,
    decode_records,
    encode_record,
)
from iotdb_cluster.storage.replay import Replay
from iotdb_cluster.types.entries import Entry
from iotdb_cluster.types.identity import EntryId, GroupId, HardState
from tests.storage.journal_world import THREE, entries_from

G = GroupId(1)


def replayed(*records: Record) -> tuple[Entry, ...]:
    """The entries of the group after records that stand in one segment each."""
    replay, use = Replay.empty(), SegmentUse()
    for sequence, record in enumerate(records, 1):
        parts: list[bytes] = []
        size = encode_record(record, parts)
        data = b"".join(parts)
        assert size == len(data)
        replay.apply(decode_records(data, 0, size), sequence)
    logs = replay.finish(use)
    use.check(logs[G].check())
    return logs[G].recovered().entries


BASE = GroupBase(hard_state=HardState(9))


def test_carried_entries_go_below_and_between_what_is_there_and_take_nothing_away() -> None:
    found = replayed(
        EntriesRecord(G, entries_from(11, 10)),
        CarriedRecord(G, BASE, entries_from(6, 5)),
        EntriesRecord(G, entries_from(31, 5)),
        CarriedRecord(G, BASE, entries_from(1, 5)),
        CarriedRecord(G, BASE, entries_from(21, 10)),
    )
    assert entries_from(1, 35) == found


def test_a_replaced_suffix_takes_away_carried_entries_too() -> None:
    found = replayed(
        EntriesRecord(G, entries_from(11, 10)),
        CarriedRecord(G, BASE, entries_from(6, 5)),
        EntriesRecord(G, entries_from(8, 1, term=2)),
        CarriedRecord(G, BASE, entries_from(1, 5)),
    )
    assert (*entries_from(1, 7), *entries_from(8, 1, term=2)) == found


def test_a_new_replica_may_have_a_shorter_log_than_the_one_before() -> None:
    found = replayed(
        ResetRecord(G, BASE),
        EntriesRecord(G, entries_from(1, 50)),
        ResetRecord(G, BASE),
        EntriesRecord(G, entries_from(1, 9, term=2)),
        SnapshotPointRecord(G, EntryId(2, 4), THREE, drop_log=False),
    )
    assert entries_from(5, 5, term=2) == found


def test_a_snapshot_that_drops_the_log_may_lie_below_its_end() -> None:
    found = replayed(
        ResetRecord(G, BASE),
        EntriesRecord(G, entries_from(1, 50)),
        SnapshotPointRecord(G, EntryId(2, 10), THREE, drop_log=True),
        EntriesRecord(G, entries_from(11, 9, term=2)),
        SnapshotPointRecord(G, EntryId(2, 15), THREE, drop_log=False),
    )
    assert entries_from(16, 4, term=2) == found


@pytest.mark.parametrize(
    ("records", "fault"),
    [
        ((EntriesRecord(G, entries_from(1, 2)),), "beginning of group 1 is missing"),
        ((CarriedRecord(G, BASE, ()), EntriesRecord(G, entries_from(2, 2))), "entry 1 of group 1 is missing"),
        (
            (ResetRecord(G, BASE), EntriesRecord(G, entries_from(1, 2)), CarriedRecord(G, BASE, entries_from(4, 2))),
            "entry 3 of group 1 is missing",
        ),
        (
            (ResetRecord(G, BASE), EntriesRecord(G, entries_from(1, 1, 2)), EntriesRecord(G, entries_from(2, 1, 1))),
            "entry 2 of group 1 has term 1 behind term 2",
        ),
        (
            (ResetRecord(G, BASE), EntriesRecord(G, entries_from(1, 1, 2)), CarriedRecord(G, BASE, entries_from(1, 1))),
            "carried over as another one",
        ),
    ],
)
def test_a_log_that_is_not_whole_is_refused(records: tuple[Record, ...], fault: str) -> None:
    with pytest.raises(MalformedInput, match=fault):
        replayed(*records)


def test_records_that_nobody_writes_are_refused() -> None:
    parts: list[bytes] = []
    size = encode_record(CarriedRecord(G, GroupBase(membership=THREE), entries_from(1, 2)), parts)
    data = b"".join(parts)
    for end in range(1, size):
        with pytest.raises(MalformedInput):
            list(decode_records(data, 0, end))
    for length in range(size - 4):
        with pytest.raises(MalformedInput):
            list(decode_records(length.to_bytes(4, "big") + data[4:], 0, size))
    with pytest.raises(MalformedInput, match="unknown kind 77"):
        list(decode_records(data[:4] + bytes([77]) + data[5:], 0, size))
