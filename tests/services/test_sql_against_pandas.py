"""SELECTs over random series, answered as pandas answers them from the same points."""

import math
import struct
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from iotdb_cluster.types.schema import DataType
from tests.services.asking import ask, do

TIMES = st.integers(0, 60)
COLUMNS = {"i": DataType.INT32, "f": DataType.DOUBLE}
FUNCTIONS = ("count", "sum", "avg", "min_time", "max_time", "min_value", "max_value", "first_value", "last_value")
BOUNDED = settings(
    max_examples=25,
    deadline=None,
    database=None,
    # The storage group is a new one for each example.
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
)


@dataclass
class Condition:
    """A WHERE clause, and where it holds; what has no value fulfils nothing."""

    text: str
    parts: tuple[Any, ...] = field(default=())

    def holds(self, frame: pd.DataFrame) -> pd.Series:
        kind, *rest = self.parts
        if kind == "all":
            return pd.Series(True, frame.index)
        if kind in ("and", "or"):
            left, right = (each.holds(frame) for each in rest)
            return left & right if kind == "and" else left | right
        column, operator, constant = rest
        values = frame.index.to_series() if column == "time" else frame[column]
        return {
            ">": values > constant, ">=": values >= constant, "<": values < constant, "<=": values <= constant,
            "=": values == constant, "!=": (values != constant) & values.notna(),
        }[operator]  # fmt: skip


def _compare(column: str, operator: str, constant: int) -> Condition:
    return Condition(f"{column} {operator} {constant}", ("compare", column, operator, constant))


def _joined(left: Condition, word: str, right: Condition) -> Condition:
    return Condition(f"({left.text}) {word} ({right.text})", (word, left, right))


OPERATORS = st.sampled_from([">", ">=", "<", "<=", "=", "!="])
LEAVES = st.builds(_compare, st.sampled_from(["i", "f", "time"]), OPERATORS, st.integers(0, 30))
CONDITIONS = st.recursive(
    LEAVES, lambda some: st.builds(_joined, some, st.sampled_from(["and", "or"]), some), max_leaves=4
)
WHERE = st.just(Condition("", ("all",))) | CONDITIONS
POINTS = st.fixed_dictionaries(
    {
        "i": st.dictionaries(TIMES, st.integers(-9, 30), min_size=1, max_size=40),
        # Quarters: sums of them are exact, in whatever order they are made.
        "f": st.dictionaries(TIMES, st.integers(-40, 120).map(lambda quarters: quarters / 4), min_size=1, max_size=40),
    }
)


def stored(session, new_name, points, flushed) -> tuple[str, pd.DataFrame]:
    """A device with these points, the earlier half of each column in files where `flushed`; and all of it in pandas."""
    group = new_name()
    device = f"{group}.d"
    assert session.set_storage_group(group).statusType.code == 200
    for part in (0, 1):
        for name, data_type in COLUMNS.items():
            pairs = list(points[name].items())[part::2]
            times = struct.pack(f">{len(pairs)}q", *(time for time, _ in pairs))
            packed = struct.pack(f">{len(pairs)}{'i' if name == 'i' else 'd'}", *(value for _, value in pairs))
            answer = session.insert_batch(device, [name], [int(data_type)], len(pairs), times, packed)
            assert answer.status.statusType.code == 200
        if part == 0 and flushed:
            do(session, f"flush {group}")
    # A half of one point leaves the other one empty, and its series to be made by the first.
    frame = pd.DataFrame({name: pd.Series(points[name], dtype=float) for name in COLUMNS}).sort_index()
    return device, frame


def cells(values) -> list[Any]:
    """Values as they can be compared: gaps are None."""
    return [
        None if value is None or (isinstance(value, float) and math.isnan(value)) else float(value) for value in values
    ]


@BOUNDED
@given(points=POINTS, where=WHERE, columns=st.sampled_from([["i"], ["f"], ["i", "f"]]), flushed=st.booleans(),
       limit=st.integers(1, 50), offset=st.integers(0, 5))  # fmt: skip
def test_rows_at_which_a_condition_holds(session, new_name, points, where, columns, flushed, limit, offset):
    device, frame = stored(session, new_name, points, flushed)
    text = f"select {','.join(columns)} from {device}" + (f" where {where.text}" if where.text else "")
    result = ask(session, f"{text} limit {limit}" + (f" offset {offset}" if offset else ""))
    kept = frame[where.holds(frame)][columns].dropna(how="all").iloc[offset : offset + limit]
    assert [[int(time), *cells(row)] for time, row in zip(kept.index, kept.values, strict=True)] == [
        [row[0], *cells(row[1:])] for row in result.rows
    ]


def gathered(values: pd.Series) -> list[Any]:
    """All functions over the points of one column."""
    values = values.dropna()
    if values.empty:
        return [0.0, 0.0, *[None] * 7]
    times = values.index
    return cells([
        len(values), values.sum(), values.mean(), times.min(), times.max(), values.min(), values.max(),
        values.iloc[0], values.iloc[-1],
    ])  # fmt: skip


@BOUNDED
@given(points=POINTS, where=WHERE, flushed=st.booleans())
def test_functions(session, new_name, points, where, flushed):
    device, frame = stored(session, new_name, points, flushed)
    wanted = ",".join(f"{function}({name})" for name in COLUMNS for function in FUNCTIONS)
    result = ask(session, f"select {wanted} from {device}" + (f" where {where.text}" if where.text else ""))
    kept = frame[where.holds(frame)]
    assert [[*gathered(kept["i"]), *gathered(kept["f"])]] == [cells(row) for row in result.values]


@BOUNDED
@given(points=POINTS, where=WHERE, flushed=st.booleans(), start=TIMES, length=st.integers(0, 50),
       unit=st.integers(1, 20), more=st.integers(0, 7))  # fmt: skip
def test_windows(session, new_name, points, where, flushed, start, length, unit, more):
    device, frame = stored(session, new_name, points, flushed)
    end, step = start + length, unit + more
    wanted = ",".join(f"{function}(f)" for function in FUNCTIONS)
    condition = f" where {where.text}" if where.text else ""
    result = ask(session, f"select {wanted} from {device}{condition} group by([{start},{end}],{unit}ms,{step}ms)")
    kept = frame[where.holds(frame)]["f"]
    expected = [
        [begin, *gathered(kept[(kept.index >= begin) & (kept.index < begin + unit) & (kept.index <= end)])]
        for begin in range(start, end + 1, step)
    ]
    assert expected == [[row[0], *cells(row[1:])] for row in result.rows]


@BOUNDED
@given(points=POINTS, flushed=st.booleans(), at=TIMES, before=st.integers(1, 20), behind=st.integers(1, 20))
def test_fill(session, new_name, points, flushed, at, before, behind):
    device, frame = stored(session, new_name, points, flushed)
    kinds = f"int32[previous,{before}ms],double[linear,{before}ms,{behind}ms]"
    result = ask(session, f"select i,f from {device} where time = {at} fill({kinds})")
    whole, broken = frame["i"].dropna(), frame["f"].dropna()
    last = whole[(whole.index >= at - before) & (whole.index <= at)]
    previous = None if last.empty else last.iloc[-1]
    left = broken[(broken.index >= at - before) & (broken.index <= at)]
    right = broken[(broken.index > at) & (broken.index <= at + behind)]
    linear = None
    if at in broken.index:
        linear = broken[at]
    elif len(left) and len(right):
        share = (at - left.index[-1]) / (right.index[0] - left.index[-1])
        linear = left.iloc[-1] + (right.iloc[0] - left.iloc[-1]) * share
    (row,) = result.rows
    assert at == row[0]
    assert previous == row[1]
    assert (linear is None) == (row[2] is None)
    assert linear is None or math.isclose(linear, row[2], abs_tol=1e-9)


@BOUNDED
@given(points=POINTS, flushed=st.booleans(), end=TIMES)
def test_last_points(session, new_name, points, flushed, end):
    device, frame = stored(session, new_name, points, flushed)
    result = ask(session, f"select last_value(i),max_time(i),last_value(f) from {device} where time <= {end}")
    whole, broken = (frame[name].dropna().loc[:end] for name in COLUMNS)
    expected = [
        None if whole.empty else whole.iloc[-1],
        None if whole.empty else whole.index[-1],
        None if broken.empty else broken.iloc[-1],
    ]
    assert ([] if whole.empty and broken.empty else [expected]) == result.values
