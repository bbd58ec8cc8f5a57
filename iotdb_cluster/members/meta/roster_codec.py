"""Bytes of entries about nodes and groups, and of the roster in a meta snapshot."""

from iotdb_cluster.errors import MalformedInput
from iotdb_cluster.members.meta.codec import Reader, Writer, read_table, write_table
from iotdb_cluster.partition.roster import GroupRecord, Roster
from iotdb_cluster.types.entries import EntryKind, Payload
from iotdb_cluster.types.identity import LogIndex, Node, NodeId
from iotdb_cluster.types.membership import Membership

URGENT = b"\x01"
"""Behind the node of a REMOVE_NODE entry that need not wait for the change that is under way."""


def add_node_payload(node: Node) -> Payload:
    """ADD_NODE: the interface page's Node."""
    writer = Writer()
    writer.node(node)
    return Payload(EntryKind.ADD_NODE, writer.bytes())


def remove_node_payload(node: Node, *, is_urgent: bool = False) -> Payload:
    """REMOVE_NODE: the interface page's Node, and one byte more for one that is urgent."""
    writer = Writer()
    writer.node(node)
    writer.raw(URGENT if is_urgent else b"")
    return Payload(EntryKind.REMOVE_NODE, writer.bytes())


def read_removal(reader: Reader) -> tuple[Node, bool]:
    """The body of a REMOVE_NODE entry: the node, and whether it is urgent."""
    node = reader.node()
    if not reader.left:
        return node, False
    if reader.raw(1) != URGENT:
        raise MalformedInput("a REMOVE_NODE entry that ends in an unknown byte")
    return node, True


def report_payload(header: NodeId, index: LogIndex, members: frozenset[NodeId]) -> Payload:
    """GROUP_MEMBERS."""
    writer = Writer()
    writer.i32(header)
    writer.i64(index)
    write_nodes(writer, members)
    return Payload(EntryKind.GROUP_MEMBERS, writer.bytes())


def read_report(reader: Reader) -> tuple[NodeId, LogIndex, frozenset[NodeId]]:
    """The body of a GROUP_MEMBERS entry: header, index, voters."""
    return NodeId(reader.i32()), reader.i64(), read_nodes(reader)


def write_nodes(writer: Writer, nodes: frozenset[NodeId]) -> None:
    """`i32 count`, then identifiers in ascending order."""
    writer.each(sorted(nodes), writer.i32)


def read_nodes(reader: Reader) -> frozenset[NodeId]:
    """The counterpart of `write_nodes`."""
    found = reader.each(reader.i32, 4)
    if list(found) != sorted(set(found)):
        raise MalformedInput("identifiers that are not in ascending order")
    return frozenset(map(NodeId, found))


def write_roster(writer: Writer, roster: Roster) -> None:
    """`membership | table | groups | joining | leaving | tombstones`."""
    writer.raw(roster.membership.encode())
    write_table(writer, roster.table)

    def write_group(record: GroupRecord) -> None:
        writer.node(record.header)
        write_nodes(writer, record.founders)
        write_nodes(writer, record.members)
        writer.i64(record.index)

    writer.each(roster.groups, write_group)
    writer.each(roster.joining, writer.node)
    write_nodes(writer, roster.leaving)
    write_nodes(writer, roster.tombstones)


def read_roster(reader: Reader) -> Roster:
    """The counterpart of `write_roster`."""

    def read_group() -> GroupRecord:
        return GroupRecord(reader.node(), read_nodes(reader), read_nodes(reader), reader.i64())

    return Roster(
        membership=reader.parsed(Membership.decode),
        table=read_table(reader),
        groups=reader.each(read_group, 32),
        joining=reader.each(reader.node, 16),
        leaving=read_nodes(reader),
        tombstones=read_nodes(reader),
    )
