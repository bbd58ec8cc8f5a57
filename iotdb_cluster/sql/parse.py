"""Statements from text: the one way in. The grammar is in `grammar.lark`, the tree in `statements.py`."""

import functools
import re
from datetime import tzinfo
from importlib import resources
from typing import TYPE_CHECKING

from iotdb_cluster.errors import SqlError
from iotdb_cluster.sql.limits import MAX_CACHED_CHARACTERS, MAX_CACHED_STATEMENTS, MAX_STATEMENT_CHARACTERS
from iotdb_cluster.sql.refusal import Refusal, shown
from iotdb_cluster.sql.statements import Statement

if TYPE_CHECKING:
    from lark import Lark

    from iotdb_cluster.sql.scanner import Source

_HALF_CHARACTER = re.compile("[\ud800-\udfff]")
_REPEATED = ("SELECT", "SHOW", "COUNT", "EXPLAIN")


def parse(text: str, *, zone: tzinfo, now_ms: int) -> Statement:
    """The statement that `text` is; times without an offset are read in `zone`, `now()` is `now_ms`.

    Raises `SqlError` (mostly 401) with line and column, of which `SqlTreeRefused` (303) for what parses and has a bad
    literal, DELETE condition or encoding. Any text is answered or refused within a tenth of a second, the first one
    excepted (see `prepare`). Threads may share statements: equal texts give the same one while it is remembered.
    """
    if len(text) > MAX_STATEMENT_CHARACTERS:
        raise SqlError(f"the statement is longer than {MAX_STATEMENT_CHARACTERS} characters", line=1, column=1)
    # Other statements are hardly sent twice, would drive the queries out, and may hold a password.
    if len(text) <= MAX_CACHED_CHARACTERS and text.lstrip()[:7].upper().startswith(_REPEATED):
        remembered = _without_clock(text)
        if remembered is not None:
            return remembered
    from iotdb_cluster.sql.scanner import Source

    return _parse(Source(text, zone, now_ms))


def prepare() -> None:
    """Build the parser now instead of with the first statement: some tenths of a second, and ten megabytes."""
    _grammar()


@functools.lru_cache(MAX_CACHED_STATEMENTS)
def _without_clock(text: str) -> Statement | None:
    """The statement, if it means the same at all times and in all zones, else None; errors are not remembered."""
    from iotdb_cluster.sql.scanner import NeedsClock, Source

    try:
        return _parse(Source(text))
    except NeedsClock:
        return None


def _parse(source: "Source") -> Statement:
    from lark import UnexpectedToken

    try:
        _check_characters(source.text)
        # A `Source` is what our scanner reads; lark only hands it through.
        statement = _grammar().parse(source)
    except Refusal as refusal:
        raise refusal.to_error(source.text) from None
    except UnexpectedToken as unexpected:
        from iotdb_cluster.sql.unexpected import refusal_of

        raise refusal_of(unexpected, source.text).to_error(source.text) from None
    assert isinstance(statement, Statement), statement
    return statement


def _check_characters(text: str) -> None:
    half = None if text.isascii() else _HALF_CHARACTER.search(text)
    if half:
        raise Refusal(f"{shown(half.group())} is no character", half.start(), half.group())


@functools.cache
def _grammar() -> "Lark":
    # Here, since most nodes never see a statement, and lark is as large as the rest of this package in memory.
    from lark import Lark

    from iotdb_cluster.sql.builder import Builder
    from iotdb_cluster.sql.scanner import Scanner

    rules = resources.files(__package__).joinpath("grammar.lark").read_text(encoding="utf-8")
    return Lark(rules, parser="lalr", lexer=Scanner, transformer=Builder(), maybe_placeholders=True)
