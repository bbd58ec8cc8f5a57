"""`addNode` and `removeNode`: what the node that is asked does until it can answer (docs/life-cycle.md, "Node").

It enters the change into the meta log, wherever that is led, and follows its own copy of that log; a procedure that is
entered goes on without it.
"""

from typing import Protocol

import structlog

from iotdb_cluster.errors import NoLeader, NotReady, OutcomeUnknown, RequestError, StatusCode
from iotdb_cluster.members.clock import Deadline
from iotdb_cluster.members.context import Context
from iotdb_cluster.members.life.introductions import Introductions, introduction
from iotdb_cluster.members.meta.member import plan_of
from iotdb_cluster.members.meta.roster_codec import add_node_payload, remove_node_payload
from iotdb_cluster.members.meta.state import MetaState
from iotdb_cluster.members.news import News
from iotdb_cluster.members.pending import Pending
from iotdb_cluster.members.router import Router
from iotdb_cluster.partition.roster import Roster
from iotdb_cluster.partition.table import PartitionTable
from iotdb_cluster.types.entries import Payload
from iotdb_cluster.types.identity import META_GROUP, Node, NodeId

log = structlog.get_logger()

AGREE = -1
REJECT = -3
PARTITION_TABLE_UNAVAILABLE = -4
IDENTIFIER_CONFLICT = -5
CLUSTER_TOO_SMALL = -9
ASK_AGAIN = -10

LOOK_AGAIN_MS = 500
"""A change that has to wait is asked for again after so long at the latest."""


class Asked(Protocol):
    """The node that takes the call."""

    @property
    def context(self) -> Context:
        """Clock, settings, peers."""

    @property
    def router(self) -> Router:
        """The way to the meta group's leader."""

    @property
    def introductions(self) -> Introductions:
        """Whom this node believes."""

    @property
    def state(self) -> MetaState:
        """The meta log as applied here."""

    @property
    def news(self) -> News:
        """Tells when `state` is another one."""


class NodeChanges:
    """Takes nodes in and lets them go. May be used from any thread."""

    def __init__(self, node: Asked) -> None:
        self._node = node

    async def add(self, new: Node) -> tuple[int, PartitionTable | None]:
        """A node wants to join: the interface's answer, with the table when it is in."""
        deadline = self._deadline()
        is_entered = False
        while True:
            upcoming = self._node.news.upcoming()
            roster = self._node.state.roster
            if roster is None:
                return PARTITION_TABLE_UNAVAILABLE, None
            if new in roster.table.nodes:
                return AGREE, roster.table
            known = roster.node(new.identifier)
            if new.identifier in roster.tombstones | roster.leaving or known not in (None, new):
                # Who is removed while it joins hears of that by `hello` when it asks again; with a new identifier it
                # would come back.
                return ASK_AGAIN if known == new or is_entered else IDENTIFIER_CONFLICT, None
            if known is None and not is_entered:
                await self._check(new, deadline)
                try:
                    refusal = await self._enter(add_node_payload(new), deadline)
                except (OutcomeUnknown, NoLeader) as error:
                    log.info("add_node_not_entered", node=str(new), reason=str(error))
                    return ASK_AGAIN, None
                if refusal is not None:
                    # It is judged where it is applied: by then somebody else may have had the identifier.
                    log.info("add_node_refused", node=str(new), reason=str(refusal))
                    is_taken = refusal.code == StatusCode.METADATA_ERROR
                    return (IDENTIFIER_CONFLICT if is_taken else ASK_AGAIN), None
                is_entered = True
            if not await self._wait(upcoming, deadline, deadline):
                return ASK_AGAIN, None

    async def remove(self, ip: str, meta_port: int, identifier: NodeId) -> int:
        """A node is to go, known by address alone; the interface's answer. Raises why a removal is refused."""
        deadline = self._deadline()
        target: Node | None = None
        is_entered = False
        while True:
            upcoming = self._node.news.upcoming()
            roster = self._node.state.roster
            if roster is None:
                raise NotReady("this node does not know the partition table yet: ask again, or ask another node")
            if target is None:
                found = [node for node in roster.nodes if node.meta_address == (ip, meta_port)]
                refusal = _refusal(roster, found)
                if refusal is not None:
                    return refusal
                target = await self._choose(found, identifier, deadline)
            if target.identifier in roster.leaving | roster.tombstones:
                return AGREE
            if not is_entered:
                outcome = await self._enter(remove_node_payload(target), deadline)
                if outcome is not None and outcome.code != StatusCode.STILL_EXECUTING_STATUS:
                    raise outcome
                is_entered = outcome is None
            if not await self._wait(upcoming, deadline, Deadline.after(self._node.context.clock, LOOK_AGAIN_MS)):
                return ASK_AGAIN

    def _deadline(self) -> Deadline:
        settings = self._node.context.settings
        return Deadline.after(self._node.context.clock, settings.connection_time_out_ms * 9 // 10)

    async def _wait(self, upcoming: Pending[None], deadline: Deadline, pause: Deadline) -> bool:
        """Until the meta log says something new, or `pause`; False when the call's time is over."""
        over = OutcomeUnknown("nothing new")
        try:
            await upcoming.within(min(deadline, pause), over)
        except OutcomeUnknown as error:
            if error is not over:
                raise
        return not deadline.has_passed(self._node.context.clock.now_ms())

    async def _enter(self, payload: Payload, deadline: Deadline) -> RequestError | None:
        (outcome,) = await self._node.router.execute_in(META_GROUP, (plan_of(payload),), deadline)
        return outcome

    async def _check(self, new: Node, deadline: Deadline) -> None:
        """Whoever wants to join answers at its address, and fits this cluster; raises why not."""
        context = self._node.context
        timeout_ms = min(deadline.left_ms(context.clock.now_ms()), context.settings.raft_call_timeout_ms * 2)
        try:
            answer = await context.transport.introduce(new.ip, new.meta_port, timeout_ms)
        except RequestError as error:
            raise RequestError(f"{new} does not answer this node, so it can't join: {error.message}") from error
        peer = introduction(answer)
        if peer.node != new:
            raise RequestError(f"{peer.node} answers at the address of {new}, which can't join")
        fault = self._node.introductions.fault_of_answer(new.identifier, answer)
        if fault is not None:
            raise RequestError(f"{new} can't join: {fault}")

    async def _choose(self, found: list[Node], identifier: NodeId, deadline: Deadline) -> Node:
        """Which of several nodes with one address is meant: the one that is named, else one that does not answer."""
        named = [node for node in found if node.identifier == identifier]
        if named or len(found) == 1:
            return (named or found)[0]
        context = self._node.context
        timeout_ms = min(deadline.left_ms(context.clock.now_ms()), context.settings.raft_call_timeout_ms)
        try:
            answer = await context.transport.introduce(found[0].ip, found[0].meta_port, timeout_ms)
        except RequestError as error:
            names = ", ".join(str(node) for node in found)
            raise RequestError(
                f"name one of {names} by its identifier: none of them answers ({error.message})"
            ) from error
        return next(node for node in found if node.identifier != introduction(answer).node.identifier)


def _refusal(roster: Roster, found: list[Node]) -> int | None:
    """Why no removal is begun, in the interface's order: first the size of the cluster, then whether it is known."""
    if any(roster.is_joining(node.identifier) or node.identifier in roster.leaving for node in found):
        return None
    if len(roster.staying) <= roster.table.replica_num:
        return CLUSTER_TOO_SMALL
    return None if found else REJECT
