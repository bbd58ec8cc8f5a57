"""Any text is read or refused, with a place inside it, and soon."""

import random
import re
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from iotdb_cluster.errors import SqlError
from iotdb_cluster.sql import Statement
from iotdb_cluster.sql.format import format_statement
from iotdb_cluster.sql.limits import (
    MAX_DEPTH,
    MAX_PATHS,
    MAX_STATEMENT_CHARACTERS,
    MAX_TOKENS,
    MAX_WORD_CHARACTERS,
)
from iotdb_cluster.types.paths import MAX_LEVELS
from tests.sql.reading import read, recorded

MOST_SECONDS = 0.1
SEEDS = range(1500)

TEXTS = sorted({statement.text for statement in recorded()})
PIECES = sorted({piece for text in TEXTS for piece in re.findall(r"\w+|\s+|[^\w\s]+", text)})
ODD_PIECES = [
    "'",
    '"',
    "`",
    ";",
    "\\",
    "\x00",
    "\n",
    "\u2028",
    "é",
    "\U0001f600",
    "\ud800",
    "0" * 30,
    "1e",
    ".",
    "..",
    "-",
    "now()",
]


def check(text: str) -> None:
    """The property: a statement that can be written out, or an error whose place is in the text."""
    try:
        statement = read(text)
    except SqlError as refusal:
        lines = text.split("\n")
        assert 1 <= refusal.line <= len(lines)
        assert 1 <= refusal.column <= len(lines[refusal.line - 1]) + 1
        assert refusal.message.startswith(f"line {refusal.line}, column {refusal.column}: ")
        assert refusal.token in text or len(text) > MAX_STATEMENT_CHARACTERS
        assert refusal.code in (303, 400, 401, 500)
    else:
        assert isinstance(statement, Statement)
        assert format_statement(statement)


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=60))
@example("\ud800")
@example("SELECT \ufeffs FROM root")
def test_any_text_is_read_or_refused(text):
    check(text)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(PIECES + ODD_PIECES), max_size=25))
def test_any_row_of_words_is_read_or_refused(pieces):
    check("".join(pieces))
    check(" ".join(pieces))


def test_recorded_statements_with_something_changed_are_read_or_refused():
    for seed in SEEDS:
        draw = random.Random(seed)
        check(changed(draw.choice(TEXTS), draw))


def changed(text: str, draw: random.Random) -> str:
    """The text with one to three pieces left out, doubled, swapped, replaced or put in."""
    pieces = re.findall(r"\w+|\s+|[^\w\s]", text) or [""]
    for _ in range(draw.randint(1, 3)):
        place, other = draw.randrange(len(pieces)), draw.randrange(len(pieces))
        match draw.randrange(6):
            case 0:
                pieces[place] = ""
            case 1:
                pieces[place] *= 2
            case 2:
                pieces[place], pieces[other] = pieces[other], pieces[place]
            case 3:
                pieces[place] = draw.choice(PIECES)
            case 4:
                pieces.insert(place, draw.choice(ODD_PIECES))
            case 5:
                return "".join(pieces)[: draw.randint(0, len(text))]
    return "".join(pieces)


# ---- sizes

M = MAX_STATEMENT_CHARACTERS
LARGE = {
    "blanks": " " * M,
    "back quotes": "`" * M,
    "semicolons": ";" * M,
    "quotes": "'" * M,
    "a text that never ends": "'" + "\\" * (M - 1),
    "texts that end by backslashes": "'\\" * (M // 2),
    "digits": "1" * M,
    "a long limit": "SELECT s FROM root.a LIMIT " + "1" * (M - 50),
    "letters": "a" * M,
    "letters of other scripts": "中" * M,
    "letters and digits": "1e" * (M // 2),
    "decimals": ".1" * (M // 2),
    "a path": "SELECT s FROM root" + ".a" * (M // 2 - 10),
    "a path with gaps": "SELECT s FROM root" + " . a" * (M // 4 - 10),
    "a path of texts": "SELECT " + "'a'." * (M // 4 - 10),
    "signs": "," * M,
    "slashes": "/" * M,
    "almost dates": "1-1-1 " * (M // 6),
    "a date and blanks": "SELECT s FROM root.a WHERE time > 1-1-1" + " " * (M - 50),
    "a long fraction": "SELECT s FROM root.a WHERE time > 2020-01-01 00:00:00." + "1" * (M - 100),
    "a long duration": "SELECT s FROM root.a WHERE time > now() - " + "1d" * (M // 2 - 50),
    "parentheses": "SELECT s FROM root.a WHERE " + "(" * (M - 50),
    "lines": "\n" * (M - 1) + "x",
    "many paths": "SELECT " + "a," * (M // 2 - 50) + "a FROM root",
    "many conditions": "SELECT s FROM root.a WHERE " + " AND ".join(["a.b > -1.5"] * (MAX_TOKENS // 5)),
    "many parentheses": "SELECT s FROM root.a WHERE " + " OR ".join(["(a.b > -1.5)"] * (M // 20)),
    "many times": "SELECT s FROM root.a WHERE " + " OR ".join(["time = 2020-01-01 00:00:00"] * (MAX_TOKENS // 4 - 2)),
    "many steps": "SELECT s FROM root.a WHERE time > now()" + " + 1ms" * (MAX_TOKENS // 2 - 10),
    "many properties": "CREATE TIMESERIES root.a.b WITH DATATYPE=INT32,ENCODING=RLE" + ",a=1" * (MAX_TOKENS // 4 - 5),
    "a long text": f"INSERT INTO root.a(timestamp, s) VALUES(1, '{'x' * (M - 100)}')",
    "a text of backslashes": "INSERT INTO root.a(timestamp, s) VALUES(1, '" + "\\x" * (M // 2 - 100) + "')",
    "many measurements": "INSERT INTO root.a(timestamp" + ",abcd" * 1490 + ") VALUES(1" + ",1.5" * 1490 + ")",
    "more than may be": "x" * (M + 1),
}


@pytest.mark.parametrize("name", LARGE)
def test_large_texts_are_answered_within_a_tenth_of_a_second(name):
    read("SHOW VERSION")
    # The processor's time of the best of three: other work on the machine is not what is measured.
    took = []
    for _ in range(3):
        began = time.thread_time()
        check_large(LARGE[name])
        took.append(time.thread_time() - began)
        if took[-1] < MOST_SECONDS:
            return
    raise AssertionError(f"{name}: {took} s")


def check_large(text: str) -> None:
    try:
        read(text)
    except SqlError as refusal:
        assert refusal.code in (303, 401)
        assert len(refusal.message) < 500


def test_a_long_text_may_be_inserted():
    content = "x" * (MAX_STATEMENT_CHARACTERS - 100)
    assert content == read(f"INSERT INTO root.a(timestamp, s) VALUES(1, '{content}')").values[0].content


@pytest.mark.parametrize(
    "fits, too_much, problem",
    [
        (
            "SELECT s FROM root.a WHERE " + "(" * MAX_DEPTH + "a = 1" + ")" * MAX_DEPTH,
            "SELECT s FROM root.a WHERE " + "(" * (MAX_DEPTH + 1) + "a = 1" + ")" * (MAX_DEPTH + 1),
            f"more than {MAX_DEPTH} open parentheses",
        ),
        (
            "SELECT " + ",".join(["s"] * MAX_PATHS) + " FROM root.a",
            "SELECT " + ",".join(["s"] * (MAX_PATHS + 1)) + " FROM root.a",
            f"more than {MAX_PATHS} in one list",
        ),
        (
            "DELETE TIMESERIES " + ",".join(["root.a"] * MAX_PATHS),
            "DELETE TIMESERIES " + ",".join(["root.a"] * (MAX_PATHS + 1)),
            f"more than {MAX_PATHS} in one list",
        ),
        (
            "SHOW DEVICES root" + ".a" * (MAX_LEVELS - 1),
            "SHOW DEVICES root" + ".a" * MAX_LEVELS,
            f"more than {MAX_LEVELS} levels",
        ),
        (
            "SHOW DEVICES root." + "a" * MAX_WORD_CHARACTERS,
            f"SELECT {'a' * (MAX_WORD_CHARACTERS + 1)} FROM root",
            f"longer than {MAX_WORD_CHARACTERS} characters",
        ),
        (
            "SHOW VERSION" + " " * (MAX_STATEMENT_CHARACTERS - 12),
            "SHOW VERSION" + " " * (MAX_STATEMENT_CHARACTERS - 11),
            f"the statement is longer than {MAX_STATEMENT_CHARACTERS} characters",
        ),
        (
            "SELECT s FROM root WHERE time > now()" + " - 1d" * ((MAX_TOKENS - 8) // 2),
            "SELECT s FROM root WHERE time > now()" + " - 1d" * (MAX_TOKENS // 2),
            f"more than {MAX_TOKENS} parts",
        ),
    ],
    ids=["depth", "select", "list", "levels", "word", "statement", "parts"],
)
def test_each_limit_is_where_it_says(fits, too_much, problem):
    assert isinstance(read(fits), Statement)
    with pytest.raises(SqlError, match=problem) as caught:
        read(too_much)
    assert 401 == caught.value.code


def test_the_deepest_condition_can_be_walked_shown_and_compared():
    text = "SELECT s FROM root.a WHERE " + "not(a = 1 and " * MAX_DEPTH + "b = 1" + ")" * MAX_DEPTH
    statement = read(text)
    assert statement == read(text + " ")
    assert hash(statement) == hash(read(text + " "))
    assert "b" in repr(statement)
    assert statement == read(format_statement(statement))
