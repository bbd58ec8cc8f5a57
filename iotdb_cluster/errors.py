"""Every error this project raises on purpose.

Two families (house rule 8): a `RequestError` is the caller's and is answered; a `Fault` is ours and stops the node.
`StartRefused` is neither: it ends a start with one clear line.
"""

from enum import IntEnum


class StatusCode(IntEnum):
    """The codes of `TSStatusType.code` (interface page "TSStatus codes") that this project answers."""

    SUCCESS_STATUS = 200
    STILL_EXECUTING_STATUS = 201
    INVALID_HANDLE_STATUS = 202
    PATH_ALREADY_EXIST_ERROR = 300
    PATH_NOT_EXIST_ERROR = 301
    UNSUPPORTED_FETCH_METADATA_OPERATION_ERROR = 302
    METADATA_ERROR = 303
    OUT_OF_TTL_ERROR = 305
    STORAGE_GROUP_ERROR = 312
    STORAGE_ENGINE_ERROR = 313
    PATH_ILLEGAL = 314
    EXECUTE_STATEMENT_ERROR = 400
    SQL_PARSE_ERROR = 401
    GENERATE_TIME_ZONE_ERROR = 402
    SET_TIME_ZONE_ERROR = 403
    NOT_STORAGE_GROUP_ERROR = 404
    QUERY_NOT_ALLOWED = 405
    INTERNAL_SERVER_ERROR = 500
    CLOSE_OPERATION_ERROR = 501
    READ_ONLY_SYSTEM_ERROR = 502
    DISK_SPACE_INSUFFICIENT_ERROR = 503
    WRONG_LOGIN_PASSWORD_ERROR = 600
    NOT_LOGIN_ERROR = 601
    NO_PERMISSION_ERROR = 602
    PARTITION_NOT_READY = 700
    TIME_OUT = 701
    NO_LEADER = 702
    UNSUPPORTED_OPERATION = 703
    NODE_READ_ONLY = 704


class ClusterError(Exception):
    """The root of all errors of this project."""


class RequestError(ClusterError):
    """A call that is answered with a code and a message; the node goes on."""

    code: StatusCode = StatusCode.EXECUTE_STATEMENT_ERROR

    def __init__(self, message: str, *, code: StatusCode | None = None) -> None:
        super().__init__(message)
        self.message = message
        if code is not None:
            self.code = code

    def __str__(self) -> str:
        """The form of DESIGN section 8: `702 NO_LEADER: what happened`."""
        return f"{int(self.code)} {self.code.name}: {self.message}"


class MalformedInput(RequestError):
    """Bytes from a socket, a peer or a file that do not have the layout they should have."""


class PathIllegal(RequestError):
    """A path that no series or storage group can have."""

    code = StatusCode.PATH_ILLEGAL


class PathNotFound(RequestError):
    """A path that names nothing here."""

    code = StatusCode.PATH_NOT_EXIST_ERROR


class PathExists(RequestError):
    """A path that is taken already."""

    code = StatusCode.PATH_ALREADY_EXIST_ERROR


class MetadataRefused(RequestError):
    """A schema change that contradicts what exists."""

    code = StatusCode.METADATA_ERROR


class StorageGroupUnknown(RequestError):
    """A series whose storage group nobody has created."""

    code = StatusCode.STORAGE_GROUP_ERROR


class ValueRefused(RequestError):
    """A value that does not convert to the type of its series."""


class OutOfTtl(RequestError):
    """Points so old that they have expired already."""

    code = StatusCode.OUT_OF_TTL_ERROR


class SqlError(RequestError):
    """A statement that is refused before it runs, with its place: line and column from 1, token, what was expected.

    The code is 401, or what the interface page says (500 for DISABLE ALIGN with functions). At the end of the text
    `token` is empty.
    """

    code = StatusCode.SQL_PARSE_ERROR

    def __init__(
        self,
        problem: str,
        *,
        line: int,
        column: int,
        token: str = "",
        expected: tuple[str, ...] = (),
        code: StatusCode | None = None,
    ) -> None:
        super().__init__(f"line {line}, column {column}: {problem}", code=code)
        self.line = line
        self.column = column
        self.token = token
        self.expected = expected


class SqlTreeRefused(SqlError):
    """A statement that parses but has a bad literal, a bad DELETE condition, or an encoding that does not suit.

    `executeStatement` and `executeBatchStatement` answer 303 for it; the calls for queries and updates 401.
    """

    code = StatusCode.METADATA_ERROR


class NotReady(RequestError):
    """This node does not know the partition table yet (it is blind) or has not heard of a leader since it started."""

    code = StatusCode.PARTITION_NOT_READY


class NoLeader(RequestError):
    """The group has no leader that could be reached; the call certainly took no effect."""

    code = StatusCode.NO_LEADER


class Unreachable(NoLeader):
    """A node could not be called at all: nothing was sent, so nothing took effect."""


class ReadOnly(NoLeader):
    """This member is leaving and could not forward the call, which took no effect."""

    code = StatusCode.NODE_READ_ONLY


class SlotMoving(NoLeader):
    """A slot that the group does not serve: it is on its way to another one, or is there; the call took no effect."""


class ChangeRunning(RequestError):
    """Nodes or groups are changing already: this change has to wait and took no effect."""

    code = StatusCode.STILL_EXECUTING_STATUS


class OutcomeUnknown(RequestError):
    """The call was not answered in time: it may still take effect, at most once."""

    code = StatusCode.TIME_OUT


class DiskNearlyFull(RequestError):
    """Less than `disk_reserve_mb` is free: writes are refused, reads and deletes go on."""

    code = StatusCode.DISK_SPACE_INSUFFICIENT_ERROR


class Busy(RequestError):
    """A limit is reached; the call certainly took no effect and may be sent again."""

    code = StatusCode.NO_LEADER


class UnknownGroup(RequestError):
    """A header this node has no group for."""

    code = StatusCode.EXECUTE_STATEMENT_ERROR


class Unsupported(RequestError):
    """A call or field value this server does not know."""

    code = StatusCode.UNSUPPORTED_OPERATION


class RemoteError(RequestError):
    """A call that the other side answered with a TApplicationException, whose `type` it keeps.

    Where the message begins with a code (`702 NO_LEADER: ...`), it is passed on as this error's code.
    """

    def __init__(self, message: str, *, type: int) -> None:
        number, _, rest = message.partition(" ")
        name, colon, cause = rest.partition(": ")
        if colon and number.isascii() and number.isdigit() and StatusCode.__members__.get(name) == int(number):
            super().__init__(cause, code=StatusCode[name])
        else:
            super().__init__(message)
        self.type = type


class StatusError(RequestError):
    """A call that was answered with a status other than success; `number` is its code as it came."""

    def __init__(self, message: str, number: int) -> None:
        known = number in StatusCode.__members__.values()
        super().__init__(
            message if known else f"status {number}: {message}",
            code=StatusCode(number) if known else StatusCode.EXECUTE_STATEMENT_ERROR,
        )
        self.number = number


class RowsRefused(RequestError):
    """Rows of a batch that were not written, or of which it is not known; the others were. `errors` is by position."""

    def __init__(self, errors: dict[int, RequestError], row_count: int) -> None:
        first = min(errors)
        super().__init__(f"{len(errors)} of {row_count} rows, the first is row {first}: {errors[first].message}")
        self.code = errors[first].code
        self.errors = errors


class Fault(ClusterError):
    """A fault of this node: it stops, or refuses to start, and says how to go on."""


class StorageFailure(Fault):
    """The disk refused an operation; never retried, since a failed sync may have dropped the page (ATC 2020)."""

    def __init__(self, operation: str, path: str, cause: object = "") -> None:
        super().__init__(f"{operation} failed on {path}: {cause}")
        self.operation = operation
        self.path = path


CHECK = "run 'iotdb-cluster check DIR'"


class Corruption(Fault):
    """A file whose content cannot be what was written."""

    def __init__(self, path: str, offset: int, what: str, way_out: str | None = None) -> None:
        super().__init__(f"{path}, offset {offset}: {what}; {way_out or CHECK}")
        self.path = path
        self.offset = offset
        self.what = what if way_out is None else f"{what}; {way_out}"
        """For who says the place, and has checked."""


class LogDiverged(Fault):
    """A group's log contradicts what was committed there: a replica is damaged, or was replaced by an old copy."""


class StartRefused(ClusterError):
    """A start that ends with one clear line: a bad setting, a port in use, a folder of another node."""


class CommandRefused(ClusterError):
    """A command for people that ends with one clear line: a bad argument, a node that does not answer."""
