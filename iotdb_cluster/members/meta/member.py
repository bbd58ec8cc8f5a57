"""The node's member of the meta group: nodes, storage groups and the partition table."""

from collections.abc import Sequence
from typing import Any, Protocol

import structlog

from iotdb_cluster.errors import ChangeRunning, OutcomeUnknown, RequestError, Unsupported
from iotdb_cluster.members import structs
from iotdb_cluster.members.clock import Deadline
from iotdb_cluster.members.context import Context
from iotdb_cluster.members.life.removal import judged_removal
from iotdb_cluster.members.meta.founding import nodes_named_by
from iotdb_cluster.members.meta.snapshot import MetaImage, decode_image, encode_image
from iotdb_cluster.members.meta.state import MetaState
from iotdb_cluster.members.pending import Pending
from iotdb_cluster.members.raft_member import FROM_A_STRANGER, RaftMember
from iotdb_cluster.members.transport import Lane
from iotdb_cluster.members.waiting import NotLeader, Outcome
from iotdb_cluster.raft import effects as fx
from iotdb_cluster.raft.core import Raft
from iotdb_cluster.raft.events import Compact, SnapshotInstalled, SnapshotSent
from iotdb_cluster.raft.messages import Answer, Heartbeat, Message, Verdict
from iotdb_cluster.storage.snapshots import MetaSnapshotFile
from iotdb_cluster.types import paths
from iotdb_cluster.types.entries import Entry, EntryKind, Payload
from iotdb_cluster.types.identity import BEFORE_FIRST, META_GROUP, LogIndex, Node, NodeId
from iotdb_cluster.types.plans import DeleteStorageGroupPlan, PlanKind, SetStorageGroupPlan, SetTtlPlan
from iotdb_cluster.wire.plans import decode_plan

log = structlog.get_logger()


class MetaListener(Protocol):
    """Who follows the meta log; called in the runtime's thread."""

    def meta_changed(self, before: MetaState, after: MetaState, *, is_news: bool) -> None:
        """An entry was applied, or a snapshot installed; `is_news`: not one that was in the log at the start."""

    def heard_of(self, node: Node) -> None:
        """An entry that may never be committed says where a node is."""

    def meta_applied(self) -> None:
        """Everything that was committed in this step is applied."""

    def leads_unfounded(self) -> None:
        """This node leads the meta group, whose log is empty: the founding entry is its to propose."""


class MetaGroupMember(RaftMember):
    """Applies the meta log to a `MetaState`. `state` is a frozen value that any thread may read."""

    def __init__(
        self, context: Context, raft: Raft, state: MetaState, file: MetaSnapshotFile, listener: MetaListener
    ) -> None:
        super().__init__(context, META_GROUP, None, raft)
        self.state = state
        self._file = file
        self._listener = listener
        self._old_index = raft.log.last_index
        self._heard_commit: LogIndex = 0
        self._leads_since_ms: int | None = None

    @property
    def leader(self) -> NodeId | None:
        """Who is thought to lead."""
        return self.raft.leader

    @property
    def is_level(self) -> bool:
        """True once `state` holds what a leader has called committed since this node started."""
        if self.raft.is_leader:
            return self.raft.has_committed_own_term
        return 0 < self._heard_commit <= self.applied.index

    async def receive(self, message: Message) -> Answer:
        """A request of another member; what a leader says of its commit index is kept."""
        answer = await super().receive(message)
        if isinstance(message, Heartbeat) and answer.verdict is Verdict.AGREE:
            self._heard_commit = max(self._heard_commit, message.commit_index)
        return answer

    async def execute(self, plans: Sequence[bytes], deadline: Deadline) -> list[Outcome]:
        """Propose plans of the meta group here; raises `NotLeader` when this member does not lead."""
        payloads: list[Payload] = []
        positions: list[int | RequestError] = []
        for data in plans:
            try:
                payload = _payload(data)
                if payload.kind == EntryKind.REMOVE_NODE:
                    payload = await self._admitted(payload, deadline)
            except NotLeader:
                raise
            except RequestError as refusal:
                positions.append(refusal)
            else:
                positions.append(len(payloads))
                payloads.append(payload)
        outcomes = await self.propose(payloads, deadline) if payloads else []
        return [outcomes[at] if isinstance(at, int) else at for at in positions]

    def apply_entry(self, entry: Entry) -> Outcome:
        before = self.state
        self.state, outcome = before.apply(entry)
        self._listener.meta_changed(before, self.state, is_news=entry.index > self._old_index)
        return outcome

    def entries_saved(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            for node in nodes_named_by(entry):
                self._listener.heard_of(node)

    def after_apply(self) -> None:
        self._listener.meta_applied()

    def role_changed(self, change: fx.RoleChanged) -> None:
        self._leads_since_ms = self.context.clock.now_ms() if change.role is fx.Role.LEADER else None
        if change.role is fx.Role.LEADER and self.raft.last_id == BEFORE_FIRST:
            self._listener.leads_unfounded()

    # -- removals ----------------------------------------------------------------------------------------------------

    async def _admitted(self, payload: Payload, deadline: Deadline) -> Payload:
        """The entry for a removal, once what no log knows speaks for it: who is alive. Raises why not."""
        admitted: Pending[Payload] = Pending()
        self.context.runtime.call_soon(lambda: self._admit(payload, admitted))
        return await admitted.within(deadline)

    def _admit(self, payload: Payload, admitted: Pending[Payload]) -> None:
        try:
            admitted.resolve(self._judged(payload))
        except RequestError as refusal:
            admitted.fail(refusal)

    def _judged(self, payload: Payload) -> Payload:
        now_ms = self.context.clock.now_ms()
        window_ms = self.context.settings.election_timeout_max_ms
        if not self.raft.is_leader or self.state.roster is None:
            raise NotLeader("this member does not lead the meta group", self.raft.leader)
        if self._leads_since_ms is None or now_ms - self._leads_since_ms < window_ms:
            raise ChangeRunning("the meta group has a new leader, which does not know yet who is alive: ask again")
        live = {peer for peer, seen in self.raft.progress.items() if seen.last_contact_ms > now_ms - window_ms}
        return judged_removal(payload, self.state.roster, frozenset(live | {self.raft.me}))

    async def catch_up(self, deadline: Deadline) -> None:
        """Make `state` hold everything that was acknowledged before this call."""
        await self.wait_applied(await self.read_index(deadline), deadline)

    # -- snapshots ---------------------------------------------------------------------------------------------------

    def after_turn(self, now_ms: int) -> None:
        """Keep the log short: the state is small, so it is written whole."""
        settings = self.context.settings
        if len(self.raft.log) <= settings.log_keep_entries or self.applied.index <= self.raft.log.snapshot.index:
            return
        self._file.save(self.applied, self._image())
        upto = self.applied.index - settings.log_keep_entries // 2
        self.step(Compact(max(upto, self.raft.log.snapshot.index)))

    def send_snapshot(self, to: Node, at_least: LogIndex) -> None:
        last, data = self.applied, self._image()
        request = structs.SendSnapshotRequest(snapshotBytes=data, header=None)

        def done(result: Any) -> None:
            ok = not isinstance(result, Exception)
            self.context.runtime.post(self.group, SnapshotSent(to.identifier, last, ok))

        timeout_ms = self.context.settings.snapshot_timeout_ms
        lane = (Lane.BULK, self.group)
        self.context.transport.send(to, self.port, lane, lambda: ("sendSnapshot", (request,)), timeout_ms, done)

    async def receive_snapshot(self, data: bytes, *, is_from_node: bool) -> None:
        """Install a snapshot that reaches further than the local commit index; answered when durable."""
        image = decode_image(data)
        if not is_from_node and image.last.index > self.raft.commit_index:
            raise RequestError(FROM_A_STRANGER)
        installed: Pending[None] = Pending()
        self.context.runtime.call_soon(lambda: self._install(image, data, installed))
        deadline = Deadline.after(self.context.clock, self.context.settings.snapshot_timeout_ms)
        await installed.within(deadline, OutcomeUnknown("the snapshot was not installed in time"))

    def _install(self, image: MetaImage, data: bytes, installed: Pending[None]) -> None:
        if image.last.index > self.raft.commit_index:
            self._file.save(image.last, data)
            before, self.state = self.state, image.state
            self.snapshot_installed(image.last)
            self._listener.meta_changed(before, self.state, is_news=False)
            self.step(SnapshotInstalled(image.last, image.membership))
            self._listener.meta_applied()
            log.info("meta_snapshot_installed", index=image.last.index)
        self.context.runtime.after_sync(lambda: _resolve(installed))

    def _image(self) -> bytes:
        membership = self.raft.log.membership_at(self.applied.index)
        assert membership is not None, "a member that has applied an entry has a membership"
        return encode_image(MetaImage(self.applied, membership, self.state))


_OWN_KINDS = frozenset(
    {EntryKind.ADD_NODE, EntryKind.REMOVE_NODE, EntryKind.GROUP_MEMBERS, EntryKind.MOVE_STEP, EntryKind.ACCOUNT}
)


def plan_of(payload: Payload) -> bytes:
    """An entry about nodes or groups on its way to the meta group's leader; `_payload` is the counterpart."""
    return bytes((PlanKind.META_ENTRY, payload.kind)) + payload.body


def _payload(data: bytes) -> Payload:
    """The entry for a plan of the meta group."""
    if data[:1] == bytes((PlanKind.NODE_STARTED,)):
        return Payload(EntryKind.NODE_STARTED, data[1:])
    if data[:1] == bytes((PlanKind.META_ENTRY,)) and data[1:2] and data[1] in _OWN_KINDS:
        return Payload(EntryKind(data[1]), data[2:])
    plan = decode_plan(data)
    if isinstance(plan, SetStorageGroupPlan | DeleteStorageGroupPlan | SetTtlPlan):
        paths.check_storage_group(plan.path)
        return Payload(EntryKind.PHYSICAL_PLAN, data)
    raise Unsupported(f"{type(plan).__name__} does not belong to the meta group")


def _resolve(pending: Pending[None]) -> None:
    pending.resolve(None)
