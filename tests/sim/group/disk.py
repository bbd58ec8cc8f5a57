"""The log store of one member: what is durable, and what was written since the last sync."""

from random import Random

from iotdb_cluster.raft.effects import SaveEntries, SaveHardState, SaveSnapshotPoint
from iotdb_cluster.raft.left_mark import LeftMark
from iotdb_cluster.raft.log import RaftLog
from iotdb_cluster.types.entries import Entry
from iotdb_cluster.types.identity import BEFORE_FIRST, EntryId, HardState
from iotdb_cluster.types.membership import Membership

Save = SaveHardState | SaveEntries | SaveSnapshotPoint


class SimulatedDisk:
    """Writes are kept in order; a sync makes them durable, a crash keeps some of the first, the last in part."""

    def __init__(self, *, snapshot: EntryId = BEFORE_FIRST, membership: Membership | None = None) -> None:
        self.hard_state = HardState()
        self.snapshot = snapshot
        self.membership = membership
        self.entries: list[Entry] = []
        self.mark: LeftMark | None = None
        self.is_founded = False
        self.unsynced: list[Save] = []

    def write(self, save: Save) -> None:
        """Take a write, which is not durable yet."""
        self.unsynced.append(save)

    def sync(self) -> None:
        """Make everything durable that was written so far."""
        for save in self.unsynced:
            self._carry_out(save)
        self.unsynced.clear()

    def cut_power(self, random: Random) -> None:
        """Keep a prefix of what was not synced, and of its last write."""
        kept = random.randint(0, len(self.unsynced))
        for save in self.unsynced[:kept]:
            self._carry_out(save)
        if kept < len(self.unsynced):
            torn = self.unsynced[kept]
            if type(torn) is SaveEntries and len(torn.entries) > 1:
                self._carry_out(SaveEntries(torn.entries[: random.randint(1, len(torn.entries) - 1)]))
        self.unsynced.clear()

    def _carry_out(self, save: Save) -> None:
        if type(save) is SaveEntries:
            del self.entries[save.entries[0].index - self.snapshot.index - 1 :]
            self.entries.extend(save.entries)
        elif type(save) is SaveHardState:
            self.hard_state = save.hard_state
        else:
            assert isinstance(save, SaveSnapshotPoint)
            if save.drop_log:
                self.entries = []
            else:
                del self.entries[: save.last.index - self.snapshot.index]
            self.snapshot, self.membership = save.last, save.membership

    def holds(self, entry_id: EntryId) -> bool:
        """True when the entry is durable here, or behind the snapshot point, or was when this replica was dropped."""
        mark = self.mark
        if mark is not None and entry_id.index <= mark.last.index and entry_id.term <= mark.last.term:
            return True
        offset = entry_id.index - self.snapshot.index - 1
        if offset < 0:
            return True
        return offset < len(self.entries) and self.entries[offset].term == entry_id.term

    def leave(self, mark: LeftMark) -> None:
        """Drop the replica, durably, and keep a mark."""
        self.unsynced.clear()
        self.entries = []
        self.snapshot, self.membership = BEFORE_FIRST, None
        self.hard_state = mark.hard_state
        self.mark = mark

    def read_log(self) -> RaftLog:
        """The log as it is found after a restart."""
        return RaftLog(snapshot=self.snapshot, snapshot_membership=self.membership, entries=self.entries)
