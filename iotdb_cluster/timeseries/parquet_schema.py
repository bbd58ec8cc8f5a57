"""How rows of devices stand in a Parquet file: columns, types, encodings, and what the footer says besides.

Columns: `device` (string), `time` (milliseconds, UTC), then one for each measurement under its name. A name that
differs from another column's in upper and lower case at most gets a number behind it, since DuckDB cannot tell them
apart; the footer says which measurement each column holds. TEXT is a string column, or a binary one in a file that has
a value which is no UTF-8.
"""

import json
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from iotdb_cluster.errors import MalformedInput
from iotdb_cluster.timeseries.arrow_arrays import ARROW, TIME_TYPE
from iotdb_cluster.timeseries.values import TIME, Times
from iotdb_cluster.types.schema import DataType

SEALED_FORMAT = "iotdb-cluster sealed"
SEALED_VERSION = 1
FIXED_COLUMNS = ("device", "time")
COMPRESSION = "lz4"

_KEY = "iotdb_cluster."
_FORMAT, _COLUMNS, _PARTS, _ORIGIN = (_KEY + name for name in ("format", "columns", "parts", "origin"))

_DELTA_TYPES = (DataType.INT32, DataType.INT64)

Signature = tuple[tuple[str, DataType], ...]
"""Measurements and their types, sorted by name: what the devices of a file share."""


@dataclass(frozen=True, slots=True)
class Part:
    """Rows of one device that stand behind one another in one row group, with their first and last time."""

    row_group: int
    first_row: int
    rows: int
    min_time: int
    max_time: int


@dataclass(frozen=True, slots=True)
class FileIndex:
    """What the footer says: where the rows of each device are, and which column holds a measurement."""

    devices: tuple[str, ...]
    """Ascending, as their rows stand."""
    columns: Mapping[str, tuple[int, DataType]]
    """By measurement: position among the file's columns and type."""
    device_of: Times
    parts: Times
    """Shape (parts, 5): row group, first row in it, rows, first time, last time; in the order of the rows."""
    row_groups: tuple[int, ...]
    """Rows of each row group."""
    filled: dict[int, tuple[bool, ...]] = field(default_factory=dict, compare=False)
    """By position of a column: for each row group whether it has a value at every row. Whoever asks fills it in."""
    starts: dict[int, list[int]] = field(default_factory=dict, compare=False)
    """Under 0 the number of the first part of each device, and of all parts. Whoever asks fills it in."""
    facts: dict[tuple[int, Part, str], Any] = field(default_factory=dict, compare=False)
    """By position of a column, large part of it and name: its sum, least, greatest, first or last value. Whoever asks
    fills it in."""

    def parts_of(self, device: str) -> list[Part]:
        """Where the rows of a device are, in order of time; empty when it has none here."""
        at = bisect_left(self.devices, device)
        if at == len(self.devices) or self.devices[at] != device:
            return []
        starts = self.starts.get(0)
        if starts is None:
            every = np.arange(len(self.devices) + 1)
            starts = self.starts[0] = np.searchsorted(self.device_of, every).tolist()
        return [Part(*row) for row in self.parts[starts[at] : starts[at + 1]].tolist()]

    def has_device(self, device: str) -> bool:
        """True when there are rows of a device."""
        at = bisect_left(self.devices, device)
        return at < len(self.devices) and self.devices[at] == device

    def time_ranges(self) -> list[tuple[str, int, int]]:
        """First and last time of each device, devices ascending."""
        return [
            (device, parts[0].min_time, parts[-1].max_time)
            for device, parts in ((device, self.parts_of(device)) for device in self.devices)
        ]


def column_names(measurements: Sequence[str]) -> list[str]:
    """A column name for each measurement: its own, with a number behind it where it would not be distinct."""
    taken = {name.casefold() for name in FIXED_COLUMNS}
    names: list[str] = []
    for measurement in measurements:
        name, number = measurement, 1
        while name.casefold() in taken:
            name, number = f"{measurement}_{number}", number + 1
        taken.add(name.casefold())
        names.append(name)
    return names


def arrow_schema(signature: Signature, binary: frozenset[str]) -> Any:
    """The Arrow schema of a file; TEXT measurements in `binary` are not said to be UTF-8."""
    fields = [
        pa.field("device", pa.dictionary(pa.int32(), pa.string()), nullable=False),
        pa.field("time", TIME_TYPE, nullable=False),
    ]
    for name, (measurement, data_type) in zip(column_names([m for m, _ in signature]), signature, strict=True):
        fields.append(pa.field(name, pa.binary() if measurement in binary else ARROW[data_type]))
    return pa.schema(fields)


def parquet_writer(sink: Any, schema: Any, signature: Signature) -> Any:
    """A writer with page checksums, statistics and page index; encodings follow the types."""
    names = schema.names
    encodings = {"time": "DELTA_BINARY_PACKED"}
    dictionaries = ["device"]
    for name, (_, data_type) in zip(names[2:], signature, strict=True):
        if data_type is DataType.TEXT:
            dictionaries.append(name)
        elif data_type in _DELTA_TYPES:
            encodings[name] = "DELTA_BINARY_PACKED"
        else:
            encodings[name] = "PLAIN"
    return pq.ParquetWriter(
        sink,
        schema,
        compression=COMPRESSION,
        use_dictionary=dictionaries,
        column_encoding=encodings,
        write_statistics=True,
        write_page_index=True,
        write_page_checksum=True,
        store_schema=False,
    )


def footer_texts(
    signature: Signature, devices: Sequence[str], parts: Sequence[Sequence[int]], origin: Mapping[str, object]
) -> dict[str, str]:
    """What goes into the footer: format, columns, the place of each device, and where the file comes from."""
    return {
        _FORMAT: f"{SEALED_FORMAT} {SEALED_VERSION}",
        _COLUMNS: json.dumps([[measurement, int(data_type)] for measurement, data_type in signature]),
        _PARTS: json.dumps({"devices": list(devices), "parts": [list(part) for part in parts]}),
        _ORIGIN: json.dumps(dict(origin), sort_keys=True),
    }


def read_index(metadata: Any) -> FileIndex:
    """The index that a file's footer holds; raises `MalformedInput` when it is not one of ours."""
    texts = metadata.metadata or {}
    try:
        stated = texts[_FORMAT.encode()].decode()
        if stated != f"{SEALED_FORMAT} {SEALED_VERSION}":
            raise MalformedInput(f"format {stated!r} is not known here")
        columns = json.loads(texts[_COLUMNS.encode()])
        placed = json.loads(texts[_PARTS.encode()])
        parts = np.array(placed["parts"], dtype=TIME).reshape(-1, 5)
        row_groups = [metadata.row_group(at).num_rows for at in range(metadata.num_row_groups)]
        signature = tuple((name, DataType(data_type)) for name, data_type in columns)
        return make_index(placed["devices"], signature, parts, row_groups)
    except (KeyError, ValueError, TypeError, IndexError) as error:
        raise MalformedInput(f"the footer is not of a sealed file: {error!r}") from error


def make_index(devices: Sequence[str], signature: Signature, parts: Times, row_groups: Sequence[int]) -> FileIndex:
    """The index over parts as the footer has them: row group, device, rows, first time, last time."""
    return FileIndex(
        devices=tuple(devices),
        columns={name: (at + len(FIXED_COLUMNS), data_type) for at, (name, data_type) in enumerate(signature)},
        device_of=parts[:, 1].copy(),
        parts=_with_first_rows(parts),
        row_groups=tuple(row_groups),
    )


def _with_first_rows(parts: Times) -> Times:
    """From (row group, device, rows, first, last) to (row group, first row, rows, first, last)."""
    group, rows = parts[:, 0], parts[:, 2]
    before = np.cumsum(rows) - rows
    starts = np.zeros(len(parts), dtype=TIME)
    if len(parts):
        is_first = np.ones(len(parts), dtype=np.bool_)
        np.not_equal(group[1:], group[:-1], out=is_first[1:])
        starts = np.maximum.accumulate(np.where(is_first, before, 0))
    return np.column_stack([group, before - starts, rows, parts[:, 3], parts[:, 4]])
