"""PEP 249: what the standard asks for, and that a parameter is never more than a value."""

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import numpy as np
import pytest

import iotdb_cluster
from iotdb_cluster.client.literals import literal_of, with_parameters
from iotdb_cluster.errors import ValueRefused
from tests.services.rig import RunningNode


@pytest.fixture(scope="module")
def connection(node: RunningNode) -> Iterator[iotdb_cluster.Connection]:
    host, port = node.client_address
    with iotdb_cluster.connect(f"{host}:{port}") as opened:
        opened.cursor().executemany(
            "INSERT INTO root.pep.d(timestamp, i, t) VALUES(?, ?, ?)", [(n, n * n, f"text {n}") for n in range(5)]
        )
        yield opened


def test_the_module_says_what_it_is() -> None:
    assert ("2.0", "qmark", 1) == (iotdb_cluster.apilevel, iotdb_cluster.paramstyle, iotdb_cluster.threadsafety)
    assert issubclass(iotdb_cluster.ProgrammingError, iotdb_cluster.DatabaseError)
    assert issubclass(iotdb_cluster.DatabaseError, iotdb_cluster.Error)
    assert issubclass(iotdb_cluster.InterfaceError, iotdb_cluster.Error)
    assert all(getattr(iotdb_cluster, name) is not None for name in iotdb_cluster.__all__)


def test_a_node_does_not_load_it() -> None:
    look = "import sys, iotdb_cluster.server.node; print([n for n in sys.modules if n.endswith(('dbapi', 'session'))])"
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert "[]\n" == done.stdout


def test_rows_are_fetched_in_all_the_ways_of_the_standard(connection: iotdb_cluster.Connection) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT i, t FROM root.pep.d WHERE time >= ?", (1,))
        assert [("Time", "TIMESTAMP"), ("root.pep.d.i", "INT64"), ("root.pep.d.t", "TEXT")] == [
            column[:2] for column in cursor.description or ()
        ]
        assert iotdb_cluster.STRING == "TEXT" != iotdb_cluster.NUMBER
        assert -1 == cursor.rowcount
        assert (1, 1, "text 1") == cursor.fetchone()
        assert [(2, 4, "text 2")] == cursor.fetchmany()
        assert [(3, 9, "text 3"), (4, 16, "text 4")] == cursor.fetchmany(10)
        assert [] == cursor.fetchall()
        assert cursor.fetchone() is None
        assert [16] == [row[1] for row in cursor.execute("SELECT i FROM root.pep.d WHERE t = ?", ["text 4"])]


def test_rows_that_were_written_are_counted(connection: iotdb_cluster.Connection) -> None:
    cursor = connection.cursor()
    cursor.executemany("INSERT INTO root.pep.many(timestamp, s) VALUES(?, ?)", [(n, n) for n in range(2_500)])
    assert 2_500 == cursor.rowcount
    assert [(2_500,)] == cursor.execute("SELECT count(s) FROM root.pep.many").fetchall()
    assert 1 == cursor.execute("INSERT INTO root.pep.many(timestamp, s) VALUES(1, 0)").rowcount
    assert cursor.description is None
    connection.commit()


@pytest.mark.parametrize(
    ("statement", "kind", "code"),
    [
        ("SELCT", "ProgrammingError", 401),
        ("SELECT s FROM root.pep.nothing", "ProgrammingError", 401),
        ("SET STORAGE GROUP TO root.pep.d", "Error", None),
        ("CREATE TIMESERIES root.pep.d.i WITH DATATYPE=INT32, ENCODING=RLE", "IntegrityError", 300),
    ],
)
def test_errors_are_those_of_the_standard_with_the_code(
    connection: iotdb_cluster.Connection, statement: str, kind: str, code: int | None
) -> None:
    with pytest.raises(getattr(iotdb_cluster, kind)) as caught:
        connection.cursor().execute(statement)
    assert code in (None, caught.value.code)


def test_what_is_used_wrongly_is_refused(node: RunningNode, connection: iotdb_cluster.Connection) -> None:
    with pytest.raises(iotdb_cluster.NotSupportedError, match="transactions"):
        connection.rollback()
    with pytest.raises(iotdb_cluster.ProgrammingError, match="no rows"):
        connection.cursor().fetchone()
    with pytest.raises(iotdb_cluster.DataError, match="2 question marks, and there are 1"):
        connection.cursor().execute("SELECT i FROM root.pep.d WHERE time > ? AND i > ?", [1])
    for given in ({"i": 1}, "1"):
        with pytest.raises(iotdb_cluster.DataError, match=f"parameters are a {type(given).__name__}: a list is needed"):
            connection.cursor().execute("SELECT i FROM root.pep.d WHERE i > ?", given)
    cursor = connection.cursor()
    cursor.close()
    with pytest.raises(iotdb_cluster.InterfaceError, match="cursor is closed"):
        cursor.execute("SHOW TIMESERIES")
    other = iotdb_cluster.connect([node.client_address])
    cursor = other.cursor()
    other.close()
    with pytest.raises(iotdb_cluster.InterfaceError, match="connection is closed"):
        cursor.fetchall()
    with pytest.raises(iotdb_cluster.OperationalError, match="600"):
        iotdb_cluster.connect([node.client_address], password="wrong")
    with pytest.raises(iotdb_cluster.InterfaceError, match="host:port"):
        iotdb_cluster.connect("nowhere")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (-3, "-3"),
        (np.int64(7), "7"),
        (0.5, "0.5"),
        (Decimal("2.5"), "2.5"),
        ("it's", '"it\'s"'),
        ('say "x"', "'say \"x\"'"),
        ("C:\\dir\\x", "'C:\\dir\\x'"),
        (datetime(2020, 2, 3, 4, 5, 6, 789_999, tzinfo=UTC), "2020-02-03T04:05:06.789+00:00"),
        (datetime(1969, 12, 31, tzinfo=timezone(timedelta(hours=8))), "1969-12-30T16:00:00.000+00:00"),
    ],
)
def test_values_become_literals(value: object, text: str) -> None:
    assert text == literal_of(value)


@pytest.mark.parametrize(
    "value",
    [None, b"x", [1], float("nan"), float("inf"), "both ' and \"", "end\\", datetime(2020, 1, 1), date(2020, 1, 1)],  # noqa: DTZ001
)
def test_what_has_no_literal_is_refused(value: object) -> None:
    with pytest.raises(ValueRefused):
        literal_of(value)


def test_question_marks_in_texts_are_no_parameters() -> None:
    assert 'a = \'?\' AND b = "?\\"?" AND c = 1' == with_parameters('a = \'?\' AND b = "?\\"?" AND c = ?', [1])


@pytest.mark.parametrize("text", ["'", '"', "x' OR time > 0 OR t = 'x", "?", "a\\'b", "a;b", "`", "\n", "é", "\\\\"])
def test_a_text_comes_back_as_it_was_and_does_nothing_else(connection: iotdb_cluster.Connection, text: str) -> None:
    cursor = connection.cursor()
    cursor.execute("INSERT INTO root.pep.texts(timestamp, t) VALUES(?, ?)", (1, text))
    assert [(1, text)] == cursor.execute("SELECT t FROM root.pep.texts WHERE t = ?", (text,)).fetchall()
    assert [(1,)] == cursor.execute("SELECT count(t) FROM root.pep.texts").fetchall()
