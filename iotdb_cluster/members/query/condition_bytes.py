"""A condition over several series as bytes between nodes: a tag, then what it joins or tests.

A test is the i32 position of its series (not for the time), an i32 length and a comparison as in `filterBytes`; a list
of conditions is an i32 count and those conditions.
"""

from collections.abc import Sequence
from enum import IntEnum

from iotdb_cluster.errors import MalformedInput
from iotdb_cluster.query.conditions import VALUE_CLASSES, AllOf, AnyOf, Bound, Never, TimeTest, ValueTest
from iotdb_cluster.types.filters import Compare, FilterKind, ValueClass
from iotdb_cluster.types.schema import DataType
from iotdb_cluster.wire.filters import decode_filter, encode_filter
from iotdb_cluster.wire.payload import PayloadReader, blob, i32

MAX_DEPTH = 200
"""Conditions may nest this far, which is further than a statement can; whoever evaluates them recurses."""


class _Tag(IntEnum):
    TIME = 0
    VALUE = 1
    NEVER = 2
    ALL_OF = 3
    ANY_OF = 4


def encode_condition(condition: Bound) -> bytes:
    """A condition as it stands in `OpenRowsRequest`."""
    match condition:
        case TimeTest(test):
            return _Tag.TIME.to_bytes() + blob(encode_filter(test))
        case ValueTest(position, _, test):
            return _Tag.VALUE.to_bytes() + i32(position) + blob(encode_filter(test))
        case Never():
            return _Tag.NEVER.to_bytes()
        case AllOf(terms):
            return _Tag.ALL_OF.to_bytes() + i32(len(terms)) + b"".join(map(encode_condition, terms))
        case AnyOf(terms):
            return _Tag.ANY_OF.to_bytes() + i32(len(terms)) + b"".join(map(encode_condition, terms))


def decode_condition(data: bytes, data_types: Sequence[DataType]) -> Bound:
    """The condition in these bytes over series of these types; raises `MalformedInput` for what cannot be one."""
    reader = PayloadReader(data, "condition")
    condition = _read(reader, data_types, MAX_DEPTH)
    reader.expect_end()
    return condition


def _read(reader: PayloadReader, data_types: Sequence[DataType], depth: int) -> Bound:
    if depth == 0:
        raise MalformedInput(f"a condition that nests deeper than {MAX_DEPTH}")
    match reader.ordinal(_Tag, reader.u8()):
        case _Tag.TIME:
            return TimeTest(_read_test(reader, FilterKind.TIME, ValueClass.LONG))
        case _Tag.VALUE:
            position = reader.i32()
            if not 0 <= position < len(data_types):
                raise MalformedInput(f"condition: series {position} of {len(data_types)}")
            data_type = data_types[position]
            return ValueTest(position, data_type, _read_test(reader, FilterKind.VALUE, VALUE_CLASSES[data_type]))
        case _Tag.NEVER:
            return Never()
        case _Tag.ALL_OF:
            return AllOf(_read_terms(reader, data_types, depth))
        case _Tag.ANY_OF:
            return AnyOf(_read_terms(reader, data_types, depth))


def _read_terms(reader: PayloadReader, data_types: Sequence[DataType], depth: int) -> tuple[Bound, ...]:
    count = reader.i32()
    if not 0 < count <= reader.left:
        raise MalformedInput(f"condition: {count} terms in {reader.left} bytes")
    return tuple([_read(reader, data_types, depth - 1) for _ in range(count)])


def _read_test(reader: PayloadReader, kind: FilterKind, of_class: ValueClass) -> Compare:
    test = decode_filter(reader.blob())
    if not isinstance(test, Compare) or test.kind is not kind or test.constant.value_class is not of_class:
        raise MalformedInput(f"condition: no comparison of a {kind.name.lower()} with a {of_class.name} constant")
    return test
