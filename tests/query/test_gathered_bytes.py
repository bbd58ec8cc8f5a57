"""What is gathered of windows, as bytes: the same behind the way there and back, and nothing else is taken."""

import numpy as np
import pytest

from iotdb_cluster.errors import MalformedInput
from iotdb_cluster.members.query.gathered import decode_gathered, encode_gathered
from iotdb_cluster.query.aggregates import Gathered, Grid
from iotdb_cluster.sql.statements import Function, Windows
from iotdb_cluster.timeseries.values import array_of
from iotdb_cluster.types.schema import DataType

EVERY = frozenset(Function)
NO_SUMS = EVERY - {Function.SUM, Function.AVG}
GRID = Grid.of(Windows(0, 99, 10, 20))
VALUES = {
    DataType.BOOLEAN: [True, False, True],
    DataType.INT32: [-(2**31), 7, 2**31 - 1],
    DataType.INT64: [-(2**63), 7, 2**63 - 1],
    DataType.FLOAT: [0.5, float("nan"), -1.5],
    DataType.DOUBLE: [0.1, float("inf"), float("nan")],
    DataType.TEXT: [b"", b"a\0", b"\xff"],
}


def gathered(data_type: DataType, functions: frozenset[Function]) -> Gathered:
    found = Gathered(data_type, GRID, functions)
    found.add(np.array([20, 21, 85]), array_of(VALUES[data_type], data_type))
    return found


@pytest.mark.parametrize("data_type", DataType)
def test_there_and_back(data_type: DataType) -> None:
    functions = EVERY if data_type in (DataType.INT32, DataType.INT64, DataType.FLOAT, DataType.DOUBLE) else NO_SUMS
    before = gathered(data_type, functions)
    behind = decode_gathered(encode_gathered(before, functions), data_type, GRID, functions)
    for function in functions:
        for one, other in zip(before.result(function), behind.result(function), strict=True):
            np.testing.assert_array_equal(one, other)


def test_every_cut_and_every_other_grid_is_refused() -> None:
    data = encode_gathered(gathered(DataType.TEXT, NO_SUMS), NO_SUMS)
    for end in range(len(data)):
        with pytest.raises(MalformedInput):
            decode_gathered(data[:end], DataType.TEXT, GRID, NO_SUMS)
    for grid, functions in ((Grid.of(Windows(0, 79, 10, 20)), NO_SUMS), (GRID, frozenset({Function.COUNT}))):
        with pytest.raises(MalformedInput):
            decode_gathered(data, DataType.TEXT, grid, functions)
    with pytest.raises(MalformedInput):
        decode_gathered(data + b"\0", DataType.TEXT, GRID, NO_SUMS)


def test_windows_out_of_order_and_without_points_are_refused() -> None:
    functions = frozenset({Function.COUNT})
    data = encode_gathered(gathered(DataType.INT64, functions), functions)
    at, count = data[4:20], data[24:40]
    for part, other in ((at, at[8:] + at[:8]), (at, at[:8] * 2), (count, count[:8] + bytes(8))):
        with pytest.raises(MalformedInput):
            decode_gathered(data.replace(part, other), DataType.INT64, GRID, functions)
