"""Filters of a single series (interface page "Filter"): an id byte, then operands or a condition."""

from enum import IntEnum

from iotdb_cluster.errors import MalformedInput
from iotdb_cluster.types.filters import And, Compare, CompareOp, Filter, FilterKind, GroupByWindows, Not, Or
from iotdb_cluster.wire.payload import PayloadReader, i64
from iotdb_cluster.wire.scalars import encode_scalar, read_scalar

MAX_DEPTH = 64
"""Filters may nest this far; whoever evaluates them may recurse."""


class _Id(IntEnum):
    """The ids that are no comparison."""

    AND = 0
    GROUP_BY = 2
    NOT = 8
    OR = 9


def encode_filter(filter: Filter) -> bytes:
    """A filter as it stands in `filterBytes`."""
    match filter:
        case And(left, right):
            return _Id.AND.to_bytes() + encode_filter(left) + encode_filter(right)
        case Or(left, right):
            return _Id.OR.to_bytes() + encode_filter(left) + encode_filter(right)
        case Not(inner):
            return _Id.NOT.to_bytes() + encode_filter(inner)
        case GroupByWindows(unit, step, start, end):
            return _Id.GROUP_BY.to_bytes() + i64(unit) + i64(step) + i64(start) + i64(end)
        case Compare(op, kind, constant):
            return bytes((op, kind)) + encode_scalar(constant)


def decode_filter(data: bytes) -> Filter:
    """The filter in these bytes, all of them; raises `MalformedInput`, which names an unknown id."""
    reader = PayloadReader(data, "filter")
    filter = _read_filter(reader, MAX_DEPTH)
    reader.expect_end()
    return filter


def _read_filter(reader: PayloadReader, depth: int) -> Filter:
    if depth == 0:
        raise MalformedInput(f"a filter that nests deeper than {MAX_DEPTH}")
    number = reader.u8()
    match number:
        case _Id.AND:
            return And(_read_filter(reader, depth - 1), _read_filter(reader, depth - 1))
        case _Id.OR:
            return Or(_read_filter(reader, depth - 1), _read_filter(reader, depth - 1))
        case _Id.NOT:
            return Not(_read_filter(reader, depth - 1))
        case _Id.GROUP_BY:
            return GroupByWindows(reader.i64(), reader.i64(), reader.i64(), reader.i64())
    op = reader.ordinal(CompareOp, number)
    return Compare(op, reader.ordinal(FilterKind, reader.u8()), read_scalar(reader))
