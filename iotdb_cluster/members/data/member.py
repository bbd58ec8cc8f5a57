"""A member of a data group: its log applied to a store of time series."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import cast

import structlog

from iotdb_cluster.errors import (
    Busy,
    NoLeader,
    OutcomeUnknown,
    PathNotFound,
    RequestError,
    StorageGroupUnknown,
    UnknownGroup,
    ValueRefused,
)
from iotdb_cluster.members.clock import Deadline
from iotdb_cluster.members.context import Context
from iotdb_cluster.members.data.planning import Planner, Prepared
from iotdb_cluster.members.data.readers import Readers
from iotdb_cluster.members.data.room import DiskRoom
from iotdb_cluster.members.data.sealing import Sealing
from iotdb_cluster.members.data.snapshots import SnapshotReceiver, SnapshotSender, file_snapshots
from iotdb_cluster.members.moves.held_slots import HeldSlots, slots_in
from iotdb_cluster.members.moves.part import MovePart
from iotdb_cluster.members.pending import Pending
from iotdb_cluster.members.raft_member import RaftMember
from iotdb_cluster.members.waiting import NotLeader, Outcome, Proposal
from iotdb_cluster.partition.slots import SLOT_COUNT, slot_of
from iotdb_cluster.raft.core import Raft
from iotdb_cluster.raft.events import Event, Received, SnapshotInstalled
from iotdb_cluster.raft.messages import AppendRequest
from iotdb_cluster.timeseries.jobs import Job
from iotdb_cluster.timeseries.manifest import Manifest
from iotdb_cluster.timeseries.store import GroupStore
from iotdb_cluster.types.entries import Entry, EntryKind
from iotdb_cluster.types.identity import GroupId, LogIndex, Node, NodeId, Slot, Term
from iotdb_cluster.types.membership import Membership
from iotdb_cluster.types.plans import Plan
from iotdb_cluster.wire.entries import decode_close_file
from iotdb_cluster.wire.plans import decode_plan
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
        self.room = DiskRoom(context, self.group)
        self.sealing = Sealing(self, sender)
        self.moves = MovePart(self, self.slots, sender, storage_group_of, self.sealing.want)

    @property
    def leader(self) -> NodeId | None:
        """Who is thought to lead."""
        return self.raft.leader

    # -- plans -------------------------------------------------------------------------------------------------------

    async def execute(self, plans: Sequence[bytes], deadline: Deadline) -> list[Outcome]:
        """Propose plans here, each behind the entries it needs, and return an outcome for each.

        Raises `NotLeader` when this member does not lead, `OutcomeUnknown` when they were not applied in time.
        """
        moving = self.moves.refusals(plans)
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
            if self.moves.refusals(plans):
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

    def step_all(self, events: Sequence[Event], now_ms: int) -> None:
        """As any member; but entries are taken only where there is room, and an install where its files are durable."""
        super().step_all([event for event in events if not self._is_refused(event)], now_ms)

    def _is_refused(self, event: Event) -> bool:
        if not isinstance(event, Received) or not isinstance(event.message, AppendRequest):
            return False
        refusal = self.room.refuses(event.message) or self.moves.lacks_files(event.message)
        if refusal is None:
            return False
        assert isinstance(event.token, Pending)
        event.token.fail(refusal)
        return True

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
                self.moves.apply(entry)
            elif entry.kind == EntryKind.CLOSE_FILE:
                self.store.close_file(entry.id, decode_close_file(entry.body).storage_group)
            else:
                self.store.pass_over(entry.id)
        except RequestError as outcome:
            return outcome
        return None

    def end_move_if_over(self, move: int) -> None:
        """Let go of what was pulled for a move that the meta log has forgotten, unless its end is still to be applied.

        Runtime's thread.
        """
        if not self.is_closed and self.moves.is_over(move):
            self.store.end_move(self.applied, move)

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

    # -- behind every turn -------------------------------------------------------------------------------------------

    def after_turn(self, now_ms: int) -> None:
        leader = self.raft.leader
        if leader is not None and self.header is not None:
            self.room.tell(self.context.directory.find(leader), self.header, now_ms)
        self.sealing.after_turn()

    def seal_soon(self) -> None:
        """Seal after this turn, whatever the limits say. Any thread."""
        self.context.runtime.call_soon(self.sealing.want)

    # -- snapshots ---------------------------------------------------------------------------------------------------

    def send_snapshot(self, to: Node, at_least: LogIndex) -> None:
        self._sender.send(self, to, at_least)

    async def receive_snapshot(self, data: bytes, *, is_from_node: bool) -> None:
        """Pull and install a snapshot that reaches further than the local commit index; answered when durable."""
        await self._receiver.receive(self, data, is_from_node=is_from_node)

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
        if self.sealing.is_busy:
            installed.fail(Busy("the store is being sealed or compacted: send the snapshot again"))
            return
        job = self.store.begin_install(manifest, staged)
        self.hold_back()
        self.sealing.run(job, lambda: self._finish_install(job, manifest, installed))

    def _finish_install(self, job: Job, manifest: Manifest, installed: Pending[None]) -> None:
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
        await self.sealing.up_to(await self.local_read_index(deadline), deadline)
        wanted = [path for path in self.store.storage_groups() if slot_of(path) in slots]
        snapshot = self.store.snapshot(wanted)
        self._sender.offer(self, snapshot)
        return {slot: encode_file_snapshot(found) for slot, found in file_snapshots(snapshot, self.context.me)}

    async def offered_store(self, at_least: LogIndex, deadline: Deadline) -> bytes:
        """A snapshot of everything here, up to `at_least` or further, whose files may be read for a while."""
        await self.sealing.up_to(at_least, deadline)
        snapshot = self.store.snapshot()
        self._sender.offer(self, snapshot)
        return self._sender.encoded(snapshot)


def _resolve(pending: Pending[None]) -> None:
    pending.resolve(None)
