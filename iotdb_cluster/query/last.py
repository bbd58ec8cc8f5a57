"""The last points of many series as one row: looked up from their ends, whatever lies before is not read."""

from collections.abc import Callable, Sequence

import numpy as np

from iotdb_cluster.query.aggregates import result_type
from iotdb_cluster.query.guard import Guard
from iotdb_cluster.query.rows import DataTypes, Rows, empty_rows
from iotdb_cluster.query.windows import FunctionColumn
from iotdb_cluster.sql.statements import Function
from iotdb_cluster.timeseries.frames import Column
from iotdb_cluster.timeseries.values import TIME, Value, array_of
from iotdb_cluster.types.schema import DataType

LAST_FUNCTIONS = frozenset({Function.LAST_VALUE, Function.MAX_TIME})
"""What the last point of a series tells."""

Point = tuple[int, Value]
"""Time and value."""

_NOT_THERE = np.zeros(1, np.bool_)
_NOTHING = {data_type: array_of([b"" if data_type is DataType.TEXT else 0], data_type) for data_type in DataType}


class LastRow:
    """One row of `last_value` and `max_time`; none when no series has a point."""

    def __init__(self, columns: Sequence[FunctionColumn], look_up: Callable[[int], Point | None], guard: Guard) -> None:
        """`look_up` gives the last point of the series at a position."""
        self._columns = list(columns)
        self._look_up = look_up
        self._guard = guard
        self.data_types: DataTypes = tuple([result_type(column.function, column.data_type) for column in columns])

    async def next_rows(self) -> Rows:
        """The row, then none."""
        wanted, self._columns = self._columns, []
        found: dict[int, Point | None] = {}
        made: list[Column] = []
        for column, data_type in zip(wanted, self.data_types, strict=False):
            if column.position not in found:
                self._guard.check()
                found[column.position] = self._look_up(column.position)
            point = found[column.position]
            if point is None:
                made.append(Column(_NOTHING[data_type], _NOT_THERE))
            else:
                value = point[1] if column.function is Function.LAST_VALUE else point[0]
                made.append(Column(array_of([value], data_type)))
        if not any(point is not None for point in found.values()):
            return empty_rows(self.data_types)
        return Rows(np.zeros(1, TIME), tuple(made))

    def close(self) -> None:
        """Look up nothing more."""
        self._columns = []
