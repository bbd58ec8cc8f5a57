"""Every statement of the interface page's table becomes the tree that says the same."""

import pytest

from iotdb_cluster.errors import SqlError
from iotdb_cluster.sql import statements as sql
from iotdb_cluster.sql.conditions import Literal, LiteralKind
from iotdb_cluster.sql.statements import FillMethod, Function, Grantee, SelectItem
from iotdb_cluster.types.schema import Compression, DataType, Encoding, TimeseriesSchema
from tests.sql.reading import NOW_MS, read


def integer(text: str) -> Literal:
    return Literal(LiteralKind.INTEGER, text)


STATEMENTS = {
    "SET STORAGE GROUP TO root.ln": sql.SetStorageGroup("root.ln"),
    "DELETE STORAGE GROUP root.ln, root.sg": sql.DeleteStorageGroups(("root.ln", "root.sg")),
    "CREATE TIMESERIES root.ln.d.s WITH DATATYPE=INT32, ENCODING=RLE, COMPRESSOR=SNAPPY, max_point_number=3": (
        sql.CreateTimeseries(
            TimeseriesSchema(
                "root.ln.d.s", DataType.INT32, Encoding.RLE, Compression.SNAPPY, (("max_point_number", "3"),)
            )
        )
    ),
    "CREATE TIMESERIES root.ln.d.s WITH DATATYPE=text, ENCODING=plain, COMPRESSION=gzip, b=x, a=-1.5": (
        sql.CreateTimeseries(
            TimeseriesSchema(
                "root.ln.d.s", DataType.TEXT, Encoding.PLAIN, Compression.GZIP, (("a", "-1.5"), ("b", "x"))
            )
        )
    ),
    "DELETE TIMESERIES root.ln.d.*, root.ln.e.s": sql.DeleteTimeseries(("root.ln.d.*", "root.ln.e.s")),
    "INSERT INTO root.ln.d(timestamp,a,b) VALUES(1,2.5,'x')": sql.Insert(
        "root.ln.d", 1, ("a", "b"), (Literal(LiteralKind.DECIMAL, "2.5"), Literal(LiteralKind.STRING, "'x'"))
    ),
    "DELETE FROM root.ln.d.s, root.ln.e.* WHERE time <= 10": sql.DeleteData(("root.ln.d.s", "root.ln.e.*"), 10),
    "DELETE FROM root.ln.d.s WHERE time < 10": sql.DeleteData(("root.ln.d.s",), 9),
    "DELETE FROM root.ln.d.s": sql.DeleteData(("root.ln.d.s",), None),
    "SHOW STORAGE GROUP": sql.ShowStorageGroups(),
    "SHOW TIMESERIES": sql.ShowTimeseries(),
    "SHOW TIMESERIES root.ln.*": sql.ShowTimeseries("root.ln.*"),
    "SHOW DEVICES": sql.ShowDevices(),
    "SHOW DEVICES root.ln": sql.ShowDevices("root.ln"),
    "SHOW CHILD PATHS": sql.ShowChildPaths(),
    "SHOW CHILD PATHS root.ln": sql.ShowChildPaths("root.ln"),
    "COUNT TIMESERIES root.ln": sql.CountTimeseries("root.ln"),
    "COUNT TIMESERIES root.ln GROUP BY LEVEL=2": sql.CountTimeseries("root.ln", 2),
    "COUNT NODES root.ln LEVEL=0": sql.CountNodes("root.ln", 0),
    "SHOW VERSION": sql.ShowVersion(),
    "SHOW FLUSH TASK INFO": sql.ShowFlushTaskInfo(),
    "SHOW DYNAMIC PARAMETER": sql.ShowDynamicParameter(),
    "SET TTL TO root.ln 3600000": sql.SetTtl("root.ln", 3600000),
    "UNSET TTL TO root.ln": sql.UnsetTtl("root.ln"),
    "SHOW TTL ON root.ln, root.sg": sql.ShowTtl(("root.ln", "root.sg")),
    "SHOW ALL TTL": sql.ShowTtl(None),
    "LOAD CONFIGURATION": sql.LoadConfiguration(),
    "LOAD /data/1.tsfile": sql.FileCommand(sql.FileVerb.LOAD, ("/data/1.tsfile",)),
    "LOAD '/my data/1.tsfile' false 2": sql.FileCommand(sql.FileVerb.LOAD, ("'/my data/1.tsfile'", "false", "2")),
    "REMOVE C:\\data\\1.tsfile": sql.FileCommand(sql.FileVerb.REMOVE, ("C:\\data\\1.tsfile",)),
    "MOVE data/1.tsfile /tmp": sql.FileCommand(sql.FileVerb.MOVE, ("data/1.tsfile", "/tmp")),
    "CREATE PROPERTY p": sql.Labelling(("CREATE", "PROPERTY", "p")),
    "add label l to property p": sql.Labelling(("ADD", "LABEL", "l", "TO", "PROPERTY", "p")),
    "DELETE LABEL l FROM PROPERTY p": sql.Labelling(("DELETE", "LABEL", "l", "FROM", "PROPERTY", "p")),
    "LINK root.ln TO p.l": sql.Labelling(("LINK", "root.ln", "TO", "p.l")),
    "UNLINK root.ln FROM p.l": sql.Labelling(("UNLINK", "root.ln", "FROM", "p.l")),
    "flush": sql.Flush(),
    "FLUSH root.ln,root.sg": sql.Flush(("root.ln", "root.sg")),
    "flush root.ln true": sql.Flush(("root.ln",), True),
    "flush root.ln False": sql.Flush(("root.ln",), False),
    "merge": sql.Merge(),
    "full merge": sql.Merge(full=True),
    "CREATE USER anna 'secret'": sql.CreateUser("anna", "secret"),
    "DROP USER anna": sql.DropUser("anna"),
    'ALTER USER root SET PASSWORD "se\'cret"': sql.AlterUser("root", "se'cret"),
    "CREATE ROLE reader": sql.CreateRole("reader"),
    "DROP ROLE reader": sql.DropRole("reader"),
    "GRANT USER anna PRIVILEGES 'READ_TIMESERIES', 'insert_timeseries' ON root.ln": sql.GrantPrivileges(
        Grantee.USER, "anna", ("READ_TIMESERIES", "INSERT_TIMESERIES"), "root.ln"
    ),
    "GRANT ROLE reader PRIVILEGES 'READ_TIMESERIES' ON root.ln": sql.GrantPrivileges(
        Grantee.ROLE, "reader", ("READ_TIMESERIES",), "root.ln"
    ),
    "REVOKE USER anna PRIVILEGES 'READ_TIMESERIES' ON root.ln": sql.RevokePrivileges(
        Grantee.USER, "anna", ("READ_TIMESERIES",), "root.ln"
    ),
    "REVOKE ROLE reader PRIVILEGES 'READ_TIMESERIES' ON root.ln": sql.RevokePrivileges(
        Grantee.ROLE, "reader", ("READ_TIMESERIES",), "root.ln"
    ),
    "GRANT reader TO anna": sql.GrantRole("reader", "anna"),
    "REVOKE reader FROM anna": sql.RevokeRole("reader", "anna"),
    "GRANT WATERMARK_EMBEDDING TO anna, root": sql.SetWatermark(("anna", "root"), True),
    "REVOKE WATERMARK_EMBEDDING FROM anna": sql.SetWatermark(("anna",), False),
    "LIST USER": sql.ListUsers(),
    "LIST ROLE": sql.ListRoles(),
    "LIST PRIVILEGES USER anna ON root.ln": sql.ListPrivileges(Grantee.USER, "anna", "root.ln"),
    "LIST PRIVILEGES ROLE reader ON root.ln": sql.ListPrivileges(Grantee.ROLE, "reader", "root.ln"),
    "LIST USER PRIVILEGES root": sql.ListPrivileges(Grantee.USER, "root"),
    "LIST ROLE PRIVILEGES reader": sql.ListPrivileges(Grantee.ROLE, "reader"),
    "LIST ALL ROLE OF USER anna": sql.ListRolesOfUser("anna"),
    "LIST ALL USER OF ROLE reader": sql.ListUsersOfRole("reader"),
    "SET CONSISTENCY LEVEL strong": sql.SetConsistencyLevel(sql.ConsistencyLevel.STRONG),
    "set consistency level MID": sql.SetConsistencyLevel(sql.ConsistencyLevel.MID),
    "SET CONSISTENCY LEVEL Weak": sql.SetConsistencyLevel(sql.ConsistencyLevel.WEAK),
    "EXPLAIN SELECT s1 FROM root.ln": sql.Explain(sql.Select((SelectItem("s1"),), ("root.ln",))),
}


@pytest.mark.parametrize("text", STATEMENTS)
def test_a_statement_of_the_page_becomes_its_tree(text):
    assert STATEMENTS[text] == read(text)


UNSUPPORTED = {
    "UPDATE root.ln SET d.s = 1 WHERE time < 5": "UPDATE",
    "UPDATE root.ln SET d.s = 1, d.t = 'x'": "UPDATE",
    "SHOW METADATA": "SHOW METADATA",
    "DESCRIBE root.ln": "DESCRIBE",
    "CREATE INDEX ON root.ln.d.s USING kvindex WITH window_length=50 WHERE time > 5": "CREATE INDEX",
    "DROP INDEX kvindex ON root.ln.d.s": "DROP INDEX",
    "SELECT INDEX sub(root.a.b, root.a.c, 0, now(), 1.5, 1, 1) FROM root.a LIMIT 5": "SELECT INDEX",
    "LOAD TIMESERIES 'file' root.ln": "LOAD TIMESERIES",
}


@pytest.mark.parametrize("text", UNSUPPORTED)
def test_what_the_grammar_has_and_nothing_supports_is_named(text):
    with pytest.raises(SqlError, match=f"{UNSUPPORTED[text]} is not supported") as caught:
        read(text)
    assert 401 == caught.value.code


def test_keywords_are_read_in_any_case_and_names_as_they_are():
    assert sql.Select((SelectItem("S1"),), ("root.Ln",), limit=2) == read("sElEcT S1 fRoM root.Ln LiMiT 2")


def test_white_space_back_quotes_and_closing_semicolons_do_not_matter():
    plain = read("SELECT s1,s2 FROM root.a.b WHERE time>5 LIMIT 2")
    assert plain == read("\n SELECT s1 , `s2`\tFROM root . a\r\n.`b` WHERE time >5 LIMIT 2 ; ;\n")
    assert sql.Select((SelectItem("*"),), ("root",)) == read("select*from`root`;")


def test_the_words_of_queries_and_admin_commands_say_so():
    for text in (
        "SELECT s1 FROM root",
        "SHOW VERSION",
        "COUNT NODES root LEVEL=1",
        "LIST USER",
        "EXPLAIN SELECT a FROM root",
    ):
        assert read(text).is_query
    for text in ("flush", "full merge"):
        assert read(text).is_admin
        assert not read(text).is_query
    assert not read("SET STORAGE GROUP TO root.a").is_query


# ---- SELECT


def test_a_select_has_all_its_parts():
    text = (
        "SELECT COUNT(s1), Max_Value(d.*) FROM root.a, root.b.* WHERE time > 5 "
        "GROUP BY([10, 20], 1s, 2s) LIMIT 3 OFFSET 4 SLIMIT 5 SOFFSET 6"
    )
    select = read(text)
    assert (
        SelectItem("s1", Function.COUNT, "COUNT"),
        SelectItem("d.*", Function.MAX_VALUE, "Max_Value"),
    ) == select.items
    assert ["COUNT(root.a.s1)", "Max_Value(root.a.d.x)"] == [
        item.label(path) for item, path in zip(select.items, ("root.a.s1", "root.a.d.x"), strict=True)
    ]
    assert ("root.a", "root.b.*") == select.prefixes
    assert sql.Windows(10, 20, 1000, 2000) == select.windows
    assert (3, 4, 5, 6) == (select.limit, select.offset, select.series_limit, select.series_offset)
    assert (True, False, True) == (select.has_functions, select.by_device, select.aligned)


def test_limits_come_in_either_order():
    assert read("SELECT a FROM root LIMIT 1 OFFSET 2 SLIMIT 3 SOFFSET 4 GROUP BY DEVICE") == read(
        "SELECT a FROM root SLIMIT 3 SOFFSET 4 LIMIT 1 OFFSET 2 GROUP BY DEVICE"
    )


@pytest.mark.parametrize("function", list(Function))
def test_each_function_is_known_in_any_case(function):
    assert SelectItem("s", function, function.upper()) == read(f"SELECT {function.upper()}(s) FROM root.a").items[0]


def test_names_of_functions_are_names_too_where_no_parenthesis_follows():
    select = read("SELECT sum, avg, last_value FROM root.sum WHERE max_time > 5")
    assert ("sum", "avg", "last_value") == tuple(item.path for item in select.items)


def test_a_group_by_may_take_dates_and_now():
    select = read("SELECT count(s) FROM root.a GROUP BY([1970-01-01T08:00:01, now()], 1d) GROUP BY DEVICE")
    assert sql.Windows(1000, NOW_MS, 86_400_000, 86_400_000) == select.windows
    assert select.by_device


def test_a_group_by_may_end_before_it_starts():
    assert sql.Windows(30, 0, 10, 10) == read("SELECT count(s) FROM root.a GROUP BY([30,0],10ms)").windows


def test_a_fill_says_at_which_time_and_how_for_each_type():
    select = read(
        "SELECT * FROM root.a WHERE time = 15 FILL(boolean[previous], int32[linear], INT64[previous, 5ms], "
        "float[linear, 1s, 2s], text[PREVIOUS]) SLIMIT 1 GROUP BY DEVICE"
    )
    assert select.where is None
    assert 15 == select.fill.at_ms
    assert (
        sql.FillRule(DataType.BOOLEAN, FillMethod.PREVIOUS),
        sql.FillRule(DataType.INT32, FillMethod.LINEAR),
        sql.FillRule(DataType.INT64, FillMethod.PREVIOUS, 5),
        sql.FillRule(DataType.FLOAT, FillMethod.LINEAR, 1000, 2000),
        sql.FillRule(DataType.TEXT, FillMethod.PREVIOUS),
    ) == select.fill.rules


def test_the_last_of_two_rules_for_a_type_counts():
    fill = read("SELECT a FROM root WHERE time = 1 FILL(int32[previous], int32[linear])").fill
    assert (sql.FillRule(DataType.INT32, FillMethod.LINEAR),) == fill.rules


def test_the_time_of_a_fill_may_stand_in_parentheses_and_be_now():
    assert NOW_MS == read("SELECT a FROM root WHERE (time == now()) FILL(int32[previous])").fill.at_ms


def test_disable_align():
    select = read("SELECT s1 FROM root.a WHERE s1 > 3 LIMIT 2 DISABLE ALIGN")
    assert (False, 2) == (select.aligned, select.limit)


# ---- INSERT


def test_the_values_of_an_insert_stay_as_they_are_written():
    insert = read(
        'INSERT INTO root.a.d(timestamp, a, 7, "x.y", explain, e, f, g) '
        "VALUES(now(), - 5, -.5, 'it\\'s', TRUE, 1E-3, 007, 2020-02-03 04:05:06+08:00 + 1s)"
    )
    assert NOW_MS == insert.time_ms
    assert ("a", "7", '"x.y"', "explain", "e", "f", "g") == insert.measurements
    assert ("-5", "-.5", "'it\\'s'", "TRUE", "1E-3", "007", "1580673907000") == tuple(
        value.text for value in insert.values
    )
    kinds = LiteralKind
    assert (
        kinds.INTEGER,
        kinds.DECIMAL,
        kinds.STRING,
        kinds.NAME,
        kinds.DECIMAL,
        kinds.INTEGER,
        kinds.INTEGER,
    ) == tuple(value.kind for value in insert.values)
    assert "it\\'s" == insert.values[2].content


@pytest.mark.parametrize("written", ["''", '""', "'a;b'", "'\n'", "'\"'", "'C:\\'", "'日本'", "'--'", "'`'"])
def test_a_text_is_whatever_stands_between_its_quotes(written):
    insert = read(f"INSERT INTO root.a.d(timestamp, s) VALUES(1, {written})")
    assert written[1:-1] == insert.values[0].content


@pytest.mark.parametrize(
    "values, problem",
    [("1", "2 measurements and 1 values"), ("1, 2, 3", "2 measurements and 3 values")],
)
def test_an_insert_has_a_value_for_each_measurement(values, problem):
    with pytest.raises(SqlError, match=problem) as caught:
        read(f"INSERT INTO root.a.d(timestamp, a, b) VALUES(1, {values})")
    assert 400 == caught.value.code


def test_value_is_taken_for_values():
    assert read("INSERT INTO root.a.d(timestamp, a) VALUES(1, 2)") == read(
        "INSERT INTO root.a.d(timestamp, a) VALUE(1, 2)"
    )
