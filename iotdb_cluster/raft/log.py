"""The log of one group in memory: a snapshot point and the entries behind it."""

from bisect import bisect_right
from collections.abc import Sequence

from iotdb_cluster.errors import LogDiverged
from iotdb_cluster.types.entries import Entry, EntryKind
from iotdb_cluster.types.identity import BEFORE_FIRST, EntryId, LogIndex, Term
from iotdb_cluster.types.membership import Membership

_HEADER_BYTES = 33
"""Of an entry on the wire, beside its body (see `Entry.size_bytes`)."""

_MEMBERSHIP = int(EntryKind.MEMBERSHIP)


class RaftLog:
    """Entries behind a snapshot point, and the memberships they put in force.

    Invariants: indexes follow each other without a gap from `snapshot.index + 1`; terms never fall; `last_id` is the
    last entry's, or the snapshot point's where there is none. Entry objects are shared with whoever stores them.
    """

    __slots__ = ("_entries", "_memberships", "_total_bytes", "last_id", "last_index", "snapshot")

    def __init__(
        self,
        *,
        snapshot: EntryId = BEFORE_FIRST,
        snapshot_membership: Membership | None = None,
        entries: Sequence[Entry] = (),
    ) -> None:
        self.snapshot = snapshot
        self.last_id = snapshot
        self.last_index: LogIndex = snapshot.index
        self._entries: list[Entry] = []
        # _total_bytes[k]: bytes of the first k entries since some forgotten beginning; a slice by bytes is a bisection.
        self._total_bytes: list[int] = [0]
        # (index, membership) in ascending order; the first one is what the snapshot point says, if anything.
        self._memberships: list[tuple[LogIndex, Membership]] = []
        if snapshot_membership is not None:
            self._memberships.append((snapshot.index, snapshot_membership))
        self.append(entries)

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def first_index(self) -> LogIndex:
        """Index of the first entry that is still here (or would be)."""
        return self.snapshot.index + 1

    @property
    def membership(self) -> Membership | None:
        """The newest membership, committed or not: it is in force from the moment it is appended (rule 4.2)."""
        return self._memberships[-1][1] if self._memberships else None

    @property
    def membership_index(self) -> LogIndex:
        """Where the newest membership stands; 0 when there is none."""
        return self._memberships[-1][0] if self._memberships else 0

    @property
    def memberships(self) -> tuple[tuple[LogIndex, Membership], ...]:
        """All memberships that the log knows, oldest first, each with the index where it stands."""
        return tuple(self._memberships)

    def membership_at(self, index: LogIndex) -> Membership | None:
        """The newest membership at or before `index`."""
        for at, membership in reversed(self._memberships):
            if at <= index:
                return membership
        return None

    def term_at(self, index: LogIndex) -> Term | None:
        """The term of the entry at `index` or of the snapshot point; None where the log does not know it."""
        offset = index - self.snapshot.index - 1
        if 0 <= offset < len(self._entries):
            return self._entries[offset].term
        return self.snapshot.term if offset == -1 else None

    def contains(self, entry_id: EntryId) -> bool:
        """True when the entry of this identity is in the log, or is its snapshot point."""
        return self.term_at(entry_id.index) == entry_id.term

    def id_at(self, index: LogIndex) -> EntryId:
        """The identity of an entry that the log knows."""
        term = self.term_at(index)
        if term is None:
            raise LogDiverged(f"entry {index} is asked for, the log holds {self.first_index} to {self.last_index}")
        return EntryId(term, index)

    def entries(self, first: LogIndex, last: LogIndex) -> tuple[Entry, ...]:
        """The entries `first` to `last`, both included; `first` must not be compacted."""
        base = self.snapshot.index + 1
        if first < base:
            raise LogDiverged(f"entry {first} is asked for, the log begins at {base}")
        return tuple(self._entries[first - base : last - base + 1])

    def entries_within(self, first: LogIndex, last: LogIndex, *, max_bytes: int, max_entries: int) -> tuple[Entry, ...]:
        """As `entries`, but at most so many bytes and entries; at least one entry where there is one."""
        start = first - self.snapshot.index - 1
        stop = min(last - self.snapshot.index, start + max_entries)
        totals = self._total_bytes
        if totals[stop] - totals[start] > max_bytes:
            stop = max(start + 1, bisect_right(totals, totals[start] + max_bytes, start + 1, stop) - 1)
        return tuple(self._entries[start:stop])

    def bytes_behind(self, index: LogIndex) -> int:
        """Bytes of all entries behind `index`."""
        return self._total_bytes[-1] - self._total_bytes[max(0, index - self.snapshot.index)]

    def last_index_of_term_at_most(self, term: Term, bound: LogIndex) -> LogIndex:
        """The greatest index <= `bound` whose term is at most `term`; the snapshot point's where no entry has one."""
        entries = self._entries
        low, high = 0, max(0, min(bound, self.last_index) - self.snapshot.index)
        while low < high:
            middle = (low + high) // 2
            if entries[middle].term <= term:
                low = middle + 1
            else:
                high = middle
        return self.snapshot.index + low

    def append(self, entries: Sequence[Entry]) -> None:
        """Put a chain of entries behind the last one."""
        if not entries:
            return
        totals = self._total_bytes
        total = totals[-1]
        for entry in entries:
            total += len(entry.body) + _HEADER_BYTES
            totals.append(total)
            if entry.kind == _MEMBERSHIP:
                self._memberships.append((entry.index, Membership.decode(entry.body)[0]))
        self._entries.extend(entries)
        self.last_id = entries[-1].id
        self.last_index = self.last_id.index

    def truncate_from(self, index: LogIndex) -> None:
        """Forget the entries from `index` on, and the memberships that they put in force."""
        offset = index - self.snapshot.index - 1
        if offset < 0:
            raise LogDiverged(f"entry {index} would be replaced, the log is compacted up to {self.snapshot.index}")
        del self._entries[offset:]
        del self._total_bytes[offset + 1 :]
        while (
            self._memberships and self._memberships[-1][0] >= index and self._memberships[-1][0] > self.snapshot.index
        ):
            self._memberships.pop()
        self.last_id = self._entries[-1].id if self._entries else self.snapshot
        self.last_index = self.last_id.index

    def compact(self, upto: LogIndex) -> None:
        """Forget the entries up to and with `upto`, which becomes the snapshot point."""
        point = self.id_at(upto)
        membership = self.membership_at(upto)
        count = upto - self.snapshot.index
        del self._entries[:count]
        del self._total_bytes[:count]
        self._memberships = [(at, value) for at, value in self._memberships if at > upto]
        if membership is not None:
            self._memberships.insert(0, (upto, membership))
        self.snapshot = point

    def install(self, point: EntryId, membership: Membership) -> bool:
        """Begin at a snapshot from elsewhere; True when the entries had to go, since they do not lead up to it."""
        if self.contains(point):
            self.compact(point.index)
            self._memberships = [
                (point.index, membership),
                *(pair for pair in self._memberships if pair[0] > point.index),
            ]
            return False
        self._entries, self._total_bytes = [], [0]
        self._memberships = [(point.index, membership)]
        self.snapshot = self.last_id = point
        self.last_index = point.index
        return True

    def check(self) -> None:
        """Raise AssertionError unless the invariants of this class hold; costs a walk over the log."""
        previous = self.snapshot
        for entry in self._entries:
            assert entry.index == previous.index + 1, f"{entry.id} follows {previous}"
            assert entry.term >= previous.term, f"{entry.id} follows {previous}"
            previous = entry.id
        assert previous == self.last_id
        assert self.last_index == self.last_id.index
        assert len(self._total_bytes) == len(self._entries) + 1
        positions = [at for at, _ in self._memberships]
        assert positions == sorted(set(positions))
        assert not positions or positions[-1] <= self.last_index
