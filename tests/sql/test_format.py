"""A statement written out is read as the same statement."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iotdb_cluster.errors import SqlError
from iotdb_cluster.sql import statements as sql
from iotdb_cluster.sql.conditions import Comparison, Literal, LiteralKind, Not, TimeComparison, all_of, any_of
from iotdb_cluster.sql.format import format_condition, format_statement
from iotdb_cluster.sql.statements import Fill, FillMethod, FillRule, Function, SelectItem, Windows
from iotdb_cluster.sql.times import GREATEST_TIME_MS, LEAST_TIME_MS
from iotdb_cluster.types.filters import CompareOp
from iotdb_cluster.types.schema import DataType
from tests.sql.reading import read, recorded
from tests.sql.test_statements import STATEMENTS

FIRST_DATE_MS = -62_135_596_800_000

names = st.sampled_from(["a", "s1", "B_2", "time", "温度", "7", "explain", "sum"])
last_names = names | st.sampled_from(['"x.y"', "'from'"])
suffixes = st.builds(
    lambda nodes, last: ".".join([*nodes, last]), st.lists(names | st.just("*"), max_size=2), last_names
)
prefixes = st.builds(lambda nodes: ".".join(["root", *nodes]), st.lists(names | st.just("*"), max_size=3))
compared = (suffixes | prefixes).filter(lambda path: path != "time")
times = st.integers(min_value=LEAST_TIME_MS, max_value=GREATEST_TIME_MS)
instants = st.integers(min_value=FIRST_DATE_MS, max_value=GREATEST_TIME_MS)
lengths = st.integers(min_value=1, max_value=GREATEST_TIME_MS)
int32 = st.integers(min_value=1, max_value=2**31 - 1)
literals = st.one_of(
    st.builds(Literal, st.just(LiteralKind.INTEGER), st.integers().map(str)),
    st.builds(Literal, st.just(LiteralKind.DECIMAL), st.sampled_from(["1.5", "-.5", "1.", "2e3", "-1.5E-2"])),
    st.builds(Literal, st.just(LiteralKind.NAME), names.filter(lambda name: name != "7")),
    st.builds(Literal, st.just(LiteralKind.STRING), st.sampled_from(["''", '"a b"', "'\\''", "'\"'", "'`;'", "'\\d'"])),
)
comparisons = st.one_of(
    st.builds(Comparison, compared, st.sampled_from(CompareOp), literals),
    st.builds(TimeComparison, st.sampled_from(CompareOp), times),
)
conditions = st.recursive(
    comparisons,
    lambda inner: st.one_of(
        st.builds(all_of, st.lists(inner, min_size=1, max_size=3)),
        st.builds(any_of, st.lists(inner, min_size=1, max_size=3)),
        st.builds(Not, inner),
    ),
    max_leaves=8,
)
functions = st.sampled_from(Function).flatmap(
    lambda function: st.builds(
        SelectItem, suffixes, st.just(function), st.sampled_from([function.value, function.value.upper()])
    )
)
windows = st.builds(
    lambda start, end, unit, more: Windows(start, end, unit, min(unit + more, GREATEST_TIME_MS)),
    instants,
    instants,
    lengths,
    st.just(0) | lengths,
)
fill_types = st.sampled_from([DataType.INT32, DataType.INT64, DataType.FLOAT, DataType.DOUBLE])
fill_rules = st.one_of(
    st.builds(FillRule, st.sampled_from(DataType), st.just(FillMethod.PREVIOUS), st.none() | lengths),
    st.builds(FillRule, fill_types, st.just(FillMethod.LINEAR)),
    st.builds(FillRule, fill_types, st.just(FillMethod.LINEAR), lengths, lengths),
)
fills = st.builds(
    lambda at, rules: Fill(at, tuple(rules)),
    times,
    st.lists(fill_rules, min_size=1, max_size=4, unique_by=lambda rule: rule.data_type),
)


@st.composite
def selects(draw):
    shape = draw(st.sampled_from(["plain", "functions", "windows", "fill"]))
    by_device = draw(st.booleans())
    items = draw(
        st.lists(
            functions if shape in ("functions", "windows") else st.builds(SelectItem, suffixes), min_size=1, max_size=3
        )
    )
    if by_device:
        items = [SelectItem("s", item.function, item.function_text) for item in items]
    limit = draw(st.none() | int32) if shape != "fill" else None
    series_limit = draw(st.none() | int32)
    return sql.Select(
        tuple(items),
        tuple(draw(st.lists(prefixes, min_size=1, max_size=3))),
        where=draw(st.none() | conditions) if shape != "fill" else None,
        windows=draw(windows) if shape == "windows" else None,
        fill=draw(fills) if shape == "fill" else None,
        limit=limit,
        offset=draw(st.just(0) | int32) if limit else 0,
        series_limit=series_limit,
        series_offset=draw(st.just(0) | int32) if series_limit else 0,
        by_device=by_device,
        aligned=by_device or shape != "plain" or draw(st.booleans()),
    )


@settings(max_examples=120, deadline=None)
@given(selects())
def test_a_select_written_out_is_read_as_the_same(select):
    assert select == read(format_statement(select))
    assert sql.Explain(select) == read(format_statement(sql.Explain(select)))


@settings(max_examples=60, deadline=None)
@given(instants, st.lists(st.tuples(last_names, literals), min_size=1, max_size=5))
def test_an_insert_written_out_is_read_as_the_same(time_ms, cells):
    names_, values = zip(*cells, strict=True)
    insert = sql.Insert("root.a.d", time_ms, names_, values)
    assert insert == read(format_statement(insert))


@pytest.mark.parametrize("text", [text for text in STATEMENTS if "PASSWORD" not in text and "CREATE USER" not in text])
def test_each_statement_of_the_page_written_out_is_read_as_the_same(text):
    assert STATEMENTS[text] == read(format_statement(STATEMENTS[text]))


def test_the_recorded_statements_written_out_are_read_as_the_same():
    for text in sorted({statement.text for statement in recorded()}):
        try:
            statement = read(text)
        except SqlError:
            continue
        if not isinstance(statement, sql.CreateUser | sql.AlterUser):
            assert statement == read(format_statement(statement))


def test_a_password_is_not_written_out():
    assert "CREATE USER anna '******'" == format_statement(sql.CreateUser("anna", "secret"))
    assert "ALTER USER anna SET PASSWORD '******'" == format_statement(sql.AlterUser("anna", "secret"))


def test_a_condition_has_no_more_parentheses_than_it_needs():
    for text in ("a = 1 AND (b > 2 OR time <= 3)", "a = 1 AND b > 2 OR c != 'x'", "NOT(a = 1 OR b = 2) AND c < -1"):
        assert text == format_condition(read(f"SELECT * FROM root WHERE {text}").where)
