"""Every statement of the interface page by each of the calls that take statements: the answer, and the code."""

import pytest

from tests.services.asking import ask, do, request
from tests.services.rig import RPC, code

UPDATES = [
    ("SET STORAGE GROUP TO {sg}x", 200),
    ("SET STORAGE GROUP TO {sg}", 200),
    ("SET STORAGE GROUP TO {sg}.d", 303),
    ("SET STORAGE GROUP TO root", 314),
    ("CREATE TIMESERIES {sg}.d.n WITH DATATYPE=INT32, ENCODING=RLE, COMPRESSOR=SNAPPY, max_point_number=3", 200),
    ("CREATE TIMESERIES {sg}.d.m WITH DATATYPE=INT64, ENCODING=TS_2DIFF, COMPRESSION=UNCOMPRESSED", 200),
    ("CREATE TIMESERIES {sg}.d.i WITH DATATYPE=INT32, ENCODING=RLE", 300),
    ("CREATE TIMESERIES {sg}.d WITH DATATYPE=INT32, ENCODING=RLE", 300),
    ("INSERT INTO {sg}.d(timestamp,i,t) VALUES(7,1,'x')", 200),
    ("INSERT INTO {sg}.d(timestamp,i) VALUES(now(),1)", 200),
    ("insert into {sg}.d(timestamp,i) values(2020-02-03T04:05:06.789+08:00,1)", 200),
    ("INSERT INTO {sg}.d(timestamp,i,t) VALUES(7,1)", 400),
    ("INSERT INTO {sg}.d(timestamp,i) VALUES(7,'x')", 400),
    ("INSERT INTO {sg}.d(time,i) VALUES(7,1)", 401),
    ("INSERT INTO {sg}.d(timestamp,i) VALUES(-7,1)", 401),
    ("DELETE FROM {sg}.d.i WHERE time <= 3", 200),
    ("DELETE FROM {sg}.d.i, {sg}.d.f WHERE time < 3", 200),
    ("DELETE FROM {sg}.d.i WHERE time > 3", (303, 401)),
    ("DELETE FROM {sg}.d.i WHERE time < 3 AND time < 4", (303, 401)),
    ("DELETE FROM {sg}.d.none WHERE time < 3", 301),
    ("DELETE TIMESERIES {sg}.d.b", 200),
    ("DELETE TIMESERIES {sg}.d.f, {sg}.d.none", 301),
    ("UPDATE {sg} SET d.i = 1 WHERE time = 1", 401),
    ("SET TTL TO {sg} 99999999999999", 200),
    ("SET TTL TO {sg}.none 1", 303),
    ("SET TTL TO {sg} -1", 401),
    ("UNSET TTL TO {sg}", 200),
    ("LOAD CONFIGURATION", 703),
    ("LOAD 'a.tsfile'", 703),
    ("REMOVE 'a.tsfile'", 703),
    ("MOVE 'a.tsfile' 'b'", 703),
    ("CREATE PROPERTY size", 200),
    ("ADD LABEL big TO PROPERTY size", 200),
    ("LINK {sg}.d.i TO size.big", 200),
    ("UNLINK {sg}.d.i FROM size.big", 200),
    ("DELETE LABEL big FROM PROPERTY size", 200),
    ("CREATE USER every 'every'", 200),
    ("CREATE USER abc 'every'", 400),
    ("CREATE ROLE every", 200),
    ("GRANT USER every PRIVILEGES 'READ_TIMESERIES' ON {sg}", 200),
    ("GRANT ROLE every PRIVILEGES 'READ_TIMESERIES', 'INSERT_TIMESERIES' ON {sg}", 200),
    ("GRANT USER every PRIVILEGES 'NOTHING' ON {sg}", 401),
    ("GRANT every TO every", 200),
    ("REVOKE every FROM every", 200),
    ("REVOKE USER every PRIVILEGES 'READ_TIMESERIES' ON {sg}", 200),
    ("ALTER USER every SET PASSWORD 'other'", 200),
    ("GRANT WATERMARK_EMBEDDING TO every", 200),
    ("REVOKE WATERMARK_EMBEDDING FROM every", 200),
    ("DROP ROLE every", 200),
    ("DROP USER every", 200),
    ("DROP USER every", 400),
    ("SHOW METADATA", 401),
    ("DESCRIBE {sg}.d", 401),
    ("CREATE INDEX ON {sg}.d.i USING kvindex", 401),
    ("DROP INDEX kvindex ON {sg}.d.i", 401),
    ("DELETE STORAGE GROUP {sg}none", 303),
    ("DELETE STORAGE GROUP {sg}", 200),
]
"""Statements that are no queries, one after the other on one storage group, and their codes."""

QUERIES = [
    ("SELECT i, f FROM {sg}.d WHERE time > 0", "QUERY", ["{sg}.d.i", "{sg}.d.f"]),
    ("SELECT i FROM {sg}.d WHERE i >= 1 && !(f < 1) || time = 2 LIMIT 5 SLIMIT 1", "QUERY", ["{sg}.d.i"]),
    ("SELECT Count(i), min_time(f) FROM {sg}.d", "AGGREGATION", ["Count({sg}.d.i)", "min_time({sg}.d.f)"]),
    ("SELECT count(i) FROM {sg}.d GROUP BY([0, 10], 5ms)", "GROUPBY", ["count({sg}.d.i)"]),
    ("SELECT i FROM {sg}.d WHERE time = 2 FILL(int32[previous, 1h])", "FILL", ["{sg}.d.i"]),
    ("SELECT i FROM {sg}.d, {sg}.d GROUP BY DEVICE", "QUERY", ["Device", "i"]),
    ("SELECT i, t FROM {sg}.d DISABLE ALIGN", "QUERY", ["{sg}.d.i", "{sg}.d.t"]),
    ("SHOW STORAGE GROUP", "SHOW", ["storage group"]),
    ("SHOW TIMESERIES {sg}", "SHOW", ["timeseries", "storage group", "dataType", "encoding", "compression"]),
    ("SHOW DEVICES {sg}", "SHOW", ["devices"]),
    ("SHOW CHILD PATHS {sg}", "SHOW", ["child paths"]),
    ("COUNT TIMESERIES {sg}", "SHOW", ["count"]),
    ("COUNT TIMESERIES {sg} GROUP BY LEVEL=2", "SHOW", ["column", "count"]),
    ("COUNT NODES {sg} LEVEL=2", "SHOW", ["count"]),
    ("SHOW VERSION", "SHOW", ["        version"]),
    ("SHOW FLUSH TASK INFO", "SHOW", [" " * 29 + "item", "value"]),
    ("SHOW DYNAMIC PARAMETER", "SHOW", [" " * 42 + "parameter", "value"]),
    ("SHOW TTL ON {sg}", "SHOW", ["storage group", "ttl"]),
    ("SHOW ALL TTL", "SHOW", ["storage group", "ttl"]),
    ("LIST USER", "LIST_USER", ["user"]),
    ("LIST ROLE", "LIST_ROLE", ["role"]),
    ("LIST PRIVILEGES USER root ON {sg}", "LIST_USER_PRIVILEGE", ["role", "privilege"]),
    ("LIST USER PRIVILEGES root", "LIST_USER_PRIVILEGE", ["role", "privilege"]),
    ("LIST ALL ROLE OF USER root", "LIST_USER_ROLES", ["role"]),
]
"""Queries, their operation type, and their columns."""

REFUSED_QUERIES = [
    ("SELECT none FROM {sg}.d", 401),
    ("SELECT i FROM {sg}.d WHERE i = 3.5", (303, 401)),
    ("SELECT i, count(i) FROM {sg}.d", 401),
    ("SELECT i FROM {sg}.d GROUP BY([0, 10], 5ms)", 401),
    ("SELECT count(i) FROM {sg}.d GROUP BY([0, 10], 5ms, 2ms)", 401),
    ("SELECT count(i) FROM {sg}.d GROUP BY([0, 10], 5us)", 401),
    ("SELECT sum(t) FROM {sg}.d", 500),
    ("SELECT i FROM {sg}.d WHERE time > 2 FILL(int32[previous])", 401),
    ("SELECT t FROM {sg}.d WHERE time = 2 FILL(text[linear])", 401),
    ("SELECT b FROM {sg}.d WHERE time = 2 FILL(boolean[linear])", 500),
    ("SELECT i FROM {sg}.d LIMIT 0", 401),
    ("SELECT i FROM {sg}.d SLIMIT 1 SOFFSET 1", 401),
    ("SELECT d.i FROM {sg} GROUP BY DEVICE", 401),
    ("SELECT count(i) FROM {sg}.d DISABLE ALIGN", 500),
    ("SHOW CHILD PATHS {sg}.d.i", 500),
    ("COUNT NODES {sg}.none LEVEL=2", 500),
    ("LIST ROLE PRIVILEGES none", 500),
    ("LIST ALL USER OF ROLE none", 500),
    ("SELECT INDEX kvindex({sg}.d.i) FROM {sg}", 401),
]
"""Queries that are refused, and their codes."""


@pytest.fixture
def filled(session, sg):
    """A storage group with a device that has a series of four types."""
    do(session, f"INSERT INTO {sg}.d(timestamp,i,f,t,b) VALUES(1,1,1.5,'x',true)")
    do(session, f"CREATE TIMESERIES {sg}.e.i WITH DATATYPE=INT32, ENCODING=RLE")
    return sg


def one_of(codes):
    return codes if isinstance(codes, tuple) else (codes,)


def test_statements_that_are_no_queries(session, filled):
    for text, codes in UPDATES:
        statement = text.format(sg=filled)
        answer = session.client.executeStatement(request(session, statement))
        assert code(answer.status) in one_of(codes), (statement, answer.status)
        assert answer.columns is answer.queryDataSet is answer.operationType is answer.ignoreTimeStamp is None


def test_statements_that_are_no_queries_are_none_to_the_call_for_queries(session, filled):
    for text, codes in UPDATES:
        statement = text.format(sg=filled)
        refusal = code(session.client.executeQueryStatement(request(session, statement)).status)
        assert refusal in (400, *one_of(codes)) and refusal != 200, (statement, refusal)
    assert 5 == ask(session, f"COUNT TIMESERIES {filled}").values[0][0], "nothing was done"


def test_queries(session, filled):
    for text, operation, columns in QUERIES:
        statement = text.format(sg=filled)
        for call in (session.client.executeStatement, session.client.executeQueryStatement):
            answer = call(request(session, statement))
            assert 200 == code(answer.status), (statement, answer.status)
            assert operation == answer.operationType, statement
            assert [column.format(sg=filled) for column in columns] == answer.columns, statement
            assert len(columns) == len(answer.dataTypeList)
            assert (answer.nonAlignQueryDataSet is not None) == ("DISABLE ALIGN" in statement)
            assert (answer.queryDataSet is None) == ("DISABLE ALIGN" in statement)
            has_time = operation in ("QUERY", "GROUPBY", "FILL")
            assert answer.ignoreTimeStamp is (None if has_time else True), statement
        assert 400 == code(session.client.executeUpdateStatement(request(session, statement)).status), statement


def test_queries_that_are_refused(session, filled):
    for text, codes in REFUSED_QUERIES:
        statement = text.format(sg=filled)
        for call in (session.client.executeStatement, session.client.executeQueryStatement):
            answer = call(request(session, statement))
            assert code(answer.status) in one_of(codes), (statement, answer.status)
            assert answer.columns is answer.queryDataSet is answer.queryId is None, statement


def test_all_statements_of_a_batch_are_tried(session, filled):
    statements = [text.format(sg=filled) for text, _ in UPDATES] + [QUERIES[0][0].format(sg=filled)]
    answer = session.client.executeBatchStatement(
        RPC.TSExecuteBatchStatementReq(sessionId=session.id, statements=statements)
    )
    assert 400 == code(answer.status)
    assert [-2 if codes == 200 else -3 for _, codes in UPDATES] + [-3] == answer.result


@pytest.mark.parametrize("text", ["flush", "flush {sg}", "FLUSH {sg} true", "merge", "full merge"])
def test_administration_is_a_statement_of_one_call_alone(session, filled, text):
    statement = text.format(sg=filled)
    answer = session.client.executeStatement(request(session, statement))
    assert (200, None) == (code(answer.status), answer.queryId)
    assert 200 != code(session.client.executeUpdateStatement(request(session, statement)).status)
    assert 404 == code(session.client.executeStatement(request(session, "flush root.none")).status)
