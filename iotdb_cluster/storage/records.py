"""The records in a batch: what one group saved, one record a call.

A record is `u32 length | u8 kind | i64 group | payload`, everything big-endian; the length counts what follows it.
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum

from iotdb_cluster.errors import MalformedInput
from iotdb_cluster.raft.left_mark import LeftMark
from iotdb_cluster.types.entries import Entry
from iotdb_cluster.types.identity import BEFORE_FIRST, EntryId, GroupId, HardState, NodeId
from iotdb_cluster.types.membership import Membership

_FRAME = struct.Struct(">IBq")
_ENTRY = struct.Struct(">qqBI")
_HARD_STATE = struct.Struct(">q?i")
_ENTRY_ID = struct.Struct(">qq")
_FLAG = struct.Struct(">?")
_SIZE = struct.Struct(">I")
_LENGTH_BYTES = 4
_FRAMED_BYTES = _FRAME.size - _LENGTH_BYTES
ENTRY_OVERHEAD_BYTES = _ENTRY.size
INITIAL_HARD_STATE = HardState()


class RecordKind(IntEnum):
    """The kind byte of a record."""

    HARD_STATE = 1
    ENTRIES = 2
    SNAPSHOT_POINT = 3
    RESET = 4
    CARRIED = 5


@dataclass(frozen=True, slots=True)
class GroupBase:
    """Everything a group must know besides its entries.

    `present`: a replica is here; without one only `mark` means anything. `membership` is the one in force at
    `snapshot`, None while the log begins at index 1.
    """

    present: bool = True
    hard_state: HardState = INITIAL_HARD_STATE
    snapshot: EntryId = BEFORE_FIRST
    membership: Membership | None = None
    mark: LeftMark | None = None


@dataclass(frozen=True, slots=True)
class HardStateRecord:
    """Term and vote from now on."""

    group: GroupId
    hard_state: HardState


@dataclass(frozen=True, slots=True)
class EntriesRecord:
    """Entries that replace whatever the log held from the first one's index on."""

    group: GroupId
    entries: Sequence[Entry]


@dataclass(frozen=True, slots=True)
class SnapshotPointRecord:
    """The log begins behind `last`; with `drop_log` nothing is left behind it either."""

    group: GroupId
    last: EntryId
    membership: Membership
    drop_log: bool


@dataclass(frozen=True, slots=True)
class ResetRecord:
    """A group that begins (a replica is made) or ends (only its mark stays): `base`, and an empty log."""

    group: GroupId
    base: GroupBase


@dataclass(frozen=True, slots=True)
class CarriedRecord:
    """What stood in an old segment, said again: `base` as it is now, and some entries as they are.

    It changes nothing: it is never read as a truncation, and entries of it that are known already stay.
    """

    group: GroupId
    base: GroupBase
    entries: Sequence[Entry]


Record = HardStateRecord | EntriesRecord | SnapshotPointRecord | ResetRecord | CarriedRecord


def stored_size(entries: Sequence[Entry]) -> int:
    """Bytes that entries take in a record."""
    return sum([len(entry.body) for entry in entries]) + ENTRY_OVERHEAD_BYTES * len(entries)


def encode_record(record: Record, parts: list[bytes]) -> int:
    """Append the bytes of a record to `parts`; returns how many. Bodies are not copied."""
    match record:
        case HardStateRecord(group, hard_state):
            return _framed(parts, RecordKind.HARD_STATE, group, _hard_state(hard_state))
        case EntriesRecord(group, entries):
            return _framed(parts, RecordKind.ENTRIES, group, b"", entries)
        case SnapshotPointRecord(group, last, membership, drop_log):
            payload = _FLAG.pack(drop_log) + _entry_id(last) + membership.encode()
            return _framed(parts, RecordKind.SNAPSHOT_POINT, group, payload)
        case ResetRecord(group, base):
            return _framed(parts, RecordKind.RESET, group, _base(base))
        case CarriedRecord(group, base, entries):
            return _framed(parts, RecordKind.CARRIED, group, _base(base), entries)


def _framed(parts: list[bytes], kind: RecordKind, group: GroupId, payload: bytes, entries: Sequence[Entry] = ()) -> int:
    length = _FRAMED_BYTES + len(payload) + stored_size(entries)
    parts.append(_FRAME.pack(length, kind, group))
    if payload:
        parts.append(payload)
    pack = _ENTRY.pack
    for entry in entries:
        body = entry.body
        parts += (pack(entry.term, entry.index, entry.kind, len(body)), body)
    return length + _LENGTH_BYTES


def _hard_state(state: HardState) -> bytes:
    return _HARD_STATE.pack(state.term, state.vote is not None, state.vote or 0)


def _entry_id(entry_id: EntryId) -> bytes:
    return _ENTRY_ID.pack(entry_id.term, entry_id.index)


def _base(base: GroupBase) -> bytes:
    parts = [_FLAG.pack(base.present), _hard_state(base.hard_state), _entry_id(base.snapshot)]
    membership = b"" if base.membership is None else base.membership.encode()
    parts += [_SIZE.pack(len(membership)), membership, _FLAG.pack(base.mark is not None)]
    if base.mark is not None:
        parts += [_hard_state(base.mark.hard_state), _entry_id(base.mark.last)]
    return b"".join(parts)


def decode_records(data: bytes, start: int, end: int) -> Iterator[Record]:
    """The records of a batch; raises `MalformedInput` for a layout that this module does not write."""
    while start < end:
        if start + _FRAME.size > end:
            raise MalformedInput("a record that is cut off")
        length, kind, group = _FRAME.unpack_from(data, start)
        stop = start + _LENGTH_BYTES + length
        if stop > end or length < _FRAMED_BYTES:
            raise MalformedInput(f"a record of {length} bytes in the last {end - start}")
        yield _decode(_Reader(data, start + _FRAME.size, stop), kind, GroupId(group))
        start = stop


class _Reader:
    """Takes values one after the other from the payload of a record."""

    def __init__(self, data: bytes, position: int, end: int) -> None:
        self._data = data
        self._position = position
        self._end = end

    def _take(self, length: int) -> int:
        """Where the next `length` bytes begin."""
        position = self._position
        if position + length > self._end:
            raise MalformedInput("a record that ends too early")
        self._position = position + length
        return position

    def flag(self) -> bool:
        return self._data[self._take(1)] != 0

    def size(self) -> int:
        return int(_SIZE.unpack_from(self._data, self._take(_SIZE.size))[0])

    def hard_state(self) -> HardState:
        term, has_vote, vote = _HARD_STATE.unpack_from(self._data, self._take(_HARD_STATE.size))
        return HardState(term, NodeId(vote) if has_vote else None)

    def entry_id(self) -> EntryId:
        return EntryId(*_ENTRY_ID.unpack_from(self._data, self._take(_ENTRY_ID.size)))

    def membership(self, length: int | None = None) -> Membership:
        """A membership of `length` bytes, or one that takes all that is left."""
        start = self._take(self._end - self._position if length is None else length)
        membership, stop = Membership.decode(self._data, start)
        if stop != self._position:
            raise MalformedInput("bytes behind a membership")
        return membership

    def base(self) -> GroupBase:
        present, hard_state, snapshot = self.flag(), self.hard_state(), self.entry_id()
        length = self.size()
        membership = self.membership(length) if length else None
        mark = LeftMark(self.hard_state(), self.entry_id()) if self.flag() else None
        return GroupBase(present, hard_state, snapshot, membership, mark)

    def entries(self) -> list[Entry]:
        """The entries that take all that is left."""
        data, position, end = self._data, self._position, self._end
        unpack, overhead = _ENTRY.unpack_from, _ENTRY.size
        entries: list[Entry] = []
        while position < end:
            if position + overhead > end:
                raise MalformedInput("an entry that is cut off")
            term, index, kind, length = unpack(data, position)
            start = position + overhead
            position = start + length
            if position > end:
                raise MalformedInput(f"entry {index} with a body of {length} bytes that is cut off")
            entries.append(Entry(term, index, kind, data[start:position]))
        self._position = position
        return entries

    def finish(self) -> None:
        if self._position != self._end:
            raise MalformedInput("bytes behind a record")


def _decode(reader: _Reader, kind: int, group: GroupId) -> Record:
    record: Record
    match kind:
        case RecordKind.HARD_STATE:
            record = HardStateRecord(group, reader.hard_state())
        case RecordKind.ENTRIES:
            record = EntriesRecord(group, reader.entries())
        case RecordKind.SNAPSHOT_POINT:
            drop_log, last = reader.flag(), reader.entry_id()
            record = SnapshotPointRecord(group, last, reader.membership(), drop_log)
        case RecordKind.RESET:
            record = ResetRecord(group, reader.base())
        case RecordKind.CARRIED:
            record = CarriedRecord(group, reader.base(), reader.entries())
        case _:
            raise MalformedInput(f"a record of the unknown kind {kind}")
    reader.finish()
    return record
