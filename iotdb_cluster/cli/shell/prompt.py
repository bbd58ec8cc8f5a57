"""The prompt: history, completion, several lines, paging."""

import os
from pathlib import Path

from prompt_toolkit import PromptSession
from prompt_toolkit.history import FileHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.shortcuts import CompleteStyle
from rich.console import Console

from iotdb_cluster.cli.shell.completing import SqlCompleter
from iotdb_cluster.cli.shell.splitting import is_complete
from iotdb_cluster.cli.shell.statements import Left, Statements
from iotdb_cluster.client.session import READING, Session
from iotdb_cluster.errors import ClusterError

HISTORY_VARIABLE = "IOTDB_HISTORY"


def converse(session: Session, statements: Statements, console: Console, node: str) -> None:
    """Read and carry out statements until the person leaves; an error is shown, and the next statement asked for."""
    completer = SqlCompleter(session.paths)
    keys = KeyBindings()

    @keys.add("enter")
    def _enter(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        ends_with_empty_line = buffer.document.current_line.strip() == ""
        if is_complete(buffer.text) or ends_with_empty_line:
            buffer.validate_and_handle()
        else:
            buffer.insert_text("\n")

    prompt: PromptSession[str] = PromptSession(
        history=FileHistory(str(history_file())),
        completer=completer,
        complete_style=CompleteStyle.COLUMN,
        complete_while_typing=False,
        key_bindings=keys,
        multiline=True,
        prompt_continuation=lambda width, line, wrapped: "> ".rjust(width),
    )
    console.print(f"connected to {node}; \\h for help, \\q to leave", markup=False, highlight=False)
    while True:
        try:
            text = prompt.prompt("sql> ")
            statements.run(text)
        except (EOFError, Left):
            return
        except KeyboardInterrupt:
            console.print("interrupted", style="dim")
        except ClusterError as error:
            console.print(str(error), style="red", markup=False, highlight=False)
        else:
            if text.split(None, 1)[:1] and text.split(None, 1)[0].upper() not in READING:
                completer.forget()


def ask_to_go_on() -> bool:
    """Wait for a key between two screens: Enter or Space goes on, q or Ctrl-C ends the output."""
    keys = KeyBindings()
    for key, goes_on in (("enter", True), (" ", True), ("q", False), ("c-c", False), ("c-d", False)):
        keys.add(key)(lambda event, goes_on=goes_on: event.app.exit(result=goes_on))
    asked: PromptSession[bool] = PromptSession(key_bindings=keys, erase_when_done=True)
    return asked.prompt("-- Enter for more, q to stop -- ")


def history_file() -> Path:
    """Where the prompt's history is kept."""
    return Path(os.environ.get(HISTORY_VARIABLE) or Path.home() / ".iotdb_cluster_history")
