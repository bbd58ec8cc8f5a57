"""What every member of a node is given: the node's runtime, clock, disk, peers and settings."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from iotdb_cluster.members.clock import Clock
from iotdb_cluster.members.runtime import Runtime
from iotdb_cluster.members.transport import Transport
from iotdb_cluster.settings import Settings
from iotdb_cluster.types.disk import Disk
from iotdb_cluster.types.identity import Node, NodeId


class Directory(Protocol):
    """Who can be reached where; grows and shrinks with the meta log."""

    def find(self, identifier: NodeId) -> Node | None:
        """The node with this identifier, if this node knows it."""


class Submit(Protocol):
    """Runs work in the background, one piece after the other; what is urgent waits for nothing that is not."""

    def __call__(self, work: Callable[[], None], *, is_urgent: bool = False) -> None: ...


@dataclass(frozen=True, slots=True)
class Context:
    """Injected, so that the same members run in a node and in the simulator."""

    me: Node
    settings: Settings
    clock: Clock
    runtime: Runtime
    transport: Transport
    disk: Disk
    directory: Directory
    draw: Callable[[int, int], int]
    """A number between two bounds, both included."""
    submit: Submit
