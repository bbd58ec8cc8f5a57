"""Results as tables that fit the terminal, as CSV, JSON or Parquet."""

import json
import math
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from iotdb_cluster.cli.people import text_of_time
from iotdb_cluster.client.result import TIME, Result

TABLE, CSV, JSON, PARQUET = "table", "csv", "json", "parquet"
FORMATS = (TABLE, CSV, JSON, PARQUET)

ROWS_TOGETHER = 500
"""Rows of one table where nobody pages."""

LABEL_WIDTH = 22
"""A longer label is broken into lines of at most so many characters."""

BESIDE_CELL = 2


def show_table(result: Result, console: Console, rows_max: int, go_on: Callable[[], bool]) -> int:
    """Print rows in tables of so many, as long as `go_on` says yes; returns how many rows were shown."""
    labels = [TIME, *result.columns] if result.has_time else list(result.columns)
    numbers = {position for position, kind in enumerate(result.types, int(result.has_time)) if kind.name != "TEXT"}
    rows = iter(result)
    shown = 0
    while part := list(islice(rows, rows_max)):
        if shown and not go_on():
            result.close()
            break
        shown += len(part)
        cells = [_cells(row, result.has_time) for row in part]
        for columns in _that_fit(labels, cells, console.width, result.has_time):
            console.print(_table([labels[at] for at in columns], [[row[at] for at in columns] for row in cells],
                                 [at in numbers for at in columns]))  # fmt: skip
    if not shown:
        console.print(_table(labels, [], [False] * len(labels)))
    return shown


def write_csv(schema: pa.Schema, tables: Iterator[pa.Table], out: BinaryIO) -> int:
    """Times in ISO 8601 with an offset; a gap and an empty text look the same. Returns how many rows there were."""
    options = pyarrow.csv.WriteOptions(quoting_style="needed", quoting_header="needed")
    count = 0
    with pyarrow.csv.CSVWriter(out, schema, write_options=options) as writer:
        for table in tables:
            writer.write_table(table)
            count += len(table)
    return count


def write_parquet(schema: pa.Schema, tables: Iterator[pa.Table], out: BinaryIO) -> int:
    """One column for each of the result's; returns how many rows there were."""
    count = 0
    with pyarrow.parquet.ParquetWriter(out, schema) as writer:
        for table in _gathered(tables):
            writer.write_table(table)
            count += len(table)
    return count


def write_json(schema: pa.Schema, tables: Iterator[pa.Table], out: BinaryIO) -> int:
    """A list of objects, one a line; NaN and infinities, which JSON lacks, are texts. Returns how many there were."""
    labels = schema.names
    count = 0
    out.write(b"[")
    for table in tables:
        columns = [_in_json(column) for column in table.columns]
        for values in zip(*columns, strict=True):
            entry = json.dumps(dict(zip(labels, values, strict=True)), ensure_ascii=False)
            out.write((",\n" if count else "\n").encode() + entry.encode())
            count += 1
    out.write(b"\n]\n")
    return count


Writer = Callable[[pa.Schema, Iterator[pa.Table], BinaryIO], int]

WRITERS: dict[str, Writer] = {CSV: write_csv, JSON: write_json, PARQUET: write_parquet}


def format_of(path: Path) -> str | None:
    """The format that the name of a file says; None for none."""
    kind = path.suffix.removeprefix(".").lower()
    return kind if kind in WRITERS else None


def _gathered(tables: Iterator[pa.Table], rows: int = 100_000) -> Iterator[pa.Table]:
    """Pages put together to row groups of a sensible size."""
    waiting: list[pa.Table] = []
    for table in tables:
        waiting.append(table)
        if sum(map(len, waiting)) >= rows:
            yield pa.concat_tables(waiting)
            waiting = []
    if waiting:
        yield pa.concat_tables(waiting)


def _in_json(column: pa.ChunkedArray) -> list[Any]:
    if pa.types.is_timestamp(column.type):
        return [text_of_time(at) for at in column.cast(pa.int64()).to_pylist()]
    values: list[Any] = column.to_pylist()
    if not pa.types.is_floating(column.type):
        return values
    return [str(value) if value is not None and not math.isfinite(value) else value for value in values]


def _cells(row: Sequence[Any], has_time: bool) -> list[str]:
    cells = [_cell(value) for value in row]
    if has_time:
        cells[0] = text_of_time(row[0]).replace("+00:00", "Z")
    return cells


def _cell(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case float():
            return f"{value:.7g}"
    return str(value)


def _that_fit(labels: list[str], rows: list[list[str]], width: int, has_time: bool) -> Iterator[list[int]]:
    """Columns that fit beside each other, the time in front of each lot; one that never fits stands alone."""
    widths = [
        BESIDE_CELL + max(map(cell_len, (*lines_of_label(label), *(row[at] for row in rows))))
        for at, label in enumerate(labels)
    ]
    front = [0] if has_time else []
    lot, used = list(front), sum(widths[at] for at in front)
    for at in range(len(front), len(labels)):
        if len(lot) > len(front) and used + widths[at] > width:
            yield lot
            lot, used = list(front), sum(widths[other] for other in front)
        lot.append(at)
        used += widths[at]
    yield lot


def _table(labels: list[str], rows: list[list[str]], right: list[bool]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True, show_edge=False)
    for label, is_number in zip(labels, right, strict=True):
        head = Text("\n".join(lines_of_label(label)))
        table.add_column(head, justify="right" if is_number else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def lines_of_label(label: str) -> list[str]:
    """The lines of a label above its column: a long path is broken behind its dots, a long name anywhere."""
    lines = [""]
    for name in re.findall(r"[^.]*\.|[^.]+$", label):
        if lines[-1] and cell_len(lines[-1] + name) > LABEL_WIDTH:
            lines.append("")
        lines[-1] += name
    return [line[at : at + LABEL_WIDTH] for line in lines for at in range(0, max(len(line), 1), LABEL_WIDTH)]
