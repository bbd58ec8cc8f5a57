"""Rows as the client's result bytes (interface page "Result bytes")."""

from dataclasses import dataclass

import numpy as np

from iotdb_cluster.errors import MalformedInput
from iotdb_cluster.query.rows import DataTypes, Rows, empty_column
from iotdb_cluster.timeseries.frames import Column
from iotdb_cluster.timeseries.values import PACKED, PACKED_TIME, Values, native, unpacked_column
from iotdb_cluster.types.bits import every_bit
from iotdb_cluster.types.schema import DataType

LENGTH_BYTES = 4
BITMAP_AND_TIME_BYTES = 9


@dataclass(frozen=True, slots=True)
class PackedRows:
    """The three buffers of a `TSQueryDataSet`; the lists are as long as there are columns, also without rows."""

    time: bytes
    values: tuple[bytes, ...]
    bitmaps: tuple[bytes, ...]


def packed_rows(rows: Rows, data_types: DataTypes) -> PackedRows:
    """Times big-endian, the values that there are without gaps, and a bit for each row, the first one highest."""
    count = len(rows)
    every = every_bit(count)
    values: list[bytes] = []
    bitmaps: list[bytes] = []
    for column, data_type in zip(rows.columns, data_types, strict=True):
        present = column.values if column.valid is None else column.values[column.valid]
        values.append(packed_values(present, data_type))
        bitmaps.append(every if column.valid is None else np.packbits(column.valid).tobytes())
    return PackedRows(rows.times.astype(PACKED_TIME).tobytes(), tuple(values), tuple(bitmaps))


def unpacked_rows(packed: PackedRows, data_types: DataTypes) -> Rows:
    """The opposite; raises `MalformedInput` for times that do not ascend, and for columns that do not fit them."""
    times = native(unpacked_column(packed.time, DataType.INT64, len(packed.time) // 8, "times"), DataType.INT64)
    if (times[1:] <= times[:-1]).any():
        raise MalformedInput("rows: times that do not ascend")
    if not len(data_types) == len(packed.values) == len(packed.bitmaps):
        raise MalformedInput(f"rows: {len(packed.values)} columns and {len(packed.bitmaps)} bitmaps")
    count = len(times)
    every = every_bit(count)
    columns: list[Column] = []
    for data_type, values, bitmap in zip(data_types, packed.values, packed.bitmaps, strict=True):
        if bitmap == every:
            columns.append(Column(native(unpacked_column(values, data_type, count, "rows"), data_type)))
            continue
        if len(bitmap) != len(every):
            raise MalformedInput(f"rows: a bitmap of {len(bitmap)} bytes for {count} rows")
        valid = np.unpackbits(np.frombuffer(bitmap, np.uint8), count=count).astype(np.bool_)
        column = empty_column(count, data_type)
        present = unpacked_column(values, data_type, int(np.count_nonzero(valid)), "rows")
        column.values[valid] = native(present, data_type)
        columns.append(Column(column.values, valid))
    return Rows(times, tuple(columns))


def packed_column(rows: Rows, data_type: DataType) -> tuple[bytes, bytes]:
    """Times and values of the one column of these rows, in a result that is not aligned."""
    points = rows.columns[0].present(rows.times)
    return points.times.astype(PACKED_TIME).tobytes(), packed_values(points.values, data_type)


def rows_that_fit(rows: Rows, max_bytes: int) -> tuple[int, int]:
    """How many of the rows fit into so many bytes when packed, and how many bytes these take, about."""
    width = BITMAP_AND_TIME_BYTES + sum(
        LENGTH_BYTES if column.values.dtype == object else column.values.itemsize for column in rows.columns
    )
    texts = [column.values for column in rows.columns if column.values.dtype == object]
    if not texts:
        fitting = max(0, min(len(rows), max_bytes // width))
        return fitting, fitting * width
    sizes = np.full(len(rows), width, np.int64)
    for values in texts:
        sizes += np.fromiter(map(len, values), np.int64, len(values))
    ends = np.cumsum(sizes)
    fitting = int(np.searchsorted(ends, max_bytes, "right"))
    return fitting, int(ends[fitting - 1]) if fitting else 0


def packed_values(values: Values, data_type: DataType) -> bytes:
    """Values one behind the other, as the wire has them."""
    if data_type is DataType.TEXT:
        return b"".join([len(value).to_bytes(4, "big") + value for value in values])
    return values.astype(PACKED[data_type]).tobytes()
