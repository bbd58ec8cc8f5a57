"""Aligning, aggregating and packing against plain Python over the same points."""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from iotdb_cluster.query.aggregates import Gathered, Grid
from iotdb_cluster.query.align import Aligned
from iotdb_cluster.query.result import packed_rows
from iotdb_cluster.query.rows import Rows, joined, rows_of
from iotdb_cluster.sql.statements import Function, Windows
from iotdb_cluster.timeseries.frames import Column, Points
from iotdb_cluster.types.schema import DataType

SERIES = st.dictionaries(st.integers(-50, 50), st.integers(-1000, 1000), max_size=40)


def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(coroutine)


def points_of(series: dict[int, int]) -> Points:
    times = sorted(series)
    return Points(np.array(times, np.int64), np.array([series[t] for t in times], np.int64))


class Unguarded:
    """A guard that lets everything pass, and notes what was held."""

    def __init__(self) -> None:
        self.most_bytes = 0

    def check(self) -> None:
        pass

    def holds(self, owner: object, size_bytes: int) -> None:
        self.most_bytes = max(self.most_bytes, size_bytes)


async def one_after_the_other(coroutines: Sequence[Coroutine[Any, Any, None]]) -> None:
    for coroutine in coroutines:
        await coroutine


class FromMemory:
    data_types = (DataType.INT64,)

    def __init__(self, series: dict[int, int], batch: int) -> None:
        self._points = points_of(series)
        self._batch = batch

    async def next_rows(self, max_rows: int) -> Rows:
        count = min(max_rows, self._batch)
        taken = self._points.slice(0, count)
        self._points = self._points.slice(count, len(self._points))
        return Rows(taken.times, (Column(taken.values),))

    def close(self) -> None:
        self._points = self._points.slice(0, 0)


@settings(deadline=None)
@given(st.lists(SERIES, min_size=1, max_size=4), st.integers(1, 7))
def test_aligned_rows_are_the_union_of_times_with_gaps_where_a_series_has_none(
    series: list[dict[int, int]], batch: int
) -> None:
    aligned = Aligned([FromMemory(each, batch) for each in series], Unguarded(), one_after_the_other)
    parts = []
    while len(part := run(aligned.next_rows())):
        parts.append(part)
    rows = joined(parts, [DataType.INT64] * len(series))
    expected = sorted(set().union(*series))
    assert expected == rows.times.tolist()
    for each, column in zip(series, rows.columns, strict=True):
        valid = np.ones(len(rows), bool) if column.valid is None else column.valid
        seen = {t: v for t, v, there in zip(rows.times.tolist(), column.values.tolist(), valid, strict=True) if there}
        assert each == seen


@settings(deadline=None)
@given(SERIES, st.integers(-60, 60), st.integers(0, 100), st.integers(1, 20), st.integers(0, 20), st.integers(1, 9))
def test_windows_gather_what_a_loop_over_points_finds(
    series: dict[int, int], start: int, length: int, unit: int, gap: int, batch: int
) -> None:
    windows = Windows(start, start + length, unit, unit + gap)
    grid = Grid.of(windows)
    gathered = Gathered(DataType.INT64, grid, frozenset(Function))
    points = points_of(series)
    for low in range(0, len(points), batch):
        piece = points.slice(low, low + batch)
        gathered.add(piece.times, piece.values)
    for number, begin in enumerate(grid.starts().tolist()):
        inside = [(t, v) for t, v in sorted(series.items()) if begin <= t < begin + unit and t <= start + length]
        values = [v for _, v in inside]
        expected: dict[Function, Any] = {Function.COUNT: len(inside), Function.SUM: float(sum(values))}
        if inside:
            expected |= {
                Function.AVG: sum(values) / len(values),
                Function.MIN_TIME: inside[0][0],
                Function.MAX_TIME: inside[-1][0],
                Function.MIN_VALUE: min(values),
                Function.MAX_VALUE: max(values),
                Function.FIRST_VALUE: values[0],
                Function.LAST_VALUE: values[-1],
            }
        for function in Function:
            column, valid = gathered.result(function)
            assert (function in expected) == bool(valid[number]), function
            if function in expected:
                assert expected[function] == column[number], function


def test_two_rows_pack_as_the_interface_page_shows() -> None:
    numbers = Points(np.array([10], np.int64), np.array([1], np.int32))
    texts = Points(np.array([20], np.int64), np.array([b"x"], object))
    rows = rows_of([numbers, texts], [DataType.INT32, DataType.TEXT])
    packed = packed_rows(rows, (DataType.INT32, DataType.TEXT))
    assert bytes.fromhex("000000000000000a0000000000000014") == packed.time
    assert (bytes.fromhex("00000001"), bytes.fromhex("0000000178")) == packed.values
    assert (b"\x80", b"\x40") == packed.bitmaps
