"""Filters of a single series: conditions on time or value (interface page "Filter")."""

from dataclasses import dataclass
from enum import IntEnum


class FilterKind(IntEnum):
    """What a comparison looks at."""

    VALUE = 0
    TIME = 1
    GROUP_BY = 2


class CompareOp(IntEnum):
    """The filter ids of the comparisons, as on the wire."""

    EQ = 1
    GT = 3
    GTEQ = 4
    LT = 5
    LTEQ = 6
    NEQ = 7


class ValueClass(IntEnum):
    """The class byte of a typed scalar (interface page "object")."""

    LONG = 0
    DOUBLE = 1
    INTEGER = 2
    FLOAT = 3
    BINARY = 4
    BOOLEAN = 5
    STRING = 6


@dataclass(frozen=True, slots=True)
class Scalar:
    """A typed scalar; `value` is an int, float, bool, or bytes (BINARY and STRING)."""

    value_class: ValueClass
    value: int | float | bool | bytes


@dataclass(frozen=True, slots=True)
class Compare:
    """`time op constant` or `value op constant`."""

    op: CompareOp
    kind: FilterKind
    constant: Scalar


@dataclass(frozen=True, slots=True)
class And:
    """Both hold."""

    left: "Filter"
    right: "Filter"


@dataclass(frozen=True, slots=True)
class Or:
    """One holds."""

    left: "Filter"
    right: "Filter"


@dataclass(frozen=True, slots=True)
class Not:
    """The filter does not hold."""

    inner: "Filter"


@dataclass(frozen=True, slots=True)
class GroupByWindows:
    """Times in `[start + k*step, start + k*step + unit)` for some k >= 0, not after `end`; all in milliseconds."""

    unit: int
    sliding_step: int
    start_time: int
    end_time: int


Filter = Compare | And | Or | Not | GroupByWindows
