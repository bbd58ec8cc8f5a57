"""A journal on a simulated disk beside the plainest model of what it must remember."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from random import Random

from iotdb_cluster.raft.left_mark import LeftMark
from iotdb_cluster.storage.group_log import RecoveredGroup
from iotdb_cluster.storage.journal import Journal
from iotdb_cluster.storage.settings import JournalSettings
from iotdb_cluster.types.entries import Entry
from iotdb_cluster.types.identity import BEFORE_FIRST, EntryId, GroupId, HardState, NodeId
from iotdb_cluster.types.membership import Membership
from tests.sim.disk import SimDisk

SMALL = JournalSettings(segment_max_bytes=4096, carry_over_step_bytes=4096, small_segments_max_count=3)
THREE = Membership(frozenset({NodeId(1), NodeId(2), NodeId(3)}))

Groups = dict[GroupId, RecoveredGroup]


def entries_from(index: int, count: int, term: int = 1, size: int = 20) -> tuple[Entry, ...]:
    """Entries whose bodies tell them apart."""
    return tuple(Entry(term, i, 1, (b"%d/%d " % (term, i)).ljust(size, b".")) for i in range(index, index + count))


def last_index(group: RecoveredGroup) -> int:
    return group.snapshot.index + len(group.entries)


def last_term(group: RecoveredGroup) -> int:
    return group.entries[-1].term if group.entries else group.snapshot.term


@dataclass
class World:
    """The journal, and what it must say after a crash: `durable`, or `saved` if a sync of that had begun."""

    disk: SimDisk
    settings: JournalSettings = SMALL
    durable: Groups = field(default_factory=dict)
    saved: Groups = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.journal = Journal(self.disk, settings=self.settings)

    def start(self) -> Groups:
        """Recover, check against the model, and go on from what was found."""
        self.journal = Journal(self.disk, settings=self.settings)
        found = self.journal.recover()
        assert found in (self.durable, self.saved)
        self.durable = self.saved = found
        self.journal.check()
        return found

    def crash(self, *, power_loss: bool) -> None:
        self.disk.crash(power_loss=power_loss)

    def restart(self, *, power_loss: bool = True) -> Groups:
        self.crash(power_loss=power_loss)
        return self.start()

    # -- what the journal does, and the model with it ------------------------------------------------------------------

    def create(self, group: int) -> None:
        known = self.saved.get(GroupId(group))
        mark = None if known is None else known.mark
        hard_state = self.journal.create_group(GroupId(group))
        assert hard_state == (HardState() if mark is None else mark.hard_state)
        self._save(group, RecoveredGroup(True, hard_state, BEFORE_FIRST, None, (), mark))

    def drop(self, group: int) -> None:
        old = self.saved[GroupId(group)]
        mark = LeftMark(old.hard_state, EntryId(last_term(old), last_index(old)))
        self.journal.drop_group(GroupId(group), mark)
        self._save(group, RecoveredGroup(False, mark.hard_state, BEFORE_FIRST, None, (), mark))

    def vote(self, group: int, term: int, vote: int | None = None) -> None:
        state = HardState(term, None if vote is None else NodeId(vote))
        self.journal.save_hard_state(GroupId(group), state)
        self._save(group, replace(self.saved[GroupId(group)], hard_state=state))

    def append(self, group: int, entries: Sequence[Entry]) -> None:
        old = self.saved[GroupId(group)]
        self.journal.save_entries(GroupId(group), entries)
        kept = old.entries[: entries[0].index - old.snapshot.index - 1]
        self._save(group, replace(old, entries=(*kept, *entries)))

    def compact(self, group: int, last: EntryId, *, drop_log: bool = False) -> None:
        old = self.saved[GroupId(group)]
        self.journal.save_snapshot_point(GroupId(group), last, THREE, drop_log)
        kept = () if drop_log else tuple(entry for entry in old.entries if entry.index > last.index)
        self._save(group, replace(old, snapshot=last, snapshot_membership=THREE, entries=kept))

    def sync(self) -> None:
        self.journal.sync()
        self.durable = dict(self.saved)

    def maintain(self) -> bool:
        more = self.journal.maintain()
        self.journal.check()
        self.durable = dict(self.saved)
        return more

    def settle(self) -> None:
        """All the housekeeping there is; it must come to an end."""
        for _ in range(10_000):
            if not self.maintain():
                return
        raise AssertionError("housekeeping never ends")

    def _save(self, group: int, state: RecoveredGroup) -> None:
        # What is durable must not change with what is saved only.
        if self.saved is self.durable:
            self.saved = dict(self.durable)
        self.saved[GroupId(group)] = state
        self.journal.check()


def new_world(seed: int = 0, settings: JournalSettings = SMALL) -> World:
    """An empty disk with a journal that was started."""
    world = World(SimDisk(Random(seed)), settings)
    world.start()
    return world
