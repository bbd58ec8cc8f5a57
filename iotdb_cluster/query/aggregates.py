"""Functions over the points of one series, whole or window by window, without a loop over points.

What is gathered of one part of the points can be put together with what was gathered of another, so groups work each on
their own and the coordinator joins the pieces.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from iotdb_cluster.errors import RequestError, StatusCode
from iotdb_cluster.sql.statements import Function, Windows
from iotdb_cluster.timeseries.frames import Mask
from iotdb_cluster.timeseries.values import NATIVE, TIME, Times, Values
from iotdb_cluster.types.schema import DataType

NUMERIC = frozenset({DataType.INT32, DataType.INT64, DataType.FLOAT, DataType.DOUBLE})
MAX_WINDOWS = 10_000_000


def result_type(function: Function, data_type: DataType) -> DataType:
    """The type of a function's column; raises for a sum or an average of what is no number (interface page: 500)."""
    match function:
        case Function.COUNT | Function.MIN_TIME | Function.MAX_TIME:
            return DataType.INT64
        case Function.SUM | Function.AVG:
            if data_type not in NUMERIC:
                raise RequestError(
                    f"{function.value} needs numbers, the series is {data_type.name}",
                    code=StatusCode.INTERNAL_SERVER_ERROR,
                )
            return DataType.DOUBLE
    return data_type


@dataclass(frozen=True, slots=True)
class Grid:
    """The windows of a query; without GROUP BY there is one, which takes everything."""

    count: int
    windows: Windows | None = None

    @classmethod
    def of(cls, windows: Windows | None) -> "Grid":
        """The grid of a GROUP BY, or the one window of a query without."""
        if windows is None:
            return cls(1)
        count = 0 if windows.start_ms > windows.end_ms else (windows.end_ms - windows.start_ms) // windows.step_ms + 1
        if count > MAX_WINDOWS:
            raise RequestError(f"{count} windows, at most {MAX_WINDOWS} can be asked for at once")
        return cls(count, windows)

    def starts(self) -> Times:
        """The time of each row."""
        if self.windows is None:
            return np.zeros(1, TIME)
        return self.windows.start_ms + np.arange(self.count, dtype=TIME) * self.windows.step_ms

    def numbers_of(self, times: Times) -> tuple[NDArray[np.int64], Mask | None]:
        """The window of each time, and which times lie in one at all (None: every one)."""
        if self.windows is None:
            return np.zeros(len(times), np.int64), None
        windows = self.windows
        inside = (times >= windows.start_ms) & (times <= windows.end_ms)
        since = np.where(inside, times - windows.start_ms, 0)
        numbers = since // windows.step_ms
        inside &= since - numbers * windows.step_ms < windows.unit_ms
        return numbers[inside], inside


class Gathered:
    """What is known of each window of one series; `add` takes points ascending, later ones later."""

    def __init__(self, data_type: DataType, grid: Grid, functions: frozenset[Function]) -> None:
        self.data_type = data_type
        self.grid = grid
        self.count = np.zeros(grid.count, np.int64)
        self._wants_sum = bool(functions & {Function.SUM, Function.AVG})
        self._wants_extremes = bool(functions & {Function.MIN_VALUE, Function.MAX_VALUE})
        self._wants_ends = bool(functions & {Function.FIRST_VALUE, Function.LAST_VALUE})
        native = NATIVE[data_type]
        self.sum = np.zeros(grid.count, np.float64)
        self.min_time, self.max_time = np.zeros(grid.count, TIME), np.zeros(grid.count, TIME)
        self.least, self.greatest = np.zeros(grid.count, native), np.zeros(grid.count, native)
        self.first, self.last = np.zeros(grid.count, native), np.zeros(grid.count, native)

    def add(self, times: Times, values: Values) -> None:
        """Take in points that are not before those of earlier calls."""
        numbers, inside = self.grid.numbers_of(times)
        if inside is not None and not inside.all():
            times, values = times[inside], values[inside]
        if not len(times):
            return
        begins = np.flatnonzero(np.concatenate(([True], numbers[1:] != numbers[:-1])))
        ends = np.concatenate((begins[1:], [len(numbers)])) - 1
        at = numbers[begins]
        seen = self.count[at] > 0
        self._keep(self.min_time, at, seen, times[begins], lambda old, new: old)
        self.max_time[at] = times[ends]
        if self._wants_sum:
            self.sum[at] += np.add.reduceat(values.astype(np.float64, copy=False), begins)
        if self._wants_extremes:
            self._keep(self.least, at, seen, _reduced(np.minimum, values, begins), np.minimum)
            self._keep(self.greatest, at, seen, _reduced(np.maximum, values, begins), np.maximum)
        if self._wants_ends:
            self._keep(self.first, at, seen, values[begins], lambda old, new: old)
            self.last[at] = values[ends]
        self.count[at] += ends - begins + 1

    @staticmethod
    def _keep(
        target: NDArray[Any],
        at: NDArray[np.int64],
        seen: Mask,
        new: NDArray[Any],
        choose: Callable[[NDArray[Any], NDArray[Any]], NDArray[Any]],
    ) -> None:
        """`new` where a window had nothing, else what `choose` makes of the old and the new value."""
        if not seen.any():
            target[at] = new
            return
        chosen = new.copy()
        chosen[seen] = choose(target[at][seen], new[seen])
        target[at] = chosen

    def result(self, function: Function) -> tuple[Values, Mask]:
        """A column of one function over all windows, and where it has a value."""
        filled = self.count > 0
        match function:
            case Function.COUNT:
                return self.count, np.ones(self.grid.count, np.bool_)
            case Function.SUM:
                return self.sum, np.ones(self.grid.count, np.bool_)
            case Function.AVG:
                return self.sum / np.maximum(self.count, 1), filled
            case Function.MIN_TIME:
                return self.min_time, filled
            case Function.MAX_TIME:
                return self.max_time, filled
            case Function.MIN_VALUE:
                return self.least, filled
            case Function.MAX_VALUE:
                return self.greatest, filled
            case Function.FIRST_VALUE:
                return self.first, filled
            case Function.LAST_VALUE:
                return self.last, filled


def _reduced(operation: np.ufunc, values: Values, begins: NDArray[np.intp]) -> Values:
    if values.dtype == np.bool_:
        both = np.logical_and if operation is np.minimum else np.logical_or
        return np.asarray(both.reduceat(values, begins))
    return np.asarray(operation.reduceat(values, begins))
