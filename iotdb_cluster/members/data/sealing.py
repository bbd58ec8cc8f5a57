"""What is done to a data group's store in the background, one job at a time; and the length of its log behind that."""

from collections.abc import Callable
from typing import Protocol

from iotdb_cluster.errors import Fault, OutcomeUnknown, RequestError
from iotdb_cluster.members.clock import Deadline
from iotdb_cluster.members.context import Context
from iotdb_cluster.members.data import snapshots
from iotdb_cluster.members.data.room import DiskRoom
from iotdb_cluster.members.moves.held_slots import HeldSlots
from iotdb_cluster.members.moves.part import MovePart
from iotdb_cluster.members.pending import Pending
from iotdb_cluster.raft.events import Compact, Event
from iotdb_cluster.settings import MIB
from iotdb_cluster.timeseries.jobs import Job
from iotdb_cluster.types.identity import EntryId, LogIndex


class Member(snapshots.Member, Protocol):
    """The member of a data group, as far as its files go."""

    context: Context
    slots: HeldSlots
    moves: MovePart
    room: DiskRoom
    applied: EntryId

    def step(self, event: Event) -> None:
        """Step one event now."""

    async def wait_applied(self, index: LogIndex, deadline: Deadline) -> None:
        """Return once everything up to `index` is applied."""


class Sealing:
    """Seals and compacts the store when it is time to, and shortens the log behind what is sealed. Runtime's thread."""

    def __init__(self, member: Member, sender: snapshots.SnapshotSender) -> None:
        self._member = member
        self._sender = sender
        self.is_fence_up: Callable[[], bool] = lambda: False
        """Whether writers wait behind a fence anywhere: what has time waits, so that the seal they need comes first."""
        self._job: Job | None = None
        self._is_wanted = False
        self._waiters: list[tuple[LogIndex, Pending[None]]] = []
        self._may_compact = True
        """Something came that may be worth a compaction; asking costs a look at every file."""

    @property
    def is_busy(self) -> bool:
        """True while the store is being sealed, compacted or replaced in the background."""
        return self._job is not None

    def after_turn(self) -> None:
        """Begin what is due, if anything."""
        if self._job is not None:
            return
        member = self._member
        settings, store = member.context.settings, member.store
        log_bytes = member.raft.log.bytes_behind(store.covered.index)
        too_long = member.applied.index - store.covered.index >= settings.log_keep_entries
        is_due = too_long or log_bytes >= settings.log_keep_mb * MIB
        if self._is_wanted or is_due or store.wants_seal(has_time=not self.is_fence_up()):
            # Writers may wait for what is wanted while a fence is up: not behind another group's seal, too.
            is_urgent = self._is_wanted and self.is_fence_up()
            self._begin(store.begin_seal(member.applied, self._context_bytes()), is_urgent=is_urgent)
            self._is_wanted = False
        elif self._may_compact and not self.is_fence_up():
            compaction = store.begin_compaction(max(0, member.room.spare_bytes()), self.is_fence_up)
            self._may_compact = compaction is not None
            if compaction is not None:
                self._begin(compaction)

    def want(self) -> None:
        """Seal after this turn, whatever the limits say."""
        self._is_wanted = True

    async def up_to(self, index: LogIndex, deadline: Deadline) -> None:
        """Wait until files hold everything up to `index`; seals for it. Any thread."""
        await self._member.wait_applied(index, deadline)
        sealed: Pending[None] = Pending()

        def ask() -> None:
            if self._member.store.covered.index >= index:
                sealed.resolve(None)
            else:
                self._waiters.append((index, sealed))
                self._is_wanted = True

        self._member.context.runtime.call_soon(ask)
        await sealed.within(deadline, OutcomeUnknown(f"the files did not reach entry {index} in time"))

    def run(self, job: Job, finish: Callable[[], None], *, is_urgent: bool = False) -> None:
        """Run a job in the background, and finish it in the runtime's thread. A fault stops the node there."""
        self._job = job
        runtime = self._member.context.runtime

        def done() -> None:
            self._job = None
            finish()

        def work() -> None:
            try:
                job.run()
            except Fault as fault:
                runtime.call_soon(raiser(fault))
            except RequestError:
                runtime.call_soon(done)  # which raises it again, where it is dealt with
            else:
                runtime.call_soon(done)

        self._member.context.submit(work, is_urgent=is_urgent)

    def _begin(self, job: Job, *, is_urgent: bool = False) -> None:
        self.run(job, lambda: self._finish(job), is_urgent=is_urgent)

    def _finish(self, job: Job) -> None:
        self._may_compact = True
        job.finish()
        self._shorten_log()
        self._sender.sealed(self._member)
        waiters, self._waiters = self._waiters, []
        for index, sealed in waiters:
            if self._member.store.covered.index >= index:
                sealed.resolve(None)
            else:
                self._waiters.append((index, sealed))
                self._is_wanted = True

    def _shorten_log(self) -> None:
        """Forget what the files cover, but keep a part of it for followers that are a little behind.

        For one that is pulling a snapshot more is kept: without the log behind it, it would need the next snapshot.
        """
        member, log = self._member, self._member.raft.log
        settings = member.context.settings
        covered = member.store.covered.index
        keep = settings.log_keep_entries // 2
        upto = min(covered, log.last_index - keep)
        while_bytes = settings.log_keep_mb * MIB // 2
        pulled = self._sender.oldest_under_way(member.group)
        if pulled is not None:
            upto, while_bytes = min(upto, pulled), settings.catch_up_keep_mb * MIB
        if log.bytes_behind(max(upto, log.snapshot.index)) > while_bytes:
            upto = covered
        upto = max(upto, min(covered, member.moves.last_ended_install(member.applied.index)))
        if upto > log.snapshot.index:
            member.step(Compact(upto))

    def _context_bytes(self) -> bytes:
        membership = self._member.raft.log.membership_at(self._member.applied.index)
        assert membership is not None, "a data group has a membership from its founding on"
        return self._member.slots.context(membership)


def raiser(fault: Fault) -> Callable[[], None]:
    """Work for the runtime's thread that stops the node by a fault of another thread."""

    def act() -> None:
        raise fault

    return act
