"""Conditions: operators, how tightly they bind, constants, and what NOT comes to."""

import pytest

from iotdb_cluster.errors import SqlError, SqlTreeRefused
from iotdb_cluster.sql.conditions import (
    And,
    Comparison,
    Literal,
    LiteralKind,
    Not,
    Or,
    TimeComparison,
    without_not,
)
from iotdb_cluster.types.filters import CompareOp
from tests.sql.reading import NOW_MS, read


def condition(text: str):
    return read(f"SELECT * FROM root.a WHERE {text}").where


def value(name: str, op: CompareOp = CompareOp.EQ, text: str = "1"):
    return Comparison(name, op, Literal(LiteralKind.INTEGER, text))


A, B, C, D = (value(name) for name in "abcd")


@pytest.mark.parametrize(
    "sign, op",
    [
        ("=", CompareOp.EQ),
        ("==", CompareOp.EQ),
        ("!=", CompareOp.NEQ),
        ("<>", CompareOp.NEQ),
        ("<", CompareOp.LT),
        ("<=", CompareOp.LTEQ),
        (">", CompareOp.GT),
        (">=", CompareOp.GTEQ),
    ],
)
def test_each_operator(sign, op):
    assert value("s", op, "-5") == condition(f"s {sign} -5") == condition(f"s{sign}-5")
    assert TimeComparison(op, -5) == condition(f"time {sign} -5")


@pytest.mark.parametrize("both, either", [("and", "or"), ("&", "|"), ("&&", "||"), ("AND", "Or")])
def test_and_binds_tighter_than_or(both, either):
    assert Or((A, And((B, C)))) == condition(f"a=1 {either} b=1 {both} c=1")
    assert Or((And((A, B)), And((C, D)))) == condition(f"a=1 {both} b=1 {either} c=1 {both} d=1")
    assert And((Or((A, B)), C)) == condition(f"(a=1 {either} b=1) {both} c=1")


def test_terms_of_a_kind_are_one_level():
    assert And((A, B, C, D)) == condition("a=1 and (b=1 and (c=1 and d=1))")
    assert Or((A, B, C, D)) == condition("((a=1 or b=1) or c=1) or d=1")
    assert A == condition("((a=1))")


@pytest.mark.parametrize("negation", ["not(a=1 or b=1)", "NOT (a=1 or b=1)", "!(a=1 or b=1)", "! ((a=1) or b=1)"])
def test_not_stands_before_parentheses(negation):
    assert Not(Or((A, B))) == condition(negation)


@pytest.mark.parametrize("text", ["not a=1", "!a=1", "not not(a=1)"])
def test_not_stands_before_nothing_else(text):
    with pytest.raises(SqlError):
        condition(text)


def test_paths_are_suffixes_or_begin_at_root_and_time_is_exactly_that_word():
    assert value("d.s") == condition("d.s = 1")
    assert value("*") == condition("* = 1")
    assert value("root.x.*.s") == condition("root.x.*.s = 1")
    assert TimeComparison(CompareOp.EQ, 1) == condition("time = 1")
    assert value("TIME") == condition("TIME = 1")
    assert value("d.time") == condition("d.time = 1")
    assert value("'time'") == condition("'time' = 1")


@pytest.mark.parametrize(
    "written, kind, text",
    [
        ("12", LiteralKind.INTEGER, "12"),
        ("- 12", LiteralKind.INTEGER, "-12"),
        ("1.5", LiteralKind.DECIMAL, "1.5"),
        (".5", LiteralKind.DECIMAL, ".5"),
        ("1.", LiteralKind.DECIMAL, "1."),
        ("2e3", LiteralKind.DECIMAL, "2e3"),
        ("2e-3", LiteralKind.DECIMAL, "2e-3"),
        ("-1.5E2", LiteralKind.DECIMAL, "-1.5E2"),
        ("- .5e+2", LiteralKind.DECIMAL, "-.5e+2"),
        ("'x'", LiteralKind.STRING, "'x'"),
        ('"x y"', LiteralKind.STRING, '"x y"'),
        ("true", LiteralKind.NAME, "true"),
        ("v09", LiteralKind.NAME, "v09"),
        ("99999999999999999999", LiteralKind.INTEGER, "99999999999999999999"),
    ],
)
def test_a_constant_stays_as_it_is_written(written, kind, text):
    assert Comparison("s", CompareOp.GT, Literal(kind, text)) == condition(f"s > {written}")
    assert Comparison("s", CompareOp.GT, Literal(kind, text)) == condition(f"(s > {written})")


@pytest.mark.parametrize(
    "text", ["-3 < s1", "s1 + 1 > 3", "s1 > s.t", "s1", "s1 >", "s1 => 3", "3 > -3", "(a=1", "a=1)", "a=1 b=1"]
)
def test_the_constant_stands_on_the_right_and_nothing_is_computed(text):
    try:
        found = condition(text)
    except SqlError as refusal:
        assert 401 == refusal.code
    else:
        assert value("3", CompareOp.GT, "-3") == found, "an integer on the left is a path"


@pytest.mark.parametrize("constant", ["1.5", "'x'", "abc", "9223372036854775808", "-9223372036854775809"])
def test_time_is_compared_with_times_only(constant):
    with pytest.raises(SqlTreeRefused) as caught:
        condition(f"time > {constant}")
    assert 303 == caught.value.code


def test_the_first_and_the_last_time_are_times():
    assert TimeComparison(CompareOp.GTEQ, -(2**63)) == condition("time >= -9223372036854775808")
    assert TimeComparison(CompareOp.LTEQ, 2**63 - 1) == condition("time <= 9223372036854775807")


def test_a_time_is_compared_with_time_only():
    for constant in ("now()", "2020-02-03 04:05:06"):
        with pytest.raises(SqlTreeRefused, match="a time can be compared with 'time' only"):
            condition(f"s1 > {constant}")


def test_now_may_be_moved_by_durations():
    assert TimeComparison(CompareOp.GT, NOW_MS) == condition("time > NOW ( )")
    assert TimeComparison(CompareOp.GT, NOW_MS - 93_600_000) == condition("time > now() - 1d2h")
    assert TimeComparison(CompareOp.GT, NOW_MS - 86_400_000 + 60_000) == condition("time > now()-1d+1m")
    assert TimeComparison(CompareOp.LT, 1_580_673_906_000 + 1) == condition("time < 2020-02-03T04:05:06 + 1ms")


@pytest.mark.parametrize("text", ["now() - 5", "now() * 2", "5 - 1d", "now", "now() 1d", "now() - now()"])
def test_nothing_else_is_computed_with_times(text):
    with pytest.raises(SqlError) as caught:
        condition(f"time > {text}")
    assert 401 == caught.value.code


@pytest.mark.parametrize("text", ["now() + 300000000y", "now() - 300000000y", "now() - 0d", "now() - 1us"])
def test_a_time_that_cannot_be_is_refused(text):
    with pytest.raises(SqlTreeRefused):
        condition(f"time > {text}")


# ---- without NOT


@pytest.mark.parametrize(
    "written, meant",
    [
        ("not(a=1)", "a!=1"),
        ("not(a!=1)", "a=1"),
        ("not(a<1)", "a>=1"),
        ("not(a<=1)", "a>1"),
        ("not(a>1)", "a<=1"),
        ("not(a>=1)", "a<1"),
        ("not(time>3)", "time<=3"),
        ("not(a=1 and b=1)", "a!=1 or b!=1"),
        ("not(a=1 or not(b=1 and c=1))", "a!=1 and b=1 and c=1"),
        ("not(not(a=1))", "a=1"),
        ("a=1 or not(b=1 and c=1)", "a=1 or b!=1 or c!=1"),
    ],
)
def test_not_is_pushed_down_to_the_operators(written, meant):
    assert condition(meant) == without_not(condition(written))
