"""Groups put together again from the records of the segments, oldest first.

Segments go oldest first, and what was still needed of them was carried over into a later one. So while records are read
entries may be missing that a carried record brings later: only at the end each log must be whole.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from iotdb_cluster.errors import MalformedInput
from iotdb_cluster.storage.group_log import GroupLog, SegmentUse
from iotdb_cluster.storage.records import (
    CarriedRecord,
    EntriesRecord,
    GroupBase,
    HardStateRecord,
    Record,
    ResetRecord,
    SnapshotPointRecord,
)
from iotdb_cluster.types.entries import Entry
from iotdb_cluster.types.identity import GroupId, LogIndex


class _GroupReplay:
    """One group while its records are read; `base_sequence` is None until a whole base was read."""

    def __init__(self) -> None:
        self.base = GroupBase()
        self.base_sequence: int | None = None
        # No index in here is below `_first` or above `_last`.
        self._entries: dict[LogIndex, tuple[Entry, int]] = {}
        self._first: LogIndex = 1
        self._last: LogIndex = 0

    def apply(self, record: Record, sequence: int) -> None:
        match record:
            case HardStateRecord(_, hard_state):
                self.base = replace(self.base, hard_state=hard_state)
            case EntriesRecord(_, entries):
                self._replace(list(entries), sequence)
            case SnapshotPointRecord(_, last, membership, drop_log):
                self.base = replace(self.base, snapshot=last, membership=membership)
                self._forget(self._last if drop_log else last.index)
            case ResetRecord(_, base):
                self.base, self.base_sequence = base, sequence
                self._entries, self._first, self._last = {}, 1, 0
            case CarriedRecord(_, base, entries):
                self.base, self.base_sequence = base, sequence
                self._add(list(entries), sequence)

    def finish(self, group: GroupId, use: SegmentUse) -> GroupLog:
        """The group's log; raises `MalformedInput` where something is missing."""
        if self.base_sequence is None:
            raise MalformedInput(f"the beginning of group {group} is missing")
        log = GroupLog(group, use, self.base, self.base_sequence)
        placed = [self._entries[index] for index in sorted(self._entries)]
        term = self.base.snapshot.term
        for expected, (entry, _) in enumerate(placed, log.first_index):
            if entry.index != expected:
                raise MalformedInput(f"entry {expected} of group {group} is missing")
            if entry.term < term:
                raise MalformedInput(f"entry {expected} of group {group} has term {entry.term} behind term {term}")
            term = entry.term
        log.place([entry for entry, _ in placed], [sequence for _, sequence in placed])
        return log

    def _forget(self, upto: LogIndex) -> None:
        if upto >= self._last:
            self._entries, self._first, self._last = {}, upto + 1, upto
            return
        for index in range(self._first, upto + 1):
            self._entries.pop(index, None)
        self._first = max(self._first, upto + 1)

    def _replace(self, entries: list[Entry], sequence: int) -> None:
        if not entries:
            return
        for index in range(entries[0].index, self._last + 1):
            self._entries.pop(index, None)
        self._entries.update({entry.index: (entry, sequence) for entry in entries})
        self._first, self._last = min(self._first, entries[0].index), entries[-1].index

    def _add(self, entries: list[Entry], sequence: int) -> None:
        for entry in entries:
            known = self._entries.get(entry.index)
            if known is not None and known[0] != entry:
                raise MalformedInput(f"entry {entry.index} was carried over as another one")
            # The later segment is the one that stays.
            self._entries[entry.index] = (entry, sequence)
        if entries:
            self._first = min(self._first, entries[0].index)
            self._last = max(self._last, entries[-1].index)


@dataclass(slots=True)
class Replay:
    """All groups while segments are read."""

    _groups: dict[GroupId, _GroupReplay]

    @classmethod
    def empty(cls) -> "Replay":
        """Before the first segment."""
        return cls({})

    def apply(self, records: Iterator[Record], sequence: int) -> None:
        """Take over the records of a batch in segment `sequence`; raises `MalformedInput`."""
        for record in records:
            replay = self._groups.get(record.group)
            if replay is None:
                replay = self._groups[record.group] = _GroupReplay()
            replay.apply(record, sequence)

    def finish(self, use: SegmentUse) -> dict[GroupId, GroupLog]:
        """All groups in ascending order, their needed bytes counted in `use`; raises `MalformedInput`."""
        return {group: self._groups[group].finish(group, use) for group in sorted(self._groups)}
