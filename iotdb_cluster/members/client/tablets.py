"""The client's `insertBatch` as a BATCHINSERT plan: both pack columns alike, so nothing is decoded."""

import struct
from collections.abc import Sequence

from iotdb_cluster.errors import MalformedInput
from iotdb_cluster.types.plans import Packed, TabletPlan
from iotdb_cluster.types.schema import WIDTH_BYTES, DataType

_LENGTH = struct.Struct(">i")
_DATA_TYPES = {int(data_type): data_type for data_type in DataType}


def tablet_of(
    device: str, measurements: Sequence[str], types: Sequence[int], rows: int, times: bytes, values: bytes
) -> TabletPlan:
    """The plan of a batch; raises `MalformedInput` where counts and lengths do not fit each other."""
    if rows < 0:
        raise MalformedInput(f"a batch of {rows} rows")
    if len(types) != len(measurements):
        raise MalformedInput(f"{len(measurements)} measurements and {len(types)} types")
    if len(times) != 8 * rows:
        raise MalformedInput(f"{len(times)} bytes of times for {rows} rows, {8 * rows} are needed")
    data_types = tuple(_data_type(ordinal) for ordinal in types)
    columns: list[Packed] = []
    start = 0
    # Views: the plan's bytes are put together from them, and nobody keeps them.
    view = memoryview(values)
    for measurement, data_type in zip(measurements, data_types, strict=True):
        end = _column_end(values, start, data_type, rows)
        if end > len(values):
            raise MalformedInput(
                f"the values end in column {measurement}: {len(values)} bytes, at least {end} are needed"
            )
        columns.append(view[start:end])
        start = end
    if start != len(values):
        raise MalformedInput(f"{len(values) - start} bytes behind the last column")
    return TabletPlan(device, tuple(measurements), data_types, rows, times, tuple(columns))


def _data_type(ordinal: int) -> DataType:
    try:
        return _DATA_TYPES[ordinal]
    except KeyError:
        raise MalformedInput(f"{ordinal} is no data type") from None


def _column_end(values: bytes, start: int, data_type: DataType, rows: int) -> int:
    """Where a column of `rows` values ends; beyond the end of `values` when they do not suffice."""
    width = WIDTH_BYTES.get(data_type)
    if width is not None:
        return start + width * rows
    end = start
    for _ in range(rows):
        if end + 4 > len(values):
            return end + 4
        length = int(_LENGTH.unpack_from(values, end)[0])
        if length < 0:
            raise MalformedInput(f"a text of {length} bytes")
        end += 4 + length
        if end > len(values):
            return end
    return end
