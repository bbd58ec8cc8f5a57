"""What to say where a statement cannot go on as it does: the token, and what could have stood there."""

from lark import UnexpectedToken

from iotdb_cluster.sql.keywords import CONTEXTUAL, RESERVED
from iotdb_cluster.sql.refusal import Refusal, shown
from iotdb_cluster.sql.scanner import extent

_DESCRIPTIONS = {
    "FUNCTION": "a function",
    "NAME": "a name",
    "INT": "an integer",
    "REAL": "a decimal",
    "STRING": "a text in quotes",
    "DURATION": "a duration such as 1d2h",
    "TIME": "a time",
    "FILE": "a file",
    "ROOT": "a path from root",
    "ROOT_PATH": "a path from root",
    "ROOT_PATTERN": "a path from root",
    "SUFFIX": "a path",
    "OPERATOR": "a comparison",
    "COMMA": "','",
    "EQUAL": "'='",
    "LPAR": "'('",
    "RPAR": "')'",
    "LSQB": "'['",
    "RSQB": "']'",
    "PLUS": "'+'",
    "MINUS": "'-'",
    "$END": "the end",
}
_END = "$END"
_IGNORED_AT_END = " \t\r\n`;"
_FROM_ROOT = frozenset({"ROOT", "ROOT_PATH", "ROOT_PATTERN"})
_SHORT_PATHS = frozenset({"NAME", "INT", "REAL", "STRING"})
_UNSUPPORTED = frozenset({"DESCRIBE", "INDEX", "METADATA", "UPDATE"})
"""Keywords that the grammar knows only in order to say that what they begin is not supported."""


def refusal_of(unexpected: UnexpectedToken, text: str) -> Refusal:
    """The refusal of a token, or of the end, where the grammar has no place for it."""
    token, accepted = unexpected.token, frozenset(unexpected.accepts)
    if token.type == _END:
        position, word, problem = len(text.rstrip(_IGNORED_AT_END)), "", "unexpected end of the statement"
    else:
        position = token.start_pos or 0
        word = extent(text, position)
        problem = f"unexpected {shown(word)}"
    if token.type in RESERVED and "NAME" in accepted:
        problem += ", a keyword, which cannot be a name"
    elif token.type == "ROOT_PATTERN" and "ROOT_PATH" in accepted:
        problem += ", a path with '*'"
    expected = _described(accepted)
    if expected:
        problem += f", expected {_listed(expected)}"
    return Refusal(problem, position, word, expected=expected)


def _described(accepted: frozenset[str]) -> tuple[str, ...]:
    accepted -= _UNSUPPORTED
    if "NAME" in accepted:
        accepted -= CONTEXTUAL
    if "OPERATOR" in accepted:
        accepted -= {"EQUAL"}
    if "FROM" in accepted:
        accepted -= {"LPAR"}  # The path before it might have been a function; hardly anybody meant that.
    if "SUFFIX" in accepted:
        accepted -= _SHORT_PATHS | _FROM_ROOT
        if "COUNT" in accepted:
            accepted = accepted - {"COUNT"} | {"FUNCTION"}
    keywords = sorted(name for name in accepted if name not in _DESCRIPTIONS)
    others = sorted({_DESCRIPTIONS[name] for name in accepted if name in _DESCRIPTIONS})
    return (*keywords, *others)


def _listed(words: tuple[str, ...]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"
