"""How the meta log and its snapshot tell the starts of nodes: `i32 identifier | i64 count | i64 random`."""

from iotdb_cluster.members.meta.codec import Reader, Writer
from iotdb_cluster.types.entries import EntryKind, Payload
from iotdb_cluster.types.identity import NodeId, Start


def started_payload(node: NodeId, start: Start) -> Payload:
    """The entry by which a start becomes known."""
    writer = Writer()
    write_start(writer, node, start)
    return Payload(EntryKind.NODE_STARTED, writer.bytes())


def write_start(writer: Writer, identifier: NodeId, start: Start) -> None:
    """A node and its start."""
    writer.i32(identifier)
    writer.i64(start.count)
    writer.i64(start.random)


def read_start(reader: Reader) -> tuple[NodeId, Start]:
    """The counterpart of `write_start`."""
    return NodeId(reader.i32()), Start(reader.i64(), reader.i64())
