"""FILL: one row at one time, with values from before and behind it where there is none (interface page "SELECT")."""

from collections.abc import Mapping
from typing import Protocol

import numpy as np

from iotdb_cluster.query.binding import KnownSeries, Selection
from iotdb_cluster.query.rows import DataTypes, Rows, empty_column, empty_rows
from iotdb_cluster.sql.statements import Fill, FillMethod, FillRule
from iotdb_cluster.timeseries.filters import FIRST_TIME, LAST_TIME
from iotdb_cluster.timeseries.frames import Column
from iotdb_cluster.timeseries.values import NATIVE, TIME, Value
from iotdb_cluster.types.schema import DataType

Point = tuple[int, Value]
_INTEGERS = frozenset({DataType.INT32, DataType.INT64})


class Probe(Protocol):
    """Looks up single points of series."""

    async def last(self, series: KnownSeries, first: int, last: int) -> Point | None:
        """The last point between two times, both included."""

    async def first(self, series: KnownSeries, first: int, last: int) -> Point | None:
        """The first point between two times, both included."""


class FilledRow:
    """The one row of FILL for a selection; where there is no value, the column has none."""

    def __init__(self, selection: Selection, fill: Fill, probe: Probe) -> None:
        self._selection = selection
        self._fill = fill
        self._probe = probe
        self._is_due = True
        self.data_types: DataTypes = tuple(
            [selection.series[target.position].data_type for target in selection.targets]
        )

    async def next_rows(self) -> Rows:
        """The row, then none."""
        if not self._is_due:
            return empty_rows(self.data_types)
        self._is_due = False
        rules = {rule.data_type: rule for rule in self._fill.rules}
        values = [await self._value(series, rules) for series in self._selection.series]
        columns = [
            _column(values[target.position], data_type)
            for target, data_type in zip(self._selection.targets, self.data_types, strict=True)
        ]
        return Rows(np.array([self._fill.at_ms], TIME), tuple(columns))

    def close(self) -> None:
        """Make no row any more."""
        self._is_due = False

    async def _value(self, series: KnownSeries, rules: Mapping[DataType, FillRule]) -> Value | None:
        at = self._fill.at_ms
        rule = rules.get(series.data_type)
        earliest = at if rule is None else _bounded(at, -rule.before_ms if rule.before_ms is not None else None)
        before = await self._probe.last(series, FIRST_TIME if earliest is None else earliest, at)
        if before is None:
            return None
        if before[0] == at or rule is None:
            return before[1]
        if rule.method is FillMethod.PREVIOUS:
            return before[1]
        if at == LAST_TIME:
            return None
        latest = _bounded(at, rule.after_ms)
        behind = await self._probe.first(series, at + 1, LAST_TIME if latest is None else latest)
        return None if behind is None else _interpolated(before, behind, at, series.data_type)


def _bounded(at: int, distance: int | None) -> int | None:
    """A time so far from another one, within an i64; None for no bound."""
    return None if distance is None else max(FIRST_TIME, min(LAST_TIME, at + distance))


def _interpolated(before: Point, behind: Point, at: int, data_type: DataType) -> Value:
    """The value on the line through two points; with integers the slope is truncated toward zero."""
    (start, low), (end, high) = before, behind
    assert not isinstance(low, bytes) and not isinstance(high, bytes), "TEXT is not interpolated"
    if data_type in _INTEGERS:
        rise, run = int(high) - int(low), end - start
        slope = abs(rise) // run
        return int(low) + (slope if rise >= 0 else -slope) * (at - start)
    return float(low) + (float(high) - float(low)) / (end - start) * (at - start)


def _column(value: Value | None, data_type: DataType) -> Column:
    if value is None:
        return empty_column(1, data_type)
    values = np.empty(1, NATIVE[data_type])
    values[0] = value
    return Column(values)
