"""WHERE, bound to columns: literals have become values of the types of their series, paths have become positions.

A bound condition knows no NOT (`sql.conditions.without_not`), so it is monotone: without a value it can only hold at
fewer times. That is what allows to push parts of it to where the points are.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from iotdb_cluster.errors import RequestError, StatusCode
from iotdb_cluster.query.rows import Rows
from iotdb_cluster.sql.conditions import Literal, LiteralKind
from iotdb_cluster.timeseries.filters import FIRST_TIME, LAST_TIME, fulfilled, time_bounds
from iotdb_cluster.timeseries.frames import Mask, Points
from iotdb_cluster.timeseries.values import CONVERTERS
from iotdb_cluster.types import filters
from iotdb_cluster.types.filters import Compare, CompareOp, Filter, FilterKind, Scalar, ValueClass
from iotdb_cluster.types.schema import DataType

MAX_PUSHED_DEPTH = 60
"""Filters that nest deeper are not pushed down; what travels between nodes may nest 64 deep."""

VALUE_CLASSES = {
    DataType.BOOLEAN: ValueClass.BOOLEAN,
    DataType.INT32: ValueClass.INTEGER,
    DataType.INT64: ValueClass.LONG,
    DataType.FLOAT: ValueClass.FLOAT,
    DataType.DOUBLE: ValueClass.DOUBLE,
    DataType.TEXT: ValueClass.BINARY,
}
"""The class of the constants that values of a type are compared with."""

_SHOWN_CHARACTERS = 60


@dataclass(frozen=True, slots=True)
class TimeTest:
    """`time op constant`."""

    test: Compare


@dataclass(frozen=True, slots=True)
class ValueTest:
    """The column at `position` has a value, and it fulfils `test`."""

    position: int
    data_type: DataType
    test: Compare


@dataclass(frozen=True, slots=True)
class Never:
    """Of a device that lacks the series which is compared."""


@dataclass(frozen=True, slots=True)
class AllOf:
    """Every one holds."""

    terms: tuple["Bound", ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """At least one holds."""

    terms: tuple["Bound", ...]


Bound = TimeTest | ValueTest | Never | AllOf | AnyOf


def time_test(op: CompareOp, time_ms: int) -> TimeTest:
    """The test of a comparison with `time`."""
    return TimeTest(Compare(op, FilterKind.TIME, Scalar(ValueClass.LONG, time_ms)))


def value_test(position: int, path: str, data_type: DataType, op: CompareOp, literal: Literal) -> ValueTest:
    """The test of a comparison with a series; raises 401 for a literal that is none of its type."""
    return ValueTest(
        position,
        data_type,
        Compare(op, FilterKind.VALUE, Scalar(VALUE_CLASSES[data_type], _value(path, data_type, literal))),
    )


def holds(condition: Bound, rows: Rows) -> Mask:
    """True at the rows at which the condition holds."""
    match condition:
        case TimeTest(test):
            # The type is that of a value, which is not looked at.
            return fulfilled(test, Points(rows.times, rows.times), DataType.INT64)
        case ValueTest(position, data_type, test):
            column = rows.columns[position]
            found = fulfilled(test, Points(rows.times, column.values), data_type)
            return found if column.valid is None else found & column.valid
        case Never():
            return np.zeros(len(rows), np.bool_)
        case AllOf(terms):
            found = holds(terms[0], rows)
            for term in terms[1:]:
                found = found & holds(term, rows)
            return found
        case AnyOf(terms):
            found = holds(terms[0], rows)
            for term in terms[1:]:
                found = found | holds(term, rows)
            return found


def tested_positions(condition: Bound) -> set[int]:
    """The columns that the condition looks at; none when it is about time alone."""
    match condition:
        case ValueTest(position):
            return {position}
        case AllOf(terms) | AnyOf(terms):
            return {position for term in terms for position in tested_positions(term)}
    return set()


def pushed(condition: Bound | None, position: int) -> Filter | None:
    """What a point of the column at `position` must fulfil by itself; None when that is nothing.

    Where the condition holds and the column has a point, the point fulfils this; points that do not can be left away
    before rows are made, and no row that then remains holds for that reason.
    """
    if condition is None:
        return None
    found = _necessary(condition, position)
    if found is None or _depth(found) <= MAX_PUSHED_DEPTH:
        return found
    first, last = time_bounds(found)
    return within(first, last)


def is_pushed_whole(condition: Bound, position: int) -> bool:
    """True when what the points of this column must fulfil by themselves is all that the condition says."""
    found = _necessary(condition, position)
    return tested_positions(condition) <= {position} and found is not None and _depth(found) <= MAX_PUSHED_DEPTH


def renumbered(condition: Bound, places: Mapping[int, int]) -> Bound:
    """The same condition over columns that stand at other positions."""
    match condition:
        case ValueTest(position, data_type, test):
            return ValueTest(places[position], data_type, test)
        case AllOf(terms):
            return AllOf(tuple([renumbered(term, places) for term in terms]))
        case AnyOf(terms):
            return AnyOf(tuple([renumbered(term, places) for term in terms]))
    return condition


def necessary(condition: Bound, positions: Collection[int]) -> Bound | None:
    """What the columns at `positions` must fulfil by themselves, as `pushed` says it of one column."""
    match condition:
        case ValueTest(at, _, _):
            return condition if at in positions else None
        case AllOf(terms):
            known = [found for term in terms if (found := necessary(term, positions)) is not None]
            return AllOf(tuple(known)) if known else None
        case AnyOf(terms):
            every = [necessary(term, positions) for term in terms]
            return None if None in every else AnyOf(tuple([found for found in every if found is not None]))
    return condition


def time_range(first: int, last: int) -> Bound:
    """The condition of the times from `first` to `last`."""
    return AllOf((time_test(CompareOp.GTEQ, first), time_test(CompareOp.LTEQ, last)))


def within(first: int, last: int) -> Filter:
    """The filter of the times from `first` to `last`."""
    return filters.And(
        Compare(CompareOp.GTEQ, FilterKind.TIME, Scalar(ValueClass.LONG, first)),
        Compare(CompareOp.LTEQ, FilterKind.TIME, Scalar(ValueClass.LONG, last)),
    )


def both(left: Filter | None, right: Filter | None) -> Filter | None:
    """Both filters, where there are two."""
    if left is None or right is None:
        return left or right
    return filters.And(left, right)


def _necessary(condition: Bound, position: int) -> Filter | None:
    match condition:
        case TimeTest(test):
            return test
        case ValueTest(at, _, test):
            return test if at == position else None
        case Never():
            return within(LAST_TIME, FIRST_TIME)
        case AllOf(terms):
            known = [found for term in terms if (found := _necessary(term, position)) is not None]
            return _balanced(filters.And, known) if known else None
        case AnyOf(terms):
            every: list[Filter] = []
            for term in terms:
                found = _necessary(term, position)
                if found is None:
                    return None
                every.append(found)
            return _balanced(filters.Or, every)


def _balanced(join: type[filters.And] | type[filters.Or], parts: Sequence[Filter]) -> Filter:
    """Many parts as a tree of two each that is as flat as can be: whoever walks it recurses."""
    if len(parts) == 1:
        return parts[0]
    middle = len(parts) // 2
    return join(_balanced(join, parts[:middle]), _balanced(join, parts[middle:]))


def _depth(filter: Filter) -> int:
    match filter:
        case filters.And(left, right) | filters.Or(left, right):
            return 1 + max(_depth(left), _depth(right))
        case filters.Not(inner):
            return 1 + _depth(inner)
    return 1


def _value(path: str, data_type: DataType, literal: Literal) -> bool | int | float | bytes:
    """The constant as a value of the series' type (interface page "SQL", "Literals")."""
    if data_type is DataType.TEXT:
        return literal.content.encode("utf-8", "surrogateescape")
    if data_type is DataType.BOOLEAN and literal.kind is LiteralKind.NAME:
        return literal.text.lower() == "true"
    try:
        return CONVERTERS[data_type](literal.text)
    except ValueError:
        shown = literal.text[:_SHOWN_CHARACTERS]
        raise RequestError(
            f"{path} is {data_type.name} and cannot be compared with {shown!r}", code=StatusCode.SQL_PARSE_ERROR
        ) from None
