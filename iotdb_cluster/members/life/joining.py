"""How a node gets into a cluster that there is already (docs/life-cycle.md, "Node")."""

from typing import Protocol

import structlog

from iotdb_cluster.errors import MalformedInput, RemoteError, RequestError, StartRefused
from iotdb_cluster.members.clock import Deadline
from iotdb_cluster.members.context import Context
from iotdb_cluster.members.convert import node_struct
from iotdb_cluster.members.life.changes import AGREE, IDENTIFIER_CONFLICT
from iotdb_cluster.members.life.introductions import Introductions, introduction
from iotdb_cluster.members.meta.state import MetaState
from iotdb_cluster.members.pending import pause
from iotdb_cluster.members.transport import Port
from iotdb_cluster.types.identity import Node
from iotdb_cluster.wire.tables import decode_table

log = structlog.get_logger()

ASK_MS = 500
"""Pause between two rounds of questions."""


class JoiningNode(Protocol):
    """The node, as far as joining goes."""

    context: Context
    introductions: Introductions

    @property
    def me(self) -> Node:
        """This node."""

    @property
    def state(self) -> MetaState:
        """The meta log as applied here."""

    def heard_of(self, node: Node) -> None:
        """Where a node is."""

    def exiled(self, meta_index: int) -> None:
        """The cluster has removed this node again."""

    async def take_new_identifier(self) -> None:
        """The present one is another's."""


class Joiner:
    """Asks the seed nodes in turn to be added, until the node's own copy of the meta log says that it is in."""

    def __init__(self, node: JoiningNode) -> None:
        self._node = node
        self._is_removed = False
        self._said: dict[tuple[str, int], str] = {}

    async def join(self) -> None:
        """Returns when the node is on the ring, or was removed before it got there.

        Raises `StartRefused` when whoever answers refuses it for good.
        """
        own = self._node.me.meta_address
        seeds = [seed for seed in self._node.context.settings.seeds if (seed.ip, seed.meta_port) != own]
        if not seeds:
            raise StartRefused("seed_nodes names no other node: it must name nodes of the cluster that is to be joined")
        while not self._is_in:
            refusals: list[str] = []
            was_heard = False
            for seed in seeds:
                refusal, is_welcome = await self._ask(seed.ip, seed.meta_port)
                was_heard = was_heard or is_welcome
                refusals += [refusal] if refusal is not None else []
                if self._is_in or self._is_removed:
                    return
            if refusals and not was_heard and not self._node.state.is_founded:
                raise StartRefused(f"this node can't join: {refusals[0]}")
            await pause(Deadline.after(self._node.context.clock, ASK_MS))

    @property
    def _is_in(self) -> bool:
        table = self._node.state.table
        return table is not None and self._node.me in table.nodes

    async def _ask(self, ip: str, meta_port: int) -> tuple[str | None, bool]:
        """Ask one seed node: why it refuses for good, if it does; and whether it might still say yes."""
        context = self._node.context
        try:
            answer = await context.transport.introduce(ip, meta_port, context.settings.raft_call_timeout_ms)
        except RequestError as error:
            self._say(ip, meta_port, f"no answer: {error.message}")
            return None, False
        peer = introduction(answer)
        if peer.removed_at is not None:
            self._is_removed = True
            self._node.exiled(peer.removed_at)
            return None, False
        fault = self._node.introductions.fault_of_answer(None, answer)
        if fault is not None:
            self._say(ip, meta_port, fault)
            return fault, False
        if peer.blind:
            self._say(ip, meta_port, f"{peer.node} knows no cluster yet")
            return None, True
        try:
            await self._ask_to_be_added(peer.node)
        except RemoteError as refusal:
            self._say(ip, meta_port, refusal.message)
        except RequestError as error:
            self._say(ip, meta_port, f"no answer: {error.message}")
        return None, True

    async def _ask_to_be_added(self, seed: Node) -> None:
        context = self._node.context
        timeout_ms = context.settings.connection_time_out_ms
        arguments = (node_struct(self._node.me),)
        answer = await context.transport.call(seed, Port.META, "addNode", arguments, timeout_ms)
        self._say(*seed.meta_address, f"{seed} answers {answer.respNum}")
        if answer.respNum == IDENTIFIER_CONFLICT:
            await self._node.take_new_identifier()
        elif answer.respNum == AGREE and answer.partitionTableBytes is not None:
            self._meet_nodes(answer.partitionTableBytes)

    def _meet_nodes(self, table: bytes) -> None:
        """The table helps to find peers; what counts is the meta log."""
        try:
            layout = decode_table(table)
        except MalformedInput as error:
            log.warning("partition_table_not_understood", reason=str(error))
            return
        for node, _ in layout.nodes:
            self._node.heard_of(node)

    def _say(self, ip: str, meta_port: int, what: str) -> None:
        """Log what became of a seed node, once until it changes."""
        if self._said.get((ip, meta_port)) != what:
            self._said[ip, meta_port] = what
            log.info("asked_to_be_added", seed=f"{ip}:{meta_port}", outcome=what)
