"""What people type wrong is answered at once with the cause, the value, and the way out, in one line on stderr."""

import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from iotdb_cluster.cli import main
from iotdb_cluster.client.failover import address_text, parse_address
from tests.services.rig import RunningNode, one_node


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    with one_node(tmp_path_factory.mktemp("node"), enable_auto_create_schema=True) as running:
        yield running


@pytest.fixture
def complaint(
    node: RunningNode, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., str]:
    """The one line that a command ends with, exit status 1 and nothing on standard output."""
    host, port = node.client_address
    monkeypatch.setenv("IOTDB_NODE", f"{host}:{port}")
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["iotdb-cluster", *arguments])
        with pytest.raises(SystemExit) as left:
            main.main()
        said = capsys.readouterr()
        assert (1, "") == (left.value.code, said.out), said
        (line,) = said.err.splitlines()
        return line.removeprefix("iotdb-cluster: ")

    return run


@pytest.fixture
def nobody() -> Iterator[str]:
    """An address where nobody listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{held.getsockname()[1]}"


@pytest.mark.parametrize(
    "command",
    [("sql", "-e", "SHOW TIMESERIES"), ("import", "x.csv"), ("export", "root.a", "x.csv"), ("read", "root.a.b")],
    ids=lambda command: command[0],
)
def test_a_port_where_nobody_listens(complaint: Callable[..., str], nobody: str, command: tuple[str, ...]) -> None:
    Path("x.csv").write_text("time,root.a.b\n1,1\n")
    begun = time.monotonic()
    said = complaint(*command, "--node", nobody)
    # Generous, since the machine may be loaded; calls go on trying for 20 to 60 seconds.
    assert time.monotonic() - begun < 15
    assert f"{nobody} cannot be reached: Connection refused; is a node running there?" in said
    assert "local_client_port (55560 by default)" in said


def test_another_port_of_a_node(complaint: Callable[..., str], node: RunningNode, nobody: str) -> None:
    meta = "{}:{}".format(*node.meta_address)
    said = complaint("sql", "-e", "SHOW TIMESERIES", "--node", meta)
    assert said.startswith(f"{meta} is another port of a node. --node or IOTDB_NODE names its local_client_port")
    client = "{}:{}".format(*node.client_address)
    for address in (nobody, client):
        said = complaint("status", "--meta", address)
        assert said.startswith(f"{address} does not answer as the meta port of a node")
        assert "local_meta_port (9003 by default)? --meta or IOTDB_META names another" in said


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.1:", "127.0.0.1:70000", ":1", ""])
def test_an_address_that_is_none(complaint: Callable[..., str], address: str) -> None:
    assert f"{address!r} is no address: host:port is needed" == complaint("status", "--meta", address)


def test_an_ipv6_address_stands_in_brackets(complaint: Callable[..., str]) -> None:
    said = complaint("status", "--meta", "fd00::1:9003")
    assert "'fd00::1:9003' is no address: an IPv6 address stands in brackets, [fd00::1]:9003" == said
    assert "[fd00::1]:9003" == address_text(parse_address("[fd00::1]:9003"))


def test_a_wrong_password(complaint: Callable[..., str]) -> None:
    for command in (("sql", "-e", "SHOW TIMESERIES"), ("read", "root.a.b")):
        assert "user name or password is wrong" in complaint(*command, "--password", "wrong")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the first line must name the time and at least one series, with commas between: ''"),
        ("time;root.a.b.x\n1;1\n", "with commas between: 'time;root.a.b.x'"),
        ("time,a.b.x\n1,1\n", "column 'a.b.x' is not a series path (root....)"),
        ("time,root.a.b.x\n2024-01-01 00:00:00,1\n", "line 2, first column: '2024-01-01 00:00:00' is not a time"),
        ("time,root.a.b.x(INT32)\n1,one\n", "line 2, column 'root.a.b.x': 'one' is no INT32"),
        ("time,root.a.b.x(INT32)\n1\n", "line 2: 1 cells, but 2 columns"),
    ],
)
def test_a_bad_file(complaint: Callable[..., str], text: str, said: str) -> None:
    Path("x.csv").write_text(text)
    line = complaint("import", "x.csv")
    assert line.startswith("x.csv")
    assert said in line
    # A bad row has a way out, a bad head has none.
    assert ("line 2" in line) == line.endswith("; --bad-rows FILE sets such rows aside and goes on")


def test_a_type_or_a_time_that_is_none(complaint: Callable[..., str]) -> None:
    Path("x.csv").write_text("time,root.a.b.x\n1,1\n")
    said = complaint("import", "x.csv", "--types", "x=INTEGER")
    assert "--types: 'x=INTEGER' is not name=TYPE with a TYPE out of BOOLEAN, INT32, INT64, FLOAT, DOUBLE, TEXT" == said
    assert "'yesterday' is not a time: 2024-01-01T00:00:00+08:00 is one" in complaint(
        "read", "root.a", "--start", "yesterday"
    )
    assert "'Mars' is no time zone" in complaint("import", "x.csv", "--time-zone", "Mars")


def test_files_and_folders_that_are_not_there(complaint: Callable[..., str]) -> None:
    assert "none.csv: No such file or directory" == complaint("import", "none.csv")
    Path("folder").mkdir()
    assert "folder: Is a directory" == complaint("import", "folder")
    Path("x.csv").write_text("time,root.a.b.x\n1,1\n")
    assert "none/bad.csv: No such file or directory" == complaint("import", "x.csv", "--bad-rows", "none/bad.csv")
    assert "folder: is not the folder of a node" == complaint("check", "folder")
    Path("x.parquet").write_bytes(b"no Parquet")
    assert "x.parquet: is no Parquet file" in complaint("import", "x.parquet")
    assert "none.sql: No such file or directory" == complaint("sql", "-e", "\\i none.sql")
    Path("x.sql").write_bytes(b"select \xff")
    assert "x.sql: is no text in UTF-8: invalid start byte at byte 7" == complaint("sql", "-e", "\\i x.sql")


def test_a_local_cluster_that_cannot_be(complaint: Callable[..., str], node: RunningNode) -> None:
    port = str(node.client_address[1])
    said = complaint("local", "--nodes", "1", "--dir", "c", "--client-port", port)
    assert f"client port {port}: is in use; name others by --client-port, or none for free ones" == said
    assert "nodes = 0: must be 1 or more" == complaint("local", "--nodes", "0", "--dir", "c")
    Path("c").mkdir(exist_ok=True)
    (Path("c") / "cluster.json").write_text('{"nodes": [{"meta_port": 1, "data_port": 2, "client_port": 3}]}')
    assert complaint("local", "--nodes", "2", "--dir", "c").endswith(
        "holds a cluster of 1 nodes, not 2; say --nodes 1, or another folder"
    )
