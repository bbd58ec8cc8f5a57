"""What can be a path: names in all scripts, integers, a quoted last node, and never a keyword."""

import pytest

from iotdb_cluster.errors import SqlError
from iotdb_cluster.sql.keywords import CONTEXTUAL, RESERVED
from tests.sql.reading import read


def prefix(path: str) -> str:
    return read(f"SELECT * FROM {path}").prefixes[0]


def suffix(path: str) -> str:
    return read(f"SELECT {path} FROM root").items[0].path


@pytest.mark.parametrize(
    "path",
    [
        "root",
        "root.a",
        "root.*",
        "root.a.*.b.*",
        "root._a.B_1",
        "root.12.3.d",
        "root.1.5",
        "root.温度.été.Ωμέγα.дом",
        "root.a.time",
        "root.a.explain.full.consistency",
        'root.a."x.y"',
        "root.a.'from'",
    ],
)
def test_a_path_from_root(path):
    assert path == prefix(path)


@pytest.mark.parametrize(
    "path", ["s", "*", "d.s", "*.s", "1", "1.5", "1.5.2", "1.s", "12.*", "time", "'x.y'", 'd."select"', "été.1", "a1b2"]
)
def test_a_path_below_from(path):
    assert path == suffix(path)


@pytest.mark.parametrize("keyword", sorted(RESERVED))
def test_a_keyword_is_no_node_in_any_case(keyword):
    for word in (keyword, keyword.lower(), keyword.capitalize()):
        for text in (
            f"SELECT * FROM root.a.{word}",
            f"SELECT d.{word} FROM root.a",
            f"SELECT * FROM root.{word}.a",
            f"SELECT * FROM root.a WHERE d.{word} > 5",
            f"INSERT INTO root.a(timestamp, {word}) VALUES(1, 1)",
        ):
            with pytest.raises(SqlError) as caught:
                read(text)
            assert 401 == caught.value.code
        assert f'root.a."{word}"' == prefix(f'root.a."{word}"')


@pytest.mark.parametrize("word", sorted(CONTEXTUAL) + ["time", "sum", "min_value", "strong", "weak", "last", "true"])
def test_other_words_are_names_everywhere(word):
    text = f"SELECT {word}, {word}.{word} FROM root.{word} WHERE {word}.{word} = {word}"
    assert (word, f"{word}.{word}") == tuple(item.path for item in read(text).items)
    assert (word,) == read(f"INSERT INTO root.{word}(timestamp, {word}) VALUES(1, {word})").measurements


@pytest.mark.parametrize(
    "text, column, token",
    [
        ("SELECT * FROM ROOT.a", 15, "ROOT"),
        ("SELECT * FROM Root", 15, "Root"),
        ("SELECT * FROM sg.a", 15, "sg.a"),
        ("SELECT * FROM root.a.fill.b", 22, "fill"),
        ("SELECT * FROM root . a . `fill`", 27, "fill"),
        ("SELECT * FROM root.'a'.b", 20, "'a'"),
        ("SELECT * FROM root.a.1b", 22, "1b"),
        ("SELECT * FROM root.a.2e3", 22, "2e3"),
        ("SELECT * FROM root.a.1d", 22, "1d"),
        ("SELECT * FROM root.a.root", 22, "root"),
        ("SELECT * FROM root.a.", 21, "."),
        ("SELECT * FROM root..a", 19, "."),
        ("SELECT * FROM root.a-b", 21, "-"),
        ("SELECT * FROM root.a.b*", 23, "*"),
        ("SELECT * FROM root.a#b", 21, "#"),
        ("SELECT root.a FROM root", 8, "root.a"),
        ("SELECT 1.5e3 FROM root", 8, "1.5e3"),
        ("SELECT 1d FROM root", 8, "1d"),
        ("SELECT \u00b7a FROM root", 8, "\u00b7a"),
        ("CREATE TIMESERIES root.a.*.b WITH DATATYPE=INT32, ENCODING=RLE", 19, "root.a.*.b"),
        ("INSERT INTO root.a.*(timestamp, s) VALUES(1, 2)", 13, "root.a.*"),
        ("INSERT INTO root.a(timestamp, *) VALUES(1, 2)", 31, "*"),
        ("INSERT INTO root.a(timestamp, s.t) VALUES(1, 2)", 31, "s.t"),
    ],
)
def test_what_is_no_path_is_pointed_at(text, column, token):
    with pytest.raises(SqlError) as caught:
        read(text)
    assert (401, 1, column, token) == (
        caught.value.code,
        caught.value.line,
        caught.value.column,
        caught.value.token,
    )


def test_the_long_s_and_its_like_make_no_keyword():
    assert "\u017felect" == suffix("\u017felect")
    assert "l\u0131m\u0131t" == suffix("l\u0131m\u0131t")
