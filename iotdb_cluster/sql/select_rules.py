"""The callbacks of SELECT, of conditions and of constants: from the rules of `grammar.lark` to the tree.

A callback has the name of its rule and its parts as arguments, in order, None for an optional part that is absent;
keywords and signs are left out except where the grammar keeps them. What needs no schema is checked here, and refused
with the code of the interface page.
"""

import re
from typing import NamedTuple

from lark import Token, Transformer, v_args

from iotdb_cluster.errors import StatusCode
from iotdb_cluster.sql.conditions import (
    TIME,
    Comparison,
    Condition,
    Literal,
    LiteralKind,
    Not,
    TimeComparison,
    all_of,
    any_of,
)
from iotdb_cluster.sql.limits import MAX_PATHS
from iotdb_cluster.sql.refusal import Refusal, shown
from iotdb_cluster.sql.statements import (
    Explain,
    Fill,
    FillMethod,
    FillRule,
    Function,
    Select,
    SelectItem,
    Statement,
    Windows,
)
from iotdb_cluster.sql.times import GREATEST_TIME_MS, LEAST_TIME_MS, BadTime, duration_ms
from iotdb_cluster.types.filters import CompareOp
from iotdb_cluster.types.paths import nodes_of
from iotdb_cluster.types.schema import DataType

GREATEST_INT32 = 2**31 - 1
_GREATEST_DIGITS = 19
_PATH_OF_INTEGERS = re.compile(r"[0-9]+\.[0-9]+")

OPERATORS = {
    "=": CompareOp.EQ,
    "==": CompareOp.EQ,
    "!=": CompareOp.NEQ,
    "<>": CompareOp.NEQ,
    "<": CompareOp.LT,
    "<=": CompareOp.LTEQ,
    ">": CompareOp.GT,
    ">=": CompareOp.GTEQ,
}


class Constant(NamedTuple):
    """A literal and where it begins; `time_ms` where it is written as a time."""

    literal: Literal
    token: Token
    time_ms: int | None = None


class PlacedItem(NamedTuple):
    """What is selected, and where it stands."""

    item: SelectItem
    token: Token


class Where(NamedTuple):
    """The condition of a statement, and its keyword."""

    condition: Condition
    token: Token


class Limit(NamedTuple):
    """LIMIT and OFFSET."""

    most: int
    skipped: int


class SeriesLimit(NamedTuple):
    """SLIMIT and SOFFSET."""

    most: int
    skipped: int


class ByDevice(NamedTuple):
    """GROUP BY DEVICE."""


class DisableAlign(NamedTuple):
    """DISABLE ALIGN."""

    token: Token


class FillRules(NamedTuple):
    """FILL, before it is known at which time."""

    token: Token
    rules: tuple[FillRule, ...]


Clause = Where | Windows | Limit | SeriesLimit | ByDevice | DisableAlign | FillRules


def integer(token: Token, what: str, least: int, greatest: int) -> int:
    """The number of an INT token; refused with 401 when it is out of range."""
    digits = token.lstrip("0") or "0"
    number = int(digits) if len(digits) <= _GREATEST_DIGITS else greatest + 1
    if not least <= number <= greatest:
        raise Refusal(f"{what} {shown(token)} is not between {least} and {greatest}", place(token), str(token))
    return number


def instant_ms(token: Token) -> int:
    """The time of an INT or TIME token."""
    if token.type == "TIME":
        return int(token.value)
    return integer(token, "the time", 0, GREATEST_TIME_MS)


def place(token: Token) -> int:
    """Where a token begins."""
    assert token.start_pos is not None, "the scanner gives every token its place"
    return token.start_pos


def texts_of(tokens: tuple[Token, ...]) -> tuple[str, ...]:
    """The texts of a list's tokens; too long a list is refused."""
    if len(tokens) > MAX_PATHS:
        extra = tokens[MAX_PATHS]
        raise Refusal(f"more than {MAX_PATHS} in one list", place(extra), str(extra))
    return tuple([str(token) for token in tokens])


@v_args(inline=True)
class SelectRules(Transformer[Token, Statement]):
    """Keeps nothing from one statement to the next, so that threads may share it."""

    # ---- constants

    def number(self, sign: Token | None, digits: Token) -> Constant:
        kind = LiteralKind.INTEGER if digits.type == "INT" else LiteralKind.DECIMAL
        return Constant(Literal(kind, f"{sign or ''}{digits}"), sign or digits)

    def name_literal(self, name: Token) -> Constant:
        return Constant(Literal(LiteralKind.NAME, str(name)), name)

    def string_literal(self, text: Token) -> Constant:
        return Constant(Literal(LiteralKind.STRING, str(text)), text)

    def moment(self, start: Token, *steps: Token) -> Constant:
        time_ms = int(start.value)
        for sign, duration in zip(steps[::2], steps[1::2], strict=True):
            length = self._duration(duration, is_tree=True)
            time_ms += length if sign == "+" else -length
        if not LEAST_TIME_MS <= time_ms <= GREATEST_TIME_MS:
            raise Refusal("the time does not fit in 64 bits", place(start), "", is_tree=True)
        return Constant(Literal(LiteralKind.INTEGER, str(time_ms)), start, time_ms)

    # ---- conditions

    def any_of(self, *terms: Condition) -> Condition:
        return any_of(terms)

    def all_of(self, *terms: Condition) -> Condition:
        return all_of(terms)

    def not_(self, term: Condition) -> Condition:
        return Not(term)

    def comparison(self, path: Token, operator: Token, constant: Constant) -> Condition:
        op = OPERATORS[operator]
        if path == TIME:
            return TimeComparison(op, self._time_of(constant))
        if constant.time_ms is not None:
            raise Refusal("a time can be compared with 'time' only", place(constant.token), "", is_tree=True)
        return Comparison(self._suffix(path), op, constant.literal)

    def where(self, keyword: Token, condition: Condition) -> Where:
        return Where(condition, keyword)

    # ---- SELECT

    def select_item(self, path: Token) -> PlacedItem:
        return PlacedItem(SelectItem(self._suffix(path)), path)

    def function_item(self, name: Token, path: Token) -> PlacedItem:
        try:
            function = Function(name.lower())
        except ValueError:
            known = ", ".join(Function)
            raise Refusal(f"{shown(name)} is no function; there are {known}", place(name), str(name)) from None
        return PlacedItem(SelectItem(self._suffix(path), function, str(name)), name)

    def select_list(self, *items: PlacedItem) -> tuple[PlacedItem, ...]:
        texts_of(tuple([token for _, token in items]))
        has_functions = items[0].item.function is not None
        for item, token in items:
            if (item.function is not None) != has_functions:
                raise Refusal("plain paths and functions cannot be selected together", place(token), str(token))
        return items

    def patterns(self, *tokens: Token) -> tuple[str, ...]:
        return texts_of(tokens)

    def limit(self, count: Token, offset: Token | None) -> Limit:
        return Limit(
            integer(count, "LIMIT", 1, GREATEST_INT32),
            integer(offset, "OFFSET", 1, GREATEST_INT32) if offset else 0,
        )

    def series_limit(self, count: Token, offset: Token | None) -> SeriesLimit:
        return SeriesLimit(
            integer(count, "SLIMIT", 1, GREATEST_INT32),
            integer(offset, "SOFFSET", 1, GREATEST_INT32) if offset else 0,
        )

    def by_device(self) -> ByDevice:
        return ByDevice()

    def disable_align(self, token: Token) -> DisableAlign:
        return DisableAlign(token)

    def windows(self, start: Token, end: Token, unit: Token, step: Token | None) -> Windows:
        unit_ms = self._duration(unit)
        step_ms = self._duration(step) if step else unit_ms
        if step and step_ms < unit_ms:
            raise Refusal(f"the step {step} is shorter than the window {unit}", place(step), str(step))
        return Windows(instant_ms(start), instant_ms(end), unit_ms, step_ms)

    def previous_rule(self, data_type: Token, before: Token | None) -> FillRule:
        return FillRule(DataType[data_type.type], FillMethod.PREVIOUS, self._duration(before) if before else None)

    def linear_rule(self, data_type: Token, before: Token | None, after: Token | None) -> FillRule:
        if data_type.type == "TEXT":
            raise Refusal("TEXT cannot be filled by linear", place(data_type), str(data_type))
        if data_type.type == "BOOLEAN":
            code = StatusCode.INTERNAL_SERVER_ERROR
            raise Refusal("BOOLEAN cannot be filled by linear", place(data_type), str(data_type), code=code)
        if before is None or after is None:
            return FillRule(DataType[data_type.type], FillMethod.LINEAR)
        return FillRule(DataType[data_type.type], FillMethod.LINEAR, self._duration(before), self._duration(after))

    def fill(self, token: Token, *rules: FillRule) -> FillRules:
        # Of two rules for one type the last one counts, as in the original.
        return FillRules(token, tuple({rule.data_type: rule for rule in rules}.values()))

    def select(self, items: tuple[PlacedItem, ...], prefixes: tuple[str, ...], *clauses: Clause | None) -> Select:
        where: Where | None = None
        windows: Windows | None = None
        fill: Fill | None = None
        limit, series_limit = Limit(0, 0), SeriesLimit(0, 0)
        by_device = False
        aligned = True
        for clause in clauses:
            match clause:
                case Where():
                    where = clause
                case Windows():
                    windows = clause
                case FillRules():
                    fill, where = self._fill_at(clause, where), None
                case Limit():
                    limit = clause
                case SeriesLimit():
                    series_limit = clause
                case ByDevice():
                    by_device = True
                case DisableAlign():
                    aligned = False
                    self._check_not_aligned(clause, items, is_plain=windows is None and fill is None)
        if windows and items[0].item.function is None:
            token = items[0].token
            raise Refusal("GROUP BY needs functions, such as count(...)", place(token), str(token))
        if by_device:
            self._check_single_nodes(items)
        return Select(
            tuple([item for item, _ in items]),
            prefixes,
            where.condition if where else None,
            windows,
            fill,
            limit.most or None,
            limit.skipped,
            series_limit.most or None,
            series_limit.skipped,
            by_device,
            aligned,
        )

    def explain(self, select: Select) -> Explain:
        return Explain(select)

    # ---- checks

    def _fill_at(self, clause: FillRules, where: Where | None) -> Fill:
        match where:
            case Where(TimeComparison(CompareOp.EQ, time_ms)):
                return Fill(time_ms, clause.rules)
        token = where.token if where else clause.token
        raise Refusal("FILL needs exactly WHERE time = ...", place(token), str(token))

    def _check_not_aligned(self, clause: DisableAlign, items: tuple[PlacedItem, ...], *, is_plain: bool) -> None:
        if not is_plain or items[0].item.function is not None:
            raise Refusal(
                "DISABLE ALIGN does not go with functions, GROUP BY or FILL",
                place(clause.token),
                str(clause.token),
                code=StatusCode.INTERNAL_SERVER_ERROR,
            )

    def _check_single_nodes(self, items: tuple[PlacedItem, ...]) -> None:
        for item, token in items:
            if len(nodes_of(item.path)) != 1:
                raise Refusal("with GROUP BY DEVICE a path is one node, a measurement", place(token), str(token))

    def _time_of(self, constant: Constant) -> int:
        if constant.time_ms is not None:
            return constant.time_ms
        literal, token, _ = constant
        if literal.kind is LiteralKind.INTEGER:
            digits = literal.text.lstrip("-").lstrip("0") or "0"
            if len(digits) <= _GREATEST_DIGITS:
                time_ms = -int(digits) if literal.text[0] == "-" else int(digits)
                if LEAST_TIME_MS <= time_ms <= GREATEST_TIME_MS:
                    return time_ms
            raise Refusal(f"the time {shown(literal.text)} does not fit in 64 bits", place(token), is_tree=True)
        raise Refusal(f"{shown(literal.text)} is no time", place(token), literal.text, is_tree=True)

    def _duration(self, token: Token, *, is_tree: bool = False) -> int:
        try:
            return duration_ms(token)
        except BadTime as error:
            raise Refusal(f"{shown(token)}: {error}", place(token), str(token), is_tree=is_tree) from None

    def _suffix(self, token: Token) -> str:
        if token.type == "REAL" and not _PATH_OF_INTEGERS.fullmatch(token):
            raise Refusal(f"unexpected {shown(token)}, expected a path", place(token), str(token))
        return str(token)
