"""The turns of a node: in each, its groups are stepped and their effects carried out in order.

A turn takes everything that waits, steps it, sends what need not be durable, writes and syncs once for all groups,
and only then lets go of what stands on that write (DESIGN 3.1, 9). It owns no thread: whoever has one calls `turn`,
one at a time. Where something is said to happen in "the runtime's thread", it happens within a turn.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from iotdb_cluster.errors import UnknownGroup
from iotdb_cluster.members.clock import Clock
from iotdb_cluster.members.gathering import Gathering
from iotdb_cluster.members.waiting import Proposal
from iotdb_cluster.raft.events import Event, Persisted, Propose, ReadIndex, Tick
from iotdb_cluster.storage.journal import Journal
from iotdb_cluster.types.identity import META_GROUP, EntryId, GroupId

TIDY_INTERVAL_MS = 100
IDLE_MS = 1_000
"""How long a runtime without any group may sleep."""


class Steppable(Protocol):
    """A member of a group, as the runtime sees it."""

    group: GroupId

    @property
    def next_deadline_ms(self) -> int:
        """When it wants a `Tick` at the latest."""

    @property
    def gathers_proposals(self) -> bool:
        """True while proposals would only wait in its log for an earlier append call: they may as well wait here."""

    def step_all(self, events: Sequence[Event], now_ms: int) -> None:
        """Step the core and carry its effects out, those that wait for a sync by `Runtime.after_sync`."""

    def after_turn(self, now_ms: int) -> None:
        """Look after what grows: compaction, seals."""


class Runtime:
    """Inbox, groups, and the turn. Only `post`, `propose` and `call_soon` may be called from other threads."""

    def __init__(
        self, *, clock: Clock, journal: Journal, wake: Callable[[], None], turn_max_events: int = 4_096
    ) -> None:
        self._clock = clock
        self.journal = journal
        self._wake = wake
        self._turn_max_events = turn_max_events
        self._inbox: deque[tuple[GroupId, Event] | Callable[[], None]] = deque()
        self._members: dict[GroupId, Steppable] = {}
        self._ordered: tuple[Steppable, ...] = ()
        self._stepped: set[GroupId] = set()
        self._did_work = False
        self._after_sync: list[Callable[[], None]] = []
        self._after_turn: list[Callable[[int], None]] = []
        self._saved: dict[GroupId, EntryId] = {}
        self._tidy_at_ms = 0
        self._gathering = Gathering()

    # -- from any thread ---------------------------------------------------------------------------------------------

    def post(self, group: GroupId, event: Event) -> None:
        """Step `event` in the next turn; nothing happens when the group is gone by then."""
        self._inbox.append((group, event))
        self._wake()

    def propose(self, group: GroupId, proposal: Proposal) -> None:
        """Propose as soon as the group has a use for it, together with whatever else was proposed to it until then."""
        if self._gathering.add(group, proposal):
            self._wake()

    def call_soon(self, work: Callable[[], None]) -> None:
        """Run `work` in the runtime's thread, before the events that are posted after it."""
        self._inbox.append(work)
        self._wake()

    @property
    def backlog(self) -> int:
        """How much waits for the next turn."""
        return len(self._inbox) + self._gathering.is_due

    # -- in the runtime's thread -------------------------------------------------------------------------------------

    def add(self, member: Steppable) -> None:
        """Step this member from now on."""
        self._members[member.group] = member
        self._ordered = tuple(self._members[group] for group in sorted(self._members))

    def remove(self, group: GroupId) -> None:
        """Forget a member; what is still posted to it is dropped."""
        self._members.pop(group, None)
        self._saved.pop(group, None)
        gathered = self._gathering.forget(group)
        if gathered is not None:
            gathered.fail(unknown_group(group))
        self._ordered = tuple(self._members[each] for each in sorted(self._members))

    def members(self) -> tuple[Steppable, ...]:
        """All members, those of the data groups by header and the meta group's."""
        return self._ordered

    def after_turns(self, look: Callable[[int], None]) -> None:
        """Call `look(now_ms)` at the end of every turn from now on."""
        self._after_turn.append(look)

    def after_sync(self, act: Callable[[], None]) -> None:
        """Do this once everything that was saved so far is durable."""
        self._after_sync.append(act)

    def callers_answered(self, group: GroupId, count: int) -> None:
        """So many who had proposed something were answered by one step of the member."""
        self._gathering.answered(group, count, self._clock.now_ms())

    def entries_saved(self, group: GroupId, last: EntryId) -> None:
        """The member saved entries up to `last`; it is stepped `Persisted` after the sync."""
        self._saved[group] = last

    def turn(self) -> int:
        """Do everything that waits; returns the milliseconds until something is due (0: at once).

        Raises a `Fault` when the node must stop; whatever stood on the failed write is then never said.
        """
        now_ms = self._clock.now_ms()
        self._take(now_ms)
        for member in self._ordered:
            if member.next_deadline_ms <= now_ms:
                member.step_all((Tick(),), now_ms)
                self._stepped.add(member.group)
        self._sync(now_ms)
        for member in self._take_stepped():
            member.after_turn(now_ms)
        for look in self._after_turn:
            look(now_ms)
        self._sync(now_ms)
        more_to_do = self._tidy(now_ms)
        now_ms = self._clock.now_ms()
        gathered_until_ms = self._gathering.hold(
            [member.group for member in self._ordered if member.gathers_proposals], now_ms
        )
        if more_to_do or self.backlog:
            return 0
        due_ms = min((member.next_deadline_ms for member in self._ordered), default=now_ms + IDLE_MS)
        if gathered_until_ms is not None:
            due_ms = min(due_ms, gathered_until_ms)
        return max(0, due_ms - now_ms)

    def _take_stepped(self) -> tuple[Steppable, ...]:
        """Members that this turn changed something for; all, when work was done that says nothing of that."""
        if self._did_work:
            self._did_work = False
            self._stepped.clear()
            return self._ordered
        stepped, self._stepped = self._stepped, set()
        return tuple(member for member in self._ordered if member.group in stepped)

    def _tidy(self, now_ms: int) -> bool:
        """Let the log look after its segments now and then; True when it wants to go on at once."""
        if now_ms < self._tidy_at_ms:
            return False
        more_to_do = self.journal.maintain()
        self._tidy_at_ms = now_ms if more_to_do else now_ms + TIDY_INTERVAL_MS
        return more_to_do

    def _take(self, now_ms: int) -> None:
        """Step everything that waits, group by group: what it saves and sends goes out together."""
        events: dict[GroupId, list[Event]] = {}
        self._gathering.take_in()
        for _ in range(min(len(self._inbox), self._turn_max_events)):
            item = self._inbox.popleft()
            if not isinstance(item, tuple):
                item()
                self._did_work = True
                continue
            group, event = item
            events.setdefault(group, []).append(event)
        for group, waiting in events.items():
            member = self._members.get(group)
            if member is not None:
                # A read changes nothing; what is due by time is looked at behind the ticks.
                if not all(type(event) is ReadIndex for event in waiting):
                    self._stepped.add(group)
                member.step_all(waiting, now_ms)
        self._propose(now_ms)

    def _propose(self, now_ms: int) -> None:
        """Step what was proposed, but for groups that gather it still."""
        for group in self._gathering.waiting_groups():
            member = self._members.get(group)
            if member is None:
                self._gathering.take(group, now_ms).fail(unknown_group(group))
                self._gathering.forget(group)
            elif not member.gathers_proposals and not self._gathering.lack(group, now_ms):
                batch = self._gathering.take(group, now_ms)
                self._stepped.add(group)
                member.step_all((Propose(batch, batch.payloads()),), now_ms)

    def _sync(self, now_ms: int) -> None:
        while self.journal.unsynced_bytes or self._after_sync:
            if self.journal.unsynced_bytes:
                self.journal.sync()
            released, self._after_sync = self._after_sync, []
            saved, self._saved = self._saved, {}
            for act in released:
                act()
            for group in sorted(saved):
                member = self._members.get(group)
                if member is not None:
                    member.step_all((Persisted(saved[group]),), now_ms)


def unknown_group(group: GroupId) -> UnknownGroup:
    """The error for a call that names a group of which this node has no member."""
    name = "the meta group" if group == META_GROUP else f"the data group of header {group}"
    return UnknownGroup(f"this node is no member of {name}")
