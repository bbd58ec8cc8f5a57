"""Rows as the client's result bytes (interface page "Result bytes")."""

from dataclasses import dataclass

import numpy as np

from iotdb_cluster.query.rows import Rows
from iotdb_cluster.timeseries.frames import Column
from iotdb_cluster.timeseries.values import PACKED, PACKED_TIME, Values
from iotdb_cluster.types.schema import DataType


@dataclass(frozen=True, slots=True)
class PackedRows:
    """The three buffers of a `TSQueryDataSet`; the lists are as long as there are columns, also without rows."""

    time: bytes
    values: tuple[bytes, ...]
    bitmaps: tuple[bytes, ...]


def packed_rows(rows: Rows, data_types: tuple[DataType, ...]) -> PackedRows:
    """Times big-endian, the values that there are without gaps, and a bit for each row, the first one highest."""
    count = len(rows)
    every = np.packbits(np.ones(count, np.bool_)).tobytes()
    values: list[bytes] = []
    bitmaps: list[bytes] = []
    for column, data_type in zip(rows.columns, data_types, strict=True):
        present = column.values if column.valid is None else column.values[column.valid]
        values.append(packed_values(present, data_type))
        bitmaps.append(every if column.valid is None else np.packbits(column.valid).tobytes())
    return PackedRows(rows.times.astype(PACKED_TIME).tobytes(), tuple(values), tuple(bitmaps))


def packed_column(times: np.ndarray, column: Column, data_type: DataType) -> tuple[bytes, bytes]:
    """Times and values of one column of a result that is not aligned."""
    points = column.present(times)
    return points.times.astype(PACKED_TIME).tobytes(), packed_values(points.values, data_type)


def packed_values(values: Values, data_type: DataType) -> bytes:
    """Values one behind the other, as the wire has them."""
    if data_type is DataType.TEXT:
        return b"".join([len(value).to_bytes(4, "big") + value for value in values])
    return values.astype(PACKED[data_type]).tobytes()
