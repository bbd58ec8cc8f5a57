"""What this node has to say in the meta log of its own accord, and to whom that is brought."""

from collections.abc import Callable
from typing import Any, Protocol

import structlog

from iotdb_cluster.members import structs
from iotdb_cluster.members.context import Context
from iotdb_cluster.members.meta.member import MetaGroupMember, plan_of
from iotdb_cluster.members.transport import Invocation, Lane, Port
from iotdb_cluster.members.waiting import Proposal
from iotdb_cluster.types.entries import Payload
from iotdb_cluster.types.identity import META_GROUP, Node, NodeId

log = structlog.get_logger()

LANE = (Lane.REPORT, 0)

MOST_KEYS = 1_000

TELL_TIMES = 5
"""A removed node is called so often; it may be dead, and learns of its removal by asking, too."""


class Reporter(Protocol):
    """The node, as far as the meta group goes."""

    meta: MetaGroupMember | None

    @property
    def context(self) -> Context:
        """Runtime and peers."""


class MetaReports:
    """Entries of kind GROUP_MEMBERS, brought to the meta group's leader until they are applied. Runtime's thread."""

    def __init__(self, node: Reporter, again_ms: int) -> None:
        self._node = node
        self._again_ms = again_ms
        self._again_at_ms: dict[object, int] = {}
        self._due: list[Payload] = []

    def report(self, key: object, payload: Payload, now_ms: int) -> None:
        """Bring a report with the next `send`, unless the one of this key was brought a moment ago.

        Nobody waits for it: what is not applied is reported again.
        """
        meta = self._node.meta
        if meta is None or now_ms < self._again_at_ms.get(key, 0):
            return
        if len(self._again_at_ms) > MOST_KEYS:
            self._again_at_ms = {each: at for each, at in self._again_at_ms.items() if at > now_ms}
        self._again_at_ms[key] = now_ms + self._again_ms
        self._due.append(payload)

    def send(self) -> None:
        """Bring what is due to the meta group's leader, all in one call: each waits until it is applied there."""
        meta, due = self._node.meta, self._due
        if meta is None or not due:
            return
        self._due = []
        context = self._node.context
        if meta.raft.is_leader:
            for payload in due:
                context.runtime.propose(META_GROUP, Proposal((payload,), (None,)))
            return
        leader = None if meta.raft.leader is None else context.directory.find(meta.raft.leader)
        if leader is None:
            return
        timeout_ms = context.settings.raft_call_timeout_ms
        request = structs.ProposeRequest(
            header=None, plans=[plan_of(each) for each in due], deadline_ms=timeout_ms, hops=1
        )
        context.transport.send(leader, Port.META, LANE, lambda: ("propose", (request,)), timeout_ms, _ignored)


class Exiles:
    """Tells removed nodes that they are removed, as long as this node leads the meta group. Runtime's thread."""

    def __init__(self, node: Reporter, again_ms: int) -> None:
        self._node = node
        self._again_ms = again_ms
        self._untold: dict[NodeId, _Exile] = {}

    def removed(self, node: Node, meta_index: int) -> None:
        """The meta log has said that a node is gone."""
        self._untold[node.identifier] = _Exile(node, meta_index)

    def tell(self, now_ms: int) -> None:
        """Call those who were not told yet."""
        meta = self._node.meta
        for identifier in list(self._untold):
            exile = self._untold[identifier]
            if now_ms < exile.at_ms:
                continue
            exile.at_ms = now_ms + self._again_ms
            exile.times += 1
            if exile.times > TELL_TIMES:
                del self._untold[identifier]
            elif meta is not None and meta.raft.is_leader:
                self._call(exile)

    def _call(self, exile: "_Exile") -> None:
        def done(result: Any) -> None:
            if not isinstance(result, Exception):
                self._node.context.runtime.call_soon(lambda: self._told(exile.node.identifier))

        context = self._node.context
        arguments = (exile.node.identifier, exile.meta_index)
        build: Callable[[], Invocation] = lambda: ("exile", arguments)  # noqa: E731 - typed, as a def would be longer
        context.transport.send(exile.node, Port.META, LANE, build, context.settings.raft_call_timeout_ms, done)

    def _told(self, identifier: NodeId) -> None:
        if self._untold.pop(identifier, None) is not None:
            log.info("removed_node_told", node=identifier)


class _Exile:
    """A removed node that may not know yet."""

    def __init__(self, node: Node, meta_index: int) -> None:
        self.node = node
        self.meta_index = meta_index
        self.at_ms = 0
        self.times = 0


def _ignored(result: Any) -> None:
    if isinstance(result, Exception):
        log.debug("report_not_taken", reason=str(result))
