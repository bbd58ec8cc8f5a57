"""PEP 249 over a session. There are no transactions: a statement is durable when it returns."""

import re
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, Self

from iotdb_cluster.client.dbapi_errors import (
    DatabaseError,
    DataError,
    Error,
    IntegrityError,
    InterfaceError,
    InternalError,
    NotSupportedError,
    OperationalError,
    ProgrammingError,
    Warning,
    translated,
)
from iotdb_cluster.client.failover import Address
from iotdb_cluster.client.literals import with_parameters
from iotdb_cluster.client.result import TIME, Result
from iotdb_cluster.client.session import Session

BATCH_STATEMENTS = 1_000

_INSERT = re.compile(r"\s*INSERT\b", re.IGNORECASE)


class TypeObject(frozenset[str]):
    """Equal to the type codes of `description` that it stands for."""

    def __eq__(self, other: object) -> bool:
        return other in self if isinstance(other, str) else super().__eq__(other)

    __hash__ = frozenset.__hash__


STRING = TypeObject({"TEXT"})
BINARY = TypeObject(())
NUMBER = TypeObject({"BOOLEAN", "INT32", "INT64", "FLOAT", "DOUBLE"})
DATETIME = TypeObject({"TIMESTAMP"})
ROWID = TypeObject(())

Description = tuple[str, str, None, None, None, None, bool]
"""Label, type code (the name of a data type, or TIMESTAMP for the time, in ms), and whether it can be None."""


class Connection:
    """A session with some nodes; not to be shared by threads. As a context manager it is closed at the end."""

    Warning = Warning
    Error = Error
    InterfaceError = InterfaceError
    DatabaseError = DatabaseError
    DataError = DataError
    OperationalError = OperationalError
    IntegrityError = IntegrityError
    InternalError = InternalError
    ProgrammingError = ProgrammingError
    NotSupportedError = NotSupportedError

    def __init__(self, session: Session) -> None:
        with translated():
            self._session: Session | None = session.open()

    @property
    def session(self) -> Session:
        """The session underneath, for tablets and tables; raises `InterfaceError` when it is closed."""
        if self._session is None:
            raise InterfaceError("the connection is closed")
        return self._session

    def cursor(self) -> "Cursor":
        """A new cursor; several may be open, one after the other used by the same thread."""
        return Cursor(self, self.session)

    def commit(self) -> None:
        """Nothing is left to do: a statement is durable when it returns."""
        _ = self.session

    def rollback(self) -> None:
        """Not possible; raises `NotSupportedError`."""
        raise NotSupportedError("there are no transactions: a statement is durable when it returns")

    def close(self) -> None:
        """End the session with all its queries; a second time does nothing."""
        session, self._session = self._session, None
        if session is not None:
            session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Cursor:
    """Carries out statements and fetches rows, which come in pages. As a context manager it is closed at the end."""

    def __init__(self, connection: Connection, session: Session) -> None:
        self.connection = connection
        self.arraysize = 1
        self.rowcount = -1
        """How many rows an INSERT wrote; -1 for everything else, since a query's rows are counted by nobody."""
        self.description: list[Description] | None = None
        self._session = session
        self._result: Result | None = None
        self._rows: Iterator[tuple[Any, ...]] | None = None
        self._is_closed = False

    def execute(self, operation: str, parameters: Sequence[object] = ()) -> Self:
        """Carry out a statement, each `?` in it replaced by the literal for a parameter."""
        self._forget()
        with translated():
            sql = with_parameters(operation, parameters)
            result = self._session.execute(sql)
        if result is None:
            self.rowcount = 1 if _INSERT.match(operation) else -1
            return self
        self._result, self._rows = result, iter(result)
        columns = [(label, kind.name, True) for label, kind in zip(result.columns, result.types, strict=True)]
        if result.has_time:
            columns.insert(0, (TIME, "TIMESTAMP", False))
        self.description = [(label, code, None, None, None, None, null_ok) for label, code, null_ok in columns]
        return self

    def executemany(self, operation: str, seq_of_parameters: Sequence[Sequence[object]]) -> Self:
        """Carry out a statement that is no query once for each parameters; they travel together.

        When some fail the others are done all the same; the error says which.
        """
        self._forget()
        statements: list[str] = []
        with translated():
            statements = [with_parameters(operation, parameters) for parameters in seq_of_parameters]
            for first in range(0, len(statements), BATCH_STATEMENTS):
                self._session.execute_batch(statements[first : first + BATCH_STATEMENTS])
        self.rowcount = len(statements) if _INSERT.match(operation) else -1
        return self

    def fetchone(self) -> tuple[Any, ...] | None:
        """The next row; None at the end."""
        with translated():
            return next(self._open_rows(), None)

    def fetchmany(self, size: int | None = None) -> list[tuple[Any, ...]]:
        """At most so many rows (default: `arraysize`); empty at the end."""
        with translated():
            return list(islice(self._open_rows(), self.arraysize if size is None else size))

    def fetchall(self) -> list[tuple[Any, ...]]:
        """All rows that are left."""
        with translated():
            return list(self._open_rows())

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        while (row := self.fetchone()) is not None:
            yield row

    def setinputsizes(self, sizes: object) -> None:
        """Nothing to do here."""

    def setoutputsize(self, size: object, column: object = None) -> None:
        """Nothing to do here."""

    def close(self) -> None:
        """End the query; a second time does nothing."""
        if not self._is_closed:
            self._forget()
        self._is_closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open_rows(self) -> Iterator[tuple[Any, ...]]:
        self._check_open()
        if self._rows is None:
            raise ProgrammingError("nothing was queried: there are no rows")
        return self._rows

    def _forget(self) -> None:
        """Make ready for another statement."""
        self._check_open()
        result, self._result, self._rows = self._result, None, None
        self.description, self.rowcount = None, -1
        if result is not None:
            result.close()

    def _check_open(self) -> None:
        if self._is_closed:
            raise InterfaceError("the cursor is closed")
        if self.connection.session is not self._session:
            raise InterfaceError("the cursor's connection is closed")


def connect(
    nodes: Sequence[str | Address] | str,
    user: str = "root",
    password: str = "root",
    *,
    timeout_ms: int = 20_000,
    time_zone: str | None = None,
) -> Connection:
    """Log in to one of these nodes (`host:client_port`); when it fails the next one is used."""
    with translated():
        session = Session(nodes, user, password, timeout_ms=timeout_ms, time_zone=time_zone)
    return Connection(session)
