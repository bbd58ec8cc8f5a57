"""Rows: times ascending, each once, and a column for each series with its gaps."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from iotdb_cluster.timeseries.frames import Column, Mask, Points
from iotdb_cluster.timeseries.values import NATIVE, TIME, Times
from iotdb_cluster.types.schema import DataType

DataTypes = tuple[DataType, ...]

FEW_COLUMNS = 16
"""No rows of so few columns are kept: each small select needs them several times."""

TEXT_BYTES = 50
"""What one TEXT value takes in memory beside its bytes: the object's head, and the place that names it."""


@dataclass(frozen=True, slots=True)
class Rows:
    """`columns` are parallel; a row may have no value at all in them (a series of a condition had one).

    In what GROUP BY DEVICE and SHOW give, times need not ascend.
    """

    times: Times
    columns: tuple[Column, ...]

    def __len__(self) -> int:
        return len(self.times)

    @property
    def size_bytes(self) -> int:
        """About what they hold in memory."""
        return self.times.nbytes + sum(map(_size_of, self.columns))

    def slice(self, low: int, high: int) -> "Rows":
        """Rows `low` to `high`, without copying."""
        if low == 0 and high >= len(self.times):
            return self
        return Rows(self.times[low:high], tuple([column.slice(low, high) for column in self.columns]))

    def where(self, keep: Mask) -> "Rows":
        """The rows at which `keep` is true."""
        if keep.all():
            return self
        return Rows(self.times[keep], tuple([column.where(keep) for column in self.columns]))

    def select(self, positions: Sequence[int]) -> "Rows":
        """Some of the columns, in this order."""
        return Rows(self.times, tuple([self.columns[position] for position in positions]))

    def has_value(self) -> Mask:
        """Where a row has a value in at least one column."""
        if any(column.valid is None for column in self.columns):
            return np.ones(len(self.times), np.bool_)
        masks = [column.valid for column in self.columns if column.valid is not None]
        return np.logical_or.reduce(masks) if masks else np.zeros(len(self.times), np.bool_)


def empty_rows(data_types: Sequence[DataType]) -> Rows:
    """No rows, with columns of these types."""
    if len(data_types) > FEW_COLUMNS:
        return _empty_rows(data_types)
    return _few_empty_columns(tuple(data_types))


def _empty_rows(data_types: Sequence[DataType]) -> Rows:
    return Rows(np.empty(0, TIME), tuple([Column(np.empty(0, NATIVE[data_type])) for data_type in data_types]))


_few_empty_columns = lru_cache(256)(_empty_rows)
"""Without a row there is nothing in them that anybody could change."""


def empty_column(count: int, data_type: DataType) -> Column:
    """A column without a value in any of `count` rows."""
    return Column(np.full(count, _nothing(data_type), NATIVE[data_type]), np.zeros(count, np.bool_))


def joined(parts: Sequence[Rows], data_types: Sequence[DataType]) -> Rows:
    """Rows one below the other."""
    filled = [part for part in parts if len(part)]
    if len(filled) == 1:
        return filled[0]
    if not filled:
        return empty_rows(data_types)
    columns: list[Column] = []
    for position in range(len(data_types)):
        pieces = [part.columns[position] for part in filled]
        valid: Mask | None = None
        if any(piece.valid is not None for piece in pieces):
            masks = [
                np.ones(len(part), np.bool_) if piece.valid is None else piece.valid
                for part, piece in zip(filled, pieces, strict=True)
            ]
            valid = np.concatenate(masks)
        columns.append(Column(np.concatenate([piece.values for piece in pieces]), valid))
    return Rows(np.concatenate([part.times for part in filled]), tuple(columns))


def rows_of(series: Sequence[Points], data_types: Sequence[DataType]) -> Rows:
    """Points of several series side by side; where a series has no point its column has no value."""
    parts = [Rows(points.times, (Column(points.values),)) for points in series]
    return side_by_side(parts, [(data_type,) for data_type in data_types])


def side_by_side(parts: Sequence[Rows], data_types: Sequence[DataTypes]) -> Rows:
    """Rows of several parts at all the times that one of them has; where a part has no row, its columns have no value.

    Parts that share their times are put beside each other as they are.
    """
    first = parts[0].times
    if all(part.times is first or np.array_equal(part.times, first) for part in parts[1:]):
        return Rows(first, tuple([column for part in parts for column in part.columns]))
    times = np.unique(np.concatenate([part.times for part in parts]))
    columns: list[Column] = []
    for part, types in zip(parts, data_types, strict=True):
        if len(part) == len(times):
            columns.extend(part.columns)
            continue
        at = np.searchsorted(times, part.times)
        for column, data_type in zip(part.columns, types, strict=True):
            values = np.full(len(times), _nothing(data_type), NATIVE[data_type])
            valid = np.zeros(len(times), np.bool_)
            values[at] = column.values
            valid[at] = True if column.valid is None else column.valid
            columns.append(Column(values, valid))
    return Rows(times, tuple(columns))


def _nothing(data_type: DataType) -> bytes | int:
    return b"" if data_type is DataType.TEXT else 0


def _size_of(column: Column) -> int:
    size = column.values.nbytes + (0 if column.valid is None else column.valid.nbytes)
    if column.values.dtype == object:
        size += sum(map(len, column.values)) + TEXT_BYTES * len(column.values)
    return size
