"""One member: the core, its disk and machine, and the turns in which a runtime would drive them."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from iotdb_cluster.raft.core import Raft
from iotdb_cluster.raft.effects import (
    Accepted,
    Committed,
    Effect,
    ReadConfirmed,
    Refusal,
    Refused,
    Reply,
    Role,
    RoleChanged,
    SaveEntries,
    SaveHardState,
    SaveSnapshotPoint,
    Send,
    SendSnapshot,
)
from iotdb_cluster.raft.events import (
    Compact,
    ContextChanged,
    Event,
    Persisted,
    Propose,
    Received,
    SnapshotInstalled,
    SnapshotSent,
    Tick,
)
from iotdb_cluster.types.entries import EntryKind, Payload
from iotdb_cluster.types.identity import BEFORE_FIRST, LogIndex, NodeId, Term
from tests.sim.group.disk import SimulatedDisk
from tests.sim.group.machine import Image, Machine
from tests.sim.group.network import Call
from tests.sim.group.oracle import Attempt, Read
from tests.sim.invariants.view import Before, Speech, Step

if TYPE_CHECKING:
    from tests.sim.group.world import GroupWorld

_TICK = Tick()


class Batch:
    """The token of a proposal: its attempts, in order (none for a membership change)."""

    __slots__ = ("attempts", "is_refused", "leader")

    def __init__(self, attempts: list[Attempt], leader: NodeId | None = None) -> None:
        self.attempts = attempts
        self.leader = leader
        self.is_refused = False


class SimulatedNode:
    """A process that may be down, paused, or busy with a sync; while it is, what comes waits.

    A turn takes what waits, steps it, sends what need not be durable, writes and syncs once, and only then lets go of
    what stands on that write: the order of the production runtime.
    """

    def __init__(self, world: GroupWorld, node: NodeId, disk: SimulatedDisk, machine: Machine) -> None:
        self.world = world
        self.node = node
        self.disk = disk
        self.machine = machine
        self.raft: Raft | None = None
        self.incarnation = 0
        self.is_paused = False
        self.crashes_in_sync = False
        self.is_hanging = False
        self.context: ContextChanged | None = None
        self._has_left = False
        self._is_busy = False
        self._turn_is_due = False
        self._timer_ms = -1
        self._inbox: deque[Event] = deque()
        self._held: list[Send | Reply] = []
        self._waiting: dict[LogIndex, tuple[Term, Attempt]] = {}

    # ---- life ----

    def start(self, raft: Raft) -> None:
        """Begin a new incarnation with what the disk kept."""
        self.raft = raft
        self._has_left = False
        self.incarnation += 1
        self.is_paused = self._is_busy = self._turn_is_due = self.crashes_in_sync = self.is_hanging = False
        self._timer_ms = -1
        if self.context is not None:
            self.deliver(self.context)
        self._set_timer()

    def crash(self) -> None:
        """Lose everything but the disk, and of that what was not synced."""
        if self.raft is None:
            return
        self._stop()
        self.disk.cut_power(self.world.random_of("disk"))
        self.machine.restart()

    def _stop(self) -> None:
        """Whoever waits for an answer of this member waits in vain."""
        self.raft = None
        tokens = [event.token for event in self._inbox if isinstance(event, Received)]
        tokens += [effect.token for effect in self._held if isinstance(effect, Reply)]
        for token in tokens:
            assert isinstance(token, Call)
            self.world.network.expect_failure(token)
        self._inbox.clear()
        self._held.clear()
        self._waiting.clear()

    def leave(self) -> None:
        """Drop the replica and keep a mark (rule 3.12)."""
        assert self.raft is not None
        mark = self.raft.left_mark
        self._stop()
        self.incarnation += 1
        self.disk.leave(mark)
        self.machine.install(Image(BEFORE_FIRST, None, 0))
        self._has_left = True

    def pause(self) -> None:
        """Stand still as under SIGSTOP."""
        self.is_paused = True

    def resume(self) -> None:
        """Go on with whatever has come meanwhile."""
        self.is_paused = False
        self.wake()

    # ---- turns ----

    @property
    def has_left(self) -> bool:
        """True for a node that dropped its replica and has no new one."""
        return self._has_left

    @property
    def is_slow_to_answer(self) -> bool:
        """True while a call would wait here for an unknown time."""
        return self.is_paused or self._is_busy

    def deliver(self, event: Event) -> None:
        """Something comes in; it is stepped in the next turn."""
        if self.raft is not None:
            self._inbox.append(event)
            self.wake()

    def wake(self) -> None:
        """Take a turn, now or a little later, unless one is under way."""
        if self.raft is None or self._is_busy or self.is_paused or self._turn_is_due:
            return
        delay_ms = self.world.knobs.turn_delay_ms
        if delay_ms:
            self._turn_is_due = True
            self.world.clock.after(delay_ms, self._delayed_turn, self.incarnation)
        else:
            self._turn()

    def _delayed_turn(self, incarnation: int) -> None:
        if incarnation == self.incarnation and self.raft is not None:
            self._turn_is_due = False
            if not self._is_busy and not self.is_paused:
                self._turn()

    def _turn(self) -> None:
        raft, knobs, inbox = self.raft, self.world.knobs, self._inbox
        assert raft is not None
        incarnation = self.incarnation
        while True:
            # What waits is stepped before timers: after a pause it may be a heartbeat.
            batch = [inbox.popleft() for _ in range(min(len(inbox), knobs.turn_max_events))]
            if knobs.steps_together and len(batch) > 1:
                self._step(batch)
            else:
                for event in batch:
                    self._step([event])
            if not inbox and self.world.clock.now_ms >= raft.next_deadline_ms:
                self._step([_TICK])
            self._sync()
            if self._is_busy or self.raft is not raft or self.incarnation != incarnation:
                return
            if not inbox:
                break
        self._tidy(raft)
        self._set_timer()

    def _set_timer(self) -> None:
        raft = self.raft
        if raft is not None and (self._timer_ms < 0 or raft.next_deadline_ms < self._timer_ms):
            self._timer_ms = raft.next_deadline_ms
            self.world.clock.at(self._timer_ms, self._timer, self.incarnation, self._timer_ms)

    def _timer(self, incarnation: int, set_for_ms: int) -> None:
        raft = self.raft
        if raft is None or incarnation != self.incarnation or set_for_ms != self._timer_ms:
            return
        self._timer_ms = -1
        if self.world.clock.now_ms >= raft.next_deadline_ms:
            self.wake()
            if self._is_busy or self.is_paused or self._turn_is_due:
                return  # whoever ends that sets the timer again
        self._set_timer()

    def _sync(self) -> None:
        disk = self.disk
        while self.raft is not None and not self._is_busy:
            if not disk.unsynced and not self._held:
                return
            if disk.unsynced and self.crashes_in_sync:
                self.world.crash(self.node)
                return
            sync_ms = self.world.knobs.sync_ms[self.node] if disk.unsynced else 0
            if sync_ms or self.is_hanging:
                self._is_busy = True
                if not self.is_hanging:
                    self.world.clock.after(sync_ms, self._synced, self.incarnation)
                return
            self._release()

    def _synced(self, incarnation: int) -> None:
        if incarnation != self.incarnation or self.raft is None or not self._is_busy:
            return
        self._is_busy = False
        self._release()
        self._sync()
        if self.raft is not None and not self._is_busy:
            self._timer_ms = -1
            self._set_timer()
            if self._inbox:
                self.wake()

    def hang(self) -> None:
        """From now on a sync does not come back."""
        self.is_hanging = True

    def unhang(self) -> None:
        """The disk works again."""
        self.is_hanging = False
        if self.raft is not None and self._is_busy:
            self._synced(self.incarnation)

    def _release(self) -> None:
        """Everything written is durable: say what waited for that, then step on."""
        has_saved = bool(self.disk.unsynced)
        self.disk.sync()
        self.world.disk_synced(self.node)
        held, self._held = self._held, []
        for effect in held:
            self._speak(effect)
        if has_saved and self.raft is not None:
            self._step([Persisted(self.raft.last_id)])

    # ---- steps and effects ----

    def _step(self, events: list[Event]) -> None:
        raft = self.raft
        if raft is None:
            return
        before = Before(raft)
        effects = raft.step_all(events, self.world.clock.now_ms)
        self.world.note_step(Step(self.node, self.incarnation, before, events, effects, raft))
        for effect in effects:
            self._carry_out(effect)

    def _carry_out(self, effect: Effect) -> None:
        kind = type(effect)
        if kind is Send or kind is Reply:
            assert isinstance(effect, Send | Reply)
            if effect.durable:
                self._held.append(effect)
            else:
                self._speak(effect)
        elif kind is SaveEntries or kind is SaveHardState or kind is SaveSnapshotPoint:
            assert isinstance(effect, SaveEntries | SaveHardState | SaveSnapshotPoint)
            self.disk.write(effect)
        elif isinstance(effect, Committed):
            self._apply(effect)
        elif isinstance(effect, Accepted):
            assert isinstance(effect.token, Batch)
            for attempt, entry_id in zip(effect.token.attempts, effect.ids, strict=False):
                attempt.id = entry_id
                self._waiting[entry_id.index] = (entry_id.term, attempt)
        elif isinstance(effect, ReadConfirmed):
            assert isinstance(effect.token, Read)
            self.world.read_confirmed(self.node, effect.token, effect.index)
        elif isinstance(effect, Refused):
            self._refused(effect)
        elif isinstance(effect, RoleChanged):
            self._role_changed(effect)
        elif isinstance(effect, SendSnapshot):
            self.world.send_snapshot(self, effect.to, effect.at_least)
        else:
            self.world.note_regression(self.node, effect)

    def _speak(self, effect: Send | Reply) -> None:
        world = self.world
        if type(effect) is Send:
            world.note_speech(Speech(self.node, self.incarnation, effect))
            world.network.send(Call(self.node, self.incarnation, effect.to, effect.message, world.clock.now_ms))
        else:
            assert isinstance(effect, Reply)
            call = effect.token
            assert isinstance(call, Call)
            world.note_speech(Speech(self.node, self.incarnation, effect, call.message))
            world.network.answer(call, effect.answer)

    def _apply(self, effect: Committed) -> None:
        for entry in effect.entries:
            if self.machine.apply(entry):
                self.world.note_applied(self.node, entry, self.machine.digest)
            waiting = self._waiting.pop(entry.index, None)
            if waiting is not None and waiting[0] == entry.term:
                self.world.oracle.acked(waiting[1], entry.index)
        if not self.disk.is_founded:
            self.disk.is_founded = True

    def _refused(self, effect: Refused) -> None:
        self.world.oracle.refused += 1
        if isinstance(effect.token, Batch):
            effect.token.is_refused = True
            for attempt in effect.token.attempts:
                assert attempt.id is None
        if effect.reason is Refusal.NOT_LEADER and effect.leader is not None:
            self.world.hint_leader(effect.leader)

    def _role_changed(self, effect: RoleChanged) -> None:
        raft = self.raft
        assert raft is not None
        self.world.role_changed(self.node, effect)
        if effect.role is Role.LEADER and not raft.is_founded and raft.last_id.index == 0:
            membership = raft.membership
            assert membership is not None
            self.deliver(Propose(Batch([]), (Payload(EntryKind.MEMBERSHIP, membership.encode()),)))

    # ---- snapshots ----

    def _tidy(self, raft: Raft) -> None:
        """Take a snapshot now and then, and let the log forget what lies well behind it."""
        every = self.world.knobs.compact_every
        applied = self.machine.applied.index
        if every and applied - self.machine.image.last.index >= every:
            self.take_image()
            self._inbox.append(Compact(applied - self.world.knobs.compact_keep))
            self._turn()

    def take_image(self) -> Image:
        """A durable snapshot of what is applied."""
        raft = self.raft
        assert raft is not None
        return self.machine.take_image(raft.log.membership_at(self.machine.applied.index))

    def install(self, image: Image) -> bool:
        """Take in a snapshot, which may be older than what is here; True when it was looked at."""
        if self.raft is None or self.is_slow_to_answer:
            return False
        if image.last.index > self.machine.applied.index:
            self.machine.install(image)
        assert image.membership is not None
        self._step([SnapshotInstalled(image.last, image.membership)])
        self._sync()
        self._set_timer()
        return True

    def snapshot_sent(self, incarnation: int, event: SnapshotSent) -> None:
        """The answer to a snapshot that this member sent."""
        if incarnation == self.incarnation:
            self.deliver(event)
