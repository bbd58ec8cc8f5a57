"""Filters: vectors against a naive evaluation by exact arithmetic, types checked, times bounded."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iotdb_cluster.errors import Unsupported, ValueRefused
from iotdb_cluster.timeseries.filters import check_filter, fulfilled, time_bounds
from iotdb_cluster.timeseries.frames import Points
from iotdb_cluster.timeseries.values import NATIVE, object_array
from iotdb_cluster.types.filters import And, Compare, CompareOp, FilterKind, GroupByWindows, Not, Or, Scalar, ValueClass
from iotdb_cluster.types.schema import DataType
from tests.timeseries.timeseries_model import fulfils, read_all, tablet

EDGES = [0, 1, -1, 2**31 - 1, -(2**31), 2**53, 2**53 + 1, -(2**53) - 1, 2**63 - 1, -(2**63), 2**24 + 1]
FLOATS = [0.0, -0.0, 0.5, -2.5, 1e300, 5e-324, math.inf, -math.inf, math.nan, float(2**53), float(2**63), 16777216.0]
TEXTS = [b"", b"\0", b"a", b"a\0", b"ab", b"b", b"\x7f", b"\x80", b"\xff", "é".encode()]


def scalars_for(data_type: DataType) -> st.SearchStrategy[Scalar]:
    if data_type is DataType.BOOLEAN:
        return st.builds(Scalar, st.just(ValueClass.BOOLEAN), st.booleans())
    if data_type is DataType.TEXT:
        return st.builds(Scalar, st.sampled_from([ValueClass.BINARY, ValueClass.STRING]), st.sampled_from(TEXTS))
    return st.builds(Scalar, st.just(ValueClass.LONG), st.sampled_from(EDGES) | st.integers(-5, 5)) | st.builds(
        Scalar, st.sampled_from([ValueClass.DOUBLE, ValueClass.FLOAT]), st.sampled_from(FLOATS) | st.floats()
    )


def values_of(data_type: DataType) -> st.SearchStrategy[Any]:
    return {
        DataType.BOOLEAN: st.booleans(),
        DataType.INT32: st.sampled_from([e for e in EDGES if -(2**31) <= e < 2**31]) | st.integers(-5, 5),
        DataType.INT64: st.sampled_from(EDGES) | st.integers(-5, 5),
        DataType.FLOAT: st.sampled_from([float(np.float32(f)) for f in FLOATS if abs(f) < 1e30]) | st.floats(width=32),
        DataType.DOUBLE: st.sampled_from(FLOATS) | st.floats(),
        DataType.TEXT: st.sampled_from(TEXTS),
    }[data_type]


def filters_for(data_type: DataType) -> st.SearchStrategy[Any]:
    ops = st.sampled_from(CompareOp)
    edges = st.sampled_from(EDGES) | st.integers(-9, 9)
    leaves = (
        st.builds(Compare, ops, st.just(FilterKind.VALUE), scalars_for(data_type))
        | st.builds(Compare, ops, st.just(FilterKind.TIME), scalars_for(DataType.INT64))
        | st.builds(GroupByWindows, st.sampled_from([1, 3, 2**62]), st.sampled_from([1, 2, 5, 2**62]), edges, edges)
    )
    return st.recursive(leaves, lambda f: st.builds(And, f, f) | st.builds(Or, f, f) | st.builds(Not, f), max_leaves=5)


@settings(max_examples=100, deadline=None)
@given(data=st.data(), data_type=st.sampled_from(DataType))
def test_vectors_agree_with_exact_arithmetic_point_by_point(data: st.DataObject, data_type: DataType) -> None:
    condition = data.draw(filters_for(data_type))
    times = sorted(data.draw(st.sets(st.sampled_from(EDGES) | st.integers(-9, 9), min_size=1, max_size=12)))
    values = data.draw(st.lists(values_of(data_type), min_size=len(times), max_size=len(times)))
    array = object_array(values) if data_type is DataType.TEXT else np.array(values, NATIVE[data_type])
    check_filter(condition, data_type)
    found = fulfilled(condition, Points(np.array(times, np.int64), array), data_type)
    assert np.bool_ == found.dtype
    expected = [fulfils(condition, time, value) for time, value in zip(times, values, strict=True)]
    assert expected == found.tolist()
    first, last = time_bounds(condition)
    assert all(first <= time <= last for time, is_in in zip(times, expected, strict=True) if is_in)


def compare(kind: FilterKind, value_class: ValueClass, value: Any) -> Compare:
    return Compare(CompareOp.GT, kind, Scalar(value_class, value))


@pytest.mark.parametrize(
    ("data_type", "condition", "error"),
    [
        (DataType.INT32, compare(FilterKind.VALUE, ValueClass.BINARY, b"1"), ValueRefused),
        (DataType.TEXT, compare(FilterKind.VALUE, ValueClass.LONG, 1), ValueRefused),
        (DataType.BOOLEAN, compare(FilterKind.VALUE, ValueClass.DOUBLE, 1.0), ValueRefused),
        (DataType.DOUBLE, compare(FilterKind.VALUE, ValueClass.BOOLEAN, True), ValueRefused),
        (DataType.DOUBLE, compare(FilterKind.TIME, ValueClass.BINARY, b"1"), ValueRefused),
        (DataType.DOUBLE, compare(FilterKind.GROUP_BY, ValueClass.LONG, 1), Unsupported),
        (DataType.DOUBLE, GroupByWindows(0, 1, 0, 9), ValueRefused),
        (DataType.DOUBLE, GroupByWindows(1, -1, 0, 9), ValueRefused),
    ],
)
def test_a_filter_that_does_not_suit_the_series_is_refused(
    bench: Any, data_type: DataType, condition: Any, error: type[Exception]
) -> None:
    bench.device("root.sg.d", s=data_type)
    for whole in (condition, Not(condition), And(condition, condition), Or(GroupByWindows(1, 1, 0, 1), condition)):
        with pytest.raises(error):
            bench.store.open_series("root.sg.d.s", whole)


def test_a_filter_on_values_sees_only_the_newest_ones(bench: Any) -> None:
    bench.device("root.sg.d", s=DataType.INT32)
    bench.write(tablet("root.sg.d", {"s": (DataType.INT32, [1, 9, 1])}, [1, 2, 3]))
    bench.seal()
    bench.write(tablet("root.sg.d", {"s": (DataType.INT32, [5, 0])}, [2, 3]))
    above = Compare(CompareOp.GTEQ, FilterKind.VALUE, Scalar(ValueClass.LONG, 1))
    assert [(1, 1), (2, 5)] == read_all(bench.store, "root.sg.d.s", above)
    bench.seal()
    assert [(1, 1), (2, 5)] == read_all(bench.store, "root.sg.d.s", above)


def test_a_time_range_reads_only_what_can_be_in_it(bench: Any) -> None:
    bench.device("root.sg.d", s=DataType.INT64)
    for start in (0, 1000, 2000):
        times = list(range(start, start + 1000))
        bench.write(tablet("root.sg.d", {"s": (DataType.INT64, times)}, times))
        bench.seal()
    views: list[str] = []
    take = bench.disk.view
    bench.disk.view = lambda path: views.append(path) or take(path)
    inside = And(
        Compare(CompareOp.GTEQ, FilterKind.TIME, Scalar(ValueClass.LONG, 1150)),
        Compare(CompareOp.LT, FilterKind.TIME, Scalar(ValueClass.LONG, 1160)),
    )
    assert [(t, t) for t in range(1150, 1160)] == read_all(bench.store, "root.sg.d.s", inside)
    assert 1 == len(views)
