"""Conditions and the literals in them, as a tree that says what was written.

A path in a condition is a suffix that stands behind every FROM path, or begins with `root`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from iotdb_cluster.types.filters import CompareOp

TIME = "time"
"""The path that means the time of a row in a condition; case counts, since `Time` may be a measurement."""


class LiteralKind(Enum):
    """How a literal is written; what it becomes depends on the type of its series."""

    INTEGER = "integer"
    DECIMAL = "decimal"
    STRING = "string"
    NAME = "name"


@dataclass(frozen=True, slots=True)
class Literal:
    """A constant as written: a sign stands before its digits without a gap, a STRING keeps its quotes.

    A time in the place of a value is an INTEGER of milliseconds. `text` is what the `insert` call takes as a value.
    """

    kind: LiteralKind
    text: str

    @property
    def content(self) -> str:
        """The text without the outer quotes of a STRING; backslashes stay."""
        return self.text[1:-1] if self.kind is LiteralKind.STRING else self.text


@dataclass(frozen=True, slots=True)
class Comparison:
    """`path op literal`: the value of a series. `path` is a suffix, or begins with `root`."""

    path: str
    op: CompareOp
    literal: Literal


@dataclass(frozen=True, slots=True)
class TimeComparison:
    """`time op constant`."""

    op: CompareOp
    time_ms: int


@dataclass(frozen=True, slots=True)
class And:
    """All hold; two terms or more, none of them an And."""

    terms: tuple["Condition", ...]


@dataclass(frozen=True, slots=True)
class Or:
    """One holds; two terms or more, none of them an Or."""

    terms: tuple["Condition", ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The term does not hold; see `conditions.without_not` for what that means where a value is missing."""

    term: "Condition"


Condition = Comparison | TimeComparison | And | Or | Not


_OPPOSITE = {
    CompareOp.EQ: CompareOp.NEQ,
    CompareOp.NEQ: CompareOp.EQ,
    CompareOp.LT: CompareOp.GTEQ,
    CompareOp.GTEQ: CompareOp.LT,
    CompareOp.GT: CompareOp.LTEQ,
    CompareOp.LTEQ: CompareOp.GT,
}


def all_of(terms: Iterable[Condition]) -> Condition:
    """The condition that all of `terms` hold; a term that is itself an And is taken apart."""
    flat = tuple(inner for term in terms for inner in (term.terms if isinstance(term, And) else (term,)))
    return flat[0] if len(flat) == 1 else And(flat)


def any_of(terms: Iterable[Condition]) -> Condition:
    """The condition that one of `terms` holds; a term that is itself an Or is taken apart."""
    flat = tuple(inner for term in terms for inner in (term.terms if isinstance(term, Or) else (term,)))
    return flat[0] if len(flat) == 1 else Or(flat)


def without_not(condition: Condition) -> Condition:
    """The same condition with each NOT pushed down to the operators.

    That is what gives NOT its meaning where a value is missing: a series without a value at a time fulfils neither
    `s > 3` nor `not(s > 3)` (interface page "SQL", "WHERE").
    """
    return _pushed(condition, negated=False)


def _pushed(condition: Condition, *, negated: bool) -> Condition:
    match condition:
        case Not(term):
            return _pushed(term, negated=not negated)
        case And(terms):
            pushed = [_pushed(term, negated=negated) for term in terms]
            return any_of(pushed) if negated else all_of(pushed)
        case Or(terms):
            pushed = [_pushed(term, negated=negated) for term in terms]
            return all_of(pushed) if negated else any_of(pushed)
        case Comparison(path, op, literal):
            return Comparison(path, _OPPOSITE[op], literal) if negated else condition
        case TimeComparison(op, time_ms):
            return TimeComparison(_OPPOSITE[op], time_ms) if negated else condition
