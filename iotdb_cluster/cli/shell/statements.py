"""Carries out statements and the prompt's own commands, and shows what they give."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

from rich.console import Console

from iotdb_cluster.cli.shell.showing import PARQUET, ROWS_TOGETHER, TABLE, WRITERS, show_table
from iotdb_cluster.cli.shell.splitting import COMMAND, split
from iotdb_cluster.client.result import Result
from iotdb_cluster.client.session import Session
from iotdb_cluster.errors import CommandRefused

HELP = """\
A statement ends with ; or where it is complete; an empty line sends what is there.
  \\plot [FILE.png] [SELECT ...]   draw a query, or the last one, here or into a file
  \\i FILE                         carry out the statements of a file
  \\h                              this page
  \\q                              leave (so does Ctrl-D); Ctrl-C ends a query that runs
"""
INCLUDE_DEPTH = 8


class Left(Exception):
    """The person has had enough."""


class Statements:
    """Runs what was typed, one after the other; raises `RequestError` or `CommandRefused` at the first that fails."""

    def __init__(
        self,
        session: Session,
        console: Console,
        *,
        shape: str = TABLE,
        output: Path | None = None,
        go_on: Callable[[], bool] | None = None,
    ) -> None:
        """`go_on` is asked between screens of rows; without it nothing is paged and nothing timed."""
        self._session = session
        self._console = console
        self._shape = shape
        self._output = output
        self._go_on = go_on
        self._last_query = ""
        self._depth = 0

    def run(self, text: str) -> None:
        """Carry out all statements and commands of a text."""
        for each in split(text):
            if each.startswith(COMMAND):
                self._command(each)
            else:
                self._statement(each)

    def _statement(self, sql: str) -> None:
        begun = time.perf_counter()
        with self._cancelled_when_interrupted():
            result = self._session.execute(sql)
        if result is None:
            self._tell("done", begun)
            return
        self._last_query = sql
        with result, self._cancelled_when_interrupted():
            rows = self._show(result)
        self._tell(f"{rows:,} row{'' if rows == 1 else 's'}", begun)

    @contextmanager
    def _cancelled_when_interrupted(self) -> Iterator[None]:
        """Ctrl-C ends the query on the node; what is still to come on its connection belongs to nobody."""
        try:
            yield
        except KeyboardInterrupt:
            self._session.cancel()
            self._session.drop()
            raise

    def _show(self, result: Result) -> int:
        if self._shape == TABLE:
            if self._go_on is None:
                return show_table(result, self._console, ROWS_TOGETHER, lambda: True)
            return show_table(result, self._console, max(5, self._console.height - 6), self._go_on)
        with ExitStack() as opened:
            return WRITERS[self._shape](result.schema, result.tables(), self._out(opened))

    def _out(self, opened: ExitStack) -> BinaryIO:
        if self._output is not None:
            return opened.enter_context(self._output.open("wb"))
        if self._shape == PARQUET and sys.stdout.isatty():
            raise CommandRefused("Parquet is nothing for a terminal: say --output FILE")
        sys.stdout.flush()
        opened.callback(sys.stdout.buffer.flush)
        return sys.stdout.buffer

    def _command(self, line: str) -> None:
        name, _, rest = line.partition(" ")
        rest = rest.strip()
        match name:
            case "\\q" | "\\quit":
                raise Left
            case "\\h" | "\\help" | "\\?":
                self._console.print(HELP, markup=False)
            case "\\i":
                self._include(Path(rest))
            case "\\plot":
                self._plot(rest)
            case _:
                raise CommandRefused(f"{name}: no such command; \\h shows those that there are")

    def _include(self, path: Path) -> None:
        if self._depth == INCLUDE_DEPTH:
            raise CommandRefused(f"{path}: files that include each other more than {INCLUDE_DEPTH} levels deep")
        try:
            text = path.read_text(encoding="utf-8")
        except OSError as error:
            raise CommandRefused(f"{path}: {error.strerror or error}") from error
        except UnicodeDecodeError as error:
            raise CommandRefused(f"{path}: is no text in UTF-8: {error.reason} at byte {error.start}") from error
        self._depth += 1
        try:
            self.run(text)
        finally:
            self._depth -= 1

    def _plot(self, rest: str) -> None:
        from iotdb_cluster.cli.shell.plotting import curves_of, draw_in_terminal, draw_png

        first, _, after = rest.partition(" ")
        path = Path(first) if first.lower().endswith(".png") else None
        sql = (after if path else rest).strip() or self._last_query
        if not sql:
            raise CommandRefused("\\plot: nothing was queried yet")
        with self._cancelled_when_interrupted():
            result = self._session.query(sql)
        with result, self._cancelled_when_interrupted():
            curves = curves_of(result)
        self._last_query = sql
        if path is None:
            self._console.print(draw_in_terminal(curves, self._console.width))
        else:
            draw_png(curves, path)
            self._console.print(f"drawn into {path}", markup=False, highlight=False)

    def _tell(self, what: str, begun: float) -> None:
        if self._go_on is not None:
            self._console.print(f"{what} in {time.perf_counter() - begun:.3f} s", highlight=False, style="dim")
