"""Statements on a session, and their answers as Python values."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tests.services.rig import RPC, LoggedIn, RunningNode, code, logged_in
from tests.services.sql_player import Decoded

EVERYTHING = 100_000


@dataclass
class Result:
    """What a query answered; rows are `[time, value per distinct column...]`."""

    code: int
    message: str
    columns: list[str]
    rows: list[list[Any]]
    query_id: int | None

    @property
    def values(self) -> list[list[Any]]:
        """The rows without their times."""
        return [row[1:] for row in self.rows]


def request(session: LoggedIn, statement: str, *, fetch_size: int = EVERYTHING, statement_id: int = 1) -> Any:
    """The request of a statement."""
    return RPC.TSExecuteStatementReq(
        sessionId=session.id, statement=statement, fetchSize=fetch_size, statementId=statement_id
    )


def ask(session: LoggedIn, statement: str, *, fetch_size: int = EVERYTHING) -> Result:
    """The first page of a query."""
    answer = session.client.executeStatement(request(session, statement, fetch_size=fetch_size))
    found = Decoded().rows(answer, None) or {}
    return Result(
        code(answer.status), answer.status.statusType.message or "", answer.columns or [], found.get("rows", []),
        answer.queryId,
    )  # fmt: skip


def fetch(session: LoggedIn, query_id: int, *, fetch_size: int = EVERYTHING) -> Any:
    """The answer to a fetch."""
    return session.client.fetchResults(
        RPC.TSFetchResultsReq(sessionId=session.id, statement="", fetchSize=fetch_size, queryId=query_id, isAlign=True)
    )


def do(session: LoggedIn, statement: str) -> None:
    """A statement that must be carried out."""
    answer = session.client.executeStatement(request(session, statement))
    assert 200 == code(answer.status), f"{statement}: {answer.status.statusType.message}"


def at_every_node(
    nodes: Sequence[RunningNode], statements: Sequence[str]
) -> list[list[tuple[int, list[str], list[Any]]]]:
    """For each node, what it answers to each statement: code, columns, rows."""
    found = []
    for node in nodes:
        with logged_in(node) as session:
            found.append([(one.code, one.columns, one.rows) for one in (ask(session, text) for text in statements)])
    return found
