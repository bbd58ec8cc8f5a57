"""Takes series out, of any size: what is in memory is one part; the parts beside the file are what one goes on from."""

import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, tzinfo
from functools import partial
from itertools import chain
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet

from iotdb_cluster.cli.shell.showing import CSV, WRITERS, format_of
from iotdb_cluster.cli.tool_form import write_tool_csv
from iotdb_cluster.client.result import TIME
from iotdb_cluster.client.session import Session
from iotdb_cluster.errors import CommandRefused
from iotdb_cluster.sql.times import time_text

PARTS_SUFFIX = ".export"
STATE_FILE = "state.json"
PART_ROWS = 100_000
PART_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class State:
    """How far an export came, and of what."""

    source: str
    columns: str = ""
    rows: int = 0
    parts: int = 0
    last_time: int | None = None
    """The last row's time in milliseconds; None where rows have none."""


class Parts:
    """The folder beside the target with the rows that were fetched, as Parquet; a small export never makes it."""

    def __init__(self, target: Path) -> None:
        self.folder = target.with_name(target.name + PARTS_SUFFIX)
        self.state = State("")

    def begin(self, source: str, *, resume: bool) -> State:
        """Where to go on; without `resume` at the beginning. Raises `CommandRefused` for parts of another export."""
        self.state = State(source)
        file = self.folder / STATE_FILE
        if not resume:
            self.remove()
        elif file.exists():
            try:
                self.state = State(**json.loads(file.read_text(encoding="utf-8")))
            except (ValueError, TypeError) as error:
                raise CommandRefused(f"{file}: is no state of an export ({error}); remove {self.folder}") from error
            if self.state.source != source:
                raise CommandRefused(f"{self.folder}: holds parts of another export ({self.state.source}); "
                                     "run without --resume to begin anew")  # fmt: skip
        return self.state

    def add(self, table: pa.Table) -> None:
        """Keep these rows; a crash leaves the parts before, or these, too."""
        self.folder.mkdir(exist_ok=True)
        state = self.state
        path = self._path(state.parts)
        pa.parquet.write_table(table, path)
        last = table.column(0)[-1].cast(pa.int64()).as_py() if table.schema.names[:1] == [TIME] else None
        self.state = State(state.source, columns_of(table.schema), state.rows + len(table), state.parts + 1, last)
        new = self.folder / (STATE_FILE + ".new")
        new.write_text(json.dumps(asdict(self.state)), encoding="utf-8")
        os.replace(new, self.folder / STATE_FILE)

    def tables(self) -> Iterator[pa.Table]:
        """The rows that were kept, in order."""
        for number in range(self.state.parts):
            yield pa.parquet.read_table(self._path(number))

    def remove(self) -> None:
        """Forget what was kept."""
        if (self.folder / STATE_FILE).exists():
            shutil.rmtree(self.folder)

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:06}.parquet"


def export_query(
    session: Session,
    source: str,
    target: Path,
    shape: str | None,
    told: Callable[[int], None],
    *,
    resume: bool = False,
    tool: bool = False,
    zone: tzinfo = UTC,
) -> int:
    """Write a query, or the series of a path or pattern, into a new file; it appears when it is whole.

    `told` hears how many rows were fetched. Where it ends early the rows so far are kept for `resume`: series then go
    on behind the last time; of a query the rows that are there are asked for again and skipped. Returns how many rows.
    """
    kind = shape or format_of(target)
    if kind not in WRITERS or (tool and kind != CSV):
        allowed = CSV if tool else "csv, json or parquet"
        raise CommandRefused(f"{target}: say --format {allowed}, or end the name with it")
    if not target.parent.is_dir():
        raise CommandRefused(f"{target}: there is no folder {target.parent}; make it first")
    write = partial(write_tool_csv, zone=zone) if tool else WRITERS[kind]
    parts = Parts(target)
    state = parts.begin(source, resume=resume)
    is_query = source.split(None, 1)[:1] and source.split(None, 1)[0].lower() == "select"
    with session.query(source if is_query else select_of(source, state.last_time)) as result:
        schema = result.schema
        if state.parts and state.columns != columns_of(schema):
            raise CommandRefused(f"{source}: has other columns than when the export began; run it without --resume")
        tables = skipping(result.tables(), state.rows, state.last_time) if is_query else result.tables()
        rest: list[pa.Table] = []
        told(state.rows)
        for table in tables:
            rest.append(table)
            waiting = sum(map(len, rest))
            if waiting >= PART_ROWS or sum(each.nbytes for each in rest) >= PART_BYTES:
                parts.add(pa.concat_tables(rest))
                rest, waiting = [], 0
            told(parts.state.rows + waiting)
    unfinished = target.with_name(target.name + ".part")
    try:
        with unfinished.open("wb") as out:
            rows = write(schema, chain(parts.tables(), rest), out)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    os.replace(unfinished, target)
    parts.remove()
    return rows


def select_of(path: str, behind: int | None = None) -> str:
    """The query for a series, or for everything below a prefix or pattern; only `behind` a time, where there is one."""
    parent, _, last = path.rpartition(".")
    where = "" if behind is None else f" WHERE time > {time_text(behind)}"
    return (f"SELECT {last} FROM {parent}" if parent else f"SELECT * FROM {path}") + where


def skipping(tables: Iterable[pa.Table], rows: int, last_time: int | None) -> Iterator[pa.Table]:
    """What comes behind so many rows; raises `CommandRefused` where the last of them has not the time that it had."""
    for table in tables:
        if rows > len(table):
            rows -= len(table)
            continue
        if rows and last_time is not None:
            at = table.column(0)[rows - 1].cast(pa.int64()).as_py()
            if at != last_time:
                raise CommandRefused(
                    "the rows of the query have changed since the export began; run it without --resume"
                )
        if rows < len(table):
            yield table.slice(rows)
        rows = 0
    if rows:
        raise CommandRefused("the query has fewer rows than when the export began; run it without --resume")


def columns_of(schema: pa.Schema) -> str:
    """Names and types, to be compared."""
    return ", ".join(f"{field.name} {field.type}" for field in schema)
