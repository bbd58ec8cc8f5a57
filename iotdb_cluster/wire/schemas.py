"""Time series schemas (interface page "Timeseries schema"): in `schemaBytes` and in file snapshots."""

import struct
from collections.abc import Collection

from iotdb_cluster.errors import MalformedInput
from iotdb_cluster.types.schema import Compression, DataType, Encoding, TimeseriesSchema
from iotdb_cluster.wire.payload import PayloadReader, i32, text

_ORDINALS = struct.Struct(">hhh")
LEAST_BYTES = 14


def encode_schema(schema: TimeseriesSchema) -> bytes:
    """`str fullPath | i16 dataType | i16 encoding | i16 compressor | i32 p | p x (str key | str value)`."""
    parts = [text(schema.path), _ORDINALS.pack(schema.data_type, schema.encoding, schema.compression)]
    parts.append(i32(len(schema.props)))
    for key, value in schema.props:
        parts += (text(key), text(value))
    return b"".join(parts)


def encode_schemas(schemas: Collection[TimeseriesSchema]) -> bytes:
    """An i32 count, then the schemas."""
    return i32(len(schemas)) + b"".join(map(encode_schema, schemas))


def decode_schema(data: bytes) -> TimeseriesSchema:
    """The one schema in these bytes; raises `MalformedInput`."""
    reader = PayloadReader(data, "schema")
    schema = read_schema(reader)
    reader.expect_end()
    return schema


def decode_schemas(data: bytes) -> tuple[TimeseriesSchema, ...]:
    """The schemas of `schemaBytes`; raises `MalformedInput`."""
    reader = PayloadReader(data, "schemas")
    schemas = read_schemas(reader)
    reader.expect_end()
    return schemas


def read_schemas(reader: PayloadReader) -> tuple[TimeseriesSchema, ...]:
    """A count and schemas within a payload."""
    return tuple(read_schema(reader) for _ in range(reader.count(LEAST_BYTES)))


def read_schema(reader: PayloadReader) -> TimeseriesSchema:
    """A schema within a payload; its properties come out sorted by key."""
    path = reader.text()
    data_type = reader.ordinal(DataType, reader.i16())
    encoding = reader.ordinal(Encoding, reader.i16())
    compression = reader.ordinal(Compression, reader.i16())
    props: dict[str, str] = {}
    for _ in range(reader.count(8)):
        key = reader.text()
        if key in props:
            raise MalformedInput(f"{reader.what}: property {key!r} comes twice")
        props[key] = reader.text()
    return TimeseriesSchema(path, data_type, encoding, compression, tuple(sorted(props.items())))
