"""What a node looks after by itself, without being asked: that leadership is spread, and given up before a stop.

Everything here runs in the runtime's thread, after its turns, and looks at what the groups have come to by then.
"""

from collections.abc import Sequence
from typing import Protocol

import structlog

from iotdb_cluster.errors import OutcomeUnknown
from iotdb_cluster.members.balance import Balance
from iotdb_cluster.members.clock import Deadline
from iotdb_cluster.members.context import Context
from iotdb_cluster.members.data_member import DataGroupMember
from iotdb_cluster.members.meta_member import MetaGroupMember
from iotdb_cluster.members.pending import Pending, pause
from iotdb_cluster.members.raft_member import RaftMember
from iotdb_cluster.raft.events import TransferLeadership

log = structlog.get_logger()

LOOK_MS = 50
"""How often it looks, at most."""

HAND_OVER_MS = 500
"""A stop waits no longer than this for others to lead."""

HAND_OVER_POLL_MS = 5


class Groups(Protocol):
    """The node, as far as its groups go."""

    meta: MetaGroupMember | None

    @property
    def context(self) -> Context:
        """Runtime, clock and settings."""

    @property
    def data_members(self) -> Sequence[DataGroupMember]:
        """The data groups it is in."""


class Steward:
    """Called after every turn of the runtime."""

    def __init__(self, node: Groups) -> None:
        self._node = node
        settings = node.context.settings
        self._balance = Balance(2 * settings.election_timeout_max_ms, settings.election_timeout_min_ms)
        self._look_at_ms = 0
        self.is_stopping = False
        """The node hands its groups over, and takes none any more."""

    def after_turn(self, now_ms: int) -> None:
        """Look after everything, unless that was done a moment ago."""
        if now_ms < self._look_at_ms or self.is_stopping:
            return
        self._look_at_ms = now_ms + LOOK_MS
        for member in self._node.data_members:
            successor = self._balance.successor(member.group, member.raft, now_ms)
            if successor is not None:
                log.info("leadership_goes_to_header", group=member.group)
                member.step(TransferLeadership(successor))

    async def hand_over(self) -> None:
        """Let others lead what this node leads, before it stops; returns when they do, or after `HAND_OVER_MS`."""
        clock = self._node.context.clock
        deadline = Deadline.after(clock, HAND_OVER_MS)
        while not deadline.has_passed(clock.now_ms()):
            try:
                if await self._transferring().within(deadline) == 0:
                    return
            except OutcomeUnknown:
                return  # the runtime has stopped already, or hangs: there is nobody to hand over
            await pause(Deadline.after(clock, HAND_OVER_POLL_MS))

    def _transferring(self) -> Pending[int]:
        count: Pending[int] = Pending()
        self._node.context.runtime.call_soon(lambda: _resolve(count, self._transfer_all()))
        return count

    def _transfer_all(self) -> int:
        """Begin to hand over what this node leads; how many groups are on their way to somebody."""
        self.is_stopping = True
        members: list[RaftMember] = [*self._node.data_members]
        if self._node.meta is not None:
            members.append(self._node.meta)
        for member in members:
            if member.raft.is_leader and not member.raft.is_handing_over:
                member.step(TransferLeadership())
        return sum(member.raft.is_leader and member.raft.is_handing_over for member in members)


def _resolve(count: Pending[int], value: int) -> None:
    count.resolve(value)
