"""What the journal knows of one group: its base, the entries of its tail, and in which segment each of them stands."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from iotdb_cluster.errors import Fault
from iotdb_cluster.raft.left_mark import LeftMark
from iotdb_cluster.storage.records import (
    CarriedRecord,
    EntriesRecord,
    GroupBase,
    HardStateRecord,
    Record,
    ResetRecord,
    SnapshotPointRecord,
    stored_size,
)
from iotdb_cluster.types.entries import Entry
from iotdb_cluster.types.identity import EntryId, GroupId, HardState, LogIndex
from iotdb_cluster.types.membership import Membership


@dataclass(frozen=True, slots=True)
class RecoveredGroup:
    """A group as it was saved last.

    `present`: a replica is here; where it is False only `mark` is left of the group (rule 3.12). `snapshot_membership`
    is None as long as the log begins at index 1. `entries` follow `snapshot` without a gap.
    """

    present: bool
    hard_state: HardState
    snapshot: EntryId
    snapshot_membership: Membership | None
    entries: tuple[Entry, ...]
    mark: LeftMark | None


@dataclass(slots=True)
class _Run:
    """Entries from `first` up to the next run: they stand in segment `sequence` and take `size` bytes there."""

    first: LogIndex
    sequence: int
    size: int


class SegmentUse:
    """How many bytes of entries in each segment are still needed."""

    def __init__(self) -> None:
        self._needed: dict[int, int] = {}
        self.total = 0

    def add(self, sequence: int, size: int) -> None:
        """Count `size` more bytes, or fewer when negative."""
        self._needed[sequence] = self._needed.get(sequence, 0) + size
        self.total += size

    def of(self, sequence: int) -> int:
        """Bytes of a segment that are needed."""
        return self._needed.get(sequence, 0)

    def forget(self, sequence: int) -> None:
        """A segment is gone; nothing of it was needed."""
        self._needed.pop(sequence, None)

    def check(self, counted: Counter[int]) -> None:
        """Assert that exactly `counted` is needed of the segments."""
        assert counted == Counter({sequence: size for sequence, size in self._needed.items() if size}), self._needed
        assert self.total == counted.total(), (self.total, counted)


class GroupLog:
    """One group's tail in memory, sharing the entries with the Raft core.

    Invariant: `entries` have consecutive indexes from `first_index` on, which is the one behind the snapshot; `_runs`
    cover them in ascending order, and `use` counts exactly their sizes.
    """

    def __init__(self, group: GroupId, use: SegmentUse, base: GroupBase, base_sequence: int) -> None:
        self.group = group
        self.base = base
        self.base_sequence = base_sequence
        """The segment that states the whole base; later ones may change it."""
        self._use = use
        self._entries: list[Entry] = []
        self._runs: list[_Run] = []

    @property
    def first_index(self) -> LogIndex:
        """The index behind the snapshot."""
        return self.base.snapshot.index + 1

    @property
    def last_index(self) -> LogIndex:
        """The index of the last entry, or of the snapshot."""
        return self.base.snapshot.index + len(self._entries)

    def recovered(self) -> RecoveredGroup:
        """The group as a value."""
        base = self.base
        return RecoveredGroup(
            base.present, base.hard_state, base.snapshot, base.membership, tuple(self._entries), base.mark
        )

    def apply(self, record: Record, sequence: int) -> None:
        """Take over a record that goes to segment `sequence`; raises `Fault` for one that does not fit the log."""
        if not self.base.present and not isinstance(record, ResetRecord):
            raise Fault(f"group {self.group} has no replica here and was to save {type(record).__name__}")
        match record:
            case HardStateRecord(_, hard_state):
                self.base = replace(self.base, hard_state=hard_state)
            case EntriesRecord(_, entries):
                self._append(entries, sequence)
            case SnapshotPointRecord(_, last, membership, drop_log):
                if last.index < self.base.snapshot.index:
                    raise Fault(f"group {self.group} was to go back from {self.base.snapshot} to the snapshot {last}")
                self._forget(self.last_index if drop_log else last.index)
                self.base = replace(self.base, snapshot=last, membership=membership)
            case ResetRecord(_, base):
                self._forget(self.last_index)
                self.base, self.base_sequence = base, sequence
            case CarriedRecord():
                raise Fault("what is carried over changes nothing and is not applied")

    def place(self, entries: Sequence[Entry], sequences: Sequence[int]) -> None:
        """Take over entries read from disk, each with its segment; the log is empty before."""
        self._entries = list(entries)
        start = 0
        for sequence, same in groupby(sequences):
            stop = start + len(list(same))
            self._extend(entries[start].index, sequence, stored_size(entries[start:stop]))
            start = stop

    def carry_over(self, oldest: int, newest: int, budget: int) -> CarriedRecord | None:
        """Move about `budget` bytes of what stands in segment `oldest` to `newest`; None when nothing stands there.

        Returns the record that says it again. A single entry above the budget is moved all the same.
        """
        position = next((i for i in reversed(range(len(self._runs))) if self._runs[i].sequence == oldest), None)
        if position is None and self.base_sequence > oldest:
            return None
        self.base_sequence = newest
        if position is None:
            return CarriedRecord(self.group, self.base, ())
        run = self._runs[position]
        stop = self._runs[position + 1].first if position + 1 < len(self._runs) else self.last_index + 1
        start, size = stop, 0
        while start > run.first and (start == stop or size < budget):
            start -= 1
            size += stored_size((self._entries[start - self.first_index],))
        self._use.add(oldest, -size)
        self._use.add(newest, size)
        moved = _Run(start, newest, size)
        run.size -= size
        self._runs[position : position + 1] = [moved] if start == run.first else [run, moved]
        offset = self.first_index
        return CarriedRecord(self.group, self.base, self._entries[start - offset : stop - offset])

    def check(self) -> Counter[int]:
        """Assert the invariants of this class; returns the needed bytes of each segment."""
        counted: Counter[int] = Counter()
        ends = [*(run.first for run in self._runs), self.last_index + 1][1:]
        assert bool(self._runs) == bool(self._entries), self._runs
        assert not self._runs or self._runs[0].first == self.first_index, self._runs
        for position, entry in enumerate(self._entries, self.first_index):
            assert entry.index == position, entry
        for run, end in zip(self._runs, ends, strict=True):
            assert run.first < end, self._runs
            size = stored_size(self._entries[run.first - self.first_index : end - self.first_index])
            assert run.size == size, (run, size)
            counted[run.sequence] += size
        return counted

    def _append(self, entries: Sequence[Entry], sequence: int) -> None:
        if not entries:
            return
        first = entries[0].index
        if not self.first_index <= first <= self.last_index + 1:
            raise Fault(
                f"group {self.group} was to save entry {first} into a log of {self.first_index} to {self.last_index}"
            )
        if entries[-1].index != first + len(entries) - 1:
            raise Fault(f"group {self.group} was to save entries from {first} on with a gap")
        self._truncate(first)
        self._entries += entries
        self._extend(first, sequence, stored_size(entries))

    def _extend(self, first: LogIndex, sequence: int, size: int) -> None:
        if self._runs and self._runs[-1].sequence == sequence:
            self._runs[-1].size += size
        else:
            self._runs.append(_Run(first, sequence, size))
        self._use.add(sequence, size)

    def _truncate(self, index: LogIndex) -> None:
        """Drop the entries from `index` on."""
        if index > self.last_index:
            return
        offset, stop = self.first_index, self.last_index + 1
        while self._runs and self._runs[-1].first >= index:
            stop = self._runs[-1].first
            self._shrink(self._runs.pop(), 0)
        if self._runs:
            run = self._runs[-1]
            self._shrink(run, run.size - stored_size(self._entries[index - offset : stop - offset]))
        del self._entries[index - offset :]

    def _forget(self, upto: LogIndex) -> None:
        """Drop the entries up to and with `upto`; the snapshot point is for the caller to move."""
        count = min(upto, self.last_index) - self.first_index + 1
        if count <= 0:
            return
        kept = self.first_index + count
        while len(self._runs) > 1 and self._runs[1].first <= kept:
            self._shrink(self._runs.pop(0), 0)
        run = self._runs[0]
        dropped = stored_size(self._entries[run.first - self.first_index : count])
        self._shrink(run, run.size - dropped)
        run.first = kept
        del self._entries[:count]
        if not self._entries:
            self._runs.clear()

    def _shrink(self, run: _Run, size: int) -> None:
        self._use.add(run.sequence, size - run.size)
        run.size = size
