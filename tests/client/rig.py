"""Ports that answer as a test says, and keep what they were asked."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from iotdb_cluster.server.transport.server import ThriftServer
from iotdb_cluster.wire.idl import STRUCTS
from tests.server.rig import serving


def status(code: int = 200, message: str = "") -> Any:
    return STRUCTS["TSStatus"].make(statusType=STRUCTS["TSStatusType"].make(code=code, message=message))


@dataclass
class ClientPort:
    """A node's client port. `answers` are given one after the other, then success; an exception is raised."""

    answers: list[Any] = field(default_factory=list)
    calls: list[tuple[str, Any]] = field(default_factory=list)
    sessions: set[int] = field(default_factory=set)
    password: str = "root"
    time_zone: str = "+08:00"
    connection: Any = None

    def table(self) -> dict[str, Callable[..., Any]]:
        return {
            "openSession": self.open_session,
            "closeSession": self.close_session,
            "setStorageGroup": lambda session, path, c: self.answer("setStorageGroup", path, session, c),
            "createTimeseries": self.plain("createTimeseries"),
            "insert": self.plain("insert"),
            "insertBatch": lambda request, c: STRUCTS["TSExecuteBatchStatementResp"].make(
                status=self.answer("insertBatch", request, request.sessionId, c), result=[]
            ),
            "insertRowInBatch": self.insert_rows,
            "deleteData": self.plain("deleteData"),
            "getTimeZone": lambda session, c: STRUCTS["TSGetTimeZoneResp"].make(
                status=self.answer("getTimeZone", None, session, c), timeZone=self.time_zone
            ),
            "setTimeZone": self.set_time_zone,
            "getProperties": lambda c: STRUCTS["ServerProperties"].make(
                version="0.10.0-SNAPSHOT", supportedTimeAggregationOperations=["max_time"], timestampPrecision="ms"
            ),
        }

    def open_session(self, request: Any, connection: Any) -> Any:
        made = STRUCTS["TSOpenSessionResp"].make
        if request.password != self.password:
            return made(status=status(600, "wrong password"), serverProtocolVersion=0, sessionId=-1)
        self.sessions.add(len(self.sessions) + 1)
        return made(status=status(), serverProtocolVersion=0, sessionId=len(self.sessions))

    def close_session(self, request: Any, connection: Any) -> Any:
        self.sessions.discard(request.sessionId)
        return status()

    def set_time_zone(self, request: Any, connection: Any) -> Any:
        self.time_zone = request.timeZone
        return self.answer("setTimeZone", request.timeZone, request.sessionId, connection)

    def insert_rows(self, request: Any, connection: Any) -> Any:
        first = self.answer("insertRowInBatch", request, request.sessionId, connection)
        statuses = first if isinstance(first, list) else [first] * len(request.timestamps)
        return STRUCTS["TSExecuteInsertRowInBatchResp"].make(sessionId=0, statusList=statuses)

    def plain(self, method: str) -> Callable[..., Any]:
        return lambda request, connection: self.answer(method, request, request.sessionId, connection)

    def answer(self, method: str, what: Any, session: int, connection: Any) -> Any:
        self.calls.append((method, what))
        if session not in self.sessions:
            return status(601)
        answer = self.answers.pop(0) if self.answers else status()
        if isinstance(answer, Exception):
            raise answer
        if callable(answer):
            return answer(connection)
        return answer


def lost(connection: Any) -> Any:
    """The call arrives, and the node dies before it answers."""
    connection.end(at_once=True)
    return status()


@contextmanager
def client_ports(count: int) -> Iterator[tuple[list[ClientPort], list[ThriftServer]]]:
    ports = [ClientPort() for _ in range(count)]
    with _all([port.table() for port in ports], "TSIService") as servers:
        yield ports, servers


@contextmanager
def _all(tables: list[Any], service: str) -> Iterator[list[ThriftServer]]:
    if not tables:
        yield []
        return
    with serving(tables[0], service=service) as first, _all(tables[1:], service) as rest:
        yield [first, *rest]
