"""The log of all groups of a node: one sequence of segments, one write and one sync for everything that waits.

DESIGN 3.11: entries, replaced suffixes, terms, votes and snapshot points of all groups stand in the order in which they
were saved. `recover` reads them, `save_...` puts them into a buffer, `sync` makes the buffer durable as one batch, and
`maintain` begins new segments and empties old ones: what is still needed of the oldest is said again in the newest.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TypeVar

import structlog

from iotdb_cluster.errors import Fault, StorageFailure
from iotdb_cluster.raft.left_mark import LeftMark
from iotdb_cluster.storage.group_log import GroupLog, RecoveredGroup
from iotdb_cluster.storage.journal_reader import Recovered, read_journal
from iotdb_cluster.storage.paths import TEMPORARY_SUFFIX
from iotdb_cluster.storage.records import (
    EntriesRecord,
    GroupBase,
    HardStateRecord,
    Record,
    ResetRecord,
    SnapshotPointRecord,
    encode_record,
)
from iotdb_cluster.storage.segment import (
    SEGMENT_HEADER_BYTES,
    SegmentEnd,
    SegmentHeader,
    batch_room,
    seal_batch,
    segment_name,
    sequence_of,
)
from iotdb_cluster.storage.settings import JournalSettings
from iotdb_cluster.types.disk import AppendFile, Disk
from iotdb_cluster.types.entries import Entry
from iotdb_cluster.types.identity import EntryId, GroupId, HardState
from iotdb_cluster.types.membership import Membership

_log = structlog.get_logger(__name__)
_T = TypeVar("_T")
_BASES_BYTES = 1024


class _Writer:
    """The newest segment.

    Invariant: what lies before `durable_to` was synced; only marks lie between that and `end`, except during a sync.
    """

    def __init__(self, header: SegmentHeader, file: AppendFile, end: SegmentEnd) -> None:
        self.header = header
        self.file = file
        self.end = end
        self.durable_to = end.length

    def write(self, data: bytearray, needed_from: int) -> None:
        """Write a batch: room for its header, then records."""
        length = self.end.length
        chain = seal_batch(data, self.header, self.end, durable_to=self.durable_to, needed_from=needed_from)
        self.file.write(data)
        self.end = SegmentEnd(length + len(data), chain)

    def sync(self) -> None:
        """Make everything written durable."""
        self.file.sync()
        self.durable_to = self.end.length


class Journal:
    """The durable log of all groups of a node.

    `recover` comes first, once. After a `StorageFailure` nothing is written any more: every call raises it again, and
    the node has to stop. Not for several threads at once.
    """

    def __init__(self, disk: Disk, folder: str = "raft", settings: JournalSettings | None = None) -> None:
        self._disk = disk
        self._folder = folder
        self._settings = settings or JournalSettings()
        self._recovered: Recovered | None = None
        self._writer: _Writer | None = None
        self._failed = False
        # Records wait behind the room for the header of their batch.
        self._parts: list[bytes] = [batch_room()]
        self._unsynced_bytes = 0
        self._has_mark = True
        self._quiet_at = -1

    def recover(self) -> dict[GroupId, RecoveredGroup]:
        """Read everything, cut off what a crash left half-written, and begin to write behind it.

        Groups that were left come with `present` False and their mark. Raises `Corruption` naming file and offset.
        """
        if self._recovered is not None:
            raise Fault("the log was recovered twice")
        self._guarded(self._read_and_open)
        return {group: log.recovered() for group, log in self._state.groups.items()}

    def save_hard_state(self, group: GroupId, state: HardState) -> None:
        """Term and vote, durable with the next `sync`."""
        self._save(HardStateRecord(group, state))

    def save_entries(self, group: GroupId, entries: Sequence[Entry]) -> None:
        """Entries with consecutive indexes; they replace whatever the log held from the first one's index on."""
        if entries:
            self._save(EntriesRecord(group, entries))

    def save_snapshot_point(self, group: GroupId, last: EntryId, membership: Membership, drop_log: bool) -> None:
        """The log now begins behind `last`; with `drop_log` the entries behind it go, too."""
        self._save(SnapshotPointRecord(group, last, membership, drop_log))

    def create_group(self, group: GroupId) -> HardState:
        """A replica is made, with an empty log; returns its term and vote: those of its mark if it was here before.

        The mark stays (rule 3.12).
        """
        log = self._state.groups.get(group)
        mark = None if log is None else log.base.mark
        if log is not None and log.base.present:
            raise Fault(f"group {group} was made twice")
        base = GroupBase(mark=mark) if mark is None else GroupBase(mark=mark, hard_state=mark.hard_state)
        if log is None:
            self._state.groups[group] = GroupLog(group, self._state.use, base, self._current.header.sequence)
        self._save(ResetRecord(group, base))
        return base.hard_state

    def drop_group(self, group: GroupId, mark: LeftMark) -> None:
        """The replica goes; only `mark` is remembered of it."""
        self._save(ResetRecord(group, GroupBase(present=False, hard_state=mark.hard_state, mark=mark)))

    def mark_of(self, group: GroupId) -> LeftMark | None:
        """What is remembered of an earlier replica of this group, if there was one."""
        log = self._state.groups.get(group)
        return None if log is None else log.base.mark

    def sync(self) -> None:
        """Make everything saved durable, all groups together: one write, one sync. Nothing to do costs nothing."""
        if self._unsynced_bytes or self._failed:
            self._guarded(self._write_batch)

    def maintain(self) -> bool:
        """Do one bounded step of housekeeping, between turns; True when there is more to do at once.

        It begins a new segment where the newest is full, carries over and drops the oldest, or, when nothing was
        written since the last call, marks what is durable. What was saved and not synced is synced first.
        """
        self.sync()
        return self._guarded(self._housekeeping)

    def close(self) -> None:
        """Sync what was saved, mark it durable, and close; after a failure only close."""
        if self._writer is None:
            return
        if not self._failed:
            self.sync()
            self._guarded(self._write_last_mark)
        self._writer.file.close()
        self._failed = True

    def check(self) -> None:
        """Assert the invariants of the bookkeeping; for tests, after every step."""
        counted: Counter[int] = Counter()
        for log in self._state.groups.values():
            counted += log.check()
        self._state.use.check(counted)
        present = {*self._state.older, self._current.header.sequence}
        assert counted.keys() <= present, (counted, present)

    @property
    def unsynced_bytes(self) -> int:
        """Bytes that wait for `sync`."""
        return self._unsynced_bytes

    @property
    def total_bytes(self) -> int:
        """Bytes of all segments on disk."""
        return sum(self._state.older.values()) + self._current.end.length

    @property
    def needed_bytes(self) -> int:
        """Bytes of entries that some group still needs; what `total_bytes` is held against."""
        return self._state.use.total

    @property
    def segments(self) -> tuple[tuple[str, int], ...]:
        """Path and bytes of every segment on disk, oldest first."""
        sizes = {**self._state.older, self._current.header.sequence: self._current.end.length}
        return tuple((self._path(sequence), sizes[sequence]) for sequence in sorted(sizes))

    @property
    def _state(self) -> Recovered:
        if self._recovered is None:
            raise Fault("the log was used before it was recovered")
        return self._recovered

    @property
    def _current(self) -> _Writer:
        if self._writer is None:
            raise Fault("the log was used before it was recovered")
        return self._writer

    def _path(self, sequence: int) -> str:
        return f"{self._folder}/{segment_name(sequence)}"

    def _guarded(self, action: Callable[[], _T]) -> _T:
        """Carry out what touches the disk; once it fails the journal is of no use any more."""
        if self._failed:
            raise StorageFailure("write", self._folder, "the log failed before or is closed")
        # Whatever ends the action half way leaves a file whose content nobody knows.
        self._failed = True
        result = action()
        self._failed = False
        return result

    def _save(self, record: Record) -> None:
        if self._failed:
            raise StorageFailure("save", self._folder, "the log failed before or is closed")
        log = self._state.groups.get(record.group)
        if log is None:
            raise Fault(f"group {record.group} was never made here and was to save {type(record).__name__}")
        log.apply(record, self._current.header.sequence)
        self._unsynced_bytes += encode_record(record, self._parts)

    def _write_batch(self) -> None:
        writer = self._current
        writer.write(bytearray().join(self._parts), self._state.needed_from)
        self._parts = [batch_room()]
        self._unsynced_bytes = 0
        self._has_mark = False
        writer.sync()

    def _read_and_open(self) -> None:
        state = read_journal(self._disk, self._folder)
        for name in self._disk.list_folder(self._folder):
            if name.endswith(TEMPORARY_SUFFIX) and sequence_of(name.removesuffix(TEMPORARY_SUFFIX)) is not None:
                self._disk.remove(f"{self._folder}/{name}")
        self._recovered = state
        newest = state.newest
        if newest is None:
            self._begin_segment(SegmentHeader(1, SegmentEnd(), 1))
            return
        path = self._path(newest.header.sequence)
        if not newest.batches and newest.torn is None:
            self._writer = _Writer(newest.header, self._disk.append(path), newest.end)
            return
        if newest.torn is not None:
            cut_bytes = self._disk.size(path) - newest.end.length
            _log.warning("cut_torn_log", file=path, offset=newest.end.length, cut_bytes=cut_bytes, found=newest.torn)
        # Its end can be read, but perhaps only from memory: an earlier process may have stopped because a sync failed,
        # and another sync of the same pages would say that all is well (ATC 2020). So the segment is written anew.
        self._disk.write_durably(path, self._disk.read(path, 0, newest.end.length))
        # Nothing is ever written where something else may have stood: a new segment begins.
        state.older[newest.header.sequence] = newest.end.length
        self._begin_segment(SegmentHeader(newest.header.sequence + 1, newest.end, state.needed_from))

    def _begin_segment(self, header: SegmentHeader) -> None:
        """Make a segment whose header is durable before it has its name."""
        path, data = self._path(header.sequence), header.encode()
        self._disk.write_durably(path, data)
        self._writer = _Writer(header, self._disk.append(path), SegmentEnd(SEGMENT_HEADER_BYTES, header.checksum))
        self._has_mark = True

    def _housekeeping(self) -> bool:
        writer = self._current
        if writer.end.length >= self._segment_limit:
            if writer.durable_to < writer.end.length:
                writer.sync()  # a mark behind the last batch is not synced, and the next segment counts on every byte
            writer.file.close()
            sequence = writer.header.sequence
            self._state.older[sequence] = writer.end.length
            self._begin_segment(SegmentHeader(sequence + 1, writer.end, self._state.needed_from))
        elif self._oldest_should_go():
            self._carry_over()
        elif not self._has_mark and self._quiet_at == writer.end.length:
            self._write_mark()
        self._quiet_at = self._current.end.length
        return self._oldest_should_go()

    def _write_mark(self) -> None:
        """Say without a sync that everything before it is durable; a mark that is lost takes nothing with it."""
        self._current.write(bytearray(batch_room()), self._state.needed_from)
        self._has_mark = True

    def _write_last_mark(self) -> None:
        if not self._has_mark:
            self._write_mark()
        self._current.sync()

    def _oldest_should_go(self) -> bool:
        """True for an oldest segment that nobody needs, or when there are more bytes or files than is reasonable."""
        state = self._state
        if not state.older:
            return False
        total, limit = self.total_bytes, self._segment_limit
        small_segments = len(state.older) - 2 * (total // limit)
        return (
            state.use.of(min(state.older)) == 0
            or total > 2 * (state.use.total + limit)
            or small_segments > self._settings.small_segments_max_count
        )

    @property
    def _segment_limit(self) -> int:
        """Bytes after which a segment ends: far more than it takes to say the base of every group again."""
        return max(self._settings.segment_max_bytes, _BASES_BYTES * len(self._state.groups))

    def _carry_over(self) -> None:
        """Say again, in the newest segment, a step of what is needed of the oldest; drop that when nothing is left."""
        state = self._state
        oldest, newest = min(state.older), self._current.header.sequence
        budget = self._settings.carry_over_step_bytes
        is_empty = True
        for group in sorted(state.groups):
            while budget > 0 and (record := state.groups[group].carry_over(oldest, newest, budget)) is not None:
                budget -= encode_record(record, self._parts)
            is_empty = is_empty and budget > 0
        if not is_empty:
            self._write_batch()
            return
        # This batch says what was carried over and that the oldest segment does not count any more: both or neither.
        state.needed_from = max(state.needed_from, oldest + 1)
        self._write_batch()
        self._disk.remove(self._path(oldest))
        del state.older[oldest]
        state.use.forget(oldest)
