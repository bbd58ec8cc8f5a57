"""Known mistakes, put into a node one at a time: each must be found by the cluster simulator within its budget.

What a single group shows is in `tests/sim/bugs/group`; these live where log, files, routing and calls meet.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from iotdb_cluster.errors import OutcomeUnknown
from iotdb_cluster.members.clock import Deadline
from iotdb_cluster.members.data.member import DataGroupMember
from iotdb_cluster.members.data.sealing import Sealing
from iotdb_cluster.members.data.snapshots import SnapshotReceiver
from iotdb_cluster.members.raft_member import RaftMember
from iotdb_cluster.members.router import Router
from iotdb_cluster.members.runtime import Runtime
from iotdb_cluster.members.waiting import NotLeader, Outcome, ProposalBatch, WaitingProposals
from iotdb_cluster.raft import effects as fx
from iotdb_cluster.raft.events import Compact
from iotdb_cluster.storage.journal import Journal
from iotdb_cluster.timeseries.deletions import DeletionList
from iotdb_cluster.timeseries.jobs import SealJob
from iotdb_cluster.timeseries.snapshots import StoreSnapshot
from iotdb_cluster.timeseries.store import GroupStore
from iotdb_cluster.types.entries import Entry
from iotdb_cluster.types.identity import EntryId, GroupId
from tests.sim.bugs.group.bugs import Bug

BUGS: list[Bug] = []


def bug(owner: Any, attribute: str, budget: int) -> Callable[[Any], Any]:
    """Enter the decorated function as a mistake at that place; `original` is what it replaces."""

    def enter(make: Callable[[Any], Any]) -> Any:
        BUGS.append(Bug(make.__name__, owner, attribute, make(vars(owner)[attribute]), budget))
        return make

    return enter


# ---- writes ----


@bug(WaitingProposals, "accepted", budget=40)
def acknowledged_when_appended(original: Any) -> Any:
    """The client hears of success before its entry is committed, or even synced."""

    def accepted(self: WaitingProposals, batch: ProposalBatch, ids: Sequence[EntryId]) -> None:
        original(self, batch, ids)
        for proposal in batch.proposals:
            proposal.pending.resolve([None] * len(proposal.payloads))

    return accepted


@bug(Runtime, "after_sync", budget=40)
def spoken_before_the_sync(original: Any) -> Any:
    """What stands on a write leaves before the write is durable."""

    def after_sync(self: Runtime, act: Callable[[], None]) -> None:
        act()

    return after_sync


@bug(Journal, "_write_batch", budget=40)
def log_is_never_synced(original: Any) -> Any:
    """Everything is written, nothing is made durable."""

    def write_batch(self: Journal) -> None:
        file = self._current.file
        sync, file.sync = file.sync, lambda: None  # type: ignore[method-assign]
        original(self)
        file.sync = sync  # type: ignore[method-assign]

    return write_batch


@bug(Router, "execute_in", budget=120)
def repeated_after_unknown(original: Any) -> Any:
    """A forwarded call is sent again although the first attempt may have taken effect (rule 3.9)."""

    async def execute_in(self: Router, group: GroupId, plans: Sequence[bytes], deadline: Deadline) -> list[Outcome]:
        while True:
            try:
                outcomes: list[Outcome] = await original(self, group, plans, deadline)
            except OutcomeUnknown:
                if deadline.has_passed(self._context.clock.now_ms()):
                    raise
                continue
            return outcomes

    return execute_in


@bug(RaftMember, "role_changed", budget=120)
def not_leader_said_of_what_was_appended(original: Any) -> Any:
    """A leader that steps down says "not leader" of proposals that stand in its log already (rule 3.9)."""

    def role_changed(self: RaftMember, change: fx.RoleChanged) -> None:
        original(self, change)
        if change.role is not fx.Role.LEADER:
            for _, proposal, _ in self._waiting._by_index.values():
                proposal.pending.fail(NotLeader("it leads no more", change.leader))

    return role_changed


# ---- reads ----


@bug(DataGroupMember, "catch_up", budget=40)
def read_without_asking_the_leader(original: Any) -> Any:
    """A strong read is answered from what happens to be here."""

    async def catch_up(self: DataGroupMember, deadline: Deadline, consistency: str | None = None) -> None:
        return None

    return catch_up


@bug(RaftMember, "wait_applied", budget=40)
def read_before_the_index_is_applied(original: Any) -> Any:
    """The leader is asked, and its answer not waited for."""

    async def wait_applied(self: RaftMember, index: int, deadline: Deadline) -> None:
        return None

    return wait_applied


# ---- files ----


@bug(GroupStore, "begin_seal", budget=40)
def seal_claims_more_than_it_covers(original: Any) -> Any:
    """The files say that they hold what was applied while they were written."""

    def begin_seal(self: GroupStore, covered: EntryId, context: bytes) -> SealJob:
        job: SealJob = original(self, covered, context)
        work = job._work

        def work_with_a_claim() -> None:
            job._sealing.base = replace(job._sealing.base, covered=self.applied)
            work()

        job._work = work_with_a_claim  # type: ignore[method-assign]
        return job

    return begin_seal


@bug(DataGroupMember, "apply_entry", budget=40)
def replay_starts_too_late(original: Any) -> Any:
    """The first entry behind what the files cover is left out."""

    def apply_entry(self: DataGroupMember, entry: Entry) -> Outcome:
        if entry.index == self.store.covered.index + 1 and self.store.applied == self.store.covered:
            self.store.pass_over(entry.id)
            return None
        return original(self, entry)

    return apply_entry


@bug(SealJob, "_work", budget=40)
def seal_forgets_the_deletions(original: Any) -> Any:
    """Points that were sealed before they were deleted come back with a restart."""

    def work(self: SealJob) -> None:
        self._sealing.base = replace(self._sealing.base, deletions=())
        original(self)

    return work


@bug(StoreSnapshot, "encode", budget=120)
def snapshot_forgets_the_deletions(original: Any) -> Any:
    """A follower that is brought up by a snapshot shows what was deleted."""

    def encode(self: StoreSnapshot) -> bytes:
        return original(replace(self, manifest=replace(self.manifest, deletions=())))

    return encode


@bug(GroupStore, "_keep_needed_deletions", budget=40)
def deletions_during_a_seal_are_lost(original: Any) -> Any:
    """What was deleted while a seal was under way is there again when it is over."""

    def keep(self: GroupStore, manifest: Any) -> None:
        self._content.deletions = DeletionList(manifest.deletions)

    return keep


@bug(Sealing, "_shorten_log", budget=40)
def log_forgets_what_no_file_holds(original: Any) -> Any:
    """The log is shortened up to what is applied, not up to what is sealed."""

    def shorten(self: Sealing) -> None:
        member = self._member
        if member.applied.index > member.raft.log.snapshot.index:
            member.step(Compact(member.applied.index))

    return shorten


@bug(SnapshotReceiver, "receive", budget=120)
def snapshot_is_answered_before_it_is_installed(original: Any) -> Any:
    """The leader goes on behind a snapshot that the follower does not have."""

    async def receive(self: SnapshotReceiver, member: Any, data: bytes, *, is_from_node: bool) -> None:
        return None

    return receive
