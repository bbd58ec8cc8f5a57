"""Times to live: told to the meta log, carried out by entries of the data groups (DESIGN 5.7).

No member hides or drops anything by its own clock. The leader of a group looks from time to time how far its storage
groups have expired, by its wall clock and the meta log that it has applied, and enters that. What an entry has once let
expire is gone, also when the time to live becomes longer or ends; points of that age are then taken again.
"""

from collections.abc import Callable, Sequence

import structlog

from iotdb_cluster.errors import StorageGroupUnknown
from iotdb_cluster.members.clock import Clock, Deadline
from iotdb_cluster.members.context import Context
from iotdb_cluster.members.data.member import DataGroupMember
from iotdb_cluster.members.meta.state import MetaState
from iotdb_cluster.members.router import Router
from iotdb_cluster.members.waiting import Proposal, ProposalBatch
from iotdb_cluster.partition.slots import slot_of
from iotdb_cluster.raft.events import Propose
from iotdb_cluster.timeseries.deletions import LEAST_TIME
from iotdb_cluster.types.entries import EntryKind, Payload
from iotdb_cluster.types.plans import ExpirePlan, PlanKind, SetTtlPlan
from iotdb_cluster.wire.plans import encode_plan

log = structlog.get_logger()


async def set_ttl(router: Router, clock: Clock, storage_group: str, ttl_ms: int | None, deadline: Deadline) -> None:
    """Let a storage group's points live `ttl_ms` from their time on, for ever with None.

    What is older by this node's clock is gone when this returns. Raises `MetadataRefused` for what is no storage group.
    """
    plan = encode_plan(SetTtlPlan(storage_group, ttl_ms))
    await router.execute(PlanKind.SET_TTL, storage_group, plan, deadline)
    expire = encode_plan(ExpirePlan(storage_group, expired_until(clock.wall_ms(), ttl_ms)))
    try:
        await router.execute(PlanKind.EXPIRE, storage_group, expire, deadline)
    except StorageGroupUnknown:
        log.debug("nothing_to_expire", storage_group=storage_group)  # nothing was written to it yet


def expired_until(wall_ms: int, ttl_ms: int | None) -> int:
    """The last time that has expired; the least one when nothing ever does."""
    return LEAST_TIME if ttl_ms is None else max(LEAST_TIME, wall_ms - ttl_ms - 1)


class Expiring:
    """Enters what has expired, in the groups that this node leads. Called after every turn of the runtime."""

    def __init__(
        self, context: Context, state: Callable[[], MetaState], members: Callable[[], Sequence[DataGroupMember]]
    ) -> None:
        self._context = context
        self._state = state
        self._members = members
        self._look_at_ms = 0

    def after_turn(self, now_ms: int) -> None:
        """Look, unless that was done within `ttl_check_interval_ms`."""
        if now_ms < self._look_at_ms:
            return
        self._look_at_ms = now_ms + self._context.settings.ttl_check_interval_ms
        ttls = dict(self._state().ttls)
        for member in self._members():
            self._look_after(member, ttls)

    def _look_after(self, member: DataGroupMember, ttls: dict[str, int]) -> None:
        if not member.raft.is_leader or not member.raft.has_committed_own_term:
            return
        wall_ms, slots = self._context.clock.wall_ms(), member.slots.states
        due = [
            ExpirePlan(path, until)
            for path in member.store.storage_groups()
            if slots.state_of(slot_of(path)).is_serving
            and member.store.expires(path, until := expired_until(wall_ms, ttls.get(path)))
        ]
        if due:
            payloads = tuple(Payload(EntryKind.PHYSICAL_PLAN, encode_plan(plan)) for plan in due)
            member.step(Propose(ProposalBatch([Proposal(payloads, tuple(due))]), payloads))
