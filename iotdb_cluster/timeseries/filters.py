"""Filters over arrays: which points fulfil one, and which times can (interface page "Filter").

Comparisons are mathematically exact whatever the classes of value and constant. NaN equals itself and is greater
than every number, both zeros are equal: the order is total, so NOT is the exact opposite. TEXT compares by unsigned
bytes.
"""

import math
import operator
from collections.abc import Callable
from typing import Any, assert_never

import numpy as np
from numpy.typing import NDArray

from iotdb_cluster.errors import Unsupported, ValueRefused
from iotdb_cluster.timeseries.frames import Mask, Points
from iotdb_cluster.timeseries.values import NATIVE, Values
from iotdb_cluster.types.filters import And, Compare, CompareOp, Filter, FilterKind, GroupByWindows, Not, Or, ValueClass
from iotdb_cluster.types.schema import DataType

FIRST_TIME, LAST_TIME = -(1 << 63), (1 << 63) - 1

_OPERATORS: dict[CompareOp, Callable[[Any, Any], Any]] = {
    CompareOp.EQ: operator.eq,
    CompareOp.NEQ: operator.ne,
    CompareOp.GT: operator.gt,
    CompareOp.GTEQ: operator.ge,
    CompareOp.LT: operator.lt,
    CompareOp.LTEQ: operator.le,
}
_OPPOSITE = {
    CompareOp.EQ: CompareOp.NEQ,
    CompareOp.NEQ: CompareOp.EQ,
    CompareOp.GT: CompareOp.LTEQ,
    CompareOp.LTEQ: CompareOp.GT,
    CompareOp.LT: CompareOp.GTEQ,
    CompareOp.GTEQ: CompareOp.LT,
}
_NUMBERS = (ValueClass.LONG, ValueClass.INTEGER, ValueClass.DOUBLE, ValueClass.FLOAT)
_TEXTS = (ValueClass.BINARY, ValueClass.STRING)


def check_filter(condition: Filter, data_type: DataType | None) -> None:
    """Raise `ValueRefused` or `Unsupported` when a filter makes no sense for the type of its series (None: unknown)."""
    match condition:
        case And(left, right) | Or(left, right):
            check_filter(left, data_type)
            check_filter(right, data_type)
        case Not(inner):
            check_filter(inner, data_type)
        case GroupByWindows(unit, step, _, _):
            if unit <= 0 or step <= 0:
                raise ValueRefused(f"windows of {unit} ms every {step} ms: both must be above 0")
        case Compare():
            _check_compare(condition, data_type)
        case _:
            assert_never(condition)


def fulfilled(condition: Filter, points: Points, data_type: DataType) -> Mask:
    """True at the points that fulfil a checked filter."""
    match condition:
        case And(left, right):
            return fulfilled(left, points, data_type) & fulfilled(right, points, data_type)
        case Or(left, right):
            return fulfilled(left, points, data_type) | fulfilled(right, points, data_type)
        case Not(inner):
            return ~fulfilled(inner, points, data_type)
        case GroupByWindows():
            return _in_windows(condition, points.times)
        case Compare(op, FilterKind.TIME, constant):
            return _compare_integers(op, points.times, constant.value)
        case Compare(op, _, constant):
            return _compare(op, points.values, data_type, constant.value)
        case _:
            assert_never(condition)


def time_bounds(condition: Filter | None) -> tuple[int, int]:
    """First and last time that can fulfil the filter, as i64; the first is greater when none can."""
    if condition is None:
        return FIRST_TIME, LAST_TIME
    first, last = _bounds(condition, negated=False)
    if first > LAST_TIME or last < FIRST_TIME:
        return LAST_TIME, FIRST_TIME
    return max(first, FIRST_TIME), min(last, LAST_TIME)


def is_time_range(condition: Filter) -> bool:
    """True when the filter holds at all times within its `time_bounds`, whatever the value."""
    match condition:
        case And(left, right):
            return is_time_range(left) and is_time_range(right)
        case Compare(op, FilterKind.TIME, constant):
            # An infinite constant, or none of a number's, has no bounds that say all.
            return op is not CompareOp.NEQ and isinstance(constant.value, int)
    return False


def _bounds(condition: Filter, *, negated: bool) -> tuple[int, int]:
    match condition:
        case Not(inner):
            return _bounds(inner, negated=not negated)
        case And(left, right) | Or(left, right):
            one, other = _bounds(left, negated=negated), _bounds(right, negated=negated)
            if isinstance(condition, And) is not negated:
                return max(one[0], other[0]), min(one[1], other[1])
            if one[0] > one[1]:
                return other
            return one if other[0] > other[1] else (min(one[0], other[0]), max(one[1], other[1]))
        case GroupByWindows(_, _, start, end):
            return (FIRST_TIME, LAST_TIME) if negated else (start, end)
        case Compare(op, FilterKind.TIME, constant):
            return _compare_bounds(_OPPOSITE[op] if negated else op, constant.value)
        case Compare():
            return FIRST_TIME, LAST_TIME
        case _:
            assert_never(condition)


def _compare_bounds(op: CompareOp, constant: float | bytes) -> tuple[int, int]:
    if isinstance(constant, bytes) or isinstance(constant, float) and not math.isfinite(constant):
        return FIRST_TIME, LAST_TIME
    low, high = math.ceil(constant), math.floor(constant)
    match op:
        case CompareOp.EQ:
            return low, high
        case CompareOp.NEQ:
            return FIRST_TIME, LAST_TIME
        case CompareOp.GT:
            return high + 1, LAST_TIME
        case CompareOp.GTEQ:
            return low, LAST_TIME
        case CompareOp.LT:
            return FIRST_TIME, low - 1
        case CompareOp.LTEQ:
            return FIRST_TIME, high
        case _:
            assert_never(op)


def _check_compare(condition: Compare, data_type: DataType | None) -> None:
    of, constant = condition.constant.value_class, condition.constant.value
    match condition.kind:
        case FilterKind.TIME:
            if of not in _NUMBERS:
                raise ValueRefused(f"time is compared with a {of.name}")
        case FilterKind.VALUE:
            allowed = {
                DataType.BOOLEAN: (ValueClass.BOOLEAN,),
                DataType.TEXT: _TEXTS,
                None: tuple(ValueClass),
            }.get(data_type, _NUMBERS)
            if of not in allowed:
                assert data_type is not None
                raise ValueRefused(f"a {data_type.name} value is compared with the {of.name} {constant!r}")
        case _:
            raise Unsupported(f"a comparison of the kind {condition.kind.name}")


def _compare(op: CompareOp, values: Values, data_type: DataType, constant: Any) -> Mask:
    match data_type:
        case DataType.INT32 | DataType.INT64:
            return _compare_integers(op, values, constant)
        case DataType.FLOAT | DataType.DOUBLE:
            return _compare_floats(op, values, constant)
        case DataType.BOOLEAN | DataType.TEXT:
            # As an object: numpy would make bytes fixed-width and cut trailing NULs.
            wanted = np.array(constant, NATIVE[data_type])
            found: NDArray[Any] = _OPERATORS[op](values, wanted)
            return found.astype(np.bool_, copy=False)
        case _:
            assert_never(data_type)


def _compare_integers(op: CompareOp, values: Values, constant: Any) -> Mask:
    """Integers with any number: the constant is moved to an integer that parts them in the same way."""
    if isinstance(constant, float):
        if math.isnan(constant) or math.isinf(constant):
            above = not constant < 0
            return np.full(len(values), _OPERATORS[op](0, 1 if above else -1), dtype=np.bool_)
        if not constant.is_integer():
            if op in (CompareOp.EQ, CompareOp.NEQ):
                return np.full(len(values), op is CompareOp.NEQ, dtype=np.bool_)
            # x > 2.5 and x >= 2.5 both begin at 3; x < 2.5 and x <= 2.5 both end at 2.
            op, constant = (
                (CompareOp.GT, math.floor(constant))
                if op in (CompareOp.GT, CompareOp.GTEQ)
                else (CompareOp.LTEQ, math.floor(constant))
            )
        constant = int(constant)
    limits = np.iinfo(values.dtype)
    if not limits.min <= constant <= limits.max:
        return np.full(len(values), _OPERATORS[op](0, 1 if constant > 0 else -1), dtype=np.bool_)
    found: Mask = _OPERATORS[op](values, values.dtype.type(constant))
    return found


def _compare_floats(op: CompareOp, values: Values, constant: Any) -> Mask:
    if isinstance(constant, int):
        op, constant = _as_double(op, constant)
        if constant is None:
            return np.full(len(values), op is CompareOp.NEQ, dtype=np.bool_)
    if math.isnan(constant):
        is_nan: Mask = np.isnan(values)
        # Nothing is greater than NaN, NaN alone is as great.
        match op:
            case CompareOp.EQ | CompareOp.GTEQ:
                return is_nan
            case CompareOp.NEQ | CompareOp.LT:
                return ~is_nan
            case _:
                return np.full(len(values), op is CompareOp.LTEQ, dtype=np.bool_)
    # A numpy scalar keeps its width: a Python float would be narrowed to the width of float32 values.
    found: Mask = _OPERATORS[op](values, np.float64(constant))
    if op in (CompareOp.GT, CompareOp.GTEQ):
        found |= np.isnan(values)
    return found


def _as_double(op: CompareOp, constant: int) -> tuple[CompareOp, float | None]:
    """An integer constant as a double that parts doubles in the same way; None when none can be equal to it."""
    near = float(constant)
    if near == constant:
        return op, near
    if op in (CompareOp.EQ, CompareOp.NEQ):
        return op, None
    if op in (CompareOp.GT, CompareOp.GTEQ):
        return (CompareOp.GTEQ if near > constant else CompareOp.GT), near
    return (CompareOp.LT if near > constant else CompareOp.LTEQ), near


def _in_windows(windows: GroupByWindows, times: NDArray[np.int64]) -> Mask:
    inside: Mask = (times >= np.int64(windows.start_time)) & (times <= np.int64(windows.end_time))
    # The distance of two i64 wraps around into the u64 that it is, where it is not negative.
    distance = (times - np.int64(windows.start_time)).view(np.uint64)
    inside &= distance % np.uint64(windows.sliding_step) < np.uint64(windows.unit)
    return inside
