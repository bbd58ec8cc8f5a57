"""A member of a data group: its log applied to a store of time series."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import cast

import structlog

from iotdb_cluster.errors import (
    Busy,
    Fault,
    NoLeader,
    OutcomeUnknown,
    PathNotFound,
    RequestError,
    SlotMoving,
    StorageGroupUnknown,
    UnknownGroup,
    ValueRefused,
)
from iotdb_cluster.members.clock import Deadline
from iotdb_cluster.members.context import Context
from iotdb_cluster.members.data.offered_files import Offer
from iotdb_cluster.members.data.planning import CLOSE_FILE, Planner, Prepared
from iotdb_cluster.members.data.readers import Readers
from iotdb_cluster.members.data.room import DiskRoom
from iotdb_cluster.members.data.snapshots import SnapshotReceiver, SnapshotSender, file_snapshots
from iotdb_cluster.members.moves.codec import GroupDeed, install_in, read_deed
from iotdb_cluster.members.moves.held_slots import HeldSlots, not_served, slots_in
from iotdb_cluster.members.pending import Pending
from iotdb_cluster.members.raft_member import RaftMember
from iotdb_cluster.members.waiting import NotLeader, Outcome, Proposal
from iotdb_cluster.partition.moves import DROPPED_AFTER, LAST_RANK, RANK, Deed, GroupSlots, Move
from iotdb_cluster.partition.slots import SLOT_COUNT, slot_of
from iotdb_cluster.raft.core import Raft
from iotdb_cluster.raft.events import Compact, Event, Received, SnapshotInstalled
from iotdb_cluster.raft.messages import AppendRequest
from iotdb_cluster.timeseries.jobs import Job
from iotdb_cluster.timeseries.manifest import Manifest
from iotdb_cluster.timeseries.move_content import MoveContent
from iotdb_cluster.timeseries.snapshots import StoreSnapshot
from iotdb_cluster.timeseries.store import GroupStore
from iotdb_cluster.types.entries import Entry, EntryKind
from iotdb_cluster.types.identity import GroupId, LogIndex, Node, NodeId, Slot, Term
from iotdb_cluster.types.membership import Membership
from iotdb_cluster.types.plans import Plan
from iotdb_cluster.wire.entries import decode_close_file
from iotdb_cluster.wire.plans import decode_plan, target_of
from iotdb_cluster.wire.snapshots import encode_file_snapshot

log = structlog.get_logger()

MIB = 1024 * 1024

_MAYBE_BEHIND = (StorageGroupUnknown, PathNotFound, ValueRefused)
"""Refusals of a plan that may only mean that this member has not applied everything yet."""


class DataGroupMember(RaftMember):
    """Proposes plans, applies them to `store`, seals it, and shortens the log behind what is sealed."""

    def __init__(
        self,
        context: Context,
        header: Node,
        raft: Raft,
        store: GroupStore,
        storage_group_of: Callable[[str], str | None],
        meta_catch_up: Callable[[Deadline], Awaitable[None]],
        sender: SnapshotSender,
        receiver: SnapshotReceiver,
        readers: Readers,
        founding_slots: Sequence[Slot] = range(SLOT_COUNT),
    ) -> None:
        super().__init__(context, GroupId(header.identifier), header, raft)
        self.store = store
        self.slots = HeldSlots(founding_slots, store.has_storage_group, store.storage_groups)
        if store.context:
            self.slots.restore(store.context)
        self.install_wanted: Callable[[GroupDeed], None] = lambda deed: None
        """Told of an install entry whose files are not here yet."""
        self.is_fence_up: Callable[[], bool] = lambda: False
        """Whether writers wait behind a fence anywhere: what has time waits, so that the seal they need comes first."""
        self.applied = max(self.applied, store.covered)
        self._planner = Planner(
            device_schema=store.device_schema,
            holds_storage_group=store.has_storage_group,
            matches=lambda pattern: bool(store.series(pattern)),
            storage_group_of=storage_group_of,
            auto_create=context.settings.enable_auto_create_schema,
            has_taken=store.has_taken,
        )
        self._storage_group_of = storage_group_of
        self._meta_catch_up = meta_catch_up
        self._sender = sender
        self._receiver = receiver
        self._readers = readers
        self._job: Job | None = None
        self._fences: dict[int, LogIndex] = {}
        """Where the fences stand in the log that were applied since the start, by move."""
        self._seal_wanted = False
        self._seal_waiters: list[tuple[LogIndex, Pending[None]]] = []
        self._move_offers: dict[int, list[Offer]] = {}
        self._may_compact = True
        """Something came that may be worth a compaction; asking costs a look at every file."""
        self.room = DiskRoom(context, self.group)

    @property
    def leader(self) -> NodeId | None:
        """Who is thought to lead."""
        return self.raft.leader

    @property
    def is_busy(self) -> bool:
        """True while the store is being sealed, compacted or replaced in the background."""
        return self._job is not None

    # -- plans -------------------------------------------------------------------------------------------------------

    async def execute(self, plans: Sequence[bytes], deadline: Deadline) -> list[Outcome]:
        """Propose plans here, each behind the entries it needs, and return an outcome for each.

        Raises `NotLeader` when this member does not lead, `OutcomeUnknown` when they were not applied in time.
        """
        moving = self._moving(plans)
        if moving:
            served = [data for position, data in enumerate(plans) if position not in moving]
            found = iter(await self.execute(served, deadline) if served else [])
            return [moving[position] if position in moving else next(found) for position in range(len(plans))]
        prepared = self._planner.prepare(plans, self.room.refusal(self.raft))
        if any(isinstance(position, _MAYBE_BEHIND) for position in prepared.own):
            # This member may be behind: the node that routed the plan may know the storage group already, and a new
            # leader may not have applied everything that was acknowledged. Level with both logs, it is judged again.
            await self._level_with_meta_group(deadline)
            await self.wait_applied(await self.local_read_index(deadline), deadline)
            if self._moving(plans):
                return await self.execute(plans, deadline)  # what is not here was moved away, and is not missing
            prepared = self._planner.prepare(plans, self.room.refusal(self.raft))
        if not prepared.payloads:
            return [position for position in prepared.own if not isinstance(position, int)]
        outcomes = await self._proposed(prepared, deadline)
        return [outcomes[position] if isinstance(position, int) else position for position in prepared.own]

    async def _proposed(self, prepared: Prepared, deadline: Deadline) -> list[Outcome]:
        """The outcomes of payloads; storage groups are made and deleted here as the meta group has it, in its order.

        Whoever deletes one lets the meta group forget it first. That is applied here before the entry that deletes is
        proposed, and an entry that makes one is proposed only while it is not: so none comes behind the other's back. A
        leader of an earlier term can't append any more, one of a later term asks the meta group anew.
        """
        term = self.raft.term
        if prepared.opened or prepared.drops:
            await self._level_with_meta_group(deadline)
        if not prepared.opened:
            return await self.propose(prepared.payloads, deadline, prepared.plans)
        proposal = Proposal(tuple(prepared.payloads), tuple(prepared.plans))
        self.context.runtime.call_soon(lambda: self._propose_opening(prepared.opened, term, proposal))
        return await self.outcomes_of(proposal, deadline)

    def _propose_opening(self, opened: Iterable[str], term: Term, proposal: Proposal) -> None:
        gone = sorted(path for path in opened if self._storage_group_of(path) != path)
        if gone or not self.raft.is_leader or self.raft.term != term:
            why = f"{gone[0]} is no storage group any more" if gone else "this member does not lead the group any more"
            proposal.pending.fail(NotLeader(f"{why}; nothing was entered", self.raft.leader))
        else:
            self.context.runtime.propose(self.group, proposal)

    async def _level_with_meta_group(self, deadline: Deadline) -> None:
        try:
            await self._meta_catch_up(deadline)
        except OutcomeUnknown as late:
            raise NoLeader(f"what the meta group has agreed on was not known here in time: {late.message}") from late

    def _moving(self, plans: Sequence[bytes]) -> dict[int, SlotMoving]:
        """By position the plans that have to wait for a move: whoever meets a fence is told without an entry.

        That is no more than a short way: what counts is judged where the entry is applied.
        """
        if self.slots.is_untouched:
            return {}
        states = self.slots.states  # the same for all: of two rows of a series, the later one alone may not be taken
        found = ((position, self._refusal(data, states)) for position, data in enumerate(plans))
        return {position: refusal for position, refusal in found if refusal is not None}

    def _refusal(self, data: bytes, states: GroupSlots) -> SlotMoving | None:
        if data[:1] == CLOSE_FILE:
            return None
        try:
            _, path = target_of(data)
        except RequestError:
            return None  # it is refused for that when it is prepared
        storage_group = self._storage_group_of(path)
        if storage_group is None or states.state_of(slot_of(storage_group)).is_serving:
            return None
        return not_served(storage_group, f"the data group of header {self.group}")

    def step_all(self, events: Sequence[Event], now_ms: int) -> None:
        """As any member; but entries are taken only where there is room, and an install where its files are durable."""
        super().step_all([event for event in events if not self._is_refused(event)], now_ms)

    def _is_refused(self, event: Event) -> bool:
        if not isinstance(event, Received) or not isinstance(event.message, AppendRequest):
            return False
        refusal = self.room.refuses(event.message) or self._lacks_files(event.message)
        if refusal is None:
            return False
        assert isinstance(event.token, Pending)
        event.token.fail(refusal)
        return True

    def _lacks_files(self, request: AppendRequest) -> RequestError | None:
        """Why entries are not taken with which files have to be durable here (DESIGN 5.4), if so."""
        for entry in request.entries:
            if not install_in(entry.kind, entry.body) or entry.index <= self.raft.commit_index:
                continue
            if self.raft.log.contains(entry.id):
                continue
            try:
                deed = read_deed(entry.body)
                content = MoveContent.decode(deed.content)
            except RequestError as refusal:
                return refusal  # no leader of this project sends that
            if not self.store.staging(deed.move).is_complete(content):
                self.install_wanted(deed)
                return Busy(f"the files of move {deed.move} are not here yet")
        return None

    def apply_entry(self, entry: Entry) -> Outcome:
        if entry.index <= self.store.covered.index:
            return None  # replayed: the files hold it
        try:
            if entry.kind == EntryKind.PHYSICAL_PLAN:
                known = self._waiting.plan_of(entry)
                plan = decode_plan(entry.body) if known is None else cast(Plan, known)
                try:
                    self.slots.check(plan)
                except RequestError:
                    self.store.pass_over(entry.id)
                    raise
                self.store.apply(entry.id, plan)
            elif entry.kind == EntryKind.MOVE_STEP:
                self._apply_deed(entry)
            elif entry.kind == EntryKind.CLOSE_FILE:
                self.store.close_file(entry.id, decode_close_file(entry.body).storage_group)
            else:
                self.store.pass_over(entry.id)
        except RequestError as outcome:
            return outcome
        return None

    def _apply_deed(self, entry: Entry) -> None:
        self.store.pass_over(entry.id)
        deed = read_deed(entry.body)
        if deed.deed is Deed.INSTALL:
            content = MoveContent.decode(deed.content)
        before = self.slots.in_slots(deed.slots)
        self._note_fence(entry.index, deed, has_content=bool(before))
        changed = self.slots.apply(deed)
        log.info("move_step", group=self.group, deed=deed.deed.value, move=deed.move, slots=len(changed))
        if deed.deed is Deed.INSTALL and changed:
            moved = [each for each in content.storage_groups if slot_of(each.path) in set(changed)]
            self.store.install_move(entry.id, deed.move, replace(content, storage_groups=tuple(moved)))
        if deed.deed in DROPPED_AFTER:
            gone = [path for path in before if slot_of(path) in set(changed)]
            self.store.release_storage_groups(entry.id, gone)
        if deed.deed in (Deed.OPEN, Deed.DISCARD):
            self.store.end_move(entry.id, deed.move)
        for offer in self._move_offers.pop(deed.move, ()) if RANK[deed.deed] == LAST_RANK else ():
            self._sender.withdraw(offer)

    def end_move_if_over(self, move: int) -> None:
        """Let go of what was pulled for a move that the meta log has forgotten, unless its end is still to be applied.

        Runtime's thread.
        """
        content = None if self.is_closed else self.store.staging(move).content()
        if content is None:
            return
        slots = [slot_of(group.path) for group in content.storage_groups]
        if all(self.slots.states.state_of(slot).rank >= (move, LAST_RANK) for slot in slots):
            self.store.end_move(self.applied, move)

    def _note_fence(self, index: LogIndex, deed: GroupDeed, *, has_content: bool) -> None:
        """Remember where a fence stands. The leader, who is asked first, seals at once: writers wait for the copy."""
        if deed.deed is Deed.FENCE:
            self._fences.setdefault(deed.move, index)
            self._seal_wanted = self._seal_wanted or (has_content and self.raft.is_leader)
        else:
            self._fences.pop(deed.move, None)

    def fence_index(self, move: int) -> LogIndex:
        """Up to where files must reach to hold all that came before the fence of a move, which is applied here."""
        # One that was not applied since the start is in the files.
        return self._fences.get(move, self.store.covered.index)

    # -- reads -------------------------------------------------------------------------------------------------------

    async def catch_up(self, deadline: Deadline, consistency: str | None = None) -> None:
        """Make a local read as fresh as `consistency` says: `strong` linearizable, `mid` lags a little, `weak` may."""
        level = consistency or self.context.settings.read_consistency
        if not self.raft.has_heard_leader:
            # After a start a node serves nothing of a group before it heard of a leader there (DESIGN 3, "Starts").
            level = "strong"
        if level == "weak":
            return
        if level == "mid":
            lag = self.raft.known_commit_index - self.applied.index
            if lag <= self.context.settings.mid_lag_max_entries:
                return
        await self.wait_applied(await self.read_index(deadline), deadline)

    # -- sealing and the length of the log ---------------------------------------------------------------------------

    def after_turn(self, now_ms: int) -> None:
        self._tell_of_room(now_ms)
        if self._job is not None:
            return
        settings = self.context.settings
        log_bytes = self.raft.log.bytes_behind(self.store.covered.index)
        too_long = self.applied.index - self.store.covered.index >= settings.log_keep_entries
        is_due = too_long or log_bytes >= settings.log_keep_mb * MIB
        if self._seal_wanted or is_due or self.store.wants_seal(has_time=not self.is_fence_up()):
            self._begin(self.store.begin_seal(self.applied, self._context_bytes()))
            self._seal_wanted = False
        elif self._may_compact and not self.is_fence_up():
            compaction = self.store.begin_compaction(max(0, self.room.spare_bytes()), self.is_fence_up)
            self._may_compact = compaction is not None
            if compaction is not None:
                self._begin(compaction)

    def _tell_of_room(self, now_ms: int) -> None:
        leader = self.raft.leader
        if leader is not None and self.header is not None:
            self.room.tell(self.context.directory.find(leader), self.header, now_ms)

    def seal_soon(self) -> None:
        """Seal after this turn, whatever the limits say."""
        self.context.runtime.call_soon(self._want_seal)

    def _want_seal(self) -> None:
        self._seal_wanted = True

    def _begin(self, job: Job) -> None:
        self._job = job

        self.context.submit(lambda: self._run(job, lambda: self._finish(job)))

    def _run(self, job: Job, finish: Callable[[], None]) -> None:
        """In the background: run a job, and finish it in the runtime's thread. A fault stops the node there."""
        try:
            job.run()
        except Fault as fault:
            self.context.runtime.call_soon(raiser(fault))
        except RequestError:
            self.context.runtime.call_soon(finish)  # which raises it again, where it is dealt with
        else:
            self.context.runtime.call_soon(finish)

    def _finish(self, job: Job) -> None:
        self._job = None
        self._may_compact = True
        job.finish()
        self._shorten_log()
        self._sender.sealed(self)
        waiters, self._seal_waiters = self._seal_waiters, []
        for index, sealed in waiters:
            if self.store.covered.index >= index:
                sealed.resolve(None)
            else:
                self._seal_waiters.append((index, sealed))
                self._seal_wanted = True

    def _shorten_log(self) -> None:
        """Forget what the files cover, but keep a part of it for followers that are a little behind.

        For one that is pulling a snapshot more is kept: without the log behind it, it would need the next snapshot.
        """
        settings = self.context.settings
        covered = self.store.covered.index
        keep = settings.log_keep_entries // 2
        upto = min(covered, self.raft.log.last_index - keep)
        while_bytes = settings.log_keep_mb * MIB // 2
        pulled = self._sender.oldest_under_way(self.group)
        if pulled is not None:
            upto, while_bytes = min(upto, pulled), settings.catch_up_keep_mb * MIB
        if self.raft.log.bytes_behind(max(upto, self.raft.log.snapshot.index)) > while_bytes:
            upto = covered
        upto = max(upto, min(covered, self._last_ended_install()))
        if upto > self.raft.log.snapshot.index:
            self.step(Compact(upto))

    def _last_ended_install(self) -> LogIndex:
        """The last install entry in the log whose move is over.

        Its files may be gone everywhere but in the stores: who has not got it yet needs a snapshot from behind it.
        """
        states, last = self.slots.states, 0
        if self.slots.is_untouched:
            return last
        for entry in self.raft.log.entries(self.raft.log.snapshot.index + 1, self.applied.index):
            if install_in(entry.kind, entry.body):
                deed = read_deed(entry.body)
                if all(states.state_of(slot).rank > (deed.move, 1) for slot in deed.slots):
                    last = entry.index
        return last

    def _context_bytes(self) -> bytes:
        membership = self.raft.log.membership_at(self.applied.index)
        assert membership is not None, "a data group has a membership from its founding on"
        return self.slots.context(membership)

    # -- snapshots ---------------------------------------------------------------------------------------------------

    def send_snapshot(self, to: Node, at_least: LogIndex) -> None:
        self._sender.send(self, to, at_least)

    async def receive_snapshot(self, data: bytes, *, is_from_node: bool) -> None:
        """Pull and install a snapshot that reaches further than the local commit index; answered when durable."""
        await self._receiver.receive(self, data, is_from_node=is_from_node)

    def offer_move(self, move: Move, snapshot: StoreSnapshot) -> None:
        """Let the files of a move be read until it is over: nobody needs them here any more then. Any thread.

        Raises `Busy` when it has ended meanwhile.
        """
        offer = self._sender.offer(self, snapshot)
        self._move_offers.setdefault(move.number, []).append(offer)
        if self.slots.states.lowest_rank(move) >= (move.number, LAST_RANK):
            self._sender.withdraw(offer)
            raise Busy(f"move {move.number} is over")

    def offer_paths(self, paths: Sequence[str]) -> None:
        """Let files be read that nothing but a move keeps."""
        self._sender.offer_paths(paths)

    def begin_install(self, manifest: Manifest, staged: Mapping[str, str], installed: Pending[None]) -> None:
        """Put a snapshot into the place of the store's content; `installed` is settled when that is durable.

        Meanwhile nothing is applied: the member is held back, and its peers wait for their answers.
        """
        if self.is_closed:
            installed.fail(UnknownGroup("this node left the group"))
            return
        if manifest.covered.index <= self.raft.commit_index:
            installed.resolve(None)
            return
        try:
            slots_in(manifest.context)
        except RequestError as refusal:
            installed.fail(refusal)
            return
        if self._job is not None:
            installed.fail(Busy("the store is being sealed or compacted: send the snapshot again"))
            return
        self._job = job = self.store.begin_install(manifest, staged)
        self.hold_back()
        self.context.submit(lambda: self._run(job, lambda: self._finish_install(job, manifest, installed)))

    def _finish_install(self, job: Job, manifest: Manifest, installed: Pending[None]) -> None:
        self._job = None
        try:
            job.finish()
        except RequestError as refusal:
            self.go_on()
            installed.fail(refusal)
            return
        membership, _ = Membership.decode(manifest.context)
        self.slots.restore(manifest.context)
        self._readers.drop_group(self.group)
        self.snapshot_installed(manifest.covered)
        held, self._held_back = self._held_back or [], None
        self.step(SnapshotInstalled(manifest.covered, membership))
        self.step_all(held, self.context.clock.now_ms())
        log.info("snapshot_installed", group=self.group, index=manifest.covered.index)
        self.context.runtime.after_sync(lambda: _resolve(installed))

    async def slots_snapshot(self, slots: Sequence[int], deadline: Deadline) -> dict[int, bytes]:
        """For each of these slots that the group holds, its series and files, sealed now (`pullSnapshot`)."""
        await self.sealed_up_to(await self.local_read_index(deadline), deadline)
        wanted = [path for path in self.store.storage_groups() if slot_of(path) in slots]
        snapshot = self.store.snapshot(wanted)
        self._sender.offer(self, snapshot)
        return {slot: encode_file_snapshot(found) for slot, found in file_snapshots(snapshot, self.context.me)}

    async def offered_store(self, at_least: LogIndex, deadline: Deadline) -> bytes:
        """A snapshot of everything here, up to `at_least` or further, whose files may be read for a while."""
        await self.sealed_up_to(at_least, deadline)
        snapshot = self.store.snapshot()
        self._sender.offer(self, snapshot)
        return self._sender.encoded(snapshot)

    async def sealed_up_to(self, index: LogIndex, deadline: Deadline) -> None:
        """Wait until files hold everything up to `index`; seals for it."""
        await self.wait_applied(index, deadline)
        sealed: Pending[None] = Pending()

        def ask() -> None:
            if self.store.covered.index >= index:
                sealed.resolve(None)
            else:
                self._seal_waiters.append((index, sealed))
                self._seal_wanted = True

        self.context.runtime.call_soon(ask)
        await sealed.within(deadline, OutcomeUnknown(f"the files did not reach entry {index} in time"))


def raiser(fault: Fault) -> Callable[[], None]:
    """Work for the runtime's thread that stops the node by a fault of another thread."""

    def act() -> None:
        raise fault

    return act


def _resolve(pending: Pending[None]) -> None:
    pending.resolve(None)
