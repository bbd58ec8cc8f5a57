"""What is tested where the points are leaves no row out at which the whole condition holds, and travels unchanged."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from iotdb_cluster.members.query.condition_bytes import decode_condition, encode_condition
from iotdb_cluster.query import conditions
from iotdb_cluster.query.conditions import (
    AllOf,
    AnyOf,
    Never,
    ValueTest,
    holds,
    necessary,
    time_test,
)
from iotdb_cluster.query.rows import Rows
from iotdb_cluster.timeseries.frames import Column
from iotdb_cluster.types.filters import Compare, CompareOp, FilterKind, Scalar, ValueClass
from iotdb_cluster.types.schema import DataType

COLUMNS = 4
TYPES = (DataType.INT64,) * COLUMNS
OPERATORS = st.sampled_from(CompareOp)
VALUES = st.integers(0, 3)


def value_test(position, op, constant):
    return ValueTest(position, DataType.INT64, Compare(op, FilterKind.VALUE, Scalar(ValueClass.LONG, constant)))


LEAVES = (
    st.builds(value_test, st.integers(0, COLUMNS - 1), OPERATORS, VALUES)
    | st.builds(time_test, OPERATORS, st.integers(0, 20))
    | st.just(Never())
)
CONDITIONS = st.recursive(
    LEAVES,
    lambda some: st.lists(some, min_size=1, max_size=3).flatmap(
        lambda terms: st.sampled_from([AllOf(tuple(terms)), AnyOf(tuple(terms))])
    ),
    max_leaves=8,
)
CELLS = st.lists(st.tuples(VALUES, st.booleans()), min_size=20, max_size=20)


def rows_of(columns):
    made = [
        Column(np.array([value for value, _ in column]), np.array([valid for _, valid in column])) for column in columns
    ]
    return Rows(np.arange(20), tuple(made))


@settings(max_examples=150, deadline=None, database=None)
@given(CONDITIONS, st.lists(CELLS, min_size=COLUMNS, max_size=COLUMNS), st.sets(st.integers(0, COLUMNS - 1)))
def test_a_part_of_the_columns_must_fulfil_its_part(condition, columns, positions):
    rows = rows_of(columns)
    whole = holds(condition, rows)
    part = necessary(condition, positions)
    kept = np.ones(len(rows), np.bool_) if part is None else holds(part, rows)
    assert part is None or conditions.tested_positions(part) <= positions
    assert not (whole & ~kept).any(), "a row is left out at which the condition holds"
    # The columns of a row that was left out come as gaps: no row may hold for that reason.
    gaps = [
        Column(column.values, column.valid & kept if position in positions else column.valid)
        for position, column in enumerate(rows.columns)
    ]
    assert (whole == holds(condition, Rows(rows.times, tuple(gaps)))).all()


@settings(max_examples=50, deadline=None, database=None)
@given(CONDITIONS)
def test_all_columns_must_fulfil_all_of_it(condition):
    assert condition == necessary(condition, range(COLUMNS))


@settings(max_examples=50, deadline=None, database=None)
@given(CONDITIONS)
def test_a_condition_travels_unchanged(condition):
    assert condition == decode_condition(encode_condition(condition), TYPES)
