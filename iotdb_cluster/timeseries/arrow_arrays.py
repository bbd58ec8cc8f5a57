"""Columns between numpy and Arrow, buffer by buffer.

pyarrow's own conversions load its compute functions, and pandas where that is installed: half a second and tens of
megabytes that a node has no other use for.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa

from iotdb_cluster.timeseries.frames import Column, Mask
from iotdb_cluster.timeseries.values import NATIVE, TIME, Times, Values
from iotdb_cluster.types.schema import DataType

_OFFSET = np.dtype(np.int32)

ARROW: dict[DataType, Any] = {
    DataType.BOOLEAN: pa.bool_(),
    DataType.INT32: pa.int32(),
    DataType.INT64: pa.int64(),
    DataType.FLOAT: pa.float32(),
    DataType.DOUBLE: pa.float64(),
    DataType.TEXT: pa.string(),
}
TIME_TYPE = pa.timestamp("ms", "UTC")


class NotUtf8(ValueError):
    """A TEXT column has a value that is no UTF-8."""


def column_to_arrow(column: Column, data_type: DataType, *, binary: bool = False) -> Any:
    """A column as an Arrow array; TEXT as string, or as binary. Raises `NotUtf8`."""
    validity = None if column.valid is None else _bits(column.valid)
    if data_type is DataType.TEXT:
        texts = column.values
        if column.valid is not None:
            texts = texts.copy()
            texts[~column.valid] = b""
        return _text_array(texts, validity, binary=binary)
    data = _bits(column.values) if data_type is DataType.BOOLEAN else _buffer(column.values)
    return pa.Array.from_buffers(ARROW[data_type], len(column.values), [validity, data])


def times_to_arrow(times: Times) -> Any:
    """Times as an Arrow array of milliseconds."""
    return pa.Array.from_buffers(TIME_TYPE, len(times), [None, _buffer(times)])


def devices_to_arrow(names: Sequence[str], positions: Values) -> Any:
    """A dictionary array of device names: at each row the name at that position."""
    texts = _text_array([name.encode() for name in names], None, binary=False)
    indices = pa.Array.from_buffers(pa.int32(), len(positions), [None, _buffer(positions.astype(np.int32))])
    return pa.DictionaryArray.from_arrays(indices, texts)


def column_from_arrow(chunked: Any, data_type: DataType | None) -> Column:
    """A column that was read; `data_type` None is the time. Where there is no value the values mean nothing."""
    array = chunked.chunk(0) if chunked.num_chunks == 1 else pa.concat_arrays(chunked.chunks)
    rows, offset = len(array), array.offset
    buffers = array.buffers()
    valid = None if array.null_count == 0 else _unpacked(buffers[0], rows, offset)
    if data_type is DataType.TEXT:
        return Column(_texts(buffers, rows, offset), valid)
    if data_type is DataType.BOOLEAN:
        return Column(_unpacked(buffers[1], rows, offset), valid)
    dtype = TIME if data_type is None else NATIVE[data_type]
    return Column(np.frombuffer(buffers[1], dtype, count=rows, offset=offset * dtype.itemsize), valid)


def _text_array(values: Sequence[bytes] | Values, validity: Any, *, binary: bool) -> Any:
    offsets = np.zeros(len(values) + 1, dtype=_OFFSET)
    np.cumsum(np.fromiter(map(len, values), dtype=_OFFSET, count=len(values)), out=offsets[1:])
    buffers = [validity, _buffer(offsets), pa.py_buffer(b"".join(values))]
    array = pa.Array.from_buffers(pa.binary() if binary else pa.string(), len(values), buffers)
    if not binary:
        try:
            array.validate(full=True)
        except pa.ArrowInvalid as error:
            raise NotUtf8 from error
    return array


def _texts(buffers: Sequence[Any], rows: int, offset: int) -> Values:
    found = np.empty(rows, dtype=object)
    ends = np.frombuffer(buffers[1], _OFFSET, count=rows + 1, offset=offset * _OFFSET.itemsize).tolist()
    data = memoryview(buffers[2]).tobytes() if buffers[2] is not None else b""
    found[:] = [data[start:end] for start, end in pairwise(ends)]
    return found


def _buffer(values: Values) -> Any:
    return pa.py_buffer(np.ascontiguousarray(values))


def _bits(flags: Mask) -> Any:
    return pa.py_buffer(np.packbits(flags, bitorder="little"))


def _unpacked(buffer: Any, rows: int, offset: int) -> Mask:
    packed = np.frombuffer(buffer, np.uint8)
    return np.unpackbits(packed, count=offset + rows, bitorder="little")[offset:].view(np.bool_)
