"""Python values as the client port takes them: texts for rows, packed columns for tablets (interface page CLIENT)."""

import math
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from iotdb_cluster.errors import ValueRefused
from iotdb_cluster.types.schema import DataType, Encoding

DEFAULT_ENCODING = {
    DataType.BOOLEAN: Encoding.RLE,
    DataType.INT32: Encoding.RLE,
    DataType.INT64: Encoding.RLE,
    DataType.FLOAT: Encoding.GORILLA,
    DataType.DOUBLE: Encoding.GORILLA,
    DataType.TEXT: Encoding.PLAIN,
}
"""What the original chooses when it creates a series by itself."""

_PACKED = {DataType.INT32: ">i4", DataType.INT64: ">i8", DataType.FLOAT: ">f4", DataType.DOUBLE: ">f8"}
_LENGTH = struct.Struct(">i")


def type_of(data_type: DataType | str) -> DataType:
    """A data type or its name; raises `ValueRefused`."""
    if isinstance(data_type, DataType):
        return data_type
    try:
        return DataType[data_type.upper()]
    except KeyError:
        raise ValueRefused(f"{data_type!r} is no data type: {', '.join(DataType.__members__)}") from None


def text_of(value: object) -> str:
    """A value as the text of a row, so that the server finds the type again: TEXT stands in quotes.

    Floats keep a decimal point, since a number without one counts as INT64 where a series is created by itself.
    """
    if isinstance(value, np.generic):
        value = value.item()
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float():
            return _text_of_float(value)
        case str():
            return f"'{value}'"
    raise ValueRefused(f"{value!r} is a {type(value).__name__}: bool, int, float or str are needed")


def time_of(time: object) -> int:
    """The time of a row, in milliseconds; raises `ValueRefused` for what is none."""
    if isinstance(time, bool) or not isinstance(time, int | np.integer):
        raise ValueRefused(f"the time {time!r} is a {type(time).__name__}: whole milliseconds are needed")
    if not -(1 << 63) <= time < 1 << 63:
        raise ValueRefused(f"the time {time} does not fit into 64 bits")
    return int(time)


def packed_times(times: ArrayLike) -> bytes:
    """Times in milliseconds as a tablet's `timestamps`."""
    return _integers(np.asarray(times), "times", ">i8").tobytes()


def packed_column(name: str, data_type: DataType, values: ArrayLike | Sequence[str]) -> bytes:
    """The values of one series as they stand in a tablet; raises `ValueRefused` for one that the type can't hold."""
    if data_type is DataType.TEXT:
        return b"".join(_text(name, value) for value in values)  # type: ignore[union-attr]
    array = np.asarray(values)
    if array.ndim != 1:
        raise ValueRefused(f"{name}: a column has one dimension, not {array.ndim}")
    if data_type is DataType.BOOLEAN:
        if array.dtype.kind != "b" and len(array):
            raise ValueRefused(f"{name}: {array.dtype} values for a BOOLEAN series")
        return array.astype("u1").tobytes()
    if data_type in (DataType.INT32, DataType.INT64):
        return _integers(array, name, _PACKED[data_type]).tobytes()
    if array.dtype.kind not in "fiu":
        raise ValueRefused(f"{name}: {array.dtype} values for a {data_type.name} series")
    return array.astype(_PACKED[data_type]).tobytes()


def _text_of_float(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    mantissa, letter, exponent = repr(value).partition("e")
    return (mantissa if "." in mantissa else f"{mantissa}.0") + letter + exponent


def _integers(array: np.ndarray[Any, np.dtype[Any]], name: str, packed: str) -> np.ndarray[Any, np.dtype[Any]]:
    """Integers in the packed type, none of them wrapped round."""
    if array.ndim != 1:
        raise ValueRefused(f"{name}: a column has one dimension, not {array.ndim}")
    if array.dtype.kind not in "iu" and len(array):
        raise ValueRefused(f"{name}: {array.dtype} values where integers are needed")
    bounds = np.iinfo(packed)
    if len(array) and (array.min() < bounds.min or array.max() > bounds.max):
        raise ValueRefused(f"{name}: {array.min()} to {array.max()} does not fit into {bounds.bits} bits")
    return array.astype(packed)


def _text(name: str, value: object) -> bytes:
    if not isinstance(value, str | bytes):
        raise ValueRefused(f"{name}: {value!r} is a {type(value).__name__}, and the series is TEXT")
    data = value.encode() if isinstance(value, str) else value
    return _LENGTH.pack(len(data)) + data
