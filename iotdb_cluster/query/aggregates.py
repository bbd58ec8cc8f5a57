"""Functions over the points of one series, whole or window by window, without a loop over points.

What is gathered of one part of the points can be put together with what was gathered of a later one, so parts may be
worked on wherever they are.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from iotdb_cluster.errors import RequestError, StatusCode
from iotdb_cluster.sql.statements import Function, Windows
from iotdb_cluster.timeseries.frames import Mask, Points
from iotdb_cluster.timeseries.pieces import KEPT_ROWS, WholePart
from iotdb_cluster.timeseries.values import NATIVE, TIME, Times, Values
from iotdb_cluster.types.schema import DataType

NUMERIC = frozenset({DataType.INT32, DataType.INT64, DataType.FLOAT, DataType.DOUBLE})
LAST_TIME = 2**63 - 1

BLOCK_WINDOWS = 65_536
"""Windows that are worked on at one time."""

POINTS_PER_WINDOW = 4
"""With more points than this in each window, looking for the bounds of windows beats looking at every point."""

Positions = NDArray[np.int64]


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
    """Some windows of a query; without GROUP BY there is one, which takes everything."""

    count: int
    windows: Windows | None = None

    @classmethod
    def of(cls, windows: Windows | None) -> "Grid":
        """All windows of a GROUP BY, or the one window of a query without."""
        if windows is None:
            return cls(1)
        if windows.start_ms > windows.end_ms:
            return cls(0, windows)
        return cls((windows.end_ms - windows.start_ms) // windows.step_ms + 1, windows)

    def blocks(self, most: int = BLOCK_WINDOWS) -> Iterator["Grid"]:
        """The same windows in order, at most so many at a time."""
        windows = self.windows
        if windows is None or self.count <= most:
            if self.count:
                yield self
            return
        for number in range(0, self.count, most):
            count = min(most, self.count - number)
            start_ms = windows.start_ms + number * windows.step_ms
            end_ms = min(windows.end_ms, start_ms + count * windows.step_ms - 1)
            yield Grid(count, Windows(start_ms, end_ms, windows.unit_ms, windows.step_ms))

    @property
    def first(self) -> int:
        """The first time that can lie in a window."""
        return -LAST_TIME - 1 if self.windows is None else self.windows.start_ms

    @property
    def last(self) -> int:
        """The last time that can lie in a window."""
        return LAST_TIME if self.windows is None else self.windows.end_ms

    def starts(self) -> Times:
        """The time of each row."""
        if self.windows is None:
            return np.zeros(1, TIME)
        return self.windows.start_ms + np.arange(self.count, dtype=TIME) * self.windows.step_ms

    def window_of(self, first: int, last: int) -> int | None:
        """The window in which both times lie; None when there is none that has them both."""
        windows = self.windows
        if windows is None:
            return 0
        if first < windows.start_ms or last > windows.end_ms:
            return None
        number = (first - windows.start_ms) // windows.step_ms
        return number if last - windows.start_ms - number * windows.step_ms < windows.unit_ms else None

    def runs(self, times: Times) -> tuple[Positions, Positions, Positions]:
        """Windows that have some of these ascending times, and where theirs begin and end; all times are in bounds."""
        if self.windows is None:
            return _ONE, _ONE, np.array([len(times)])
        windows = self.windows
        low = (int(times[0]) - windows.start_ms) // windows.step_ms
        high = (int(times[-1]) - windows.start_ms) // windows.step_ms
        if (high - low + 1) * POINTS_PER_WINDOW <= len(times):
            numbers = np.arange(low, high + 1)
            starts = windows.start_ms + numbers * windows.step_ms
            begins = np.searchsorted(times, starts)
            last = np.where(starts > LAST_TIME - windows.unit_ms + 1, LAST_TIME, starts + (windows.unit_ms - 1))
            ends = np.searchsorted(times, last, "right")
        else:
            # The distance of two i64 wraps around into the u64 that it is.
            since = (times - np.int64(windows.start_ms)).view(np.uint64)
            of_each = since // np.uint64(windows.step_ms)
            inside = since - of_each * np.uint64(windows.step_ms) < np.uint64(windows.unit_ms)
            changes = np.flatnonzero(of_each[1:] != of_each[:-1]) + 1
            begins = np.concatenate((_ONE, changes))
            numbers = of_each[begins].astype(np.int64)
            # Within a run of one step, those inside the window come first.
            ends = begins + np.add.reduceat(inside.astype(np.int64), begins)
        filled = ends > begins
        return (numbers, begins, ends) if filled.all() else (numbers[filled], begins[filled], ends[filled])


_ONE = np.zeros(1, np.int64)

Choose = Callable[[NDArray[Any], NDArray[Any]], NDArray[Any]]
"""What is kept of an old and a new value of each window."""

# NaN is greater than every number: it is the greatest where there is one, and the least where nothing else is.
_CHOSEN: Mapping[str, Choose] = {
    "least": np.fmin,
    "greatest": np.maximum,
    "first": lambda old, new: old,
    "last": lambda old, new: new,
}


class Gathered:
    """What is known of each window of one series; `add` takes points ascending, later ones later."""

    def __init__(self, data_type: DataType, grid: Grid, functions: frozenset[Function]) -> None:
        self.data_type = data_type
        self.grid = grid
        self.count = np.zeros(grid.count, np.int64)
        self._wants_sum = bool(functions & {Function.SUM, Function.AVG})
        self._wants_least = Function.MIN_VALUE in functions
        self._wants_greatest = Function.MAX_VALUE in functions
        self._wants_ends = bool(functions & {Function.FIRST_VALUE, Function.LAST_VALUE})
        self._facts = frozenset(
            name
            for name, is_wanted in (
                ("sum", self._wants_sum),
                ("least", self._wants_least),
                ("greatest", self._wants_greatest),
                ("first", self._wants_ends),
                ("last", self._wants_ends),
            )
            if is_wanted
        )
        native = NATIVE[data_type]
        self.sum = np.zeros(grid.count, np.float64)
        self.min_time, self.max_time = np.zeros(grid.count, TIME), np.zeros(grid.count, TIME)
        self.least, self.greatest = np.zeros(grid.count, native), np.zeros(grid.count, native)
        self.first, self.last = np.zeros(grid.count, native), np.zeros(grid.count, native)

    def add(self, times: Times, values: Values) -> None:
        """Take in points that are not before those of earlier calls."""
        points = Points(times, values).between(self.grid.first, self.grid.last)
        if not len(points):
            return
        times, values = points.times, points.values
        at, begins, ends = self.grid.runs(times)
        if not len(at):
            return
        self._take(at, begins, ends, (times[begins], times[ends - 1]), values)

    def add_part(self, at: int, part: WholePart) -> None:
        """Take in all points of a part, which lie in one window; what the functions do not need is not read."""
        here = np.array([at])
        count = np.array([part.count])
        bounds = np.array([part.min_time], TIME), np.array([part.max_time], TIME)
        if self._facts and (self.data_type is DataType.TEXT or part.count < KEPT_ROWS):
            self._take(here, _ONE, count, bounds, part.values())
            return
        seen = self.count[here] > 0
        self._take(here, _ONE, count, bounds, None)
        for name, fact in part.facts(self._facts).items():
            if name == "sum":
                self.sum[at] += fact
            else:
                target = getattr(self, name)
                self._keep(target, here, seen, np.array([fact], target.dtype), _CHOSEN[name])

    def _take(
        self, at: Positions, begins: Positions, ends: Positions, bounds: tuple[Times, Times], values: Values | None
    ) -> None:
        """Take in a run of points for each of some windows; `bounds` are the first and last times of the runs."""
        seen = self.count[at] > 0
        self.count[at] += ends - begins
        self._keep(self.min_time, at, seen, bounds[0], lambda old, new: old)
        self.max_time[at] = bounds[1]
        if values is None:
            return
        if self._wants_sum:
            self.sum[at] += _sums(values, begins, ends)
        if self._wants_least:
            self._keep(self.least, at, seen, _reduced(np.fmin, values, begins, ends), np.fmin)
        if self._wants_greatest:
            self._keep(self.greatest, at, seen, _reduced(np.maximum, values, begins, ends), np.maximum)
        if self._wants_ends:
            self._keep(self.first, at, seen, values[begins], lambda old, new: old)
            self.last[at] = values[ends - 1]

    @staticmethod
    def _keep(
        target: NDArray[Any],
        at: Positions,
        seen: Mask,
        new: NDArray[Any],
        choose: Choose,
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


def _sums(values: Values, begins: Positions, ends: Positions) -> Values:
    if len(begins) == 1:
        return np.array([values[begins[0] : ends[0]].sum(dtype=np.float64)])
    return np.asarray(np.add.reduceat(values, _bounds(len(values), begins, ends), dtype=np.float64)[::2])


def _reduced(operation: np.ufunc, values: Values, begins: Positions, ends: Positions) -> Values:
    if values.dtype == np.bool_:
        operation = np.logical_or if operation is np.maximum else np.logical_and
    if len(begins) == 1:
        reduced = np.empty(1, values.dtype)
        reduced[0] = operation.reduce(values[begins[0] : ends[0]])
        return reduced
    return np.asarray(operation.reduceat(values, _bounds(len(values), begins, ends))[::2], values.dtype)


def _bounds(count: int, begins: Positions, ends: Positions) -> Positions:
    """Begins and ends in turn, as `reduceat` wants them: every second result is one between two runs."""
    bounds = np.empty(2 * len(begins), np.int64)
    bounds[::2], bounds[1::2] = begins, ends
    return bounds[:-1] if bounds[-1] == count else bounds
