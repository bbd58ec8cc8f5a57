"""Reads a CSV file of time series: the first column is the time, every other one is named by its full series path.

Tablets have no nulls, so the columns of a device that have their gaps in the same rows travel together, without those
rows. Each column is in one tablet of its chunk, with its rows in file order: of two rows with the same time the later
one wins.
"""

import csv
import re
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from iotdb_cluster.cli.tool_form import unquoted
from iotdb_cluster.errors import PathIllegal, ValueRefused
from iotdb_cluster.sql.times import GREATEST_TIME_MS, LEAST_TIME_MS
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

INFERRED = (DataType.BOOLEAN, DataType.INT64, DataType.DOUBLE)
INFERRED_FROM_LINES = 1_000

CELL_MAX_CHARS = 16 * 1024 * 1024
"""A cell beyond that is a quote without an end rather than a text."""
BATCH_CHARS = 4 * 1024 * 1024
"""Where lines are so long that a batch would have more characters, it has fewer lines."""

BOOLEANS = {"true": True, "1": True, "false": False, "0": False}


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of one device without gaps: `times` in ms, and as many values in each column."""

    device: str
    measurements: tuple[str, ...]
    data_types: tuple[DataType, ...]
    times: NDArray[np.int64]
    columns: tuple[Column, ...]


Line: TypeAlias = tuple[int, list[str]]
"""The number of a line in the file, and its cells."""

BadLine: TypeAlias = Callable[[int, list[str], str], None]
"""Takes a line that is left out: its number, its cells, and the reason."""

_TYPED = re.compile(rf"(.*?)\s*(?:\((\w+)\)|:({'|'.join(DataType.__members__)}))")
"""A column that says its type: `root.a.b(FLOAT)` or `root.a.b:FLOAT`."""


_SLASHES = re.compile(r"\A(\d{4})/(\d{2})/", re.ASCII)
_ZONE_NAME = re.compile(r"(?<=\d|Z)\[[\w/+-]+\]\Z", re.ASCII)


class CsvFile:
    """A CSV file with its header read and its columns' types known."""

    def __init__(
        self,
        path: Path,
        types: Mapping[str, DataType],
        *,
        known: Callable[[Sequence[str]], Mapping[str, DataType]] | None = None,
        zone: tzinfo | None = None,
        tool: bool = False,
    ) -> None:
        """`types` names columns by full path or by their last node; raises `PathIllegal` or `ValueRefused`.

        Columns that neither `types` nor the header gives a type are looked up by `known`, and where that is given but
        does not know them either, the first lines tell. Times without an offset are read in `zone`. With `tool` the
        file is in the form of the original's CSV tool: cut at commas, texts in quotes.
        """
        self.path = path
        self.lines_read = 0
        """Data lines that were taken from the file so far, the skipped and the bad ones included."""
        self._zone = zone
        self._tool = tool
        lines = self._raw_lines(None)
        _, header = next(lines, (1, []))
        first = list(_first_of(lines)) if known is not None else []
        lines.close()
        if len(header) < 2:
            found = ",".join(header)[:60]
            raise ValueRefused(
                f"{path}: the first line must name the time and at least one series, with commas between: {found!r}"
            )
        stated = [_TYPED.fullmatch(name) for name in header[1:]]
        self.series = tuple(found[1] if found else name for found, name in zip(stated, header[1:], strict=True))
        self._devices: dict[str, list[int]] = {}
        for number, name in enumerate(self.series):
            if not is_series_path(name):
                raise PathIllegal(f"{path}: column '{name}' is not a series path (root....)")
            self._devices.setdefault(name.rpartition(".")[0], []).append(number)
        given = {name: found[2] or found[3] for found, name in zip(stated, self.series, strict=True) if found}
        types = {**parse_types(",".join(f"{name}={kind}" for name, kind in given.items())), **types}
        resolved = {name: kind for name in self.series if (kind := type_given(name, types)) is not None}
        if known is not None and len(resolved) < len(self.series):
            types = {**_inferred(self.series, first), **known(self.series), **resolved}
        self.data_types = tuple(_type_of(path, name, types) for name in self.series)

    def chunks(self, rows_max: int = 1000, *, skip: int = 0, on_bad: BadLine | None = None) -> Iterator[list[Rows]]:
        """The file in order, at most `rows_max` lines at a time, without the first `skip`.

        A line that cannot be read goes to `on_bad`, or raises `ValueRefused` with line, column and value.
        """
        for lines in self._lines(rows_max, skip, on_bad):
            try:
                yield self._converted(lines)
            except ValueRefused:
                if on_bad is None:
                    raise
                yield self._converted(self._good(lines, on_bad))

    def _lines(self, rows_max: int, skip: int, on_bad: BadLine | None) -> Iterator[list[Line]]:
        raw = self._raw_lines(on_bad)
        next(raw)
        lines: list[Line] = []
        chars = 0
        self.lines_read = 0
        for number, cells in raw:
            self.lines_read += 1
            if self.lines_read <= skip:
                continue
            if len(cells) != len(self.series) + 1:
                self._refuse(number, cells, f"{len(cells)} cells, but {len(self.series) + 1} columns", on_bad)
                continue
            lines.append((number, cells))
            chars += sum(map(len, cells))
            if len(lines) == rows_max or chars >= BATCH_CHARS:
                yield lines
                lines, chars = [], 0
        if lines or on_bad is not None:
            yield lines

    def _raw_lines(self, on_bad: BadLine | None) -> Generator[Line, None, None]:
        """The header and all lines that are not empty; bytes that are no UTF-8 stay to be refused where they stand."""
        csv.field_size_limit(CELL_MAX_CHARS)
        with self.path.open(newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
            reader = csv.reader(file, quoting=csv.QUOTE_NONE) if self._tool else csv.reader(file)
            while True:
                try:
                    cells = next(reader)
                except StopIteration:
                    return
                except csv.Error as error:
                    self._refuse(reader.line_num, [], str(error), on_bad)
                    continue
                if cells:
                    yield reader.line_num, cells

    def _refuse(self, number: int, cells: list[str], problem: str, on_bad: BadLine | None) -> None:
        if on_bad is None:
            raise ValueRefused(f"{self.path}, line {number}: {problem}")
        on_bad(number, cells, problem)

    def _good(self, lines: Sequence[Line], on_bad: BadLine) -> list[Line]:
        good = []
        for number, cells in lines:
            try:
                self._converted([(number, cells)])
            except ValueRefused as error:
                on_bad(number, cells, error.message.removeprefix(f"{self.path}, line {number}, "))
            else:
                good.append((number, cells))
        return good

    def _converted(self, lines: Sequence[Line]) -> list[Rows]:
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
        lines: Sequence[Line],
    ) -> Rows:
        kept = [lines[row] for row in present]
        return Rows(
            device=device,
            measurements=tuple(self.series[column].rpartition(".")[2] for column in columns),
            data_types=tuple(self.data_types[column] for column in columns),
            times=times[list(present)],
            columns=tuple(self._column(column, kept) for column in columns),
        )

    def _column(self, column: int, lines: Sequence[Line]) -> Column:
        data_type = self.data_types[column]
        values = [self._value(number, column, cells[column + 1]) for number, cells in lines]
        return values if data_type is DataType.TEXT else np.array(values, dtype=NUMPY_TYPES[data_type])

    def _time(self, line: int, text: str) -> int:
        try:
            return parse_time(text, self._zone)
        except ValueError as error:
            raise ValueRefused(
                f"{self.path}, line {line}, first column: '{text[:60]}' is not a time: {error}"
            ) from error

    def _value(self, line: int, column: int, text: str) -> Any:
        data_type = self.data_types[column]
        try:
            return parse_value(unquoted(text) if self._tool else text, data_type)
        except UnicodeEncodeError as error:
            raise ValueRefused(
                f"{self.path}, line {line}, column '{self.series[column]}': {text[:60]!a} is not UTF-8"
            ) from error
        except (ValueError, KeyError) as error:
            raise ValueRefused(
                f"{self.path}, line {line}, column '{self.series[column]}': '{text[:60]}' is no {data_type.name}"
            ) from error


def parse_time(text: str, zone: tzinfo | None = None) -> int:
    """Milliseconds since 1970 UTC: a whole number, or ISO 8601 with an offset, or in `zone`. Raises `ValueError`.

    A date may have `/` between its parts, and a time the name of its zone behind its offset, as Java writes it.
    """
    text = text.strip()
    if not text:
        raise ValueError("there is none")
    if re.fullmatch(r"[+-]?\d+", text, re.ASCII):
        number = int(text)
        if not LEAST_TIME_MS <= number <= GREATEST_TIME_MS:
            raise ValueError("it does not fit in 64 bits")
        return number
    moment = datetime.fromisoformat(_ZONE_NAME.sub("", _SLASHES.sub(r"\1-\2-", text)))
    if moment.tzinfo is None and zone is not None:
        moment = moment.replace(tzinfo=zone)
    if moment.tzinfo is None:
        raise ValueError("it has no offset (such as +08:00)")
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1000 + since.microseconds // 1000


def parse_value(text: str, data_type: DataType) -> Any:
    """The value that `text` stands for; raises `ValueError` or `KeyError` when there is none of this type."""
    if data_type is DataType.TEXT:
        # Free for ASCII; what was no UTF-8 in the file cannot be encoded.
        if not text.isascii():
            text.encode()
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


def is_series_path(name: str) -> bool:
    """True for `root.` and at least one more node, in characters that can be seen."""
    return name.isprintable() and re.fullmatch(r"root(\.[^.]+)+", name) is not None


def type_given(name: str, types: Mapping[str, DataType]) -> DataType | None:
    """The type that is said for a series by its path or by the last node of it; None for none."""
    return types.get(name, types.get(name.rpartition(".")[2]))


def _first_of(lines: Iterable[Line]) -> Iterator[list[str]]:
    """As many lines as types are told from, and not more characters than a batch has."""
    chars = 0
    for _, cells in islice(lines, INFERRED_FROM_LINES):
        chars += sum(map(len, cells))
        yield cells
        if chars >= BATCH_CHARS:
            return


def _type_of(path: Path, name: str, types: Mapping[str, DataType]) -> DataType:
    known = type_given(name, types)
    if known is None:
        raise ValueRefused(f"{path}: column '{name}' has no type; say it with --types {name.rpartition('.')[2]}=TYPE")
    return known


def _inferred(series: Sequence[str], lines: Sequence[list[str]]) -> dict[str, DataType]:
    """The narrowest of BOOLEAN, INT64, DOUBLE and TEXT that holds what a column has in these lines."""
    types: dict[str, DataType] = {}
    for number, name in enumerate(series, start=1):
        cells = [cells[number] for cells in lines if len(cells) > number and cells[number] != ""]
        types[name] = next((kind for kind in INFERRED if cells and _all_are(cells, kind)), DataType.TEXT)
    return types


def _all_are(cells: Sequence[str], kind: DataType) -> bool:
    if kind is DataType.BOOLEAN:
        return all(cell.lower() in ("true", "false") for cell in cells)
    try:
        for cell in cells:
            parse_value(cell, kind)
    except ValueError:
        return False
    return True


def _by_gaps(columns: Sequence[int], lines: Sequence[Line]) -> Iterator[tuple[tuple[int, ...], list[int]]]:
    """Columns that have values in the same rows, together, with those rows; columns without any value are left out."""
    together: dict[tuple[int, ...], list[int]] = {}
    for column in columns:
        present = tuple(row for row, (_, cells) in enumerate(lines) if cells[column + 1] != "")
        if present:
            together.setdefault(present, []).append(column)
    yield from together.items()
