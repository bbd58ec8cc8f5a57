"""Typed scalars (interface page "object"): a class byte, then a value."""

from iotdb_cluster.types.filters import Scalar, ValueClass
from iotdb_cluster.types.schema import DataType
from iotdb_cluster.wire import payload
from iotdb_cluster.wire.payload import PayloadReader

NO_VALUE = b""
"""What `fetchSingleSeriesByTimestamp` answers when there is no value at that time."""

_CLASSES = {
    DataType.BOOLEAN: ValueClass.BOOLEAN,
    DataType.INT32: ValueClass.INTEGER,
    DataType.INT64: ValueClass.LONG,
    DataType.FLOAT: ValueClass.FLOAT,
    DataType.DOUBLE: ValueClass.DOUBLE,
    DataType.TEXT: ValueClass.BINARY,
}


def encode_scalar(scalar: Scalar) -> bytes:
    """A typed scalar; NaN in the one form that the original writes."""
    return scalar.value_class.to_bytes() + _encode_value(scalar)


def encode_value(data_type: DataType, value: float | bool | bytes) -> bytes:
    """A value of a series of that type as a typed scalar."""
    return encode_scalar(Scalar(_CLASSES[data_type], value))


def decode_scalar(data: bytes) -> Scalar:
    """The scalar in these bytes, all of them; raises `MalformedInput`."""
    reader = PayloadReader(data, "scalar")
    scalar = read_scalar(reader)
    reader.expect_end()
    return scalar


def read_scalar(reader: PayloadReader) -> Scalar:
    """A typed scalar within a payload."""
    value_class = reader.ordinal(ValueClass, reader.u8())
    value: int | float | bool | bytes
    match value_class:
        case ValueClass.LONG:
            value = reader.i64()
        case ValueClass.INTEGER:
            value = reader.i32()
        case ValueClass.DOUBLE:
            value = reader.f64()
        case ValueClass.FLOAT:
            value = reader.f32()
        case ValueClass.BOOLEAN:
            value = reader.boolean()
        case ValueClass.BINARY | ValueClass.STRING:
            value = reader.blob()
    return Scalar(value_class, value)


def _encode_value(scalar: Scalar) -> bytes:
    value = scalar.value
    if isinstance(value, bytes):
        return payload.blob(value)
    match scalar.value_class:
        case ValueClass.LONG:
            return payload.i64(int(value))
        case ValueClass.INTEGER:
            return payload.i32(int(value))
        case ValueClass.DOUBLE:
            return payload.f64(value)
        case ValueClass.FLOAT:
            return payload.f32(value)
        case ValueClass.BOOLEAN:
            return bytes((bool(value),))
    raise TypeError(f"{value!r} for a {scalar.value_class.name}")
