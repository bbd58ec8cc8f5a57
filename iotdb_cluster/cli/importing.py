"""Brings files in, of any size: what is in memory is one batch of rows."""

import csv
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from iotdb_cluster.cli.csv_file import CsvFile, Rows, parse_types
from iotdb_cluster.cli.parquet_file import ParquetFile
from iotdb_cluster.client.session import Session
from iotdb_cluster.errors import CommandRefused, ValueRefused
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
    bad_bytes: int = 0
    """How long the file of bad lines was."""


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import did in all, with what it had done before it was interrupted."""

    rows: int
    points: int
    bad: int


class Bookmark:
    """The state file beside the input; it is there from the first batch to the end of an import that went through."""

    def __init__(self, source: Path, warn: Callable[[str], None]) -> None:
        self.path = source.with_name(source.name + STATE_SUFFIX)
        self._warn = warn
        self._can_keep = True
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
        """Note what is written; a crash leaves the note before or this one. Files on a read-only disk get none."""
        if not self._can_keep:
            return
        new = self.path.with_name(self.path.name + ".new")
        try:
            new.write_text(json.dumps(asdict(state)), encoding="utf-8")
            os.replace(new, self.path)
        except OSError as error:
            self._can_keep = False
            self._warn(f"{self.path}: {error.strerror}; without this file --resume begins at the first row")

    def done(self) -> None:
        """Nothing is left to go on with."""
        if self._can_keep:
            self.path.unlink(missing_ok=True)


def import_file(
    source: Path,
    session: Session,
    told: Told,
    warn: Callable[[str], None],
    *,
    types: str = "",
    resume: bool = False,
    bad_rows: Path | None = None,
    zone: str | None = None,
    tool: bool = False,
    rows_max: int = 1_000,
) -> Imported:
    """Write a CSV or Parquet file in tablets, in file order; `tool`: CSV in the form of the original's CSV tool.

    `told` hears how far it is, `warn` what is odd. A row that cannot be read goes to `bad_rows` with number and reason,
    or ends the import with `ValueRefused`. What is written when it ends early stays so, and is noted beside the file
    for `resume`; the last batch may be written twice, which changes nothing.
    """
    bookmark = Bookmark(source, warn)
    state = bookmark.begin(resume=resume)
    file = _opened(source, parse_types(types), session, zone, tool)
    with ExitStack() as opened:
        bad = None if bad_rows is None else _BadRows(bad_rows, opened, from_byte=state.bad_bytes)
        chunks: Iterator[list[Rows]] = file.chunks(rows_max, skip=state.rows, on_bad=bad)
        for tablets in chunks if bad is not None else _with_way_out(chunks):
            points = state.points
            for each in tablets:
                points += session.insert_tablet(
                    each.device, each.measurements, each.data_types, each.times, each.columns
                )
            more_bad, bad_bytes = (0, 0) if bad is None else bad.take()
            state = State(state.size, state.modified_ns, file.lines_read, points, state.bad + more_bad, bad_bytes)
            bookmark.keep(state)
            told(state.rows, state.points)
    bookmark.done()
    return Imported(state.rows, state.points, state.bad)


def _with_way_out(chunks: Iterator[list[Rows]]) -> Iterator[list[Rows]]:
    """The same; the first row that cannot be read ends the import, and says how it need not."""
    try:
        yield from chunks
    except ValueRefused as error:
        raise ValueRefused(f"{error.message}; --bad-rows FILE sets such rows aside and goes on") from error


def _opened(
    source: Path, types: Mapping[str, DataType], session: Session, zone: str | None, tool: bool
) -> CsvFile | ParquetFile:
    file: CsvFile | ParquetFile
    if source.suffix.lower() == ".parquet":
        if tool:
            raise CommandRefused(f"{source}: the form of the original's CSV tool is CSV, not Parquet")
        file = ParquetFile(source, types)
    else:
        offset = None if zone is None else zone_of(normalised(zone))
        file = CsvFile(source, types, known=lambda series: _types_of(session, series), zone=offset, tool=tool)
    names = {*file.series, *(name.rpartition(".")[2] for name in file.series)}
    if unknown := [name for name in types if name not in names]:
        raise ValueRefused(f"--types: {source} has no column '{unknown[0]}'; it has {', '.join(file.series[:10])}")
    return file


class _BadRows:
    """A CSV file of the lines that were left out."""

    def __init__(self, path: Path, opened: ExitStack, *, from_byte: int) -> None:
        mode = "r+" if from_byte else "w"
        self._file: IO[str] = opened.enter_context(
            path.open(mode, newline="", encoding="utf-8", errors="surrogateescape")
        )
        self._writer = csv.writer(self._file)
        self._count = 0
        if from_byte:
            # What is behind was noted by nobody, and comes again.
            self._file.truncate(from_byte)
            self._file.seek(0, os.SEEK_END)
        else:
            self._writer.writerow(BAD_HEAD)

    def __call__(self, line: int, cells: list[str], reason: str) -> None:
        self._writer.writerow([line, reason, *cells])
        self._count += 1

    def take(self) -> tuple[int, int]:
        """How many there were since this was asked last, and how long the file is."""
        self._file.flush()
        count, self._count = self._count, 0
        return count, os.fstat(self._file.fileno()).st_size


def _types_of(session: Session, series: Sequence[str]) -> dict[str, DataType]:
    """The types of those series that exist already."""
    found: dict[str, DataType] = {}
    for device in dict.fromkeys(name.rpartition(".")[0] for name in series):
        result = session.query(f"SHOW TIMESERIES {device}")
        path, kind = result.columns.index("timeseries"), result.columns.index("dataType")
        found |= {row[path]: DataType[row[kind]] for row in result}
    return {name: found[name] for name in series if name in found}
