"""The ring: nodes in the order of their identifiers, and the replicas that follow a header on it."""

from collections.abc import Iterable
from itertools import pairwise

from iotdb_cluster.errors import MalformedInput
from iotdb_cluster.types.identity import Node, NodeId


def ring_order(nodes: Iterable[Node]) -> tuple[Node, ...]:
    """The nodes sorted by signed identifier, whatever order they came in; raises `MalformedInput` on a double one."""
    ordered = tuple(sorted(nodes, key=lambda node: node.identifier))
    for before, after in pairwise(ordered):
        if before.identifier == after.identifier:
            raise MalformedInput(f"two nodes have the identifier {before.identifier}: {before} and {after}")
    return ordered


def replicas_from(ring: tuple[Node, ...], header: NodeId, replica_num: int) -> tuple[Node, ...]:
    """The header and the `replica_num - 1` nodes after it, wrapping round; all nodes where there are fewer.

    Raises `KeyError` for a header that is not on the ring.
    """
    for position, node in enumerate(ring):
        if node.identifier == header:
            count = min(replica_num, len(ring))
            return tuple(ring[(position + step) % len(ring)] for step in range(count))
    raise KeyError(header)
