"""TSStatus values."""

from typing import Any

from iotdb_cluster.errors import RequestError, StatusCode
from iotdb_cluster.members import structs
from iotdb_cluster.members.waiting import Outcome


def status(code: int = StatusCode.SUCCESS_STATUS, message: str = "") -> Any:
    """A `TSStatus` with code and message; the optional fields are never set (interface page)."""
    return structs.TSStatus(statusType=structs.TSStatusType(code=int(code), message=message))


def status_of(outcome: Outcome) -> Any:
    """The status of an outcome: 200, or the error's code and message."""
    return status() if outcome is None else status(outcome.code, outcome.message)


def status_of_error(error: RequestError) -> Any:
    """The status of an error."""
    return status(error.code, error.message)
