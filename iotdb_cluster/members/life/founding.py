"""How the seed nodes of a new cluster find each other (DESIGN 3, "The first boot")."""

from typing import Protocol

import structlog

from iotdb_cluster.errors import RequestError, StartRefused
from iotdb_cluster.members.clock import Deadline
from iotdb_cluster.members.context import Context
from iotdb_cluster.members.life.introductions import Introduction, Introductions, introduction
from iotdb_cluster.members.meta.state import MetaState
from iotdb_cluster.members.pending import pause
from iotdb_cluster.types.identity import Node

log = structlog.get_logger()

ASK_MS = 250
"""Pause between two rounds of questions to seed nodes that did not answer."""


class BlindNode(Protocol):
    """The node as far as the founding goes."""

    context: Context
    introductions: Introductions

    @property
    def me(self) -> Node:
        """This node."""

    @property
    def state(self) -> MetaState:
        """The meta group's state as applied here."""

    def meet(self, founders: list[Node]) -> None:
        """All seed nodes are known."""

    def regenerate_identifier(self) -> None:
        """Take a new identifier."""


class Founders:
    """Asks the seed nodes who they are until the first membership is known here."""

    def __init__(self, node: BlindNode) -> None:
        self._node = node
        self._seeds = node.context.settings.seeds
        self._met: dict[tuple[str, int], Node] = {}
        self._said: dict[tuple[str, int], str] = {}
        self._built: frozenset[Node] = frozenset()

    async def meet(self) -> None:
        """Returns when the cluster is founded; raises `StartRefused` where this node has no place in it."""
        own = (self._node.me.ip, self._node.me.meta_port)
        if own not in [(seed.ip, seed.meta_port) for seed in self._seeds]:
            raise StartRefused(
                f"{own[0]}:{own[1]} is not among seed_nodes ({self._node.context.settings.seed_nodes}): "
                "a node that is to join a running cluster is added, not started as a seed node"
            )
        while not self._node.state.is_founded:
            for seed in self._seeds:
                if (seed.ip, seed.meta_port) != own:
                    await self._ask(seed.ip, seed.meta_port)
            self._found_if_complete()
            await pause(Deadline.after(self._node.context.clock, ASK_MS))

    async def _ask(self, ip: str, meta_port: int) -> None:
        context = self._node.context
        timeout_ms = context.settings.election_timeout_max_ms
        try:
            answer = await context.transport.introduce(ip, meta_port, timeout_ms)
        except RequestError as error:
            self._say(ip, meta_port, f"no answer yet: {error.message}")
            return
        peer = introduction(answer)
        if not peer.blind:
            self._check_place(peer)
        fault = self._node.introductions.fault_of_answer(None, answer)
        if fault is not None:
            self._say(ip, meta_port, fault)
            return
        self._say(ip, meta_port, f"met {peer.node}")
        if peer.node.identifier == self._node.me.identifier and (ip, meta_port) < self._own_address():
            # Of two seed nodes with one identifier the one with the higher address takes another.
            self._node.regenerate_identifier()
        self._met[ip, meta_port] = peer.node

    def _own_address(self) -> tuple[str, int]:
        return self._node.me.ip, self._node.me.meta_port

    def _check_place(self, peer: Introduction) -> None:
        """A seed node that knows a membership without this node: this one can't found anything any more."""
        if peer.members and self._node.me.identifier not in [node.identifier for node in peer.members]:
            raise StartRefused(
                f"{peer.node} belongs to a running cluster that does not know this node (identifier "
                f"{self._node.me.identifier}): add it to the cluster instead of starting it as a seed node; if it lost "
                "its disk, its old identifier has to be removed, too"
            )

    def _found_if_complete(self) -> None:
        nodes = [self._node.me, *(self._met[address] for address in sorted(self._met))]
        complete = len(nodes) == len(self._seeds) and len({node.identifier for node in nodes}) == len(nodes)
        if complete and frozenset(nodes) != self._built:
            self._built = frozenset(nodes)
            self._node.context.runtime.call_soon(lambda: self._node.meet(nodes))

    def _say(self, ip: str, meta_port: int, what: str) -> None:
        """Log what became of a seed node, once until it changes."""
        if self._said.get((ip, meta_port)) != what:
            self._said[ip, meta_port] = what
            log.info("seed_node", address=f"{ip}:{meta_port}", status=what)
