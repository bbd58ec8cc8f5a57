"""The console command `iotdb-cluster`.

Commands for people take `--node HOST:CLIENT_PORT`, commands for operators `--meta HOST:META_PORT`.
"""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress, TextColumn, TimeElapsedColumn

from iotdb_cluster.cli.check import check_node
from iotdb_cluster.cli.csv_file import parse_time
from iotdb_cluster.cli.exporting import PARTS_SUFFIX, export_query
from iotdb_cluster.cli.importing import STATE_SUFFIX, import_file
from iotdb_cluster.cli.local import run_local
from iotdb_cluster.cli.people import print_series
from iotdb_cluster.cli.replacing import Place, asked_nodes
from iotdb_cluster.cli.shell.running import run_sql
from iotdb_cluster.cli.shell.showing import FORMATS
from iotdb_cluster.cli.show import show_status
from iotdb_cluster.cli.status import ask_cluster
from iotdb_cluster.client.failover import Address, parse_address
from iotdb_cluster.client.operators import ask_report
from iotdb_cluster.client.removal import Removal
from iotdb_cluster.client.session import Session
from iotdb_cluster.errors import (
    ClusterError,
    CommandRefused,
    MalformedInput,
    PathIllegal,
    RemoteError,
    Unreachable,
    ValueRefused,
)
from iotdb_cluster.members.client.time_zones import normalised, zone_of
from iotdb_cluster.types.identity import NodeId
from iotdb_cluster.version import VERSION

app = typer.Typer(
    name="iotdb-cluster",
    help="A time-series database cluster: start nodes, look after them, bring data in and out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

ConfOption = Annotated[Path, typer.Option("-c", "--conf", metavar="CONF_DIR", help="Configuration folder.")]
TimeoutOption = Annotated[float, typer.Option("--timeout", help="Seconds after which to give up.")]
MetaOption = Annotated[
    str, typer.Option("--meta", metavar="HOST:META_PORT", envvar="IOTDB_META", help="A node of the cluster.")
]
UserOption = Annotated[str, typer.Option(envvar="IOTDB_USER", help="User name.")]
PasswordOption = Annotated[str, typer.Option(envvar="IOTDB_PASSWORD", help="Password.")]
LOGIN_MS = 3_000
"""A person is told so soon that no node answers."""
THIS_NODE = "--node or IOTDB_NODE names its local_client_port (55560 by default)"

FORMS = ("plain", "tool")
FormOption = Annotated[
    str, typer.Option(metavar="|".join(FORMS), help="tool: CSV as the original's CSV tool writes and reads it.")
]
ZoneOption = Annotated[str | None, typer.Option(help="Zone of times without an offset: +08:00, Asia/Shanghai.")]
NodeOption = Annotated[
    str, typer.Option("--node", metavar="HOST:CLIENT_PORT", envvar="IOTDB_NODE", help="A node of the cluster.")
]


@app.command()
def start(conf: ConfOption = Path("conf")) -> None:
    """Run a node in the foreground; the first start founds the cluster with its seed nodes."""
    # The process becomes the node's, without the libraries that only this command needs.
    os.execv(sys.executable, [sys.executable, "-m", "iotdb_cluster", "-s", "-c", str(conf)])


@app.command()
def add(
    conf: ConfOption = Path("conf"),
    background: Annotated[bool, typer.Option("-d", help="In the background; return when it is in.")] = False,
    timeout_s: TimeoutOption = 3_600.0,
) -> None:
    """Run a node, in the foreground, and add it to the running cluster of its seed nodes.

    With -d it runs in the background, and what is left to do is shown until it is in.
    """
    if background:
        Place(conf, _say).add(timeout_s)
        return
    os.execv(sys.executable, [sys.executable, "-m", "iotdb_cluster", "-a", "-c", str(conf)])


@app.command()
def remove(
    node: Annotated[str, typer.Argument(metavar="HOST:META_PORT", help="The node that is to go, dead or alive.")],
    meta: MetaOption = "127.0.0.1:9003",
    wait: Annotated[bool, typer.Option(help="Show how it leaves, and return when it is gone.")] = True,
    identifier: Annotated[
        int | None, typer.Option(help="Which one, where a dead node and a new one have the same address.")
    ] = None,
    timeout_s: TimeoutOption = 3_600.0,
) -> None:
    """Remove a node from the cluster.

    Exit status 0 only when it is gone, 1 when that was refused, 3 while it still leaves.
    """
    target = None if identifier is None else NodeId(identifier)
    removal = Removal(address_of(node), asked_nodes(address_of(meta)), _say, target)
    raise typer.Exit(removal.run(timeout_s, wait=wait))


@app.command()
def replace(
    old: Annotated[int, typer.Argument(metavar="OLD_IDENTIFIER", help="The node that is to go, dead or alive.")],
    conf: ConfOption = Path("conf"),
    timeout_s: TimeoutOption = 3_600.0,
) -> None:
    """Start a new node in the background, add it, and remove an old one; also at the old one's address.

    Exit status 0 only when the old one is gone.
    """
    raise typer.Exit(Place(conf, _say).replace(NodeId(old), timeout_s))


@app.command()
def rejoin(conf: ConfOption = Path("conf"), timeout_s: TimeoutOption = 3_600.0) -> None:
    """Put a damaged folder's content aside, and bring its node back as a new one in the place of the old one."""
    raise typer.Exit(Place(conf, _say).rejoin(timeout_s))


@app.command()
def local(
    nodes: Annotated[int, typer.Option(help="How many nodes.")],
    folder: Annotated[Path, typer.Option("--dir", help="Folder of the cluster; the same again is the same cluster.")],
    client_port: Annotated[
        int | None, typer.Option(help="Client port of the first node; the others count up. Default: free ports.")
    ] = None,
) -> None:
    """Run a cluster of node processes on this machine.

    Prints one line of JSON when it is ready, and runs until it is interrupted.
    """
    run_local(nodes, folder, client_port)


@app.command()
def status(
    meta: MetaOption = "127.0.0.1:9003",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Show nodes and groups: who is alive, who leads, how far each is, and who holds what."""
    cluster = ask_cluster(ask_report, address_of(meta))
    if as_json:
        print(json.dumps(cluster.as_json(), indent=2))
    else:
        show_status(cluster, Console())


@app.command()
def check(folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a node that does not run.")]) -> None:
    """Say what is damaged in a node's folder; changes nothing. Exit status 1 when anything is."""
    findings = check_node(folder)
    for finding in findings:
        kind = "damaged" if finding.is_damage else "note"
        print(f"{kind}: {finding.path or folder}, offset {finding.offset}: {finding.what}")
    damaged = sum(finding.is_damage for finding in findings)
    print(f"{folder}: {damaged} damaged" if damaged else f"{folder}: nothing is damaged")
    if damaged:
        raise typer.Exit(1)


@app.command()
def sql(
    node: NodeOption = "127.0.0.1:55560",
    user: UserOption = "root",
    password: PasswordOption = "root",
    ask_password: Annotated[bool, typer.Option("-W", "--ask-password", help="Ask for the password.")] = False,
    execute: Annotated[
        list[str] | None, typer.Option("-e", "--execute", metavar="SQL", help="Carry this out and leave; repeatable.")
    ] = None,
    shape: Annotated[str, typer.Option("--format", metavar="|".join(FORMATS), help="How results are shown.")] = "table",
    output: Annotated[Path | None, typer.Option("-o", "--output", help="File for the result of one query.")] = None,
    time_zone: ZoneOption = None,
    timeout: Annotated[float, typer.Option(help="Seconds that a call for rows may take.")] = 60,
) -> None:
    """Statements from a prompt, from -e, or from standard input when that is no terminal.

    A statement that fails ends it with exit status 1; at the prompt the next one is asked for.
    """
    if shape not in FORMATS:
        raise CommandRefused(f"--format {shape}: one of {', '.join(FORMATS)} is needed")
    if ask_password:
        password = typer.prompt("password", hide_input=True, err=True)
    run_sql(
        logged_in(node, user, password, timeout_ms=int(timeout * 1000), time_zone=time_zone),
        node,
        "\n".join(f"{each};" for each in execute) if execute else None,
        shape,
        output,
    )


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="CSV or Parquet: first column the time, others named by series path.")],
    types: Annotated[str, typer.Option(help="Type of columns: name=TYPE,... by path or by its last node.")] = "",
    node: NodeOption = "127.0.0.1:55560",
    user: UserOption = "root",
    password: PasswordOption = "root",
    resume: Annotated[bool, typer.Option("--resume", help="Go on where an import of this file ended early.")] = False,
    bad_rows: Annotated[
        Path | None, typer.Option(help="CSV file for lines that cannot be read, each with the reason.")
    ] = None,
    time_zone: ZoneOption = None,
    form: FormOption = "plain",
) -> None:
    """Bring a CSV or Parquet file into the cluster.

    Times are ISO 8601, or milliseconds; empty cells are gaps. The type of a column is the one given, or the header's
    (root.a.b(FLOAT)), or that of the series there is, or what the first 1,000 lines look like. Without --bad-rows the
    first bad line ends it; with it the exit status is 1 when there were any.
    """
    with _resumable("import", file), logged_in(node, user, password) as session, _progress() as bar:
        task = bar.add_task("", total=None)
        done = import_file(
            file,
            session,
            lambda rows, points: bar.update(task, completed=points, description=f"{rows:,} rows, points"),
            _complain,
            types=types,
            resume=resume,
            bad_rows=bad_rows,
            zone=time_zone,
            tool=is_tool(form),
        )
    print(f"{done.points} points")
    if done.bad:
        _complain(f"{done.bad} lines could not be read; they are in {bad_rows}")
        raise typer.Exit(1)


@app.command()
def export(
    source: Annotated[str, typer.Argument(help="A SELECT statement, or the path of a series, prefix or pattern.")],
    file: Annotated[Path, typer.Argument(help="Where to; its ending says the format.")],
    shape: Annotated[str | None, typer.Option("--format", metavar="csv|json|parquet", help="Another format.")] = None,
    node: NodeOption = "127.0.0.1:55560",
    user: UserOption = "root",
    password: PasswordOption = "root",
    resume: Annotated[bool, typer.Option("--resume", help="Go on where this export ended early.")] = False,
    form: FormOption = "plain",
    time_zone: Annotated[
        str | None, typer.Option(help="Zone of times in the statement, and with --form tool in the file.")
    ] = None,
) -> None:
    """Write series into a CSV, JSON or Parquet file; `import` takes CSV and Parquet again.

    The file appears when it is whole. Of a large export that ends early, what was fetched stays beside the file, and
    --resume goes on behind it.
    """
    with (
        _resumable("export", file),
        logged_in(node, user, password, timeout_ms=60_000, time_zone=time_zone) as session,
        _progress() as bar,
    ):
        task = bar.add_task("rows", total=None)
        rows = export_query(
            session,
            source,
            file,
            shape,
            lambda so_far: bar.update(task, completed=so_far),
            resume=resume,
            tool=is_tool(form),
            zone=UTC if time_zone is None else zone_of(normalised(time_zone)),
        )
    print(f"{rows} rows")


@app.command()
def read(
    series: Annotated[str, typer.Argument(help="Full path of the series.")],
    node: NodeOption = "127.0.0.1:55560",
    start: Annotated[str, typer.Option(help="First time: ISO 8601 with an offset, or milliseconds.")] = "",
    end: Annotated[str, typer.Option(help="Last time, included.")] = "",
    user: UserOption = "root",
    password: PasswordOption = "root",
) -> None:
    """Print a series as CSV, which `import` takes again."""
    first, last = _time_of(start), _time_of(end)
    logged_in(node, user, password).close()
    print_series(series, address_of(node), (user, password), first, last)


def is_tool(form: str) -> bool:
    """True for the form of the original's CSV tool; raises `CommandRefused` for one that there is not."""
    if form not in FORMS:
        raise CommandRefused(f"--form {form}: one of {', '.join(FORMS)} is needed")
    return form == "tool"


@contextmanager
def _resumable(name: str, file: Path) -> Iterator[None]:
    """Say how to go on where a state of this file is left behind; Ctrl-C ends it with exit status 130."""
    try:
        yield
    except BaseException as error:
        state = file.with_name(file.name + (STATE_SUFFIX if name == "import" else PARTS_SUFFIX))
        if state.exists():
            _complain(f"{name} --resume goes on where this one ended ({state})")
        if isinstance(error, KeyboardInterrupt):
            raise typer.Exit(130) from None
        raise


def _progress() -> Progress:
    columns = (TextColumn("{task.description} {task.completed:,}"), TimeElapsedColumn())
    console = Console(stderr=True)
    return Progress(*columns, console=console, disable=not console.is_terminal)


def logged_in(node: str, user: str, password: str, **more: Any) -> Session:
    """A session with its login made, or refused soon; raises `CommandRefused` where no node takes it."""
    session = Session([address_of(node)], user, password, **more)
    try:
        return session.open(within_ms=LOGIN_MS)
    except Unreachable as error:
        raise CommandRefused(f"{error.message}; is a node running there? {THIS_NODE}") from error
    except RemoteError as error:
        if "has no method" in error.message:
            raise CommandRefused(f"{node} is another port of a node. {THIS_NODE}") from error
        raise


def address_of(text: str) -> Address:
    """Host and port in `HOST:PORT`; raises `CommandRefused`."""
    try:
        return parse_address(text)
    except ValueError as error:
        raise CommandRefused(str(error)) from error


def _say(what: str) -> None:
    print(what, flush=True)


def _time_of(text: str) -> int | None:
    """Milliseconds, or None for an empty text; raises `CommandRefused`."""
    if not text:
        return None
    try:
        return parse_time(text)
    except ValueError as error:
        raise CommandRefused(
            f"'{text}' is not a time: 2024-01-01T00:00:00+08:00 is one, or milliseconds since 1970 ({error})"
        ) from error


def _complain(what: str) -> None:
    print(f"iotdb-cluster: {what}", file=sys.stderr)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"iotdb-cluster {VERSION}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line; an error of this project is one line on standard error and exit status 1."""
    try:
        app()
    except BrokenPipeError:
        # Whoever read our output has seen enough; there is nobody left to tell, also not at the interpreter's end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except ClusterError as error:
        # What a file or an argument is refused for here has no code of the interface.
        if isinstance(error, ValueRefused | PathIllegal | MalformedInput):
            _complain(error.message)
        else:
            _complain(str(error))
        sys.exit(1)
    except OSError as error:
        where = "" if error.filename is None else f"{error.filename}: "
        _complain(f"{where}{error.strerror or error}")
        sys.exit(1)


if __name__ == "__main__":
    main()
