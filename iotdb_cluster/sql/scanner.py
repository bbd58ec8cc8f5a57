"""From the text of a statement to the tokens of `grammar.lark`.

A path is one token: what can be a node of it is decided here, with the place of the node that cannot. Times become
milliseconds here, so that nothing behind the scanner needs a zone or a clock.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import tzinfo
from itertools import islice

from lark import Token
from lark.lexer import Lexer

from iotdb_cluster.sql.keywords import CONTEXTUAL, keyword_of
from iotdb_cluster.sql.limits import MAX_DEPTH, MAX_TOKENS, MAX_WORD_CHARACTERS
from iotdb_cluster.sql.refusal import Refusal, shown
from iotdb_cluster.sql.times import BadTime, has_offset, is_duration, moment_ms
from iotdb_cluster.types.paths import MAX_LEVELS, ROOT, WILDCARD, nodes_of

_SCRIPTS = (
    "\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u02ff\u0370-\u037d\u037f-\u1fff\u200c\u200d\u2070-\u218f\u2c00-\u2fef"
    "\u3001-\ud7ff\uf900-\ufdcf\ufdf0-\ufffd\U00010000-\U000effff"
)
"""The letters that are not ASCII, written out so that they do not change with the version of Python."""
_LETTER = rf"A-Za-z_{_SCRIPTS}"
_WORD = rf"{_LETTER}0-9\u00b7\u0300-\u036f\u203f\u2040"

# The original skips back quotes wherever they stand, and clients that quote names by them have relied on it.
_GAP = r"[\s`]*+"
# Backslashes take the next character with them; where that leaves the text without an end, they are but characters.
_STRING = r""" "[^"\\]*+(?:\\.[^"\\]*+)*+" | '[^'\\]*+(?:\\.[^'\\]*+)*+' | "[^"]*+" | '[^']*+' """
_CHUNK = rf"(?: \* | [{_WORD}]++ | {_STRING} )"
_DAY = r"[0-9]++[-/][0-9]++[-/][0-9]++"
_NOT_IN_PATH = rf"(?![{_WORD}.\"'*])"

# Groups are repeated greedily, not possessively: Python before 3.11.5 stops in the middle of a last round that fails.
_TOKEN = re.compile(
    rf"""
    {_GAP}
    (?: (?P<MOMENT>  {_DAY} (?:[Tt]|\s++) [0-9]+:[0-9]+:[0-9]+ (?:\.[0-9]+)? (?:[+-][0-9]+:[0-9]+)? )
      | (?P<DAY>     {_DAY} )
      | (?P<REAL>    (?: [0-9]++\.[0-9]*+ | \.[0-9]++ ) (?:[eE][+-]?[0-9]++)? {_NOT_IN_PATH}
                   | [0-9]++[eE][+-]?[0-9]++ {_NOT_IN_PATH} )
      | (?P<FILE>    [A-Za-z:]*+ [\\/] [A-Za-z0-9_.:\\/-]*+ )
      | (?P<PATH>    {_CHUNK} (?: {_GAP}\.{_GAP} {_CHUNK} ){{1,{MAX_LEVELS - 1}}} )
      | (?P<WORD>    \* | [{_WORD}]++ )
      | (?P<STRING>  {_STRING} )
      | (?P<SIGN>    <= | >= | <> | != | == | && | \|\| | [=<>&|!(),\[\]+-] )
      | (?P<END>     ;? [\s`;]*+ \Z )
      | (?P<UNKNOWN> . )
    )
    """,
    re.VERBOSE | re.DOTALL,
)
_CHUNKS = re.compile(_CHUNK, re.VERBOSE | re.DOTALL)
_CALL = re.compile(rf"{_GAP}\({_GAP}\)")
_ANOTHER_NODE = re.compile(rf"{_GAP}\.")
_NOT_JUST_DOTS = re.compile(r"[\s`\"']")
_NAME_START = re.compile(f"[{_LETTER}]")

_SIGNS = {
    "=": "EQUAL",
    "==": "EQUAL",
    "(": "LPAR",
    ")": "RPAR",
    "[": "LSQB",
    "]": "RSQB",
    ",": "COMMA",
    "+": "PLUS",
    "-": "MINUS",
    "&": "AND",
    "&&": "AND",
    "|": "OR",
    "||": "OR",
    "!": "NOT",
}
_QUOTES = "\"'"


@dataclass(slots=True)
class Source:
    """A statement's text, and what its times are read by; where that is missing and needed, `NeedsClock` is raised."""

    text: str
    zone: tzinfo | None = None
    now_ms: int | None = None


class NeedsClock(Exception):
    """The statement means something else tomorrow, or in another zone."""


class Scanner(Lexer):
    """The lexer that lark is given; it reads a `Source` and keeps nothing."""

    def __init__(self, lexer_conf: object) -> None:
        """Lark hands its terminals over, which are not needed: `_TOKEN` has them all."""

    def lex(self, source: Source) -> Iterator[Token]:  # type: ignore[override]
        """The tokens in order; raises `Refusal`."""
        text, match = source.text, _TOKEN.match
        end = depth = count = 0
        while True:
            found = match(text, end)
            assert found is not None, "UNKNOWN and END match whatever is left"
            kind = found.lastgroup
            start, end = found.span(kind or 0)
            word = text[start:end]
            match kind:
                case "WORD":
                    if len(word) > MAX_WORD_CHARACTERS:
                        raise Refusal(f"longer than {MAX_WORD_CHARACTERS} characters: {shown(word)}", start, word)
                    token = _word(word, start)
                    if token.type == "NOW" and (call := _CALL.match(text, end)):
                        end = call.end()
                        token = Token("TIME", _now(source), start)
                case "SIGN":
                    token = Token(_SIGNS.get(word, "OPERATOR"), word, start)
                    depth += (word == "(") - (word == ")")
                case "PATH":
                    token = _path(word, start)
                    if len(nodes_of(token)) == MAX_LEVELS and _ANOTHER_NODE.match(text, end):
                        raise Refusal(f"the path has more than {MAX_LEVELS} levels", start, word)
                case "REAL" | "STRING" | "FILE":
                    token = Token(kind, word, start)
                case "MOMENT":
                    token = Token("TIME", _moment(word, start, source), start)
                case "END":
                    return
                case _:
                    raise _unknown(kind, word, start)
            count += 1
            if count > MAX_TOKENS or depth > MAX_DEPTH:
                raise _too_large(word, start, depth)
            yield token


def extent(text: str, position: int) -> str:
    """The text of the token that begins at `position`."""
    found = _TOKEN.match(text, position)
    return found.group().strip() if found else ""


def _word(word: str, start: int) -> Token:
    if word == WILDCARD:
        return Token("SUFFIX", word, start)
    keyword = keyword_of(word)
    if keyword == "ROOT" and word != ROOT:
        raise _not_lower_case(word, start)
    if keyword:
        return Token(keyword, word, start)
    if _NAME_START.match(word):
        return Token("NAME", word, start)
    if word.isascii() and word.isdigit():
        return Token("INT", word, start)
    if is_duration(word):
        return Token("DURATION", word, start)
    raise Refusal(f"unexpected {shown(word)}: neither a name nor a number", start, word)


def _path(text: str, start: int) -> Token:
    nodes = _CHUNKS.findall(text) if _NOT_JUST_DOTS.search(text) else text.split(".")
    from_root = keyword_of(nodes[0]) == "ROOT"
    if from_root and nodes[0] != ROOT:
        raise _not_lower_case(nodes[0], start)
    last = len(nodes) - 1
    for index, node in enumerate(nodes):
        problem = _problem_of_node(node, is_last=index == last)
        if problem and not (from_root and index == 0):
            place = next(islice(_CHUNKS.finditer(text), index, None)).start()
            raise Refusal(f"{shown(node)} cannot be a node of a path: {problem}", start + place, node)
    kind = ("ROOT_PATTERN" if WILDCARD in nodes else "ROOT_PATH") if from_root else "SUFFIX"
    return Token(kind, ".".join(nodes), start)


def _problem_of_node(node: str, *, is_last: bool) -> str | None:
    if _NAME_START.match(node):
        keyword = keyword_of(node)
        return "it is a keyword" if keyword and keyword not in CONTEXTUAL else None
    if node == WILDCARD or (node.isascii() and node.isdigit()):
        return None
    if node[0] in _QUOTES:
        return None if is_last else "only the last one may stand in quotes"
    return "it is neither a name nor an integer"


def _not_lower_case(word: str, start: int) -> Refusal:
    return Refusal(f"{shown(word)}: paths begin with 'root', in lower case", start, word)


def _now(source: Source) -> int:
    if source.now_ms is None:
        raise NeedsClock
    return source.now_ms


def _moment(text: str, start: int, source: Source) -> int:
    if source.zone is None and not has_offset(text):
        raise NeedsClock
    try:
        return moment_ms(text, source.zone)
    except BadTime as error:
        raise Refusal(f"{shown(text)}: {error}", start, text, is_tree=True) from None


def _unknown(kind: str | None, word: str, start: int) -> Refusal:
    if kind == "DAY":
        return Refusal(f"{shown(word)}: a date needs its time of day, as in 2020-02-03 00:00:00", start, word)
    if word in _QUOTES:
        return Refusal("the text that begins here has no closing quote", start, word)
    if word == ";":
        return Refusal("unexpected ';': one statement at a time", start, word)
    return Refusal(f"unexpected {shown(word)}", start, word)


def _too_large(word: str, start: int, depth: int) -> Refusal:
    if depth > MAX_DEPTH:
        return Refusal(f"more than {MAX_DEPTH} open parentheses", start, word)
    return Refusal(f"the statement has more than {MAX_TOKENS} parts", start, word)
