"""What a time series is: type, encoding, compression, properties."""

from dataclasses import dataclass
from enum import IntEnum


class DataType(IntEnum):
    """TSDataType; the ordinal is on the wire."""

    BOOLEAN = 0
    INT32 = 1
    INT64 = 2
    FLOAT = 3
    DOUBLE = 4
    TEXT = 5


class Encoding(IntEnum):
    """TSEncoding; kept and shown, the sealed files choose their own."""

    PLAIN = 0
    PLAIN_DICTIONARY = 1
    RLE = 2
    DIFF = 3
    TS_2DIFF = 4
    BITMAP = 5
    GORILLA = 6
    REGULAR = 7


class Compression(IntEnum):
    """CompressionType."""

    UNCOMPRESSED = 0
    SNAPPY = 1
    GZIP = 2
    LZO = 3
    SDT = 4
    PAA = 5
    PLA = 6


WIDTH_BYTES = {
    DataType.BOOLEAN: 1,
    DataType.INT32: 4,
    DataType.INT64: 8,
    DataType.FLOAT: 4,
    DataType.DOUBLE: 8,
}
"""Bytes of one value on the wire; TEXT is not here, its values carry their length."""


@dataclass(frozen=True, slots=True)
class TimeseriesSchema:
    """A series as `pullTimeSeriesSchema` and file snapshots name it. `props` is sorted by key."""

    path: str
    data_type: DataType
    encoding: Encoding = Encoding.PLAIN
    compression: Compression = Compression.SNAPPY
    props: tuple[tuple[str, str], ...] = ()
