"""The codec against two others: thriftpy2's own protocols, and its own walk, which defines what is right."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from thriftpy2.protocol.binary import TBinaryProtocol
from thriftpy2.protocol.compact import TCompactProtocol
from thriftpy2.transport.memory import TMemoryBuffer

from iotdb_cluster.errors import MalformedInput
from iotdb_cluster.wire.binary_readers import BinaryReaders
from iotdb_cluster.wire.binary_walk import BinaryWalk
from iotdb_cluster.wire.binary_writers import BinaryWriters
from iotdb_cluster.wire.canonical import GAVE_UP, CompiledReaders, CompiledWriters
from iotdb_cluster.wire.compact_readers import CompactReaders
from iotdb_cluster.wire.compact_walk import CompactWalk
from iotdb_cluster.wire.compact_writers import CompactWriters
from iotdb_cluster.wire.header import Protocol
from iotdb_cluster.wire.idl import STRUCTS, Struct
from iotdb_cluster.wire.limits import Limits
from iotdb_cluster.wire.walk import Budget, Walk
from tests.wire import by_hand, strategies

LIMITS = Limits(elements=2000, string_bytes=64)
READERS: dict[Protocol, CompiledReaders] = {
    Protocol.BINARY: BinaryReaders(LIMITS),
    Protocol.COMPACT: CompactReaders(LIMITS),
}
WRITERS: dict[Protocol, CompiledWriters] = {Protocol.BINARY: BinaryWriters(), Protocol.COMPACT: CompactWriters()}
WALKS: dict[Protocol, type[Walk]] = {Protocol.BINARY: BinaryWalk, Protocol.COMPACT: CompactWalk}
THRIFTPY: dict[Protocol, Any] = {Protocol.BINARY: TBinaryProtocol, Protocol.COMPACT: TCompactProtocol}
some_structs = st.sampled_from(sorted(STRUCTS.values(), key=lambda struct: struct.name)).flatmap(
    lambda struct: strategies.of_struct(struct).map(lambda value: (struct, value))
)


def written(protocol: Protocol, struct: Struct, value: Any) -> bytes:
    parts: list[bytes] = []
    WRITERS[protocol].writer(struct)(value, parts.append)
    return b"".join(parts)


def walked(protocol: Protocol, struct: Struct, data: bytes) -> Any:
    walk = WALKS[protocol](data, 0, LIMITS)
    value = walk.struct(struct)
    walk.expect_end()
    return value


def compiled(protocol: Protocol, struct: Struct, data: bytes) -> Any:
    value, end = READERS[protocol].reader(struct)(data, 0, Budget(LIMITS.elements))
    if end != len(data):
        raise MalformedInput("something behind it")
    return value


@pytest.mark.parametrize("protocol", Protocol)
def test_thriftpy2_reads_what_is_written_here(protocol: Protocol) -> None:
    @settings(max_examples=50, deadline=None)
    @given(some_structs)
    def read_there(drawn: tuple[Struct, Any]) -> None:
        struct, value = drawn
        there = struct.make()
        THRIFTPY[protocol](TMemoryBuffer(written(protocol, struct, value))).read_struct(there)
        assert value == there

    read_there()


@pytest.mark.parametrize("protocol", Protocol)
def test_what_thriftpy2_writes_is_written_here_byte_for_byte_and_read(protocol: Protocol) -> None:
    @settings(max_examples=50, deadline=None)
    @given(some_structs)
    def read_here(drawn: tuple[Struct, Any]) -> None:
        struct, value = drawn
        buffer = TMemoryBuffer()
        THRIFTPY[protocol](buffer).write_struct(value)
        assert buffer.getvalue() == written(protocol, struct, value)
        assert value == walked(protocol, struct, buffer.getvalue()) == compiled(protocol, struct, buffer.getvalue())

    read_here()


@pytest.mark.parametrize("protocol", Protocol)
def test_a_compiled_reader_never_answers_what_the_walk_does_not(protocol: Protocol) -> None:
    @settings(max_examples=150, deadline=None)
    @given(some_structs, st.data())
    def agree(drawn: tuple[Struct, Any], data: st.DataObject) -> None:
        struct, value = drawn
        damaged = bytearray(written(protocol, struct, value))
        for _ in range(data.draw(st.integers(1, 3))):
            damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
        try:
            answer = repr(compiled(protocol, struct, bytes(damaged)))
        except (*GAVE_UP, MalformedInput):
            return
        assert repr(walked(protocol, struct, bytes(damaged))) == answer

    agree()


@settings(max_examples=50, deadline=None)
@given(st.permutations(range(4)), st.lists(st.integers(0, 4), max_size=3))
def test_the_walk_reads_fields_in_any_order_among_unknown_ones(order: list[int], unknown_at: list[int]) -> None:
    fields = [by_hand.node_fields("::1", 1, 2, 3)[position] for position in order]
    for position in unknown_at:
        fields.insert(position, by_hand.field(by_hand.STRING, 40 + position, by_hand.string("?")))
    node = walked(Protocol.BINARY, STRUCTS["Node"], b"".join(fields) + by_hand.STOP)
    assert ("::1", 1, 2, 3) == (node.ip, node.metaPort, node.nodeIdentifier, node.dataPort)


@pytest.mark.parametrize("protocol", Protocol)
def test_messages_as_long_as_the_limits_are_read_by_walk_and_compiled_reader_alike(protocol: Protocol) -> None:
    struct = STRUCTS["TSExecuteBatchStatementReq"]
    most = struct.make(1, ["s" * LIMITS.string_bytes] * LIMITS.elements)
    assert most == walked(protocol, struct, written(protocol, struct, most))
    assert most == compiled(protocol, struct, written(protocol, struct, most))
    for one_more in (struct.make(1, ["s"] * (LIMITS.elements + 1)), struct.make(1, ["s" * (LIMITS.string_bytes + 1)])):
        data = written(protocol, struct, one_more)
        with pytest.raises((MalformedInput, *GAVE_UP)):
            compiled(protocol, struct, data)
        with pytest.raises(MalformedInput):
            walked(protocol, struct, data)
