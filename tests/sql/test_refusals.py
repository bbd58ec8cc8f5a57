"""What is refused before it runs: with which code, at which place, and with what would have been right."""

import subprocess
import sys

import pytest

from iotdb_cluster.errors import SqlError, SqlTreeRefused
from tests.sql.reading import read


def refusal(text: str) -> SqlError:
    with pytest.raises(SqlError) as caught:
        read(text)
    return caught.value


def test_a_refusal_says_where_what_and_what_else():
    found = refusal("SELECT s1 form root.a")
    assert "line 1, column 11: unexpected 'form', expected FROM or ','" == found.message
    assert (401, 1, 11, "form", ("FROM", "','")) == (found.code, found.line, found.column, found.token, found.expected)
    assert str(found).startswith("401 SQL_PARSE_ERROR: line 1")


@pytest.mark.parametrize(
    "text, line, column, token, expected",
    [
        ("", 1, 1, "", ("SELECT", "INSERT", "SHOW", "EXPLAIN")),
        (";", 1, 1, "", ("SELECT",)),
        (" \n ", 1, 1, "", ("SELECT",)),
        ("FOO BAR", 1, 1, "FOO", ("SELECT",)),
        ("SELECT", 1, 7, "", ("a function", "a path")),
        ("SELECT * FROM", 1, 14, "", ("a path from root",)),
        ("SELECT *\n  FROM ;", 2, 7, "", ("a path from root",)),
        ("SELECT s1\nFROM root.a\nWHER s1 > 5", 3, 1, "WHER", ("WHERE", "the end")),
        ("SELECT s1 FROM root.a WHERE", 1, 28, "", ("NOT", "a path")),
        ("SELECT s1 FROM root.a WHERE s1", 1, 31, "", ("a comparison",)),
        ("SELECT s1 FROM root.a WHERE s1 > ", 1, 33, "", ("an integer", "a time", "a name")),
        ("SELECT count(s1 FROM root.a", 1, 17, "FROM", ("')'",)),
        ("SELECT s1 FROM root.a GROUP BY s1", 1, 32, "s1", ("DEVICE", "'('")),
        ("SELECT s1 FROM root.a -- comment", 1, 23, "-", ("the end",)),
        ("SELECT fill FROM root.a", 1, 8, "fill", ("a path",)),
        ("SELECT s1 FROM root.a LIMIT -1", 1, 29, "-", ("an integer",)),
        ("SELECT s1 FROM root.a OFFSET 2", 1, 23, "OFFSET", ("LIMIT",)),
        ("SELECT s1 FROM root.a LIMIT 1 LIMIT 2", 1, 31, "LIMIT", ("SLIMIT", "OFFSET")),
        ("SELECT s1 FROM root.a FILL(int32[linear, 5ms])", 1, 45, "]", ("','",)),
        ("SELECT count(s) FROM root.a GROUP BY([0,1],10)", 1, 44, "10", ("a duration such as 1d2h",)),
        ("SELECT count(s) FROM root.a GROUP BY([-1,1],10ms)", 1, 39, "-", ("an integer", "a time")),
        ("INSERT INTO root.a(s1) VALUES(1)", 1, 20, "s1", ("TIMESTAMP",)),
        ("INSERT INTO root.a(time,s1) VALUES(1,1)", 1, 20, "time", ("TIMESTAMP",)),
        ("INSERT INTO root.a VALUES(1,2)", 1, 20, "VALUES", ("'('",)),
        ("INSERT INTO root.a(timestamp,t) VALUES(1,'it''s')", 1, 46, "'s'", ("','", "')'")),
        ("INSERT INTO root.a(timestamp,t) VALUES(1,plain)", 1, 42, "plain", ("a name", "a text in quotes")),
        ("INSERT INTO root.a(timestamp,t) VALUES(1,'abc)", 1, 42, "'", ()),
        ("CREATE TIMESERIES root.a.s WITH DATATYPE=BLOB, ENCODING=RLE", 1, 42, "BLOB", ("INT32", "TEXT")),
        ("CREATE TIMESERIES root.a.s WITH ENCODING=RLE, DATATYPE=INT32", 1, 33, "ENCODING", ("DATATYPE",)),
        ("SET TTL TO root.a -5", 1, 19, "-", ("an integer",)),
        ("SHOW NOTHING", 1, 6, "NOTHING", ("STORAGE", "TIMESERIES", "VERSION")),
        ("SELECT a FROM root.b; SELECT c FROM root.d", 1, 21, ";", ()),
        ("SET CONSISTENCY LEVEL low", 1, 23, "low", ("STRONG", "MID", "WEAK")),
        ("flush root.a maybe", 1, 14, "maybe", ()),
        ("EXPLAIN SHOW VERSION", 1, 9, "SHOW", ("SELECT",)),
        ("SELECT s1 FROM root.a \x00", 1, 23, "\x00", ()),
        ("INSERT INTO root.a(timestamp,t) VALUES(1,'a\ud800')", 1, 44, "\ud800", ()),
    ],
)
def test_the_place_of_what_does_not_parse(text, line, column, token, expected):
    found = refusal(text)
    assert (401, line, column, token) == (found.code, found.line, found.column, found.token)
    assert set(expected) <= set(found.expected)
    assert not {"METADATA", "INDEX", "DESCRIBE"} & set(found.expected)


@pytest.mark.parametrize(
    "text, code, column",
    [
        ("SELECT count(i), i FROM root.a", 401, 18),
        ("SELECT i, count(i) FROM root.a", 401, 11),
        ("SELECT median(i) FROM root.a", 401, 8),
        ("SELECT last(i) FROM root.a", 401, 8),
        ("SELECT s FROM root.a LIMIT 0", 401, 28),
        ("SELECT s FROM root.a LIMIT 2147483648", 401, 28),
        ("SELECT s FROM root.a LIMIT 3 OFFSET 0", 401, 37),
        ("SELECT s FROM root.a LIMIT 3 OFFSET 99999999999999999999999", 401, 37),
        ("SELECT s FROM root.a SLIMIT 0", 401, 29),
        ("SELECT s FROM root.a SLIMIT 1 SOFFSET 0", 401, 39),
        ("SELECT s FROM root.a GROUP BY([0,30],10ms)", 401, 8),
        ("SELECT count(s) FROM root.a GROUP BY([0,30],10ms,5ms)", 401, 50),
        ("SELECT count(s) FROM root.a GROUP BY([0,9223372036854775808],10ms)", 401, 41),
        ("SELECT s FROM root.a FILL(int32[previous])", 401, 22),
        ("SELECT s FROM root.a WHERE time > 15 FILL(int32[previous])", 401, 22),
        ("SELECT s FROM root.a WHERE s = 15 FILL(int32[previous])", 401, 22),
        ("SELECT s FROM root.a WHERE time = 15 AND time = 16 FILL(int32[previous])", 401, 22),
        ("SELECT s FROM root.a WHERE time = 15 FILL(text[linear])", 401, 43),
        ("SELECT s FROM root.a WHERE time = 15 FILL(boolean[linear])", 500, 43),
        ("SELECT s FROM root.a WHERE time = 15 FILL(int32[previous, 0ms])", 401, 59),
        ("SELECT d.s FROM root.a GROUP BY DEVICE", 401, 8),
        ("SELECT s, count.s FROM root.a GROUP BY DEVICE", 401, 11),
        ("SELECT count(s) FROM root.a DISABLE ALIGN", 500, 29),
        ("SELECT count(s) FROM root.a GROUP BY([0,5],3ms) DISABLE ALIGN", 500, 49),
        ("SELECT s FROM root.a WHERE time = 3 FILL(int32[previous]) DISABLE ALIGN", 500, 59),
        ("COUNT NODES root LEVEL=2147483648", 401, 24),
        ("SET TTL TO root.a 9223372036854775808", 401, 19),
        ("INSERT INTO root.a(timestamp,s) VALUES(9223372036854775808,1)", 401, 40),
    ],
)
def test_what_parses_and_cannot_be_meant(text, code, column):
    found = refusal(text)
    assert (code, 1, column) == (found.code, found.line, found.column)
    assert not isinstance(found, SqlTreeRefused)


@pytest.mark.parametrize(
    "text, column",
    [
        ("DELETE FROM root.a.s WHERE time > 5", 22),
        ("DELETE FROM root.a.s WHERE time = 5", 22),
        ("DELETE FROM root.a.s WHERE time < 5 AND time > 2", 22),
        ("DELETE FROM root.a.s WHERE not(time > 5)", 22),
        ("DELETE FROM root.a.s WHERE s < 5", 22),
        ("DELETE FROM root.a.s WHERE time < -9223372036854775808", 22),
        ("SELECT s FROM root.a WHERE time > 2020-99-01 00:00:00", 35),
        ("CREATE TIMESERIES root.a.s WITH DATATYPE=TEXT, ENCODING=RLE", 57),
        ("CREATE TIMESERIES root.a.s WITH DATATYPE=INT32, ENCODING=RLE, COMPRESSOR=ZIP", 74),
        ("CREATE TIMESERIES root.a.s WITH DATATYPE=INT32, ENCODING=RLE, COMPRESSOR=1", 74),
    ],
)
def test_a_refused_tree_has_a_code_of_its_own(text, column):
    found = refusal(text)
    assert isinstance(found, SqlTreeRefused)
    assert (303, 1, column) == (found.code, found.line, found.column)


ENCODINGS = {
    "BOOLEAN": {"PLAIN", "RLE"},
    "INT32": {"PLAIN", "RLE", "TS_2DIFF"},
    "INT64": {"PLAIN", "RLE", "TS_2DIFF"},
    "FLOAT": {"PLAIN", "RLE", "TS_2DIFF", "GORILLA"},
    "DOUBLE": {"PLAIN", "RLE", "TS_2DIFF", "GORILLA"},
    "TEXT": {"PLAIN"},
}


@pytest.mark.parametrize("data_type", ENCODINGS)
@pytest.mark.parametrize("encoding", ["PLAIN", "PLAIN_DICTIONARY", "RLE", "DIFF", "TS_2DIFF", "GORILLA", "REGULAR"])
def test_an_encoding_suits_its_type_or_is_refused(data_type, encoding):
    text = f"CREATE TIMESERIES root.a.s WITH DATATYPE={data_type}, ENCODING={encoding}"
    if encoding in ENCODINGS[data_type]:
        assert (data_type, encoding) == (read(text).schema.data_type.name, read(text).schema.encoding.name)
    else:
        assert f"the encoding {encoding} does not suit {data_type}" in refusal(text).message


def test_what_is_expected_is_said_in_as_few_words_as_will_do():
    assert ("a name",) == refusal("CREATE ROLE").expected
    assert ("a function", "a path") == refusal("SELECT").expected
    assert ("a comparison",) == refusal("SELECT s FROM root WHERE s").expected
    assert "unexpected 'root.*', a path with '*', expected a path from root" in refusal("INSERT INTO root.*").message
    assert "unexpected 'to', a keyword, which cannot be a name, expected a name" in refusal("DROP ROLE to").message


def test_a_long_token_is_shown_in_part():
    assert "unexpected 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa...', expected" in refusal("a" * 500).message
    assert len(refusal("SELECT s FROM root.a LIMIT " + "9" * 1000).message) < 200


def test_nothing_of_the_parser_is_loaded_before_the_first_statement():
    code = (
        "import sys; from iotdb_cluster.sql import parse, statements; assert 'lark' not in sys.modules;"
        "import datetime; parse('SHOW VERSION', zone=datetime.UTC, now_ms=0); assert 'lark' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
