"""Bytes of the meta group's own: the founding entry and what stands behind a mirrored meta snapshot.

Big-endian as everything else in the log; a string is `i32 length | UTF-8`, a node as the interface page has it. What
iterates here is sorted, so that equal values are equal bytes on every node.
"""

import struct
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import TypeVar

from iotdb_cluster.errors import MalformedInput
from iotdb_cluster.partition.table import PartitionTable
from iotdb_cluster.types.identity import Node, NodeId

T = TypeVar("T")

CLUSTER_ID_BYTES = 16
_I32 = struct.Struct(">i")
_I64 = struct.Struct(">q")
_PAIR = struct.Struct(">ii")


class Writer:
    """Values one behind the other."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def raw(self, data: bytes) -> None:
        """Bytes whose length the reader knows."""
        self._parts.append(data)

    def i32(self, value: int) -> None:
        self._parts.append(_I32.pack(value))

    def i64(self, value: int) -> None:
        self._parts.append(_I64.pack(value))

    def text(self, value: str) -> None:
        """`i32 length | UTF-8`."""
        encoded = value.encode()
        self.i32(len(encoded))
        self.raw(encoded)

    def node(self, node: Node) -> None:
        """The interface page's Node."""
        self.text(node.ip)
        self.i32(node.meta_port)
        self.i32(node.identifier)
        self.i32(node.data_port)

    def each(self, values: Iterable[T], write: Callable[[T], None]) -> None:
        """`i32 count`, then every value."""
        known = list(values)
        self.i32(len(known))
        for value in known:
            write(value)

    def pairs(self, values: Sequence[tuple[int, int]]) -> None:
        """`i32 count`, then `i32 | i32` each: a table has thousands of them."""
        self.i32(len(values))
        self.raw(struct.pack(f">{2 * len(values)}i", *chain.from_iterable(values)))

    def bytes(self) -> bytes:
        """Everything written."""
        return b"".join(self._parts)


class Reader:
    """The counterpart of `Writer`; every method raises `MalformedInput` when the bytes do not suffice."""

    def __init__(self, data: bytes, offset: int = 0) -> None:
        self._data = data
        self.offset = offset

    def raw(self, length: int) -> bytes:
        """Exactly `length` bytes."""
        end = self.offset + length
        if length < 0 or end > len(self._data):
            raise MalformedInput(f"{length} bytes wanted at {self.offset}, {len(self._data) - self.offset} are left")
        data = self._data[self.offset : end]
        self.offset = end
        return data

    def i32(self) -> int:
        return int(_I32.unpack(self.raw(4))[0])

    def i64(self) -> int:
        return int(_I64.unpack(self.raw(8))[0])

    def text(self) -> str:
        """`i32 length | UTF-8`."""
        data = self.raw(self.i32())
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            raise MalformedInput(f"text that is not UTF-8: {error}") from error

    def node(self) -> Node:
        """The interface page's Node."""
        ip, meta_port, identifier = self.text(), self.i32(), NodeId(self.i32())
        return Node(ip, meta_port, identifier, self.i32())

    def each(self, read: Callable[[], T], least_bytes: int) -> tuple[T, ...]:
        """`i32 count`, then as many values; a count that cannot fit into what is left is refused before reading."""
        count = self.i32()
        left = len(self._data) - self.offset
        if count < 0 or count * least_bytes > left:
            raise MalformedInput(f"{count} values of at least {least_bytes} bytes, {left} bytes are left")
        return tuple(read() for _ in range(count))

    def pairs(self) -> list[tuple[int, int]]:
        """The counterpart of `Writer.pairs`."""
        count = self.i32()
        if count < 0:
            raise MalformedInput(f"{count} pairs")
        return list(_PAIR.iter_unpack(self.raw(_PAIR.size * count)))

    def parsed(self, parse: Callable[[bytes, int], tuple[T, int]]) -> T:
        """What another parser takes from here: `parse(data, offset)` gives a value and the offset behind it."""
        value, self.offset = parse(self._data, self.offset)
        return value

    @property
    def left(self) -> int:
        """Bytes that were not read yet."""
        return len(self._data) - self.offset

    def end(self) -> None:
        """Nothing may be left over."""
        if self.offset != len(self._data):
            raise MalformedInput(f"{len(self._data) - self.offset} bytes too many")


def read_all(body: bytes, read: Callable[[Reader], T]) -> T:
    """What `read` makes of the whole `body`; raises `MalformedInput` when bytes are left over."""
    reader = Reader(body)
    value = read(reader)
    reader.end()
    return value


def write_table(writer: Writer, table: PartitionTable) -> None:
    """`i32 replicas | i64 meta index | Node[] | runs (i32 length | i32 owner)[] | previous holders`."""
    writer.i32(table.replica_num)
    writer.i64(table.meta_index)
    writer.each(table.nodes, writer.node)
    writer.pairs(table.runs)

    def write_held(holder: tuple[NodeId, tuple[tuple[int, NodeId], ...]]) -> None:
        writer.i32(holder[0])
        writer.pairs(holder[1])

    writer.each(table.previous, write_held)


def read_table(reader: Reader, max_slots: int = 1_000_000) -> PartitionTable:
    """The counterpart of `write_table`; refuses what can be no table."""

    replica_num, meta_index = reader.i32(), reader.i64()
    nodes = reader.each(reader.node, 16)
    owners: list[NodeId] = []
    for length, owner in reader.pairs():
        if length <= 0 or len(owners) + length > max_slots:
            raise MalformedInput(f"a run of {length} slots behind {len(owners)}")
        owners += [NodeId(owner)] * length

    def read_held() -> tuple[NodeId, tuple[tuple[int, NodeId], ...]]:
        holder = NodeId(reader.i32())
        return holder, tuple((slot, NodeId(before)) for slot, before in reader.pairs())

    previous = reader.each(read_held, 8)
    return PartitionTable(nodes, tuple(owners), replica_num, meta_index, previous)
