"""From result bytes to numpy columns (interface page CLIENT, "Result bytes"). No loop over points, but for TEXT."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from iotdb_cluster.errors import MalformedInput
from iotdb_cluster.types.bits import every_bit
from iotdb_cluster.types.schema import DataType

TIME_BYTES = 8
LENGTH_BYTES = 4

PACKED: dict[DataType, np.dtype[Any]] = {
    DataType.BOOLEAN: np.dtype("u1"),
    DataType.INT32: np.dtype(">i4"),
    DataType.INT64: np.dtype(">i8"),
    DataType.FLOAT: np.dtype(">f4"),
    DataType.DOUBLE: np.dtype(">f8"),
}
NATIVE: dict[DataType, np.dtype[Any]] = {
    DataType.BOOLEAN: np.dtype(np.bool_),
    DataType.INT32: np.dtype(np.int32),
    DataType.INT64: np.dtype(np.int64),
    DataType.FLOAT: np.dtype(np.float32),
    DataType.DOUBLE: np.dtype(np.float64),
    DataType.TEXT: np.dtype(object),
}

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Column:
    """A value for each row, in the type's width or as `str`; where `valid` is False there is none. None: all are."""

    values: NDArray[Any]
    valid: Mask | None = None

    def to_list(self) -> list[Any]:
        """Python values, None where there is none."""
        values: list[Any] = self.values.tolist()
        if self.valid is None:
            return values
        return [value if there else None for value, there in zip(values, self.valid.tolist(), strict=True)]


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows of a result: times in milliseconds, and a column for each of the result's columns."""

    times: NDArray[np.int64]
    columns: tuple[Column, ...]

    def __len__(self) -> int:
        return len(self.times)


def decode_rows(data: Any, data_types: Sequence[DataType]) -> Page:
    """A `TSQueryDataSet` with a column for each of these types; raises `MalformedInput`."""
    times = decode_times(data.time)
    if not len(data.valueList) == len(data.bitmapList) == len(data_types):
        raise MalformedInput(f"a page of {len(data.valueList)} columns where there should be {len(data_types)}")
    columns = map(_column_for(len(times)), data.valueList, data.bitmapList, data_types)
    return Page(times, tuple(columns))


def decode_series(data: Any, data_types: Sequence[DataType]) -> list[Page]:
    """A `TSQueryNonAlignDataSet`: for each column a page of its own. Raises `MalformedInput`."""
    if not len(data.timeList) == len(data.valueList) == len(data_types):
        raise MalformedInput(f"a page of {len(data.valueList)} columns where there should be {len(data_types)}")
    pages = []
    for time, values, data_type in zip(data.timeList, data.valueList, data_types, strict=True):
        times = decode_times(time)
        pages.append(Page(times, (Column(decode_values(values, data_type, len(times))),)))
    return pages


def decode_times(data: bytes) -> NDArray[np.int64]:
    """Times in milliseconds; raises `MalformedInput`."""
    if len(data) % TIME_BYTES:
        raise MalformedInput(f"{len(data)} bytes of times")
    return np.frombuffer(data, ">i8").astype(np.int64)


def decode_values(data: bytes, data_type: DataType, count: int) -> NDArray[Any]:
    """So many values without gaps; raises `MalformedInput` when there are more or fewer."""
    if data_type is DataType.TEXT:
        return _texts(data, count)
    packed = PACKED[data_type]
    if len(data) != count * packed.itemsize:
        raise MalformedInput(f"{len(data)} bytes for {count} values of type {data_type.name}")
    return np.frombuffer(data, packed).astype(NATIVE[data_type])


def joined(pages: Sequence[Page], data_types: Sequence[DataType]) -> Page:
    """Pages one below the other."""
    filled = [page for page in pages if len(page)]
    if not filled:
        return Page(np.empty(0, np.int64), tuple(Column(np.empty(0, NATIVE[kind])) for kind in data_types))
    if len(filled) == 1:
        return filled[0]
    columns = tuple(_below([page.columns[at] for page in filled]) for at in range(len(data_types)))
    return Page(np.concatenate([page.times for page in filled]), columns)


def side_by_side(series: Sequence[Page]) -> Page:
    """Series with times of their own as rows at all these times."""
    times = np.unique(np.concatenate([each.times for each in series]))
    columns = []
    for each in series:
        (column,) = each.columns
        at = np.searchsorted(times, each.times)
        values = np.zeros(len(times), column.values.dtype)
        valid = np.zeros(len(times), np.bool_)
        values[at], valid[at] = column.values, True
        columns.append(Column(values, None if valid.all() else valid))
    return Page(times, tuple(columns))


def _column_for(count: int) -> Callable[[bytes, bytes, DataType], Column]:
    bitmap_bytes = (count + 7) // 8
    every = every_bit(count)

    def column(values: bytes, bitmap: bytes, data_type: DataType) -> Column:
        if len(bitmap) != bitmap_bytes:
            raise MalformedInput(f"a bitmap of {len(bitmap)} bytes for {count} rows")
        if bitmap == every:
            return Column(decode_values(values, data_type, count))
        valid = np.unpackbits(np.frombuffer(bitmap, np.uint8), count=count).astype(np.bool_)
        present = decode_values(values, data_type, int(np.count_nonzero(valid)))
        spread = np.zeros(count, present.dtype)
        spread[valid] = present
        return Column(spread, valid)

    return column


def _below(columns: Sequence[Column]) -> Column:
    valid = None
    if any(column.valid is not None for column in columns):
        masks = [np.ones(len(each.values), np.bool_) if each.valid is None else each.valid for each in columns]
        valid = np.concatenate(masks)
    return Column(np.concatenate([column.values for column in columns]), valid)


def _texts(data: bytes, count: int) -> NDArray[Any]:
    """Where a text ends is known only when the one before it is read."""
    texts = np.empty(count, object)
    at = 0
    for number in range(count):
        begin = at + LENGTH_BYTES
        at = begin + int.from_bytes(data[at:begin], "big", signed=True)
        if not begin <= at <= len(data):
            raise MalformedInput(f"text {number} of {count} ends outside its column of {len(data)} bytes")
        texts[number] = data[begin:at].decode("utf-8", "replace")
    if at != len(data):
        raise MalformedInput(f"{len(data) - at} bytes behind the last of {count} texts")
    return texts
