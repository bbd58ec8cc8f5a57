"""Connections with a session each, to one node after the other, or to whichever leads the rows that are written."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import TypeVar

from iotdb_cluster.client.connection import ThriftClient
from iotdb_cluster.client.failover import Address, Failover
from iotdb_cluster.client.routes import Routes
from iotdb_cluster.client.statuses import check
from iotdb_cluster.errors import ClusterError, OutcomeUnknown, RequestError, Unreachable
from iotdb_cluster.types.report import Report
from iotdb_cluster.wire.idl import STRUCTS

SERVICE = "ClientExtension"
"""The calls of `TSIService` under the same names, which any server understands, and those that only ours have."""
PROTOCOL_V1 = 0
CLOSE_TIMEOUT_MS = 1_000
REPORT_TIMEOUT_MS = 1_000
ROUTES_FOR_S = 10.0
"""After so long it is asked again who leads what: nobody tells when another node takes over."""

_OpenSession = STRUCTS["TSOpenSessionReq"].make
_CloseSession = STRUCTS["TSCloseSessionReq"].make
_SetTimeZone = STRUCTS["TSSetTimeZoneReq"].make

T = TypeVar("T")


@dataclass(slots=True)
class Account:
    """Who logs in, and the time zone of the session then; None for the server's."""

    user: str
    password: str
    time_zone: str | None


@dataclass(frozen=True, slots=True)
class Login:
    """A connection with its session."""

    address: Address
    client: ThriftClient
    session_id: int

    def close(self) -> None:
        """Close the connection; a second time does nothing."""
        self.client.close()


class Logins:
    """The logins of one session; for one thread at a time, but for `cancel`.

    With `direct` the way to a device begins at whichever node leads it, over a login of its own.
    """

    def __init__(self, addresses: Sequence[Address], account: Account, timeout_ms: int, *, direct: bool) -> None:
        self._addresses = addresses
        self._account = account
        self._timeout_ms = timeout_ms
        self._direct = direct
        self._any = Failover(addresses, self._log_in, timeout_ms)
        self._routes = Routes({})
        self._routes_until_s = 0.0
        self._by_leader: dict[Address, Failover[Login]] = {}

    @property
    def time_zone(self) -> str | None:
        """The zone that a login begins with."""
        return self._account.time_zone

    @time_zone.setter
    def time_zone(self, zone: str) -> None:
        self._account.time_zone = zone

    def way(self, device: str | None = None) -> Failover[Login]:
        """The nodes in the order in which a call tries them: for a device's rows who leads them first."""
        if device is None or not self._direct:
            return self._any
        now_s = monotonic()
        if now_s >= self._routes_until_s:
            self._routes_until_s = now_s + ROUTES_FOR_S
            self._learn_routes()
        leader = self._routes.leader_of(device)
        if leader is None:
            return self._any
        if leader not in self._by_leader:
            others = [address for address in self._addresses if address != leader]
            self._by_leader[leader] = Failover([leader, *others], self._log_in, self._timeout_ms)
        return self._by_leader[leader]

    def close(self) -> None:
        """Log out everywhere."""
        for failover in self._failovers():
            if failover.connection is not None:
                _log_out(failover.connection, failover.connection.client)
            failover.close()

    def drop(self) -> None:
        """Close the connections without a word."""
        for failover in self._failovers():
            failover.close()

    def cancel(self) -> None:
        """End the sessions with whatever runs in them, by connections of their own; from any thread.

        A connection that waits for an answer carries nothing else, and its node does not look at it meanwhile.
        """
        for login in [failover.connection for failover in self._failovers()]:
            if login is None:
                continue
            with suppress(ClusterError):
                other = ThriftClient(login.address, SERVICE, connect_timeout_ms=CLOSE_TIMEOUT_MS)
                _log_out(login, other)
                other.close()

    # -- inside --------------------------------------------------------------------------------------------------------

    def _failovers(self) -> list[Failover[Login]]:
        return [self._any, *self._by_leader.values()]

    def _learn_routes(self) -> None:
        """Ask every node; those that do not answer, or cannot, are left out."""
        reports: dict[Address, Report] = {}
        for address in self._addresses:
            with suppress(RequestError):
                login = self._log_in(address, REPORT_TIMEOUT_MS)
                try:
                    answer = login.client.call("report", (login.session_id,), REPORT_TIMEOUT_MS)
                    reports[address] = Report.from_json(answer.json)
                finally:
                    _log_out(login, login.client)
                    login.close()
        self._routes = Routes(reports)
        # A way that began elsewhere goes back to the leader with the next call.
        for failover in self._by_leader.values():
            failover.begin_again()

    def _log_in(self, address: Address, timeout_ms: int) -> Login:
        account = self._account
        client = ThriftClient(address, SERVICE, connect_timeout_ms=timeout_ms)
        try:
            request = _OpenSession(client_protocol=PROTOCOL_V1, username=account.user, password=account.password)
            answer = _harmless(lambda: client.call("openSession", (request,), timeout_ms))
            check(answer.status)
            if account.time_zone is not None:
                zone = _SetTimeZone(sessionId=answer.sessionId, timeZone=account.time_zone)
                check(_harmless(lambda: client.call("setTimeZone", (zone,), timeout_ms)))
        except ClusterError:
            client.close()
            raise
        return Login(address, client, answer.sessionId)


def _log_out(login: Login, client: ThriftClient) -> None:
    """End a session; where the node cannot be told, it ends it with the connection."""
    with suppress(ClusterError):
        client.call("closeSession", (_CloseSession(sessionId=login.session_id),), CLOSE_TIMEOUT_MS)


def _harmless(call: Callable[[], T]) -> T:
    """A call whose effect is a session alone: without an answer, the next node is as good."""
    try:
        return call()
    except OutcomeUnknown as error:
        raise Unreachable(error.message) from error
