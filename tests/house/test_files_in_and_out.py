"""`iotdb-cluster import` and `export`: large files, bad rows, what goes on where it ended, and the original's CSV."""

import csv
import itertools
import json
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner, Result

from iotdb_cluster.cli import exporting, main
from iotdb_cluster.cli.exporting import PARTS_SUFFIX, State
from iotdb_cluster.cli.importing import STATE_SUFFIX, import_file
from iotdb_cluster.cli.tool_form import quoted, unquoted
from iotdb_cluster.client import result as results
from iotdb_cluster.client.session import Session
from iotdb_cluster.errors import CommandRefused, OutcomeUnknown
from tests.services.rig import RunningNode, one_node

ROWS = 95


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    with one_node(tmp_path_factory.mktemp("node"), enable_auto_create_schema=True) as running:
        with Session([running.client_address]) as session:
            columns = [range(ROWS), [f"n {at}" for at in range(ROWS)]]
            session.insert_tablet("root.out.d", ["n", "note"], ["INT32", "TEXT"], range(ROWS), columns)
        yield running


@pytest.fixture
def run(node: RunningNode) -> Callable[..., Result]:
    address = f"{node.client_address[0]}:{node.client_address[1]}"

    def invoke(name: str, *arguments: object) -> Result:
        return CliRunner().invoke(main.app, [name, *map(str, arguments), "--node", address])

    return invoke


@pytest.fixture
def rows_of(run: Callable[..., Result]) -> Callable[[str], list[dict[str, Any]]]:
    return lambda query: json.loads(run("sql", "--format", "json", "-e", query).stdout)


class Taker:
    """A session that takes tablets and knows no series."""

    def __init__(self) -> None:
        self.rows = 0
        self.tablets = 0
        self.peak_bytes = 0

    def insert_tablet(self, device: str, measurements: Any, types: Any, times: Any, columns: Any) -> int:
        self.rows += len(times)
        self.tablets += 1
        self.peak_bytes = max(self.peak_bytes, pa.total_allocated_bytes())
        return len(times) * len(columns)


def take(file: Path, **options: Any) -> Taker:
    taker = Taker()
    import_file(file, taker, lambda rows, points: None, lambda what: None, **options)  # type: ignore[arg-type]
    return taker


# -- import ------------------------------------------------------------------------------------------------------------


def test_a_large_csv_file_needs_the_memory_of_a_batch(tmp_path: Path) -> None:
    file = tmp_path / "large.csv"
    file.write_text("time,root.a.b.x(INT32),root.a.b.y(TEXT)\n" + "".join(f"{n},{n},text {n}\n" for n in range(30_000)))
    tracemalloc.start()
    try:
        taker = take(file)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 30_000 == taker.rows
    # All rows at once, as lists of cells, are 8 MB and more.
    assert peak_bytes < 3_000_000


def test_long_lines_make_small_batches(tmp_path: Path) -> None:
    file = tmp_path / "long.csv"
    file.write_text("time,root.a.b.y(TEXT)\n" + "".join(f"{n},{'x' * 1_000_000}\n" for n in range(10)))
    assert 2 == take(file).tablets


def test_one_large_row_group_of_parquet_is_read_in_pieces(tmp_path: Path) -> None:
    file = tmp_path / "large.parquet"
    rows = 400_000
    columns = {"time": range(rows), **{f"root.a.b.c{at}": range(rows) for at in range(4)}}
    pq.write_table(pa.table(columns), file, row_group_size=rows, use_dictionary=False, compression="none")
    del columns
    before = pa.total_allocated_bytes()
    taker = take(file)
    assert rows == taker.rows
    assert taker.peak_bytes - before < 10_000_000 < file.stat().st_size


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_row_without_a_time_goes_to_the_bad_rows_with_the_reason(
    run: Callable[..., Result], rows_of: Callable[..., Any], tmp_path: Path, ending: str
) -> None:
    file, bad, series = tmp_path / f"some.{ending}", tmp_path / "bad.csv", f"root.bad.{ending}.x"
    if ending == "csv":
        file.write_text(f"Time,{series}\n1,10\n,20\n3,30\n")
    else:
        pq.write_table(pa.table({"Time": [1, None, 3], series: [10, 20, 30]}), file)
    refused = run("import", file)
    assert 1 == refused.exit_code
    line = "line 3" if ending == "csv" else "row 2"
    assert line in str(refused.exception)
    done = run("import", file, "--bad-rows", bad)
    assert (1, "2 points\n") == (done.exit_code, done.stdout)
    head, (number, reason, *cells) = csv.reader(bad.read_text().splitlines())
    assert ["line", "reason"] == head
    assert (line.split()[1], ["", "20"]) == (number, cells)
    assert "not a time: there is none" in reason if ending == "csv" else "it has no time" == reason
    assert [10, 30] == [row[series] for row in rows_of(f"SELECT x FROM root.bad.{ending}")]


def test_bad_lines_that_come_again_are_in_the_file_once(
    run: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, bad = tmp_path / "some.csv", tmp_path / "bad.csv"
    file.write_text(
        "time,root.twice.d.x(INT32)\n" + "".join(f"{n},{'x' if n % 700 == 3 else n}\n" for n in range(2_500))
    )
    insert, written = Session.insert_tablet, itertools.count(1)

    def loses_the_second(self: Session, *tablet: Any) -> int:
        if next(written) == 2:
            raise OutcomeUnknown("the node is gone")
        return insert(self, *tablet)

    monkeypatch.setattr(Session, "insert_tablet", loses_the_second)
    ended = run("import", file, "--bad-rows", bad)
    assert 1 == ended.exit_code
    assert "import --resume goes on where this one ended" in ended.stderr
    done = run("import", file, "--bad-rows", bad, "--resume")
    assert (1, "2496 points\n") == (done.exit_code, done.stdout)
    assert ["line", "5", "705", "1405", "2105"] == [row[0] for row in csv.reader(bad.read_text().splitlines())]


def test_bytes_that_are_no_text_are_a_bad_line_alone(
    run: Callable[..., Result], rows_of: Callable[..., Any], tmp_path: Path
) -> None:
    file, bad = tmp_path / "latin.csv", tmp_path / "bad.csv"
    file.write_bytes("time,root.latin.d.t(TEXT)\n1,grün\n".encode() + "2,grün\n".encode("latin-1") + b"3,ok\n")
    refused = run("import", file)
    assert "line 3, column 'root.latin.d.t': 'gr\\udcfcn' is not UTF-8" in str(refused.exception)
    assert 1 == run("import", file, "--bad-rows", bad).exit_code
    assert ["grün", "ok"] == [row["root.latin.d.t"] for row in rows_of("SELECT t FROM root.latin.d")]
    assert "2,grün\n".encode("latin-1").strip() in bad.read_bytes()


def test_parquet_takes_the_types_that_are_given(
    run: Callable[..., Result], rows_of: Callable[..., Any], tmp_path: Path
) -> None:
    file = tmp_path / "typed.parquet"
    pq.write_table(pa.table({"time": [1], "root.typed.d.x": [5], "root.typed.d.y": [2**40]}), file)
    assert 0 == run("import", file, "--types", "x=FLOAT").exit_code
    assert ["FLOAT", "INT64"] == sorted(row["dataType"] for row in rows_of("SHOW TIMESERIES root.typed.d"))
    refused = run("import", file, "--types", "y=INT32")
    assert "rows 1 to 1, column 'root.typed.d.y': no INT32: Integer value 1099511627776" in str(refused.exception)
    refused = run("import", file, "--types", "z=INT32")
    assert "has no column 'z'; it has root.typed.d.x, root.typed.d.y" in str(refused.exception)


def test_a_file_that_has_no_room_for_a_note_beside_it_is_imported_all_the_same(
    run: Callable[..., Result], tmp_path: Path
) -> None:
    file = tmp_path / "some.csv"
    file.write_text("time,root.ro.d.x\n1,1\n")
    # A folder where the note would be: as on a read-only disk, but for root, too.
    (tmp_path / (file.name + STATE_SUFFIX)).mkdir()
    done = run("import", file)
    assert (0, "1 points\n") == (done.exit_code, done.stdout)
    assert "without this file --resume begins at the first row" in done.stderr


def test_ctrl_c_says_how_to_go_on(run: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "some.csv"
    file.write_text("time,root.int.d.x\n" + "".join(f"{n},{n}\n" for n in range(2_000)))
    insert, written = Session.insert_tablet, itertools.count(1)

    def interrupted(self: Session, *tablet: Any) -> int:
        if next(written) == 2:
            raise KeyboardInterrupt
        return insert(self, *tablet)

    monkeypatch.setattr(Session, "insert_tablet", interrupted)
    ended = run("import", file)
    assert (130, "") == (ended.exit_code, ended.stdout)
    assert "import --resume goes on where this one ended" in ended.stderr


# -- export ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of 20 rows out of pages of 10."""
    monkeypatch.setattr(exporting, "PART_ROWS", 20)
    monkeypatch.setattr(Session.query, "__kwdefaults__", {"fetch_size": 10})


def ends_after(pages: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next result that is read fails behind so many pages."""
    tables = results.Result.tables

    def lost(self: results.Result) -> Iterator[pa.Table]:
        monkeypatch.setattr(results.Result, "tables", tables)
        yield from itertools.islice(tables(self), pages)
        raise OutcomeUnknown("the node is gone")

    monkeypatch.setattr(results.Result, "tables", lost)


@pytest.mark.parametrize("source", ["root.out.d", "SELECT * FROM root.out.d"])
@pytest.mark.parametrize("ending", ["csv", "json", "parquet"])
def test_an_export_that_ended_early_goes_on_where_it_was(
    run: Callable[..., Result],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    small_parts: None,
    source: str,
    ending: str,
) -> None:
    whole, file = tmp_path / f"whole.{ending}", tmp_path / f"some.{ending}"
    assert f"{ROWS} rows\n" == run("export", source, whole).stdout
    parts = tmp_path / (file.name + PARTS_SUFFIX)
    ends_after(5, monkeypatch)
    ended = run("export", source, file)
    assert 1 == ended.exit_code
    assert "export --resume goes on where this one ended" in ended.stderr
    assert 40 == State(**json.loads((parts / "state.json").read_text())).rows
    assert not file.exists()
    asked: list[str] = []
    query = Session.query
    monkeypatch.setattr(Session, "query", lambda self, sql, **more: asked.append(sql) or query(self, sql, **more))
    assert f"{ROWS} rows\n" == run("export", source, file, "--resume").stdout
    behind = " WHERE time > 39" if source == "root.out.d" else ""
    assert [f"SELECT d FROM root.out{behind}" if behind else source] == asked
    assert (
        whole.read_bytes() == file.read_bytes() if ending != "parquet" else pq.read_table(whole) == pq.read_table(file)
    )
    assert [file, whole] == sorted(tmp_path.iterdir())


def test_an_export_goes_on_only_with_what_it_was(
    run: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_parts: None
) -> None:
    file, source = tmp_path / "some.csv", "SELECT n FROM root.chg.d"
    run("sql", "-e", ";".join(f"INSERT INTO root.chg.d(timestamp, n) VALUES({at}, {at})" for at in range(10, 60)))
    ends_after(3, monkeypatch)
    assert 1 == run("export", source, file).exit_code
    assert "holds parts of another export" in str(run("export", "root.chg.d", file, "--resume").exception)
    run("sql", "-e", "INSERT INTO root.chg.d(timestamp, n) VALUES(1, 1)")
    assert "have changed" in str(run("export", source, file, "--resume").exception)
    run("sql", "-e", "DELETE FROM root.chg.d WHERE time <= 55")
    assert "has fewer rows" in str(run("export", source, file, "--resume").exception)
    assert "4 rows\n" == run("export", source, file).stdout
    assert [file] == list(tmp_path.iterdir())


def test_a_query_without_times_goes_on_by_count(
    run: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_parts: None
) -> None:
    source = "SELECT * FROM root.out.d GROUP BY DEVICE"
    whole, file = tmp_path / "whole.csv", tmp_path / "some.csv"
    assert 0 == run("export", source, whole).exit_code
    ends_after(3, monkeypatch)
    assert 1 == run("export", source, file).exit_code
    assert f"{ROWS} rows\n" == run("export", source, file, "--resume").stdout
    assert whole.read_text() == file.read_text()


def test_an_export_into_a_folder_that_is_not_there_or_of_no_known_form_is_refused(
    run: Callable[..., Result], tmp_path: Path
) -> None:
    assert "there is no folder" in str(run("export", "root.out.d", tmp_path / "none" / "x.csv").exception)
    assert "say --format csv, json or parquet" in str(run("export", "root.out.d", tmp_path / "x.txt").exception)
    assert "say --format csv" in str(run("export", "root.out.d", tmp_path / "x.json", "--form", "tool").exception)
    assert "one of plain, tool" in str(run("export", "root.out.d", tmp_path / "x.csv", "--form", "other").exception)


# -- the original's CSV tool -------------------------------------------------------------------------------------------


def test_a_file_of_the_originals_tool_is_read_and_written_again(
    run: Callable[..., Result], rows_of: Callable[..., Any], tmp_path: Path
) -> None:
    # The example of the original's manual, and what its export writes.
    file, back = tmp_path / "fit.csv", tmp_path / "back.csv"
    text = (
        "Time,root.fit.d1.s1,root.fit.d1.s2,root.fit.d1.s3\n"
        "2018-01-01T08:00:00.001+08:00,100,'hello',true\n"
        '2018-01-01T08:00:00.002+08:00,,"it\'s",\n'
        "2018-01-01T08:00:00.003+08:00,900,'',false\n"
    )
    file.write_text(text)
    assert "7 points\n" == run("import", file, "--form", "tool").stdout
    assert ["hello", "it's", ""] == [row["root.fit.d1.s2"] for row in rows_of("SELECT s2 FROM root.fit.d1")]
    assert "3 rows\n" == run("export", "root.fit.d1", back, "--form", "tool", "--time-zone", "+08:00").stdout
    written = list(csv.reader(back.read_text().splitlines(), quoting=csv.QUOTE_NONE))
    wanted = list(csv.reader(text.splitlines(), quoting=csv.QUOTE_NONE))
    places = [wanted[0].index(name) for name in written[0]]
    assert [[row[place] for place in places] for row in wanted] == written


@pytest.mark.parametrize(
    "time", ["1514764800001", "2018/01/01 08:00:00.001+08:00", "2018-01-01T08:00:00.001+08:00[Asia/Shanghai]"]
)
def test_times_of_the_original_are_understood(tmp_path: Path, time: str) -> None:
    file = tmp_path / "some.csv"
    file.write_text(f"Time,root.fit.d1.s1(INT32)\n{time},1\n")
    times: list[int] = []
    taker = Taker()
    taker.insert_tablet = lambda device, names, types, at, columns: times.extend(at) or 1  # type: ignore[method-assign]
    import_file(file, taker, lambda rows, points: None, lambda what: None, tool=True)  # type: ignore[arg-type]
    assert [1_514_764_800_001] == times


@pytest.mark.parametrize("text", ["", "a b", "it's", 'say "hi"', "'quoted'", '"quoted"', "né"])
def test_a_text_comes_back_out_of_its_quotes(text: str) -> None:
    assert text == unquoted(quoted(text))


@pytest.mark.parametrize("text", ["a,b", "a\nb", "both ' and \"", "end\\"])
def test_a_text_that_the_tool_could_not_read_is_refused(text: str) -> None:
    with pytest.raises(CommandRefused, match="cannot stand in the form"):
        quoted(text)


def test_errors_of_the_system_are_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def full() -> None:
        raise OSError(28, "No space left on device", "/data/x.csv")

    monkeypatch.setattr(main, "app", full)
    with pytest.raises(SystemExit) as left:
        main.main()
    assert 1 == left.value.code
    assert "iotdb-cluster: /data/x.csv: No space left on device\n" == capsys.readouterr().err
