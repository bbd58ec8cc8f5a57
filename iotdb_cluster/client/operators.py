"""What operators and tools ask a node on its meta port."""

from typing import Any, Self

from iotdb_cluster.client.connection import ThriftClient
from iotdb_cluster.client.failover import Address
from iotdb_cluster.errors import NotReady, RequestError, UnknownGroup
from iotdb_cluster.types.identity import LogIndex, Node, NodeId
from iotdb_cluster.types.report import Report
from iotdb_cluster.wire.idl import STRUCTS
from iotdb_cluster.wire.tables import TableLayout, decode_table

META_SERVICE = "MetaExtension"
DATA_SERVICE = "DataExtension"
AGREE = -1

_Node = STRUCTS["Node"].make


def node_of(struct: Any) -> Node:
    """The interface's struct as a `Node`."""
    return Node(struct.ip, struct.metaPort, NodeId(struct.nodeIdentifier), struct.dataPort)


def struct_of(node: Node) -> Any:
    """A `Node` as the interface's struct."""
    return _Node(ip=node.ip, metaPort=node.meta_port, nodeIdentifier=node.identifier, dataPort=node.data_port)


class MetaClient:
    """A connection to the meta port of one node; a context manager, for one thread at a time."""

    def __init__(self, address: Address, *, timeout_ms: int = 5_000) -> None:
        self._client = ThriftClient(address, META_SERVICE, connect_timeout_ms=timeout_ms)
        self._timeout_ms = timeout_ms

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the connection."""
        self._client.close()

    def check_alive(self) -> Node:
        """The node that answers, with its identifier."""
        return node_of(self._client.call("checkAlive", (), self._timeout_ms))

    def report(self) -> Report:
        """What the node says of itself; only nodes of this project do."""
        return Report.from_json(self._client.call("report", (), self._timeout_ms).json)

    def commit_index(self) -> LogIndex:
        """Up to where the meta group has agreed: what was acknowledged before this call lies at or before it."""
        return LogIndex(self._client.call("requestCommitIndex", (None,), self._timeout_ms))

    def remove_node(self, ip: str, meta_port: int, identifier: NodeId | None = None) -> int:
        """Ask for the removal of the node at this address; the interface's answer (page CLUSTER, "removeNode").

        `identifier` says which one is meant where there are two.
        """
        node = _Node(ip=ip, metaPort=meta_port, nodeIdentifier=identifier or 0, dataPort=0)
        return int(self._client.call("removeNode", (node,), self._timeout_ms))

    def partition_table(self) -> TableLayout:
        """Who owns which slots; raises `NotReady` while the node does not know it.

        A node that is already in answers `addNode` with the table (interface page "A read, step by step").
        """
        itself = self._client.call("checkAlive", (), self._timeout_ms)
        answer = self._client.call("addNode", (itself,), self._timeout_ms)
        if answer.respNum != AGREE or answer.partitionTableBytes is None:
            raise NotReady(f"{self._client.name} knows no partition table: addNode of itself answers {answer.respNum}")
        return decode_table(answer.partitionTableBytes)


def header_of(table: TableLayout, slot: int) -> Node:
    """The node that owns a slot."""
    for node, slots in table.nodes:
        if slot in slots:
            return node
    raise UnknownGroup(f"slot {slot} has no owner in the partition table")


def ask_report(address: Address, *, timeout_ms: int = 5_000) -> Report | None:
    """The report of the node at this address; None when it does not answer, or not in time."""
    try:
        with MetaClient(address, timeout_ms=timeout_ms) as client:
            return client.report()
    except RequestError:
        return None
