"""Calls to whichever node of several answers, again only where that is safe (DESIGN 3.9)."""

import random
import time
from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

from iotdb_cluster.client.statuses import had_no_effect, typed
from iotdb_cluster.errors import OutcomeUnknown, RemoteError, RequestError, StatusCode, Unreachable

FIRST_PAUSE_S = 0.02
LONGEST_PAUSE_S = 0.5

CONNECT_TIMEOUT_MS = 2_000
"""A machine that does not even refuse a connection is given up after so long; then comes the next node."""

ATTEMPT_TIMEOUT_MS = 5_000
"""A repeatable call is tried elsewhere when a node has not answered it for so long."""

Address = tuple[str, int]


class Closable(Protocol):
    """A connection."""

    def close(self) -> None:
        """End it; a second time does nothing."""


C = TypeVar("C", bound=Closable)
T = TypeVar("T")


def parse_address(text: str) -> Address:
    """`host:port`, an IPv6 host in brackets; raises `ValueError` that names the text."""
    host, colon, port = text.strip().rpartition(":")
    if not colon or not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise ValueError(f"{text!r} is no address: host:port is needed")
    if ":" in host and not (host.startswith("[") and host.endswith("]")):
        raise ValueError(f"{text!r} is no address: an IPv6 address stands in brackets, [{host}]:{port}")
    return host.removeprefix("[").removesuffix("]"), int(port)


def address_text(address: Address) -> str:
    """The counterpart of `parse_address`."""
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class Failover(Generic[C]):
    """Keeps a connection to one of several nodes and goes on to the next when it fails. For one thread at a time.

    `connect(address, timeout_ms)` opens a connection; what it raises beyond `Unreachable` is not retried.
    """

    def __init__(
        self,
        addresses: Sequence[Address],
        connect: Callable[[Address, int], C],
        timeout_ms: int,
        *,
        now_s: Callable[[], float] = time.monotonic,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        if not addresses:
            raise ValueError("no address of a node was given")
        self._addresses = tuple(addresses)
        self._connect = connect
        self._timeout_ms = timeout_ms
        self._now_s = now_s
        self._pause = pause
        self._jitter = random.Random()
        self._at = 0
        self._connection: C | None = None

    @property
    def connection(self) -> C | None:
        """The connection that is open now."""
        return self._connection

    def run(
        self,
        attempt: Callable[[C, int], T],
        *,
        repeatable: bool,
        patient: bool = False,
        timeout_ms: int | None = None,
    ) -> T:
        """Make `attempt(connection, timeout_ms)` until it succeeds, its error is final, or the time is over.

        An attempt that certainly took no effect is repeated at the next node, after all nodes with a growing pause. One
        of which that is not known is repeated only when the call is `repeatable`: doing it twice must be as good as
        doing it once, also when somebody else's call came between. A `patient` one gives a node all the time there is.
        `timeout_ms` is for this call instead of the time for all.
        """
        ends_at_s = self._now_s() + (self._timeout_ms if timeout_ms is None else timeout_ms) / 1000
        failures = 0
        while True:
            left_ms = int((ends_at_s - self._now_s()) * 1000)
            try:
                return self._attempt(
                    attempt, left_ms if patient or not repeatable else min(left_ms, ATTEMPT_TIMEOUT_MS)
                )
            except RequestError as error:
                may_repeat = repeatable if isinstance(error, OutcomeUnknown) else had_no_effect(error)
                failures += 1
                pause_s = self._pause_after(failures)
                if not may_repeat or self._now_s() + pause_s >= ends_at_s:
                    raise
            if pause_s:
                self._pause(pause_s)

    def begin_again(self) -> None:
        """Go on with the first node, when another one is used now."""
        if self._at % len(self._addresses):
            self.close()
            self._at = 0

    def close(self) -> None:
        """Close the connection; the next call opens one again."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _attempt(self, attempt: Callable[[C, int], T], timeout_ms: int) -> T:
        try:
            if self._connection is None:
                address = self._addresses[self._at % len(self._addresses)]
                self._connection = self._connect(address, min(timeout_ms, CONNECT_TIMEOUT_MS))
            return attempt(self._connection, timeout_ms)
        except RemoteError as error:
            self._go_on_after(typed(error))
            raise typed(error) from error
        except RequestError as error:
            self._go_on_after(error)
            raise

    def _go_on_after(self, error: RequestError) -> None:
        """A login that is gone is made again here; where there is no answer or no leader, the next node is asked."""
        if error.code == StatusCode.NOT_LOGIN_ERROR:
            self.close()
        elif isinstance(error, OutcomeUnknown | Unreachable) or had_no_effect(error):
            self.close()
            self._at += 1

    def _pause_after(self, failures: int) -> float:
        """Seconds until the next attempt: none while there are nodes that were not asked yet."""
        rounds, asked = divmod(failures, len(self._addresses))
        if asked:
            return 0.0
        longest_s = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** (rounds - 1))
        return self._jitter.uniform(longest_s / 2, longest_s)
