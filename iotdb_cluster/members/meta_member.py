"""The node's member of the meta group: nodes, storage groups and the partition table."""

from collections.abc import Sequence
from typing import Any, Protocol

import structlog

from iotdb_cluster.errors import OutcomeUnknown, RequestError, Unsupported
from iotdb_cluster.members import structs
from iotdb_cluster.members.clock import Deadline
from iotdb_cluster.members.context import Context
from iotdb_cluster.members.meta_snapshot import MetaImage, decode_image, encode_image
from iotdb_cluster.members.meta_state import MetaState
from iotdb_cluster.members.pending import Pending
from iotdb_cluster.members.raft_member import RaftMember
from iotdb_cluster.members.transport import Lane
from iotdb_cluster.members.waiting import Outcome
from iotdb_cluster.raft import effects as fx
from iotdb_cluster.raft.core import Raft
from iotdb_cluster.raft.events import Compact, SnapshotInstalled, SnapshotSent
from iotdb_cluster.storage.snapshots import MetaSnapshotFile
from iotdb_cluster.types import paths
from iotdb_cluster.types.entries import Entry, EntryKind, Payload
from iotdb_cluster.types.identity import BEFORE_FIRST, META_GROUP, LogIndex, Node, NodeId
from iotdb_cluster.types.plans import DeleteStorageGroupPlan, PlanKind, SetStorageGroupPlan
from iotdb_cluster.wire.plans import decode_plan

log = structlog.get_logger()


class MetaListener(Protocol):
    """Who follows the meta log; called in the runtime's thread."""

    def meta_changed(self, before: MetaState, after: MetaState) -> None:
        """An entry was applied, or a snapshot installed."""

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

    @property
    def leader(self) -> NodeId | None:
        """Who is thought to lead."""
        return self.raft.leader

    async def execute(self, plans: Sequence[bytes], deadline: Deadline) -> list[Outcome]:
        """Propose plans of the meta group here; raises `NotLeader` when this member does not lead."""
        payloads: list[Payload] = []
        positions: list[int | RequestError] = []
        for data in plans:
            try:
                payload = _payload(data)
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
        self._listener.meta_changed(before, self.state)
        return outcome

    def after_apply(self) -> None:
        self._listener.meta_applied()

    def role_changed(self, change: fx.RoleChanged) -> None:
        if change.role is fx.Role.LEADER and self.raft.last_id == BEFORE_FIRST:
            self._listener.leads_unfounded()

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

    async def receive_snapshot(self, data: bytes) -> None:
        """Install a snapshot that reaches further than the local commit index; answered when durable."""
        image = decode_image(data)
        installed: Pending[None] = Pending()
        self.context.runtime.call_soon(lambda: self._install(image, data, installed))
        deadline = Deadline.after(self.context.clock, self.context.settings.snapshot_timeout_ms)
        await installed.within(deadline, OutcomeUnknown("the snapshot was not installed in time"))

    def _install(self, image: MetaImage, data: bytes, installed: Pending[None]) -> None:
        if image.last.index > self.raft.commit_index:
            self._file.save(image.last, data)
            before, self.state = self.state, image.state
            self.snapshot_installed(image.last)
            self._listener.meta_changed(before, self.state)
            self.step(SnapshotInstalled(image.last, image.membership))
            log.info("meta_snapshot_installed", index=image.last.index)
        self.context.runtime.after_sync(lambda: _resolve(installed))

    def _image(self) -> bytes:
        membership = self.raft.log.membership_at(self.applied.index)
        assert membership is not None, "a member that has applied an entry has a membership"
        return encode_image(MetaImage(self.applied, membership, self.state))


def _payload(data: bytes) -> Payload:
    """The entry for a plan of the meta group."""
    if data[:1] == bytes((PlanKind.NODE_STARTED,)):
        return Payload(EntryKind.NODE_STARTED, data[1:])
    plan = decode_plan(data)
    if isinstance(plan, SetStorageGroupPlan | DeleteStorageGroupPlan):
        paths.check_storage_group(plan.path)
        return Payload(EntryKind.PHYSICAL_PLAN, data)
    raise Unsupported(f"{type(plan).__name__} does not belong to the meta group")


def _resolve(pending: Pending[None]) -> None:
    pending.resolve(None)
