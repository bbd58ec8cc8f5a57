"""Room on the disks of a data group's members (DESIGN 8): nobody runs full because of what others enter.

Below `disk_reserve_mb` a member takes no write as a leader, lets another one lead that has room, and tells its leader
so; a leader takes none while those that have room are no quorum. Below half of the reserve a member takes no inserts
of its leader either, and what makes a file larger for a while has to wait: it goes on by itself when there is room.
"""

from collections.abc import Collection
from typing import Any

import structlog

from iotdb_cluster.errors import DiskNearlyFull
from iotdb_cluster.members.context import Context
from iotdb_cluster.members.convert import node_struct
from iotdb_cluster.members.transport import Lane, Port
from iotdb_cluster.raft.core import Raft
from iotdb_cluster.raft.messages import AppendRequest
from iotdb_cluster.settings import MIB
from iotdb_cluster.types.entries import EntryKind
from iotdb_cluster.types.identity import GroupId, Node, NodeId
from iotdb_cluster.types.plans import PlanKind

log = structlog.get_logger()

LOOK_MS = 1_000
"""How often the disk is asked, and the leader told, at most."""

TOLD_FOR_MS = 3_000
"""How long a member counts as nearly full that has said so."""

_INSERTS = frozenset(bytes((kind,)) for kind in (PlanKind.INSERT, PlanKind.BATCHINSERT))


class DiskRoom:
    """What one member of a group knows of the disks: its own, and those of the members that have told it."""

    def __init__(self, context: Context, group: GroupId) -> None:
        self._context = context
        self._group = group
        self._reserve_bytes = context.settings.disk_reserve_mb * MIB
        self._free_bytes = 0
        self._looked_at_ms: int | None = None
        self._told_at_ms: int | None = None
        self._full_until_ms: dict[NodeId, int] = {}
        self._is_refusing = False
        self._leads_short_since_ms: int | None = None

    def refusal(self, raft: Raft) -> DiskNearlyFull | None:
        """Why a leader may enter nothing that makes disks fuller, if so; deletes go on. From any thread."""
        free_bytes = self._free()
        if free_bytes < self._reserve_bytes:
            reserve_mb = self._reserve_bytes // MIB
            return DiskNearlyFull(f"{free_bytes // MIB} MB are free, disk_reserve_mb is {reserve_mb}: make room")
        if not self._full_until_ms:
            return None
        now_ms = self._context.clock.now_ms()
        full = {peer for peer in list(self._full_until_ms) if self.is_full(peer)}
        membership = raft.membership
        if not full or membership is None:
            return None
        heard_after = now_ms - self._context.settings.election_timeout_max_ms
        live = {peer for peer, seen in list(raft.progress.items()) if seen.last_contact_ms > heard_after} | {raft.me}
        if membership.has_quorum(live) and not membership.has_quorum(live - full):
            names = ", ".join(map(str, sorted(full & live)))
            return DiskNearlyFull(f"the disks of nodes {names} are nearly full, and without them there is no quorum")
        return None

    def relief(self, raft: Raft, level: Collection[NodeId], now_ms: int) -> NodeId | None:
        """Who of the members that are level should lead instead of this one, which has no room, if so.

        A new leader waits until those that have none either have told it.
        """
        if self._free() >= self._reserve_bytes:
            self._leads_short_since_ms = None
            return None
        if self._leads_short_since_ms is None:
            self._leads_short_since_ms = now_ms
        voters = raft.membership.voters if raft.membership is not None else frozenset()
        roomy = sorted(peer for peer in voters.intersection(level) if not self.is_full(peer))
        waited_ms = now_ms - self._leads_short_since_ms
        return roomy[0] if roomy and waited_ms >= TOLD_FOR_MS else None

    def is_full(self, peer: NodeId) -> bool:
        """True for a member that has said so lately."""
        return self._context.clock.now_ms() < self._full_until_ms.get(peer, 0)

    def heard_full(self, peer: NodeId) -> None:
        """A member says that it has less than its reserve. From any thread."""
        self._full_until_ms[peer] = self._context.clock.now_ms() + TOLD_FOR_MS

    def refuses(self, request: AppendRequest) -> DiskNearlyFull | None:
        """Why a follower does not take these entries, if so: anything but inserts is small, and taken."""
        if self.spare_bytes() >= 0:
            self._note(is_refusing=False)
            return None
        if not any(e.kind == EntryKind.PHYSICAL_PLAN and e.body[:1] in _INSERTS for e in request.entries):
            return None
        self._note(is_refusing=True)
        return DiskNearlyFull(f"{self._free_bytes // MIB} MB are free: no inserts are taken, not even the leader's")

    def spare_bytes(self) -> int:
        """What may be written before half of the reserve is left; negative when it is less already."""
        return self._free() - self._reserve_bytes // 2

    def tell(self, leader: Node | None, header: Node, now_ms: int) -> None:
        """Tell the leader, now and then, when less than the reserve is left."""
        if leader is None or leader.identifier == self._context.me.identifier:
            return
        self._leads_short_since_ms = None
        if self._told_at_ms is not None and now_ms - self._told_at_ms < LOOK_MS:
            return
        self._told_at_ms = now_ms
        if self._free() < self._reserve_bytes:
            arguments = (node_struct(header),)
            timeout_ms = self._context.settings.raft_call_timeout_ms
            lane = (Lane.REPORT, self._group)
            self._context.transport.send(leader, Port.DATA, lane, lambda: ("nearlyFull", arguments), timeout_ms, _told)

    def _free(self) -> int:
        now_ms = self._context.clock.now_ms()
        if self._looked_at_ms is None or now_ms - self._looked_at_ms >= LOOK_MS:
            self._free_bytes = self._context.disk.free_bytes()
            self._looked_at_ms = now_ms
        return self._free_bytes

    def _note(self, *, is_refusing: bool) -> None:
        if is_refusing != self._is_refusing:
            self._is_refusing = is_refusing
            if is_refusing:
                log.error("disk_nearly_full", group=self._group, free_mb=self._free_bytes // MIB, inserts="refused")
            else:
                log.info("disk_has_room_again", group=self._group, free_mb=self._free_bytes // MIB)


def _told(_: Any) -> None:
    """Whether it was heard does not matter: it is said again."""
