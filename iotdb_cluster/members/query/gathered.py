"""What was gathered of one series, as bytes between nodes: the windows that have points, column by column.

Each column is an i32 length and its bytes: the numbers of the windows, how many points each has, first and last times,
then, as the functions want them, sums, least, greatest, first and last values. Numbers are big-endian, values packed as
in a tablet.
"""

from collections.abc import Iterable

import numpy as np

from iotdb_cluster.errors import MalformedInput
from iotdb_cluster.query.aggregates import Gathered, Grid
from iotdb_cluster.query.result import packed_values
from iotdb_cluster.sql.statements import Function
from iotdb_cluster.timeseries.values import native, unpacked_column
from iotdb_cluster.types.schema import DataType
from iotdb_cluster.wire.payload import PayloadReader, blob

MAX_CELLS = 131_072
"""Windows times series of one call: whatever the functions, the answer stays small beside a frame, but for texts."""

_FIXED = ("count", "min_time", "max_time")


def encode_gathered(gathered: Gathered, functions: frozenset[Function]) -> bytes:
    """Everything that `functions` need to know of each window."""
    at = np.flatnonzero(gathered.count)
    columns = [packed_values(at, DataType.INT64)]
    for name, data_type in _columns(gathered.data_type, functions):
        columns.append(packed_values(getattr(gathered, name)[at], data_type))
    return b"".join(map(blob, columns))


def decode_gathered(data: bytes, data_type: DataType, grid: Grid, functions: frozenset[Function]) -> Gathered:
    """The opposite; raises `MalformedInput` for what cannot have been gathered over this grid."""
    reader = PayloadReader(data, "gathered")
    packed = reader.blob()
    rows = len(packed) // 8
    at = native(unpacked_column(packed, DataType.INT64, rows, "windows"), DataType.INT64)
    if rows and (at[0] < 0 or at[-1] >= grid.count or (np.diff(at) <= 0).any()):
        raise MalformedInput(f"gathered: windows that are not ascending within {grid.count}")
    gathered = Gathered(data_type, grid, functions)
    for name, of_type in _columns(data_type, functions):
        getattr(gathered, name)[at] = native(unpacked_column(reader.blob(), of_type, rows, name), of_type)
    reader.expect_end()
    if (gathered.count[at] <= 0).any() or (gathered.min_time[at] > gathered.max_time[at]).any():
        raise MalformedInput("gathered: a window without points, or whose last point is before its first")
    return gathered


def _columns(data_type: DataType, functions: frozenset[Function]) -> Iterable[tuple[str, DataType]]:
    """The columns behind the numbers of the windows, and their types."""
    for name in _FIXED:
        yield name, DataType.INT64
    if functions & {Function.SUM, Function.AVG}:
        yield "sum", DataType.DOUBLE
    if Function.MIN_VALUE in functions:
        yield "least", data_type
    if Function.MAX_VALUE in functions:
        yield "greatest", data_type
    if functions & {Function.FIRST_VALUE, Function.LAST_VALUE}:
        yield "first", data_type
        yield "last", data_type
