"""What a status, or an exception with a code, means for whoever called."""

from typing import Any

from iotdb_cluster.errors import (
    DiskNearlyFull,
    NoLeader,
    NotReady,
    OutcomeUnknown,
    ReadOnly,
    RemoteError,
    RequestError,
    StatusCode,
    StatusError,
)

_KINDS: dict[int, type[RequestError]] = {
    StatusCode.DISK_SPACE_INSUFFICIENT_ERROR: DiskNearlyFull,
    StatusCode.PARTITION_NOT_READY: NotReady,
    StatusCode.TIME_OUT: OutcomeUnknown,
    StatusCode.NO_LEADER: NoLeader,
    StatusCode.NODE_READ_ONLY: ReadOnly,
}

_NO_EFFECT = frozenset(
    {
        StatusCode.PARTITION_NOT_READY,
        StatusCode.NO_LEADER,
        StatusCode.NODE_READ_ONLY,
        StatusCode.NOT_LOGIN_ERROR,
    }
)


def error_of(number: int, message: str) -> RequestError | None:
    """The error that a status code stands for; None for success."""
    if number == StatusCode.SUCCESS_STATUS:
        return None
    kind = _KINDS.get(number)
    return StatusError(message, number) if kind is None else kind(message)


def error_of_status(status: Any) -> RequestError | None:
    """The error that a `TSStatus` stands for; None for success."""
    return error_of(status.statusType.code, status.statusType.message)


def check(status: Any) -> None:
    """Raise the error that a `TSStatus` stands for."""
    error = error_of_status(status)
    if error is not None:
        raise error


def typed(error: RemoteError) -> RequestError:
    """An application exception as the error that its code stands for; itself when it carries none of those."""
    kind = _KINDS.get(error.code)
    return error if kind is None else kind(error.message)


def had_no_effect(error: RequestError) -> bool:
    """True when the call was certainly never carried out, so that it may be sent again, elsewhere or later."""
    return error.code in _NO_EFFECT
