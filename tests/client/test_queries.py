"""What a session asks of a real node, and the tables it gives and takes."""

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from iotdb_cluster.client import result as results
from iotdb_cluster.client.connection import ThriftClient
from iotdb_cluster.client.session import Session
from iotdb_cluster.errors import CommandRefused, RequestError, RowsRefused, StatusError, ValueRefused
from iotdb_cluster.members.query.open_queries import OpenQuery
from iotdb_cluster.types.schema import DataType
from iotdb_cluster.wire.idl import STRUCTS
from tests.client.rig import ClientPort, client_ports, status
from tests.server.rig import serving
from tests.services.rig import RunningNode

ROWS = 25
TYPES = ["BOOLEAN", "INT32", "INT64", "FLOAT", "DOUBLE", "TEXT"]


@pytest.fixture(scope="module")
def session(node: RunningNode) -> Iterator[Session]:
    with Session([node.client_address]) as opened:
        numbers = np.arange(ROWS)
        opened.insert_tablet(
            "root.q.d",
            ["b", "i", "l", "f", "d", "t"],
            TYPES,
            numbers * 10,
            [numbers % 2 == 0, numbers, numbers * 2**40, numbers / 4, numbers / 8, [f"é{n}" for n in numbers]],
        )
        opened.insert_tablet("root.q.d", ["gappy"], ["INT32"], [5, 10], [[1, 2]])
        yield opened


def test_a_query_gives_typed_rows_page_by_page(session: Session) -> None:
    result = session.query("SELECT b, i, l, f, d, t FROM root.q.d", fetch_size=10)
    assert tuple(f"root.q.d.{name}" for name in "bilfdt") == result.columns
    assert tuple(DataType[name] for name in TYPES) == result.types
    assert result.has_time
    pages = list(result.pages())
    assert [10, 10, 5] == [len(page) for page in pages]
    assert ["bool", "int32", "int64", "float32", "float64", "object"] == [
        column.values.dtype.name for column in pages[0].columns
    ]
    assert [30, 3 * 2**40, 0.75, "é3"] == [pages[0].times[3], *(pages[0].columns[at].values[3] for at in (2, 3, 5))]


def test_iteration_gives_python_values_and_none_for_gaps(session: Session) -> None:
    rows = list(session.query("SELECT gappy, i FROM root.q.d WHERE time <= 10", fetch_size=2))
    assert [(0, None, 0), (5, 1, None), (10, 2, 1)] == rows
    assert all(type(value) in (int, type(None)) for row in rows for value in row)


def test_a_label_that_is_there_twice_stands_twice_in_each_row(session: Session) -> None:
    result = session.query("SELECT i, f, i FROM root.q.d WHERE time = 20")
    assert [(20, 2, 0.5, 2)] == list(result)
    assert 3 == session.query("SELECT i, i FROM root.q.d").to_arrow().num_columns


def test_a_result_without_times_gives_only_its_columns(session: Session) -> None:
    result = session.query("SELECT count(i), max_value(d) FROM root.q.d")
    assert not result.has_time
    assert [(ROWS, 3.0)] == list(result)
    assert ["count(root.q.d.i)"] == session.query("SELECT count(i) FROM root.q.d").to_arrow().column_names


def test_series_that_are_not_aligned_are_put_side_by_side(session: Session) -> None:
    result = session.query("SELECT gappy, i FROM root.q.d WHERE time <= 10 DISABLE ALIGN", fetch_size=1)
    assert [(0, None, 0), (5, 1, None), (10, 2, 1)] == list(result)


def test_what_was_written_from_arrow_comes_back_as_arrow(session: Session) -> None:
    table = pa.table(
        {
            "Time": pa.array([1, 2, 3], pa.timestamp("ms", "UTC")),
            "x": pa.array([1.5, None, -0.0]),
            "y": pa.array(["a", None, "c"]),
            "z": pa.array([None, 7, None], pa.int16()),
            "none": pa.array([None] * 3, pa.int32()),
        }
    )
    assert 5 == session.insert_tablet("root.q.arrow", table, rows_max=2)
    back = session.query("SELECT x, y, z FROM root.q.arrow").to_arrow()
    assert ["Time", "root.q.arrow.x", "root.q.arrow.y", "root.q.arrow.z"] == back.column_names
    wanted = table.drop_columns(["none"]).set_column(3, "z", table["z"].cast(pa.int32()))
    assert wanted.to_pydict() == dict(zip(["Time", "x", "y", "z"], back.to_pydict().values(), strict=True))


def test_what_was_written_from_pandas_comes_back_as_pandas(session: Session) -> None:
    times = pd.date_range("2024-01-01", periods=3, freq="h", tz="Europe/Berlin")
    frame = pd.DataFrame({"t": [20.5, np.nan, 21.0], "ok": [True, False, True]}, index=times)
    assert 5 == session.insert_tablet("root.q.pandas", frame)
    back = session.query("SELECT t, ok FROM root.q.pandas").to_pandas()
    assert list(times.tz_convert("UTC")) == list(back.index)
    assert [20.5, 21.0] == back["root.q.pandas.t"].dropna().tolist()


@pytest.mark.parametrize(
    ("table", "match"),
    [
        (pa.table({"x": [1]}), "no column Time or time among x"),
        (pa.table({"time": [1], "x": [b"1"]}), "x: no series holds values of type binary"),
        (pa.table({"time": ["1"], "x": [1]}), "time: times are timestamps or integers"),
        (pa.table({"time": pa.array([None], pa.int64()), "x": [1]}), "1 rows without a time"),
        ([1, 2], "not list"),
    ],
)
def test_a_table_that_cannot_be_written_is_refused_by_name(session: Session, table: object, match: str) -> None:
    with pytest.raises(ValueRefused, match=match):
        session.insert_tablet("root.q.bad", table)  # type: ignore[call-overload]


def test_columns_and_a_table_are_not_mixed(session: Session) -> None:
    with pytest.raises(ValueRefused, match="takes measurements, data_types, times and columns"):
        session.insert_tablet("root.q.bad", ["x"], ["INT32"])  # type: ignore[call-overload]
    table = pa.table({"time": [1], "x": [1]})
    with pytest.raises(ValueRefused, match="brings its own types, times and columns"):
        session.insert_tablet("root.q.bad", table, ["INT32"], [1], [[1]])  # type: ignore[call-overload]
    with pytest.raises(ValueRefused, match="is a pyarrow.Table or a pandas.DataFrame, not list"):
        session.insert_tablet("root.q.bad", ["x"])  # type: ignore[call-overload]
    assert 2 == session.insert_tablet("root.q.counted", ["x", "y"], ["INT32", "TEXT"], [1], [[1], ["a"]])


def test_a_query_that_a_call_waits_for_is_cancelled_on_the_node(
    node: RunningNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, enough = threading.Event(), threading.Event()

    async def endless(self: OpenQuery, count: int, max_bytes: int) -> Any:
        begun.set()
        while not enough.wait(0.01):
            self.running.check()
        raise RequestError("nobody ended the query")

    with Session([node.client_address]) as session:
        monkeypatch.setattr(OpenQuery, "page", endless)
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(session.query, "SELECT i FROM root.q.d")
            assert begun.wait(30)
            session.cancel()
            try:
                with pytest.raises(StatusError, match="the session was closed"):
                    waiting.result(30)
            finally:
                enough.set()
        monkeypatch.undo()
        assert ROWS == len(session.query("SELECT i FROM root.q.d").read())


def test_execute_carries_out_everything(session: Session) -> None:
    assert session.execute("CREATE TIMESERIES root.q.made.s WITH DATATYPE=INT32, ENCODING=RLE") is None
    assert session.execute("INSERT INTO root.q.made(timestamp, s) VALUES(1, 5)") is None
    result = session.execute("SELECT s FROM root.q.made")
    assert result is not None
    assert [(1, 5)] == list(result)
    assert ["root.q.made.s"] == session.paths("root.q.made")
    with pytest.raises(StatusError, match="line 1, column 1") as caught:
        session.query("SELCT 1")
    assert 401 == caught.value.number


def test_a_batch_says_which_statement_failed(session: Session) -> None:
    with pytest.raises(RowsRefused) as caught:
        session.execute_batch(
            ["INSERT INTO root.q.batch(timestamp, s) VALUES(1, 5)", "nonsense", "SELECT s FROM root.q.batch"]
        )
    assert {1: 401, 2: 405} == {at: int(error.code) for at, error in caught.value.errors.items()}
    assert [(1, 5)] == list(session.query("SELECT s FROM root.q.batch"))


def test_another_call_may_come_between_the_pages(session: Session) -> None:
    rows = iter(session.query("SELECT i FROM root.q.d", fetch_size=2))
    first = next(rows)
    session.insert_row("root.q.between", 1, ["s"], [1])
    assert [(10 * n, n) for n in range(ROWS)] == [first, *rows]


def test_a_result_that_is_closed_early_is_forgotten_by_the_node(session: Session) -> None:
    with session.query("SELECT i FROM root.q.d", fetch_size=1) as result:
        assert (0, 0) == next(iter(result))
    assert [] == list(result.pages())


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The calls of the test's own thread from now on: nodes of other tests may run beside it, and call each other."""
    sent: list[str] = []
    send = ThriftClient.send
    mine = threading.get_ident()

    def noting(self: ThriftClient, method: str, args: Sequence[Any], timeout_ms: int) -> int:
        if threading.get_ident() == mine:
            sent.append(method)
        return send(self, method, args, timeout_ms)

    monkeypatch.setattr(ThriftClient, "send", noting)
    return sent


def test_a_small_result_takes_one_call(session: Session, calls: list[str]) -> None:
    with session.query("SELECT i FROM root.q.d WHERE time < 20") as result:
        assert [(0, 0), (10, 1)] == list(result)
        assert [] == list(result.pages())
    with session.query("SELECT i FROM root.q.d WHERE time < 20") as unread:
        pass
    assert [] == list(unread)
    assert ["query", "query"] == calls


def test_a_full_page_may_be_followed_by_another_one(session: Session, calls: list[str]) -> None:
    assert 20 == len(session.query("SELECT i FROM root.q.d WHERE time < 200", fetch_size=10).read())
    assert ["query", "fetchResults", "fetchResults"] == calls


def test_a_server_that_knows_the_calls_of_the_original_alone_is_asked_by_them(calls: list[str]) -> None:
    empty = STRUCTS["TSQueryDataSet"].make(time=b"", valueList=[b""], bitmapList=[b""])
    first = STRUCTS["TSExecuteStatementResp"].make(
        status=status(), queryId=5, columns=["a"], dataTypeList=["INT32"], operationType="QUERY", queryDataSet=empty
    )
    end = STRUCTS["TSFetchResultsResp"].make(status=status(), hasResultSet=False, isAlign=True)
    mirrored = {"executeQueryStatement": lambda request, c: first, "fetchResults": lambda request, c: end}
    with (
        serving({**ClientPort().table(), **mirrored}, service="TSIService") as server,
        Session([server.address]) as session,
    ):
        assert [] == list(session.query("SELECT a FROM root"))
        assert [] == list(session.query("SELECT a FROM root"))
    asked = ["executeQueryStatement", "fetchResults"]
    assert ["openSession", "query", *asked, *asked, "closeSession"] == calls


def test_a_query_goes_on_at_the_next_node(node: RunningNode) -> None:
    with client_ports(1) as (_, servers):
        dead = servers[0].address
    with Session([dead, node.client_address]) as session:
        assert [(0,)] == list(session.query("SELECT count(i) FROM root.q.d WHERE time < 0"))


def test_pages_that_are_lost_are_asked_again_only_while_none_was_handed_out(node: RunningNode) -> None:
    with Session([node.client_address]) as session:
        result = session.query("SELECT i FROM root.q.d", fetch_size=10)
        session.drop()
        assert ROWS == len(result.read())
        result = session.query("SELECT i FROM root.q.d", fetch_size=10)
        pages = result.pages()
        next(pages)
        session.drop()
        with pytest.raises(RequestError):
            list(pages)


def test_pandas_is_asked_for_by_name_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(results, "import_module", missing)
    with pytest.raises(CommandRefused, match=r"pip install 'iotdb-cluster\[pandas\]'"):
        results.needed("pandas")
