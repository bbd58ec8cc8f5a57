"""Statements that were sent to the original are read, or refused with the code that it gave."""

import pytest

from iotdb_cluster.errors import SqlError, SqlTreeRefused
from tests.sql.reading import Recorded, read, recorded

STATEMENTS = sorted(set(recorded()), key=lambda statement: (statement.text, statement.call, sorted(statement.codes)))

REFUSED_HERE = {
    "DELETE FROM root.del.d1.s1 WHERE s1 < 5": 401,
    "DELETE FROM root.odd.d1.s1 WHERE s1 < 11": 401,
    "SELECT count(s1) FROM root.tz.d GROUP BY([0,1],1us)": 401,
    "SELECT count(s1) FROM root.tz.d GROUP BY([0,1],1ns)": 401,
}
"""What the original takes by mistake; the interface page says what is sane."""

REFUSED_LATER = {
    # for what exists, or does not
    "SET STORAGE GROUP TO root.ddl2",
    "CREATE TIMESERIES root.ddl.d2.s4 WITH DATATYPE=INT64, ENCODING=TS_2DIFF",
    "DELETE TIMESERIES root.ddl.d2.*",
    "DELETE STORAGE GROUP root.ddl2",
    "DELETE STORAGE GROUP root.ddl.d1",
    "DELETE FROM root.del.d1.nope WHERE time < 5",
    "DELETE FROM root.nope.d1.s1 WHERE time < 5",
    "SELECT s1 FROM root.sel",
    "SELECT nope FROM root.sel.d1",
    "SELECT s1,nope FROM root.sel.d1",
    "SELECT s1 FROM root.nope.d1",
    "select S1 from root.sel.d1",
    "SELECT time, s1 FROM root.sel.d1",
    "SELECT s1,s2 FROM root.fil.d1 WHERE s9 > 1",
    "SELECT count(nope) FROM root.agg.d1",
    "SELECT nope FROM root.dev.d1 GROUP BY DEVICE",
    "SELECT nope FROM root.err.d",
    "SELECT * FROM root.usr",
    "SELECT s1,s2,s3 FROM root.lim.d SLIMIT 1 SOFFSET 3",
    "SHOW CHILD PATHS root.shw.a.d1.s1",
    "SHOW CHILD PATHS root.shw.*",
    "SHOW CHILD PATHS root.nope",
    "COUNT NODES root.shw.* LEVEL=3",
    "COUNT NODES root.nope LEVEL=1",
    "SET TTL TO root.shw.nope 1000",
    "FLUSH root.nope",
    # for the type of a series
    "SELECT s1 FROM root.dev.d1,root.dev2.d3 GROUP BY DEVICE",
    "SELECT sum(t) FROM root.agg.d1",
    "SELECT avg(b) FROM root.agg.d1",
    "SELECT s1,s2 FROM root.fil.d1 WHERE s1 = 3.5",
    "SELECT s1,s2 FROM root.fil.d1 WHERE s1 = 'x'",
    "SELECT s1 FROM root.err.d WHERE s1 = x",
    "INSERT INTO root.types.d(timestamp,i) VALUES(74,1.0)",
    "INSERT INTO root.types.d(timestamp,t) VALUES(75,12.50)",
    "INSERT INTO root.tab.d(timestamp,i) VALUES(901,abc)",
    "INSERT INTO root.err.d(timestamp,s1) VALUES(1,abc)",
    # for who is allowed to do it
    "CREATE USER tu1x 'pass1'",
    "CREATE USER ab 'pass1'",
    "CREATE ROLE tr1x",
    "GRANT USER tu1x PRIVILEGES 'NOPE' ON root.usr",
    "DROP USER tu1x",
    "LIST USER PRIVILEGES tu1x",
    # for the call that it came by, or its session
    "SHOW VERSION",
    "SET STORAGE GROUP TO root.never",
    "DELETE FROM root.shw.a.d1.s1 WHERE time < 0",
    "SELECT s1 FROM root.err.d",
    "SELECT i FROM root.tab.d",
    "MERGE",
    "FLUSH",
}
"""What is refused by something that knows more than the text."""


@pytest.mark.parametrize("statement", STATEMENTS, ids=lambda statement: f"{statement.call}: {statement.text}")
def test_a_recorded_statement_is_read_or_refused_as_it_was(statement):
    try:
        read(statement.text)
    except SqlError as refusal:
        assert answered(refusal, statement) in allowed(statement)
        assert 1 <= refusal.column and 1 == refusal.line
    else:
        assert 200 in statement.codes or statement.is_oddity or statement.text in REFUSED_LATER


def answered(refusal: SqlError, statement: Recorded) -> int:
    """The code that the statement's call gives for a refusal."""
    is_told_apart = statement.call in ("executeStatement", "executeBatchStatement")
    return 401 if isinstance(refusal, SqlTreeRefused) and not is_told_apart else refusal.code


def allowed(statement: Recorded) -> frozenset[int]:
    if statement.text in REFUSED_HERE:
        return frozenset({REFUSED_HERE[statement.text]})
    return statement.codes


def test_what_is_said_to_be_refused_later_is_recorded():
    texts = {statement.text for statement in STATEMENTS if 200 not in statement.codes}
    assert set() == REFUSED_LATER - texts
    assert set() == REFUSED_HERE.keys() - {statement.text for statement in STATEMENTS}
