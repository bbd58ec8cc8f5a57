"""The exceptions of PEP 249. Each keeps the `code` of the interface, and the error it stands for as its cause."""

import builtins
from collections.abc import Iterator
from contextlib import contextmanager

from iotdb_cluster.errors import (
    ClusterError,
    CommandRefused,
    MalformedInput,
    OutcomeUnknown,
    RequestError,
    StatusCode,
    Unreachable,
    ValueRefused,
)


class Warning(builtins.Warning):
    """Something that is not an error; there is none."""


class Error(Exception):
    """The root of what this module raises; `code` is None where no server was asked."""

    def __init__(self, message: str, code: StatusCode | None = None) -> None:
        super().__init__(message)
        self.code = code


class InterfaceError(Error):
    """Something is used in a way it cannot be used, such as a cursor that is closed."""


class DatabaseError(Error):
    """Something that has to do with the database."""


class DataError(DatabaseError):
    """A value that SQL or the type of its series cannot hold."""


class OperationalError(DatabaseError):
    """A node that cannot be reached, a group without a leader, a full disk, an answer that never came (code 701)."""


class IntegrityError(DatabaseError):
    """What is to be made exists already."""


class InternalError(DatabaseError):
    """The server failed."""


class ProgrammingError(DatabaseError):
    """A statement that cannot be parsed, names unknown series, or is not permitted."""


class NotSupportedError(DatabaseError):
    """What this database does not have, such as a rollback."""


_BY_CODE: dict[StatusCode, type[Error]] = {
    StatusCode.PATH_ALREADY_EXIST_ERROR: IntegrityError,
    StatusCode.PATH_NOT_EXIST_ERROR: ProgrammingError,
    StatusCode.METADATA_ERROR: ProgrammingError,
    StatusCode.OUT_OF_TTL_ERROR: DataError,
    StatusCode.STORAGE_GROUP_ERROR: ProgrammingError,
    StatusCode.PATH_ILLEGAL: ProgrammingError,
    StatusCode.SQL_PARSE_ERROR: ProgrammingError,
    StatusCode.NOT_STORAGE_GROUP_ERROR: ProgrammingError,
    StatusCode.QUERY_NOT_ALLOWED: ProgrammingError,
    StatusCode.INTERNAL_SERVER_ERROR: InternalError,
    StatusCode.NO_PERMISSION_ERROR: ProgrammingError,
    StatusCode.UNSUPPORTED_OPERATION: NotSupportedError,
    StatusCode.EXECUTE_STATEMENT_ERROR: DatabaseError,
}


@contextmanager
def translated() -> Iterator[None]:
    """Raise errors of this project as those of PEP 249."""
    try:
        yield
    except ClusterError as error:
        code = error.code if isinstance(error, RequestError) else None
        raise _kind_of(error)(str(error), code) from error
    except ValueError as error:
        raise InterfaceError(str(error)) from error


def _kind_of(error: ClusterError) -> type[Error]:
    match error:
        case ValueRefused():
            return DataError
        case MalformedInput():
            return InternalError
        case OutcomeUnknown() | Unreachable():
            return OperationalError
        case CommandRefused():
            return InterfaceError
        case RequestError():
            return _BY_CODE.get(error.code, OperationalError)
    return DatabaseError
