"""How a node's members reach other nodes: calls of the interface, whatever carries them."""

from collections.abc import Callable
from enum import Enum
from typing import Any, Protocol

from iotdb_cluster.members.pending import Pending
from iotdb_cluster.types.identity import Node

Invocation = tuple[str, tuple[Any, ...]]
"""A method of the IDL and its arguments, in order."""


class Port(Enum):
    """The two services between nodes; the meta group lives on one, all data groups on the other."""

    META = "meta"
    DATA = "data"


class Lane(Enum):
    """What must not wait for what: each lane to a peer is a connection of its own.

    Heartbeats and votes never queue behind entries, entries never behind files (DESIGN 9). REPORT is for calls that
    wait for an entry to be applied elsewhere.
    """

    CONTROL = "control"
    APPEND = "append"
    BULK = "bulk"
    REPORT = "report"


class Transport(Protocol):
    """Calls to other nodes; in a node over sockets, in the simulator over its network.

    A call goes only to a node that has proved by `hello` to be the one that is meant; otherwise it fails.
    """

    def send(
        self,
        to: Node,
        port: Port,
        lane: tuple[Lane, int],
        build: Callable[[], Invocation],
        timeout_ms: int,
        on_done: Callable[[Any], None],
    ) -> None:
        """Call without waiting. Calls of one lane keep their order.

        `lane` is a kind and a number (the group, for entries). `build` makes the call when its turn has come, in
        whatever thread sends it. `on_done` gets the result or an exception, exactly once, in any thread.
        """

    def call(self, to: Node, port: Port, method: str, arguments: tuple[Any, ...], timeout_ms: int) -> Pending[Any]:
        """Call and await: fails with `Unreachable` when nothing was sent, else `OutcomeUnknown` or the peer's error."""

    def introduce(self, ip: str, meta_port: int, timeout_ms: int) -> Pending[Any]:
        """Say `hello` to whoever answers on a meta port; gives the `HelloAnswer`, also one that refuses us."""
