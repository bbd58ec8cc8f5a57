"""Brings files in and takes series out, of any size: what is in memory is one batch of rows."""

import csv
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet

from iotdb_cluster.cli.csv_file import CsvFile, Rows, parse_types
from iotdb_cluster.cli.shell.showing import WRITERS, format_of
from iotdb_cluster.client.session import Session
from iotdb_cluster.client.tables import TIME_NAMES, data_type_of, times_of, without_gaps
from iotdb_cluster.errors import CommandRefused, MalformedInput, ValueRefused
from iotdb_cluster.members.client.time_zones import normalised, zone_of
from iotdb_cluster.types.schema import DataType

STATE_SUFFIX = ".import-state"
BAD_HEAD = ("line", "reason")

Told = Callable[[int, int], None]
"""Hears how many rows of the input are done, and how many points were written."""


@dataclass(frozen=True, slots=True)
class State:
    """How far an import came, and of which file: one that has changed since cannot be gone on with."""

    size: int
    modified_ns: int
    rows: int = 0
    points: int = 0
    bad: int = 0


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import did in all, with what it had done before it was interrupted."""

    rows: int
    points: int
    bad: int


class Bookmark:
    """The state file beside the input; it is there from the first batch to the end of an import that went through."""

    def __init__(self, source: Path) -> None:
        self.path = source.with_name(source.name + STATE_SUFFIX)
        self._name = str(source)
        about = source.stat()
        self._new = State(about.st_size, about.st_mtime_ns)

    def begin(self, *, resume: bool) -> State:
        """Where to go on; raises `CommandRefused` when the file is another one than it was."""
        if not resume or not self.path.exists():
            return self._new
        try:
            state = State(**json.loads(self.path.read_text(encoding="utf-8")))
        except (ValueError, TypeError) as error:
            raise CommandRefused(f"{self.path}: is no state of an import ({error}); remove it") from error
        if (state.size, state.modified_ns) != (self._new.size, self._new.modified_ns):
            raise CommandRefused(f"{self._name}: has changed since the import began; run it without --resume")
        return state

    def keep(self, state: State) -> None:
        """Note what is written; a crash leaves the note before or this one."""
        new = self.path.with_name(self.path.name + ".new")
        new.write_text(json.dumps(asdict(state)), encoding="utf-8")
        os.replace(new, self.path)

    def done(self) -> None:
        """Nothing is left to go on with."""
        self.path.unlink(missing_ok=True)


def import_file(
    source: Path,
    session: Session,
    told: Told,
    *,
    types: str = "",
    resume: bool = False,
    bad_rows: Path | None = None,
    zone: str | None = None,
    rows_max: int = 1_000,
) -> Imported:
    """Write a CSV or Parquet file in tablets, in file order.

    A line that cannot be read goes to `bad_rows` with number and reason, or ends the import with `ValueRefused`.
    What is written when it ends early stays so, and is noted beside the file for `resume`; the last batch may be
    written twice, which changes nothing.
    """
    bookmark = Bookmark(source)
    state = bookmark.begin(resume=resume)
    with ExitStack() as opened:
        on_bad = _bad_writer(bad_rows, opened, append=state.rows > 0)
        if source.suffix.lower() == ".parquet":
            batches = _parquet_batches(source, rows_max, state.rows)
        else:
            batches = _csv_batches(source, parse_types(types), session, rows_max, state.rows, on_bad, zone)
        for rows, tablets in batches:
            points = 0
            for each in tablets:
                session.insert_tablet(each.device, each.measurements, each.data_types, each.times, each.columns)
                points += len(each.times) * len(each.columns)
            bad = state.bad if on_bad is None else state.bad + on_bad.take()
            state = State(state.size, state.modified_ns, rows, state.points + points, bad)
            bookmark.keep(state)
            told(state.rows, state.points)
    bookmark.done()
    return Imported(state.rows, state.points, state.bad)


def export_query(session: Session, source: str, target: Path, shape: str | None, told: Callable[[int], None]) -> int:
    """Write a query, or the series of a path or pattern, into a new file; it appears when it is whole."""
    kind = shape or format_of(target)
    if kind not in WRITERS:
        raise CommandRefused(f"{target}: say --format csv, json or parquet, or end the name with it")
    part = target.with_name(target.name + ".part")
    sql = source if source.split(None, 1)[:1] and source.split(None, 1)[0].lower() == "select" else select_of(source)
    with session.query(sql) as result:
        result.on_rows = told
        try:
            with part.open("wb") as out:
                rows = WRITERS[kind](result, out)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
    os.replace(part, target)
    return rows


def select_of(path: str) -> str:
    """The query for a series, or for everything below a prefix or pattern."""
    parent, _, last = path.rpartition(".")
    return f"SELECT {last} FROM {parent}" if parent else f"SELECT * FROM {path}"


class _BadRows:
    """A CSV file of the lines that were left out."""

    def __init__(self, write: Callable[[Sequence[object]], object]) -> None:
        self._write = write
        self._count = 0

    def __call__(self, line: int, cells: list[str], reason: str) -> None:
        self._write([line, reason, *cells])
        self._count += 1

    def take(self) -> int:
        """How many there were since this was asked last."""
        count, self._count = self._count, 0
        return count


def _bad_writer(path: Path | None, opened: ExitStack, *, append: bool) -> _BadRows | None:
    if path is None:
        return None
    file = opened.enter_context(path.open("a" if append else "w", newline="", encoding="utf-8", buffering=1))
    writer = csv.writer(file)
    if not append:
        writer.writerow(BAD_HEAD)
    return _BadRows(writer.writerow)


def _csv_batches(
    source: Path,
    types: Mapping[str, DataType],
    session: Session,
    rows_max: int,
    skip: int,
    on_bad: _BadRows | None,
    zone: str | None,
) -> Iterator[tuple[int, list[Rows]]]:
    offset = None if zone is None else zone_of(normalised(zone))
    file = CsvFile(source, types, known=lambda series: _types_of(session, series), zone=offset)
    for rows in file.chunks(rows_max, skip=skip, on_bad=on_bad):
        yield file.lines_read, rows


def _types_of(session: Session, series: Sequence[str]) -> dict[str, DataType]:
    """The types of those series that exist already."""
    found: dict[str, DataType] = {}
    for device in dict.fromkeys(name.rpartition(".")[0] for name in series):
        result = session.query(f"SHOW TIMESERIES {device}")
        path, kind = result.columns.index("timeseries"), result.columns.index("dataType")
        found |= {row[path]: DataType[row[kind]] for row in result}
    return {name: found[name] for name in series if name in found}


def _parquet_batches(source: Path, rows_max: int, skip: int) -> Iterator[tuple[int, list[Rows]]]:
    """A column of times, and others named by series path."""
    try:
        file = pyarrow.parquet.ParquetFile(source)
    except pa.ArrowInvalid as error:
        raise MalformedInput(f"{source}: is no Parquet file: {error}") from error
    names = file.schema_arrow.names
    time = next((name for name in TIME_NAMES if name in names), None)
    if time is None:
        raise ValueRefused(f"{source}: no column {' or '.join(TIME_NAMES)}")
    devices: dict[str, list[str]] = {}
    for name in names:
        if name != time:
            devices.setdefault(name.rpartition(".")[0], []).append(name)
    if bad := [name for names in devices.values() for name in names if not name.startswith("root.")]:
        raise ValueRefused(f"{source}: column '{bad[0]}' is not a series path (root....)")
    kinds = {name: data_type_of(name, file.schema_arrow.field(name).type) for each in devices.values() for name in each}
    rows = 0
    for batch in file.iter_batches(rows_max):
        rows += len(batch)
        if rows <= skip:
            continue
        table = pa.Table.from_batches([batch])
        if table.column(time).null_count:
            raise ValueRefused(f"{source}, rows {rows - len(batch)} to {rows}: one of them has no time")
        times = times_of(time, table.column(time))
        yield (
            rows,
            [
                Rows(device, tuple(name.rpartition(".")[2] for name in found), tuple(types), at, tuple(columns))
                for device, series in devices.items()
                for found, types, at, columns in without_gaps(series, [kinds[name] for name in series], times, table)
            ],
        )
