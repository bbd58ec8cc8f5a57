"""Arrow tables and pandas DataFrames as tablets: columns that have their gaps in the same rows travel together."""

import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from iotdb_cluster.errors import ValueRefused
from iotdb_cluster.types.schema import DataType

if TYPE_CHECKING:
    from pandas import DataFrame

TABLET_ROWS = 10_000
TIME_NAMES = ("Time", "time")

Tablet = tuple[list[str], list[DataType], NDArray[np.int64], list[Any]]
"""Measurements, types, times in milliseconds, and as many columns without gaps."""


def tablets_of(table: "pa.Table | DataFrame", time: str | None, rows_max: int) -> Iterator[Tablet]:
    """The table in order, at most `rows_max` rows at a time; raises `ValueRefused` for a column of no known type."""
    arrow = table if isinstance(table, pa.Table) else _from_pandas(table, time)
    at = _time_column(arrow.column_names, time)
    names = [name for number, name in enumerate(arrow.column_names) if number != at]
    if not names or len(set(names)) != len(names):
        raise ValueRefused(f"measurements must differ, and there must be one at least: {', '.join(names)}")
    kinds = [data_type_of(name, arrow.field(name).type) for name in names]
    if arrow.column(at).null_count:
        raise ValueRefused(f"{arrow.column_names[at]}: {arrow.column(at).null_count} rows without a time")
    for first in range(0, len(arrow), rows_max):
        part = arrow.slice(first, rows_max)
        yield from without_gaps(names, kinds, times_of(arrow.column_names[at], part.column(at)), part)


def is_table(given: object) -> bool:
    """True for an Arrow table, and for a DataFrame, which has only come here when pandas is there."""
    pandas = sys.modules.get("pandas")
    return isinstance(given, pa.Table) or (pandas is not None and isinstance(given, pandas.DataFrame))


def without_gaps(
    names: Sequence[str], kinds: Sequence[DataType], times: NDArray[np.int64], rows: pa.Table
) -> Iterator[Tablet]:
    """The same rows as tablets, each column in one of them; a column without any value is in none."""
    together: dict[bytes, list[int]] = {}
    for number, name in enumerate(names):
        column = rows.column(name)
        if column.null_count == len(rows):
            continue
        gaps = column.is_null().to_numpy().tobytes() if column.null_count else b""
        together.setdefault(gaps, []).append(number)
    for gaps, numbers in together.items():
        keep = np.logical_not(np.frombuffer(gaps, np.bool_)) if gaps else slice(None)
        columns = [_values(rows.column(names[number]).drop_null(), kinds[number]) for number in numbers]
        yield [names[number] for number in numbers], [kinds[number] for number in numbers], times[keep], columns


def data_type_of(name: str, arrow: pa.DataType) -> DataType:
    """The type of series that holds every value of an Arrow type; raises `ValueRefused` where there is none."""
    if pa.types.is_dictionary(arrow):
        arrow = arrow.value_type
    if pa.types.is_boolean(arrow):
        return DataType.BOOLEAN
    if pa.types.is_integer(arrow) and not pa.types.is_uint64(arrow):
        return DataType.INT64 if pa.types.is_int64(arrow) or pa.types.is_uint32(arrow) else DataType.INT32
    if pa.types.is_float64(arrow):
        return DataType.DOUBLE
    if pa.types.is_float32(arrow) or pa.types.is_float16(arrow):
        return DataType.FLOAT
    if pa.types.is_string(arrow) or pa.types.is_large_string(arrow) or pa.types.is_string_view(arrow):
        return DataType.TEXT
    raise ValueRefused(f"{name}: no series holds values of type {arrow}; cast the column first")


def times_of(name: str, column: pa.ChunkedArray) -> NDArray[np.int64]:
    """Milliseconds since 1970 UTC out of timestamps or integers; raises `ValueRefused`."""
    kind = column.type
    try:
        if pa.types.is_timestamp(kind):
            column = column.cast(pa.timestamp("ms", kind.tz), safe=False).cast(pa.int64())
        elif pa.types.is_date(kind):
            column = column.cast(pa.timestamp("ms")).cast(pa.int64())
        elif pa.types.is_integer(kind):
            column = column.cast(pa.int64())
        else:
            raise ValueRefused(f"{name}: times are timestamps or integers (ms), not {kind}")
    except pa.ArrowInvalid as error:
        raise ValueRefused(f"{name}: {error}") from error
    times: NDArray[np.int64] = column.to_numpy()
    return times


def _from_pandas(frame: "DataFrame", time: str | None) -> pa.Table:
    if not is_table(frame):
        raise ValueRefused(f"a table is a pyarrow.Table or a pandas.DataFrame, not {type(frame).__name__}")
    names = [str(name) for name in frame.columns]
    if time is None and not set(TIME_NAMES) & set(names):
        frame = frame.rename_axis(TIME_NAMES[0]).reset_index()
    frame = frame.rename(columns=str)
    return pa.Table.from_pandas(frame, preserve_index=False)


def _time_column(names: Sequence[str], time: str | None) -> int:
    wanted = TIME_NAMES if time is None else (time,)
    for name in wanted:
        if name in names:
            return names.index(name)
    raise ValueRefused(f"no column {' or '.join(wanted)} among {', '.join(names)}")


def _values(column: pa.ChunkedArray, kind: DataType) -> Any:
    if kind is DataType.TEXT:
        return column.to_pylist()
    return column.to_numpy()
