"""Batches of time-value pairs (interface page "Batch"): what `fetchSingleSeries` answers.

`i32 n | u8 dataType | n x (i64 time | value)`; whole columns are interleaved and taken apart by numpy, but for TEXT.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from iotdb_cluster.errors import MalformedInput
from iotdb_cluster.types.schema import DataType
from iotdb_cluster.wire.payload import PayloadReader, blob, i32, i64

NO_MORE = b""
"""What `fetchSingleSeries` answers at the end of the data."""

Times = npt.NDArray[np.int64]
Values = npt.NDArray[Any] | Sequence[bytes]
"""A numpy column, or byte strings for TEXT."""

_ON_WIRE = {
    DataType.BOOLEAN: "u1",
    DataType.INT32: ">i4",
    DataType.INT64: ">i8",
    DataType.FLOAT: ">f4",
    DataType.DOUBLE: ">f8",
}
_IN_MEMORY = {
    DataType.BOOLEAN: np.bool_,
    DataType.INT32: np.int32,
    DataType.INT64: np.int64,
    DataType.FLOAT: np.float32,
    DataType.DOUBLE: np.float64,
}


def encode_batch(data_type: DataType, times: Times, values: Values) -> bytes:
    """As many values as times; NaN in the one form that the original writes."""
    if len(times) != len(values):
        raise ValueError(f"{len(times)} times and {len(values)} values")
    head = i32(len(times)) + data_type.to_bytes()
    if data_type is DataType.TEXT:
        return head + b"".join(
            part for time, value in zip(times.tolist(), values, strict=True) for part in (i64(time), blob(value))
        )
    pairs = np.empty(len(times), dtype=_pair(data_type))
    pairs["time"] = times
    pairs["value"] = values
    if data_type in (DataType.FLOAT, DataType.DOUBLE):
        pairs["value"][np.isnan(pairs["value"])] = np.nan
    return head + pairs.tobytes()


def decode_batch(data: bytes) -> tuple[DataType, Times, Values]:
    """Type, times and values of a batch that is not `NO_MORE`; TEXT comes as a list of bytes.

    Raises `MalformedInput`.
    """
    reader = PayloadReader(data, "batch")
    count = reader.i32()
    data_type = reader.ordinal(DataType, reader.u8())
    if data_type is DataType.TEXT:
        return data_type, *_read_texts(reader, count)
    pair = _pair(data_type)
    if count < 0 or count * pair.itemsize != reader.left:
        raise MalformedInput(f"batch: {count} pairs of type {data_type.name} in {reader.left} bytes")
    pairs = np.frombuffer(data, dtype=pair, count=count, offset=reader.at)
    values = pairs["value"] == 1 if data_type is DataType.BOOLEAN else pairs["value"]
    return data_type, pairs["time"].astype(np.int64), values.astype(_IN_MEMORY[data_type])


def _pair(data_type: DataType) -> np.dtype[Any]:
    return np.dtype([("time", ">i8"), ("value", _ON_WIRE[data_type])])


def _read_texts(reader: PayloadReader, count: int) -> tuple[Times, list[bytes]]:
    if count < 0 or count * 12 > reader.left:
        raise MalformedInput(f"batch: {count} pairs of type TEXT in {reader.left} bytes")
    times = np.empty(count, dtype=np.int64)
    values = []
    for position in range(count):
        times[position] = reader.i64()
        values.append(reader.blob())
    reader.expect_end()
    return times, values
