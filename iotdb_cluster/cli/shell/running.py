"""`iotdb-cluster sql`, from wherever its statements come."""

import sys
from pathlib import Path

from rich.console import Console

from iotdb_cluster.cli.shell.statements import Left, Statements
from iotdb_cluster.client.session import Session


def run_sql(session: Session, node: str, text: str | None, shape: str, output: Path | None) -> None:
    """Carry out `text`, or standard input, or what is typed where that is a terminal; raises what fails."""
    console = Console(soft_wrap=False)
    with session:
        if text is None and sys.stdin.isatty():
            from iotdb_cluster.cli.shell.prompt import ask_to_go_on, converse

            statements = Statements(session, console, shape=shape, output=output, go_on=ask_to_go_on)
            converse(session, statements, console, node)
            return
        try:
            Statements(session, console, shape=shape, output=output).run(sys.stdin.read() if text is None else text)
        except Left:
            return
