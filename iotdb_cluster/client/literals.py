"""Python values as SQL literals, and statements whose question marks they take the place of."""

import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal

import numpy as np

from iotdb_cluster.client.values import text_of
from iotdb_cluster.errors import ValueRefused

# The server's own strings: a backslash takes the next character with it, unless that leaves the text without an end.
_STRING_OR_MARK = re.compile(
    r"""("[^"\\]*+(?:\\.[^"\\]*+)*+" | '[^'\\]*+(?:\\.[^'\\]*+)*+' | "[^"]*+" | '[^']*+') | \?""",
    re.VERBOSE | re.DOTALL,
)
_OPEN_END = re.compile(r"(?<!\\)(?:\\\\)*\\\Z", re.DOTALL)


def literal_of(value: object) -> str:
    """SQL for one value; raises `ValueRefused` for what SQL has no literal for.

    Texts arrive as they are or not at all: SQL has no way to escape a quote, so that one with both kinds of quotes, or
    with a backslash before its end, travels only in a tablet. Moments need a zone, and lose what is below milliseconds.
    """
    if isinstance(value, np.generic):
        value = value.item()
    match value:
        case datetime():
            if value.tzinfo is None:
                raise ValueRefused(f"{value!r} has no time zone")
            moment = value.astimezone(UTC)
            return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03}+00:00"
        case date():
            raise ValueRefused(f"{value!r} is a day: a datetime with a time zone, or milliseconds, are needed")
        case str():
            return quoted(value)
        case Decimal():
            return literal_of(float(value))
        case float() if not math.isfinite(value):
            raise ValueRefused(f"SQL has no literal for {value}: a tablet takes it")
        case bool() | int() | float():
            return text_of(value)
        case None:
            raise ValueRefused("SQL has no literal for None: leave its column out")
    raise ValueRefused(f"{value!r} is a {type(value).__name__}: bool, int, float, str or datetime are needed")


def quoted(text: str) -> str:
    """A text in the quotes that do not end it early; raises `ValueRefused` when both do."""
    if _OPEN_END.search(text):
        raise ValueRefused(f"{text!r} ends with a backslash, which would take the quote behind it: a tablet takes it")
    for quote in "'\"":
        if quote not in text:
            return f"{quote}{text}{quote}"
    raise ValueRefused(f"{text!r} holds both kinds of quotes: a tablet takes it")


def with_parameters(statement: str, parameters: Sequence[object]) -> str:
    """The statement with a literal for each `?` outside of texts; raises `ValueRefused` when their numbers differ."""
    if isinstance(parameters, Mapping | str | bytes):
        raise ValueRefused(f"parameters are a {type(parameters).__name__}: a list is needed, a value for each ?")
    values = list(map(literal_of, parameters))
    used = 0

    def put_in(found: re.Match[str]) -> str:
        nonlocal used
        if found[1] is not None:
            return found[1]
        used += 1
        return values[used - 1] if used <= len(values) else "?"

    filled = _STRING_OR_MARK.sub(put_in, statement)
    if used != len(values):
        raise ValueRefused(f"the statement has {used} question marks, and there are {len(values)} parameters")
    return filled
