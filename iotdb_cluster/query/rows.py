"""Rows: times ascending, each once, and a column for each series with its gaps."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from iotdb_cluster.timeseries.frames import Column, Mask, Points
from iotdb_cluster.timeseries.values import NATIVE, TIME, Times
from iotdb_cluster.types.schema import DataType


@dataclass(frozen=True, slots=True)
class Rows:
    """`columns` are parallel; a row may have no value at all in them (a series of a condition had one)."""

    times: Times
    columns: tuple[Column, ...]

    def __len__(self) -> int:
        return len(self.times)

    def slice(self, low: int, high: int) -> "Rows":
        """Rows `low` to `high`, without copying."""
        return Rows(self.times[low:high], tuple(column.slice(low, high) for column in self.columns))

    def where(self, keep: Mask) -> "Rows":
        """The rows at which `keep` is true."""
        if keep.all():
            return self
        return Rows(self.times[keep], tuple(column.where(keep) for column in self.columns))

    def select(self, positions: Sequence[int]) -> "Rows":
        """Some of the columns, in this order."""
        return Rows(self.times, tuple(self.columns[position] for position in positions))

    def has_value(self) -> Mask:
        """Where a row has a value in at least one column."""
        if any(column.valid is None for column in self.columns):
            return np.ones(len(self.times), np.bool_)
        masks = [column.valid for column in self.columns if column.valid is not None]
        return np.logical_or.reduce(masks) if masks else np.zeros(len(self.times), np.bool_)


def empty_rows(data_types: Sequence[DataType]) -> Rows:
    """No rows, with columns of these types."""
    return Rows(np.empty(0, TIME), tuple(Column(np.empty(0, NATIVE[data_type])) for data_type in data_types))


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
    first = series[0].times
    if all(points.times is first or np.array_equal(points.times, first) for points in series[1:]):
        return Rows(first, tuple(Column(points.values) for points in series))
    times = np.unique(np.concatenate([points.times for points in series]))
    columns: list[Column] = []
    for points, data_type in zip(series, data_types, strict=True):
        if len(points) == len(times):
            columns.append(Column(points.values))
            continue
        at = np.searchsorted(times, points.times)
        values = np.full(len(times), b"" if data_type is DataType.TEXT else 0, NATIVE[data_type])
        valid = np.zeros(len(times), np.bool_)
        values[at] = points.values
        valid[at] = True
        columns.append(Column(values, valid))
    return Rows(times, tuple(columns))
