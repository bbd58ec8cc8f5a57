"""A node inside a payload (interface page "Node"); as a Thrift field it is the struct `Node`."""

import struct

from iotdb_cluster.types.identity import Node, NodeId
from iotdb_cluster.wire.payload import PayloadReader, text

_NUMBERS = struct.Struct(">iii")
LEAST_BYTES = 16


def encode_node(node: Node) -> bytes:
    """`str ip | i32 metaPort | i32 nodeIdentifier | i32 dataPort`."""
    return text(node.ip) + _NUMBERS.pack(node.meta_port, node.identifier, node.data_port)


def decode_node(data: bytes) -> Node:
    """The body of an ADD_NODE or REMOVE_NODE entry; raises `MalformedInput`."""
    reader = PayloadReader(data, "node")
    node = read_node(reader)
    reader.expect_end()
    return node


def read_node(reader: PayloadReader) -> Node:
    """A node within a payload."""
    return Node(reader.text(), reader.i32(), NodeId(reader.i32()), reader.i32())
