"""The layout of a partition table (interface page "Partition table"): what is in the bytes, not yet what it means."""

import struct
from dataclasses import dataclass

from iotdb_cluster.errors import MalformedInput
from iotdb_cluster.types.identity import Node, NodeId, Slot
from iotdb_cluster.wire import nodes as wire_nodes
from iotdb_cluster.wire.payload import PayloadReader, i32


@dataclass(frozen=True, slots=True)
class TableLayout:
    """A table as it travels; nothing in it is sorted, and `extension` is what follows the mirrored bytes.

    `nodes` has each node with its slots, which together are all slots, each once. `previous_holders` has, for nodes
    that were added, slots and who held them before; it may name nodes that are gone.
    """

    slot_count: int
    nodes: tuple[tuple[Node, tuple[Slot, ...]], ...]
    previous_holders: tuple[tuple[NodeId, tuple[tuple[Slot, NodeId], ...]], ...] = ()
    extension: bytes = b""


def encode_table(table: TableLayout) -> bytes:
    """A table as it stands in `partitionTableBytes`."""
    parts = [i32(table.slot_count), i32(len(table.nodes))]
    for node, slots in table.nodes:
        parts += (wire_nodes.encode_node(node), struct.pack(f">{1 + len(slots)}i", len(slots), *slots))
    parts.append(i32(len(table.previous_holders)))
    for identifier, holders in table.previous_holders:
        numbers = [number for pair in holders for number in pair]
        parts.append(struct.pack(f">{2 + len(numbers)}i", identifier, len(holders), *numbers))
    parts.append(table.extension)
    return b"".join(parts)


def decode_table(data: bytes) -> TableLayout:
    """The table in these bytes; raises `MalformedInput`, also when a slot has no owner or two."""
    reader = PayloadReader(data, "partition table")
    slot_count = reader.i32()
    nodes = tuple(
        (wire_nodes.read_node(reader), reader.i32s(reader.count(4)))
        for _ in range(reader.count(wire_nodes.LEAST_BYTES + 4))
    )
    _check_slots(slot_count, [slot for _, slots in nodes for slot in slots])
    previous = tuple((NodeId(reader.i32()), _read_holders(reader)) for _ in range(reader.count(8)))
    return TableLayout(slot_count, nodes, previous, reader.rest())


def _read_holders(reader: PayloadReader) -> tuple[tuple[Slot, NodeId], ...]:
    numbers = reader.i32s(2 * reader.count(8))
    return tuple((slot, NodeId(holder)) for slot, holder in zip(numbers[::2], numbers[1::2], strict=True))


def _check_slots(slot_count: int, slots: list[Slot]) -> None:
    if slot_count < 1 or len(slots) != slot_count or sorted(slots) != list(range(slot_count)):
        raise MalformedInput(
            f"partition table: {len(slots)} owned slots are not the {slot_count} that it has, each once"
        )
