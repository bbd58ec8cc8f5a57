"""Values of the six types: from text, from the wire's packed columns, and as numpy arrays.

Arrays are native: bool, int32, int64, float32, float64, and for TEXT objects that are `bytes`.
"""

import math
import re
import struct
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from iotdb_cluster.errors import MalformedInput, ValueRefused
from iotdb_cluster.types.plans import Packed
from iotdb_cluster.types.schema import WIDTH_BYTES, DataType

Times = NDArray[np.int64]
Values = NDArray[Any]
Value = bool | int | float | bytes

NATIVE: dict[DataType, np.dtype[Any]] = {
    DataType.BOOLEAN: np.dtype(np.bool_),
    DataType.INT32: np.dtype(np.int32),
    DataType.INT64: np.dtype(np.int64),
    DataType.FLOAT: np.dtype(np.float32),
    DataType.DOUBLE: np.dtype(np.float64),
    DataType.TEXT: np.dtype(object),
}
PACKED: dict[DataType, np.dtype[Any]] = {
    DataType.BOOLEAN: np.dtype("u1"),
    DataType.INT32: np.dtype(">i4"),
    DataType.INT64: np.dtype(">i8"),
    DataType.FLOAT: np.dtype(">f4"),
    DataType.DOUBLE: np.dtype(">f8"),
}
PACKED_TIME = np.dtype(">i8")
TIME = np.dtype(np.int64)

_INTEGER = re.compile(r"[+-]?[0-9]+")
_DECIMAL_CHARACTERS = frozenset("0123456789+-.eE")
_NAMED_NUMBERS = frozenset(sign + name for sign in ("", "+", "-") for name in ("NaN", "Infinity"))
_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}
_LENGTH = struct.Struct(">i")
_FLOAT = struct.Struct("<f")
_SHOWN_CHARACTERS = 60


def converted(text: str, data_type: DataType, measurement: str) -> Value:
    """The value that `text` stands for (interface page "Inserting").

    Raises `ValueRefused` naming measurement, value and type. A FLOAT is the one nearest to the decimal number; a
    decimal number beyond the range becomes an infinity, as in the original.
    """
    try:
        return CONVERTERS[data_type](text)
    except ValueError as error:
        raise refused(text, data_type, measurement) from error


def refused(text: str, data_type: DataType, measurement: str) -> ValueRefused:
    """The error for a text that does not convert, with the advice to quote where that is what is missing."""
    shown = text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "..."
    advice = ": put it in quotes, as in 'text'" if data_type is DataType.TEXT else ""
    return ValueRefused(f"{measurement}: {shown!r} is not a {data_type.name} value{advice}")


def _boolean(text: str) -> bool:
    try:
        return _BOOLEANS[text.lower()]
    except KeyError:
        raise ValueError("not a BOOLEAN") from None


def _int32(text: str) -> int:
    return _integer(text, 1 << 31)


def _int64(text: str) -> int:
    return _integer(text, 1 << 63)


def _integer(text: str, limit: int) -> int:
    if not (text.isdigit() and text.isascii()) and not _INTEGER.fullmatch(text):
        raise ValueError("not a decimal integer")
    number = int(text)
    if not -limit <= number < limit:
        raise ValueError("out of range")
    return number


def _double(text: str) -> float:
    # Python's own rules are wider only by other characters: white space, "_", "inf", digits of other scripts.
    if not _DECIMAL_CHARACTERS.issuperset(text) and text not in _NAMED_NUMBERS:
        raise ValueError("not a decimal number")
    return float(text)


def _float(text: str) -> float:
    """The float32 nearest to the decimal number, as a Python float.

    Going by way of a double rounds twice, which differs only when that double lies exactly between two floats.
    """
    near = _double(text)
    narrow = _narrowed(near)
    if narrow == near or not math.isfinite(narrow):
        return narrow
    other = 2 * near - narrow
    if _narrowed(other) != other:
        return narrow
    exact, middle = Fraction(text), Fraction(near)
    if exact == middle:
        return narrow
    return max(narrow, other) if exact > middle else min(narrow, other)


def _narrowed(number: float) -> float:
    try:
        narrow: float = _FLOAT.unpack(_FLOAT.pack(number))[0]
    except OverflowError:
        return math.copysign(math.inf, number)
    return narrow


def _text(text: str) -> bytes:
    if len(text) < 2 or text[0] not in "'\"" or text[-1] != text[0]:
        raise ValueError("not quoted")
    # Bytes that are no UTF-8 come through a str as lone surrogates; UnicodeEncodeError is a ValueError.
    return text[1:-1].encode("utf-8", "surrogateescape")


CONVERTERS: dict[DataType, Callable[[str], Value]] = {
    DataType.BOOLEAN: _boolean,
    DataType.INT32: _int32,
    DataType.INT64: _int64,
    DataType.FLOAT: _float,
    DataType.DOUBLE: _double,
    DataType.TEXT: _text,
}
"""By type: text to value, raising `ValueError`."""


def unpacked_column(data: Packed, data_type: DataType, rows: int, measurement: str) -> Values:
    """A packed column as an array that may be big-endian and shares `data`; raises `MalformedInput`.

    Shape: `rows`. BOOLEAN comes as u1, to be compared with 1; see `native`.
    """
    if data_type is DataType.TEXT:
        return object_array(_unpacked_texts(bytes(data), rows, measurement))
    if len(data) != rows * WIDTH_BYTES[data_type]:
        raise MalformedInput(
            f"{measurement}: {len(data)} bytes for {rows} {data_type.name} values of {WIDTH_BYTES[data_type]} bytes"
        )
    return np.frombuffer(data, PACKED[data_type])


def _unpacked_texts(data: bytes, rows: int, measurement: str) -> list[bytes]:
    found: list[bytes] = []
    offset, end = 0, len(data)
    for row in range(rows):
        start = offset + 4
        if start > end:
            raise MalformedInput(f"{measurement}: the column ends at row {row} of {rows}")
        (length,) = _LENGTH.unpack_from(data, offset)
        offset = start + length
        if length < 0 or offset > end:
            raise MalformedInput(f"{measurement}: row {row} says {length} bytes of {end - start}")
        found.append(data[start:offset])
    if offset != end:
        raise MalformedInput(f"{measurement}: {end - offset} bytes behind the last of {rows} rows")
    return found


def object_array(values: list[bytes] | tuple[bytes, ...]) -> Values:
    """TEXT values as an array of objects; numpy alone would make them fixed-width and cut trailing NULs."""
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def array_of(values: list[Any] | tuple[Any, ...], data_type: DataType) -> Values:
    """Converted values as a native array."""
    if data_type is DataType.TEXT:
        return object_array(values)
    return np.array(values, dtype=NATIVE[data_type])


def native(values: Values, data_type: DataType) -> Values:
    """An array of packed or native values as a native one; copies only what is not native."""
    wanted = NATIVE[data_type]
    if values.dtype == wanted and values.dtype.isnative:
        return values
    if data_type is DataType.BOOLEAN:
        truths: Values = values == 1
        return truths
    return values.astype(wanted)


def python_value(values: Values, position: int, data_type: DataType) -> Value:
    """One value of a native array as bool, int, float or bytes."""
    found = values[position]
    if data_type is DataType.TEXT:
        return bytes(found)
    value: Value = found.item()
    return value
