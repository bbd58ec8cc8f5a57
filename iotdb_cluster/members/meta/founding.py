"""What the first entry of a cluster's meta log says, and where to find its nodes before that is applied."""

from dataclasses import dataclass

from iotdb_cluster.errors import MalformedInput
from iotdb_cluster.members.meta.codec import CLUSTER_ID_BYTES, Reader, Writer, read_all, read_table, write_table
from iotdb_cluster.partition.table import PartitionTable
from iotdb_cluster.types.entries import Entry, EntryKind, Payload
from iotdb_cluster.types.identity import Node
from iotdb_cluster.types.membership import Membership


@dataclass(frozen=True, slots=True)
class Founding:
    """What the first entry of a cluster says, besides who votes: everybody computes the same from it for ever."""

    cluster_id: bytes
    hash_seed: int
    table: PartitionTable

    def payload(self) -> Payload:
        """The entry of kind MEMBERSHIP at index 1: all nodes are its voters."""
        writer = Writer()
        writer.raw(Membership(self.table.identifiers).encode())
        self.write(writer)
        return Payload(EntryKind.MEMBERSHIP, writer.bytes())

    def write(self, writer: Writer) -> None:
        """`16 bytes cluster id | i32 hash seed | table`."""
        writer.raw(self.cluster_id)
        writer.i32(self.hash_seed)
        write_table(writer, self.table)

    @classmethod
    def read(cls, reader: Reader) -> "Founding":
        """The counterpart of `write`."""
        return cls(reader.raw(CLUSTER_ID_BYTES), reader.i32(), read_table(reader))


def founding_of(entry: Entry) -> Founding | None:
    """What the first entry of the meta log founds; None for any other, or one that can't be read."""
    if entry.kind != EntryKind.MEMBERSHIP or entry.index != 1:
        return None
    try:
        _, offset = Membership.decode(entry.body)
        return Founding.read(Reader(entry.body, offset))
    except MalformedInput:
        return None


def nodes_named_by(entry: Entry) -> tuple[Node, ...]:
    """Nodes whose addresses an entry of the meta log tells, committed or not; none for other entries."""
    try:
        if entry.kind == EntryKind.ADD_NODE:
            return (read_all(entry.body, Reader.node),)
    except MalformedInput:
        return ()  # what can't be read has no effect when it is applied, either
    founding = founding_of(entry)
    return founding.table.nodes if founding else ()
