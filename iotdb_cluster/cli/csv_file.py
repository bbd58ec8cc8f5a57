"""Reads a CSV file of time series: the first column is the time, every other one is named by its full series path.

Tablets have no nulls, so the columns of a device that have their gaps in the same rows travel together, without those
rows. Each column is in one tablet of its chunk, with its rows in file order: of two rows with the same time the later
one wins.
"""

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from iotdb_cluster.errors import PathIllegal, ValueRefused
from iotdb_cluster.types.schema import DataType

Column: TypeAlias = NDArray[Any] | list[str]
"""Values of one series: an array of the type's width, or texts."""

NUMPY_TYPES: Mapping[DataType, type[np.generic]] = {
    DataType.BOOLEAN: np.bool_,
    DataType.INT32: np.int32,
    DataType.INT64: np.int64,
    DataType.FLOAT: np.float32,
    DataType.DOUBLE: np.float64,
}

BOOLEANS = {"true": True, "1": True, "false": False, "0": False}


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of one device without gaps: `times` in ms, and as many values in each column."""

    device: str
    measurements: tuple[str, ...]
    data_types: tuple[DataType, ...]
    times: NDArray[np.int64]
    columns: tuple[Column, ...]


class CsvFile:
    """A CSV file with its header read and its columns' types known."""

    def __init__(self, path: Path, types: Mapping[str, DataType]) -> None:
        """`types` names columns by full path or by their last node; raises `PathIllegal` or `ValueRefused`."""
        self.path = path
        with path.open(newline="", encoding="utf-8") as file:
            header = next(csv.reader(file), [])
        if len(header) < 2:
            raise ValueRefused(f"{path}: the first line must name the time and at least one series")
        self.series = tuple(header[1:])
        self.data_types = tuple(_type_of(path, name, types) for name in self.series)
        self._devices: dict[str, list[int]] = {}
        for number, name in enumerate(self.series):
            if not re.fullmatch(r"root(\.[^.]+)+", name):
                raise PathIllegal(f"{path}: column '{name}' is not a series path (root....)")
            self._devices.setdefault(name.rpartition(".")[0], []).append(number)

    def chunks(self, rows_max: int = 1000) -> Iterator[list[Rows]]:
        """The file in order, at most `rows_max` lines at a time; raises `ValueRefused` with line, column and value."""
        with self.path.open(newline="", encoding="utf-8") as file:
            reader = csv.reader(file)
            next(reader)
            lines: list[tuple[int, list[str]]] = []
            for cells in reader:
                if not cells:
                    continue
                if len(cells) != len(self.series) + 1:
                    raise ValueRefused(
                        f"{self.path}, line {reader.line_num}: {len(cells)} cells, but {len(self.series) + 1} columns"
                    )
                lines.append((reader.line_num, cells))
                if len(lines) == rows_max:
                    yield self._converted(lines)
                    lines = []
            if lines:
                yield self._converted(lines)

    def _converted(self, lines: Sequence[tuple[int, list[str]]]) -> list[Rows]:
        times = np.array([self._time(number, cells[0]) for number, cells in lines], dtype=np.int64)
        return [
            self._rows(device, together, present, times, lines)
            for device, columns in self._devices.items()
            for present, together in _by_gaps(columns, lines)
        ]

    def _rows(
        self,
        device: str,
        columns: Sequence[int],
        present: Sequence[int],
        times: NDArray[np.int64],
        lines: Sequence[tuple[int, list[str]]],
    ) -> Rows:
        kept = [lines[row] for row in present]
        return Rows(
            device=device,
            measurements=tuple(self.series[column].rpartition(".")[2] for column in columns),
            data_types=tuple(self.data_types[column] for column in columns),
            times=times[list(present)],
            columns=tuple(self._column(column, kept) for column in columns),
        )

    def _column(self, column: int, lines: Sequence[tuple[int, list[str]]]) -> Column:
        data_type = self.data_types[column]
        values = [self._value(number, column, cells[column + 1]) for number, cells in lines]
        return values if data_type is DataType.TEXT else np.array(values, dtype=NUMPY_TYPES[data_type])

    def _time(self, line: int, text: str) -> int:
        try:
            return parse_time(text)
        except ValueError as error:
            raise ValueRefused(f"{self.path}, line {line}, first column: '{text}' is not a time: {error}") from error

    def _value(self, line: int, column: int, text: str) -> Any:
        data_type = self.data_types[column]
        try:
            return parse_value(text, data_type)
        except (ValueError, KeyError) as error:
            raise ValueRefused(
                f"{self.path}, line {line}, column '{self.series[column]}': '{text}' is no {data_type.name}"
            ) from error


def parse_time(text: str) -> int:
    """Milliseconds since 1970 UTC: a whole number, or ISO 8601 with an offset. Raises `ValueError`."""
    if re.fullmatch(r"[+-]?\d+", text):
        return int(text)
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("it has no offset (such as +08:00)")
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1000 + since.microseconds // 1000


def parse_value(text: str, data_type: DataType) -> Any:
    """The value that `text` stands for; raises `ValueError` or `KeyError` when there is none of this type."""
    if data_type is DataType.TEXT:
        return text
    if data_type is DataType.BOOLEAN:
        return BOOLEANS[text.lower()]
    if data_type in (DataType.INT32, DataType.INT64):
        value = int(text)
        limit = 1 << (31 if data_type is DataType.INT32 else 63)
        if not -limit <= value < limit:
            raise ValueError("out of range")
        return value
    return float(text)


def parse_types(text: str) -> dict[str, DataType]:
    """The types in `name=TYPE,...`; raises `ValueRefused`."""
    types: dict[str, DataType] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, equals, kind = part.rpartition("=")
        if not equals or not name or kind.upper() not in DataType.__members__:
            allowed = ", ".join(DataType.__members__)
            raise ValueRefused(f"--types: '{part}' is not name=TYPE with a TYPE out of {allowed}")
        types[name] = DataType[kind.upper()]
    return types


def _type_of(path: Path, name: str, types: Mapping[str, DataType]) -> DataType:
    known = types.get(name, types.get(name.rpartition(".")[2]))
    if known is None:
        raise ValueRefused(f"{path}: column '{name}' has no type; say it with --types {name.rpartition('.')[2]}=TYPE")
    return known


def _by_gaps(
    columns: Sequence[int], lines: Sequence[tuple[int, list[str]]]
) -> Iterator[tuple[tuple[int, ...], list[int]]]:
    """Columns that have values in the same rows, together, with those rows; columns without any value are left out."""
    together: dict[tuple[int, ...], list[int]] = {}
    for column in columns:
        present = tuple(row for row, (_, cells) in enumerate(lines) if cells[column + 1] != "")
        if present:
            together.setdefault(present, []).append(column)
    yield from together.items()
