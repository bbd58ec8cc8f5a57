"""`iotdb-cluster sql`, `import` and `export` against a real node."""

import csv
import io
import json
from collections.abc import Callable, Iterator

import pyarrow.parquet as pq
import pytest
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document
from rich.console import Console
from typer.testing import CliRunner, Result

from iotdb_cluster.cli import importing
from iotdb_cluster.cli.main import app
from iotdb_cluster.cli.shell.completing import SqlCompleter
from iotdb_cluster.cli.shell.showing import lines_of_label, show_table
from iotdb_cluster.cli.shell.splitting import is_complete, split
from iotdb_cluster.client.session import Session
from iotdb_cluster.errors import ClusterError, NoLeader, OutcomeUnknown
from tests.services.rig import RunningNode, one_node

CSV = "Time,root.s.d.t,root.s.d.n,root.s.d.ok,root.s.d.note\n" + "".join(
    f'2024-01-01T{hour:02}:00:00+08:00,{hour}.5,{hour},{"true" if hour % 2 else "false"},"n, {hour}"\n'
    for hour in range(24)
)


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    with one_node(tmp_path_factory.mktemp("node"), enable_auto_create_schema=True) as running:
        file = tmp_path_factory.mktemp("file") / "s.csv"
        file.write_text(CSV)
        assert "96 points\n" == command(running)("import", str(file)).stdout
        yield running


def command(node: RunningNode) -> Callable[..., Result]:
    address = f"{node.client_address[0]}:{node.client_address[1]}"

    def run(name: str, *arguments: str, **more: object) -> Result:
        return CliRunner(env={"COLUMNS": "100"}).invoke(app, [name, *arguments, "--node", address], **more)

    return run


@pytest.fixture
def run(node: RunningNode) -> Callable[..., Result]:
    return command(node)


# -- statements --------------------------------------------------------------------------------------------------------


def test_texts_are_split_at_semicolons_outside_of_texts() -> None:
    text = "select a;\n\\plot x.png\ninsert 'a;b' \"c;\" ;; select `b"
    assert ["select a", "\\plot x.png", "insert 'a;b' \"c;\"", "select `b"] == split(text)


@pytest.mark.parametrize(
    ("text", "complete"),
    [
        ("", True),
        ("SELECT", False),
        ("SELECT s FROM", False),
        ("SELECT s FROM root.a", True),
        ("SELECT s FROM;", True),
        ("SELECT s FROM root.a WHERE", False),
        ("nonsense here", True),
        ("\\h", True),
    ],
)
def test_a_statement_is_sent_when_it_is_complete_or_hopeless(text: str, complete: bool) -> None:
    assert complete == is_complete(text)


def test_several_statements_are_carried_out_in_order(run: Callable[..., Result]) -> None:
    done = run("sql", "-e", "INSERT INTO root.e.d(timestamp, s) VALUES(1, 5); SELECT s FROM root.e.d")
    assert 0 == done.exit_code, done.output
    assert ["1970-01-01T00:00:00.001Z", "5"] == done.stdout.splitlines()[-1].split()


def test_statements_come_from_standard_input_when_it_is_no_terminal(run: Callable[..., Result]) -> None:
    done = run("sql", "--format", "csv", input="select n\nfrom root.s.d\nlimit 2;\n")
    assert [["Time", "root.s.d.n"], ["2023-12-31 16:00:00.000Z", "0"], ["2023-12-31 17:00:00.000Z", "1"]] == list(
        csv.reader(done.stdout.splitlines())
    )


def test_formats_hold_the_same_rows(run: Callable[..., Result], tmp_path) -> None:
    query = "SELECT t, ok, note FROM root.s.d WHERE t < 3"
    found = json.loads(run("sql", "--format", "json", "-e", query).stdout)
    assert {"root.s.d.t": 1.5, "root.s.d.ok": True, "root.s.d.note": "n, 1"}.items() <= found[1].items()
    assert 3 == len(found)
    target = tmp_path / "x.parquet"
    assert 0 == run("sql", "--format", "parquet", "-o", str(target), "-e", query).exit_code
    assert [each["root.s.d.note"] for each in found] == pq.read_table(target)["root.s.d.note"].to_pylist()


def test_the_first_statement_that_fails_ends_it(run: Callable[..., Result]) -> None:
    done = run("sql", "-e", "SELECT x FROM root.none", "-e", "INSERT INTO root.e.d(timestamp, s) VALUES(9, 9)")
    assert 1 == done.exit_code
    assert isinstance(done.exception, ClusterError)
    assert "9" not in run("sql", "--format", "csv", "-e", "SELECT s FROM root.e.d WHERE time = 9").stdout


def test_a_file_of_statements_and_a_picture(run: Callable[..., Result], tmp_path) -> None:
    picture, file = tmp_path / "p.png", tmp_path / "s.sql"
    file.write_text(f"SELECT count(t) FROM root.s.d;\n\\plot {picture} SELECT t FROM root.s.d;\n\\q\nnonsense")
    done = run("sql", "-e", f"\\i {file}")
    assert (0, True) == (done.exit_code, "24" in done.stdout), done.output
    assert picture.read_bytes().startswith(b"\x89PNG")
    done = run("sql", input="\\plot SELECT t FROM root.s.d")
    assert 15 < len(done.stdout.splitlines())
    assert "12-31 16:00:00" in done.stdout
    assert 1 == run("sql", "-e", "\\plot SELECT note FROM root.s.d").exit_code
    assert 1 == run("sql", "-e", f"\\i {tmp_path / 'none.sql'}").exit_code


def test_tables_fit_the_terminal_and_stop_when_told(node: RunningNode) -> None:
    out = io.StringIO()
    with Session([node.client_address]) as session:
        result = session.query("SELECT t, n, ok, note FROM root.s.d")
        shown = show_table(result, Console(file=out, width=50), 10, lambda: False)
    assert 10 == shown
    assert all(len(line) <= 50 for line in out.getvalue().splitlines())
    assert 1 < out.getvalue().count("2023-12-31T16:00:00.000Z")


def test_a_long_label_is_broken_behind_its_dots_and_a_long_name_anywhere() -> None:
    assert ["root.weather.", "sand_point.temperature"] == lines_of_label("root.weather.sand_point.temperature")
    assert ["max_value(root.a.b.c)"] == lines_of_label("max_value(root.a.b.c)")
    assert ["root.", "a" * 22, "aaa.", "b"] == lines_of_label(f"root.{'a' * 25}.b")
    assert [""] == lines_of_label("")


def test_the_password_is_asked_for(run: Callable[..., Result]) -> None:
    assert 0 == run("sql", "-W", "-e", "SHOW TIMESERIES", input="root\n").exit_code
    assert 1 == run("sql", "-W", "-e", "SHOW TIMESERIES", input="wrong\n").exit_code


# -- the prompt --------------------------------------------------------------------------------------------------------


def test_completion_knows_keywords_functions_and_paths() -> None:
    asked: list[int] = []
    now = [0.0]

    def paths() -> list[str]:
        asked.append(1)
        return ["root.farm.field.temperature", "root.farm.field.wet", "root.other.x"]

    completer = SqlCompleter(paths, now_s=lambda: now[0])

    def offered(text: str) -> list[str]:
        return [each.text for each in completer.get_completions(Document(text), CompleteEvent())]

    assert ["SELECT"] == offered("sel")
    assert ["root.farm", "root.other"] == offered("select x from root.")
    assert ["root.farm.field"] == offered("select x from root.farm.f")
    assert ["temperature"] == offered("select temp")
    assert ["max_time", "max_value"] == offered("select max_")
    assert [] == offered("select ")
    assert 1 == len(asked)
    now[0] = 31.0
    offered("root.")
    completer.forget()
    offered("root.")
    assert 3 == len(asked)

    def lost() -> list[str]:
        raise NoLeader("gone")

    assert [] == SqlCompleter(lost).candidates("root.")


# -- import and export -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_what_is_exported_is_imported_again(run: Callable[..., Result], tmp_path, ending: str) -> None:
    file = tmp_path / f"out.{ending}"
    assert "24 rows\n" == run("export", "root.s.d", str(file)).stdout
    if ending == "csv":
        file.write_text(file.read_text().replace("root.s.d", f"root.again.{ending}"))
    else:
        table = pq.read_table(file)
        pq.write_table(table.rename_columns([n.replace("root.s.d", "root.again.parquet") for n in table.column_names]),
                       file)  # fmt: skip
    assert "96 points\n" == run("import", str(file)).stdout
    rows = [run("sql", "--format", "json", "-e", f"SELECT t, n, ok, note FROM {device}").stdout
            for device in ("root.s.d", f"root.again.{ending}")]  # fmt: skip
    assert rows[0].replace("root.s.d", f"root.again.{ending}") == rows[1]
    assert [] == list(tmp_path.glob("*.part")) + list(tmp_path.glob("*state*"))


def test_types_are_given_or_in_the_header_or_those_of_the_series_or_what_it_looks_like(
    run: Callable[..., Result], tmp_path
) -> None:
    run("sql", "-e", "CREATE TIMESERIES root.ty.d.there WITH DATATYPE=FLOAT, ENCODING=RLE")
    file = tmp_path / "types.csv"
    file.write_text("time,root.ty.d.given,root.ty.d.head(FLOAT),root.ty.d.there,root.ty.d.like\n1,1,1,1,1\n")
    assert 0 == run("import", str(file), "--types", "given=INT32").exit_code
    found = json.loads(run("sql", "--format", "json", "-e", "SHOW TIMESERIES root.ty.d").stdout)
    kinds = {each["timeseries"].rpartition(".")[2]: each["dataType"] for each in found}
    assert {"given": "INT32", "head": "FLOAT", "there": "FLOAT", "like": "INT64"} == kinds


def test_bad_lines_go_to_a_file_with_the_reason(run: Callable[..., Result], tmp_path) -> None:
    file, bad = tmp_path / "some.csv", tmp_path / "bad.csv"
    file.write_text("time,root.bad.d.x,root.bad.d.y\n1,1,1.5\n2,two,2\n3,3\n4,,4\nfive,5,5\n")
    done = run("import", str(file), "--types", "x=INT32,y=DOUBLE", "--bad-rows", str(bad))
    assert (1, "3 points\n") == (done.exit_code, done.stdout)
    head, *lines = csv.reader(bad.read_text().splitlines())
    lines.sort()
    assert ["line", "reason"] == head
    assert [["3", "2", "two", "2"], ["4", "3", "3"], ["6", "five", "5", "5"]] == [
        [line, *cells] for line, _, *cells in lines
    ]
    assert ["'two' is no INT32" in lines[0][1], "2 cells" in lines[1][1], "not a time" in lines[2][1]] == [True] * 3


def test_an_import_that_ended_early_goes_on_where_it_was(
    run: Callable[..., Result], tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "long.csv"
    file.write_text("time,root.long.d.x\n" + "".join(f"{n},{n}\n" for n in range(3_500)))
    written: list[int] = []
    insert = Session.insert_tablet

    def loses_the_third(self, device, measurements, data_types, times, columns):
        if len(written) == 2 and "fails" not in file.name:
            written.append(0)
            raise OutcomeUnknown("the node is gone")
        written.append(len(times))
        return insert(self, device, measurements, data_types, times, columns)

    monkeypatch.setattr(Session, "insert_tablet", loses_the_third)
    assert 1 == run("import", str(file)).exit_code
    state = file.with_name(file.name + importing.STATE_SUFFIX)
    assert 2_000 == json.loads(state.read_text())["rows"]
    assert "3500 points\n" == run("import", str(file), "--resume").stdout
    assert [1_000, 1_000, 0, 1_000, 500] == written
    assert not state.exists()
    state.write_text(json.dumps({"size": 1, "modified_ns": 1, "rows": 1, "points": 1, "bad": 0}))
    assert "has changed" in str(run("import", str(file), "--resume").exception)
