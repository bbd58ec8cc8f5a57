"""The prompt of `iotdb-cluster sql` as somebody at a terminal meets it, key by key, against a real node."""

import io
import os
import pty
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput
from rich.console import Console

from iotdb_cluster.cli.shell.prompt import ask_to_go_on, converse
from iotdb_cluster.cli.shell.statements import Statements
from iotdb_cluster.client.session import Session
from iotdb_cluster.errors import RequestError
from iotdb_cluster.members.query.open_queries import OpenQuery
from tests.services.rig import RunningNode, one_node

CTRL_C, CTRL_D, ENTER, TAB, UP = "\x03", "\x04", "\r", "\t", "\x1b[A"
ROWS = 40
SCREEN_LINES = 20
"""14 rows of a table fit on it."""


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    with one_node(tmp_path_factory.mktemp("node"), enable_auto_create_schema=True) as running:
        with Session([running.client_address]) as session:
            session.insert_tablet("root.farm.field", ["depth"], ["INT32"], range(ROWS), [range(1_000, 1_000 + ROWS)])
        yield running


@pytest.fixture
def typed(node: RunningNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """What the terminal shows when these keys are pressed, the last of which leave."""
    monkeypatch.setenv("IOTDB_HISTORY", str(tmp_path / "history"))

    def type_keys(*keys: str, height: int = 100) -> str:
        shown = io.StringIO()
        console = Console(file=shown, width=80, height=height)
        with (
            create_pipe_input() as keyboard,
            create_app_session(input=keyboard, output=DummyOutput()),
            Session([node.client_address]) as session,
        ):
            keyboard.send_text("".join(keys))
            statements = Statements(session, console, go_on=ask_to_go_on)
            converse(session, statements, console, "here")
        return shown.getvalue()

    return type_keys


def values(shown: str) -> list[str]:
    """The depths among what was shown, in order."""
    return [word for line in shown.splitlines() for word in line.split()[1:] if word.isdigit() and len(word) == 4]


def test_a_statement_is_answered_and_timed(typed: Callable[..., str]) -> None:
    shown = typed("SELECT depth FROM root.farm.field WHERE time = 3;", ENTER, CTRL_D)
    assert "connected to here" in shown
    assert ["1003"] == values(shown)
    (told,) = [line for line in shown.splitlines() if "row in" in line]
    count, _, _, seconds, unit = told.split()
    assert ("1", "s") == (count, unit)
    assert 0 <= float(seconds)


def test_a_statement_goes_on_over_lines_until_it_is_complete(typed: Callable[..., str]) -> None:
    shown = typed("SELECT depth", ENTER, "FROM root.farm.field", " WHERE", ENTER, "time = 4", ENTER, CTRL_D)
    assert ["1004"] == values(shown)


def test_an_empty_line_sends_what_is_there_and_an_error_keeps_the_prompt(typed: Callable[..., str]) -> None:
    shown = typed("SELECT depth FROM", ENTER, ENTER, "SELECT depth FROM root.farm.field LIMIT 1", ENTER, CTRL_D)
    assert "401" in shown
    assert ["1000"] == values(shown)


@pytest.mark.parametrize("leave", [CTRL_D, "\\q" + ENTER])
def test_one_leaves_with_ctrl_d_or_a_command(typed: Callable[..., str], leave: str) -> None:
    assert 1 == len(typed(leave).splitlines())


def test_ctrl_c_throws_away_what_was_typed_and_keeps_the_prompt(typed: Callable[..., str]) -> None:
    shown = typed("SELECT nonsense", CTRL_C, "SELECT depth FROM root.farm.field LIMIT 1;", ENTER, CTRL_D)
    assert "interrupted" in shown
    assert ["1000"] == values(shown)


@pytest.mark.parametrize(
    ("keys", "rows"),
    [((ENTER, " "), ROWS), (("q",), 14), ((ENTER, CTRL_C), 28), ((ENTER, CTRL_D), 28)],
    ids=["to the end", "q", "ctrl-c", "ctrl-d"],
)
def test_a_long_result_stops_at_each_screen(typed: Callable[..., str], keys: tuple[str, ...], rows: int) -> None:
    shown = typed("SELECT depth FROM root.farm.field;", ENTER, *keys, "\\q", ENTER, height=SCREEN_LINES)
    assert [str(1_000 + n) for n in range(rows)] == values(shown)
    assert f"{rows} rows in" in shown


def test_the_arrow_brings_back_what_was_typed_also_another_time(typed: Callable[..., str]) -> None:
    assert ["1005"] == values(typed("SELECT depth FROM root.farm.field WHERE time = 5;", ENTER, CTRL_D))
    assert ["1005"] == values(typed(UP, ENTER, CTRL_D))


def test_a_query_is_drawn_and_a_file_is_carried_out(typed: Callable[..., str], tmp_path: Path) -> None:
    file = tmp_path / "some.sql"
    file.write_text("SELECT depth FROM root.farm.field WHERE time = 7;\nSELECT depth FROM root.farm.field LIMIT 1")
    assert ["1007", "1000"] == values(typed(f"\\i {file}", ENTER, CTRL_D))
    shown = typed("\\plot SELECT depth FROM root.farm.field", ENTER, CTRL_D)
    assert 15 < len(shown.splitlines())
    assert "root.farm.field.depth" in shown
    assert "nothing was queried yet" in typed("\\plot", ENTER, CTRL_D)
    assert "No such file" in typed("\\i none.sql", ENTER, CTRL_D)
    assert "no such command" in typed("\\nonsense", ENTER, CTRL_D)
    assert "draw a query" in typed("\\h", ENTER, CTRL_D)


class Terminal:
    """`iotdb-cluster sql` in a process of its own at a pseudo-terminal."""

    def __init__(self, process: subprocess.Popen[bytes], terminal: int) -> None:
        self.process = process
        self._terminal = terminal
        self._seen = b""

    def type(self, text: str) -> None:
        os.write(self._terminal, text.encode())

    def wait_for(self, what: str) -> None:
        """Read until this was shown; what came before it is forgotten."""
        while what.encode() not in self._seen:
            assert select.select([self._terminal], [], [], 60)[0], self._seen
            part = os.read(self._terminal, 65_536)
            if b"\x1b[6n" in part:
                self.type("\x1b[1;1R")
            self._seen += part
        self._seen = self._seen.partition(what.encode())[2]


@contextmanager
def at_a_terminal(node: RunningNode, history: Path) -> Iterator[Terminal]:
    ours, theirs = pty.openpty()
    address = f"{node.client_address[0]}:{node.client_address[1]}"
    # Tests that run in the background are started with SIGINT ignored, and whom they start would ignore it, too.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "iotdb_cluster.cli.main", "sql", "--node", address],
            stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
            env=os.environ | {"IOTDB_HISTORY": str(history), "TERM": "xterm", "COLUMNS": "100"},
        )  # fmt: skip
    finally:
        signal.signal(signal.SIGINT, before)
    os.close(theirs)
    try:
        yield Terminal(process, ours)
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def test_the_prompt_works_at_a_real_terminal(node: RunningNode, tmp_path: Path) -> None:
    with at_a_terminal(node, tmp_path / "history") as terminal:
        terminal.wait_for("sql>")
        terminal.type("SELECT count(depth)\r")
        terminal.type("FROM root.farm.field\r")
        terminal.wait_for("1 row in")
        terminal.wait_for("sql>")
        terminal.type("SELCT;\r")
        terminal.wait_for("401")
        terminal.wait_for("sql>")
        terminal.type("\\q\r")
        assert 0 == terminal.process.wait(30)
    assert "FROM root.farm.field" in (tmp_path / "history").read_text()


def test_tab_completes_keywords_paths_and_names(node: RunningNode, tmp_path: Path) -> None:
    with at_a_terminal(node, tmp_path / "history") as terminal:
        terminal.wait_for("sql>")
        for typed, completed in (("SELE", "CT"), (" dep", "th"), (" FROM root.fa", "rm"), (".", "field")):
            terminal.type(typed + TAB)
            terminal.wait_for(completed)
        terminal.type(" WHERE time = 6;" + ENTER)
        terminal.wait_for("1006")
        terminal.wait_for("1 row in")


def test_ctrl_c_cancels_a_running_query_on_the_node_and_keeps_the_prompt(
    node: RunningNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, ended, enough = threading.Event(), threading.Event(), threading.Event()

    async def endless(self: OpenQuery, count: int, max_bytes: int) -> Any:
        begun.set()
        while not enough.wait(0.01):
            try:
                self.running.check()
            except RequestError:
                ended.set()
                raise
        raise RequestError("nobody ended the query")

    with at_a_terminal(node, tmp_path / "history") as terminal:
        terminal.wait_for("sql>")
        with monkeypatch.context() as patched:
            patched.setattr(OpenQuery, "page", endless)
            terminal.type("SELECT depth FROM root.farm.field;\r")
            assert begun.wait(60)
            terminal.process.send_signal(signal.SIGINT)
            try:
                terminal.wait_for("interrupted")
                assert ended.wait(20)
            finally:
                enough.set()
        terminal.wait_for("sql>")
        terminal.type("SELECT count(depth) FROM root.farm.field;\r")
        terminal.wait_for("1 row in")
        terminal.wait_for("sql>")
        terminal.type("\x04")
        assert 0 == terminal.process.wait(30)
