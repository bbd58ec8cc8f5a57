"""CSV as the original's CSV tool writes and reads it: lines cut at commas, texts in quotes, no escapes."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, BinaryIO

import pyarrow as pa

from iotdb_cluster.client.result import TIME
from iotdb_cluster.errors import CommandRefused

QUOTES = ("'", '"')
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def unquoted(cell: str) -> str:
    """A text without the quotes that it stands in; one that stands in none is as it is."""
    if len(cell) >= 2 and cell[0] == cell[-1] and cell[0] in QUOTES:
        return cell[1:-1]
    return cell


def quoted(text: str) -> str:
    """A text in quotes; raises `CommandRefused` for one that the form cannot hold."""
    quote = next((each for each in QUOTES if each not in text), None)
    if quote is None or any(mark in text for mark in ",\r\n") or text.endswith("\\"):
        raise CommandRefused(
            f"the text {text[:60]!r} cannot stand in the form of the original's CSV tool, which knows neither commas "
            "nor line breaks, both kinds of quotes, or a backslash at the end: export it without --form tool"
        )
    return f"{quote}{text}{quote}"


def write_tool_csv(schema: pa.Schema, tables: Iterator[pa.Table], out: BinaryIO, zone: tzinfo = UTC) -> int:
    """Write rows with their times in `zone`; returns how many. Raises `CommandRefused`."""
    if TIME not in schema.names:
        raise CommandRefused("the form of the original's CSV tool has a time in each row; this result has none")
    head = [TIME, *(name for name in schema.names if name != TIME)]
    out.write((",".join(head) + "\n").encode())
    count = 0
    for table in tables:
        columns = [[_cell(value) for value in column.to_pylist()] for column in table.columns[1:]]
        times = [_time(at, zone) for at in table.column(0).cast(pa.int64()).to_pylist()]
        out.writelines((",".join(row) + "\n").encode() for row in zip(times, *columns, strict=True))
        count += len(table)
    return count


def _time(time_ms: int, zone: tzinfo) -> str:
    try:
        return (EPOCH + timedelta(milliseconds=time_ms)).astimezone(zone).isoformat(timespec="milliseconds")
    except OverflowError:
        return str(time_ms)


def _cell(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case str():
            return quoted(value)
    return str(value)
