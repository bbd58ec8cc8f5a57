"""Calls to other nodes over sockets: the `Transport` of a node (`iotdb_cluster.members.transport`)."""

import threading
from collections.abc import Callable
from typing import Any

import structlog

from iotdb_cluster.errors import RemoteError, StatusCode, Unreachable
from iotdb_cluster.members.clock import Clock
from iotdb_cluster.members.pending import BlockingCall, Pending
from iotdb_cluster.members.transport import Invocation, Lane, Port
from iotdb_cluster.server.backoff import Backoff
from iotdb_cluster.server.lanes import IDLE_S, Lanes, Sending
from iotdb_cluster.server.peer_connection import Connector, Greeting, PeerConnection
from iotdb_cluster.types.identity import Node
from iotdb_cluster.wire.codec import Codec

log = structlog.get_logger()

CONNECT_TIMEOUT_MS = 2_000
"""A machine that does not even refuse a connection is given up after so long, whatever the call's own time."""

IDLE_MAX_COUNT = 32
"""Connections to one port of one node that are kept for the next forwarded call."""

IDLE_MS = 60_000
"""How long they are kept."""

Place = tuple[Node, Port]


class PeerTransport:
    """Calls to other nodes, binary and framed, each connection opened by `hello`. May be used from any thread.

    `send` goes by lanes, each with its thread; `call` is done by the thread that waits for it, over pooled connections.
    Of a stranger that knows no `hello` only `methods_for_strangers` are asked, in compact when `compact_to_strangers`.
    """

    def __init__(
        self,
        codec: Codec,
        greeting: Greeting,
        clock: Clock,
        draw: Callable[[int, int], int],
        *,
        connect_timeout_ms: int = CONNECT_TIMEOUT_MS,
        compact_to_strangers: bool = True,
        methods_for_strangers: frozenset[str] = frozenset(),
        lane_idle_s: float = IDLE_S,
    ) -> None:
        self.now_ms = clock.now_ms
        self._draw = draw
        self._connector = Connector(
            codec,
            greeting,
            clock.now_ms,
            connect_timeout_ms=connect_timeout_ms,
            compact_to_strangers=compact_to_strangers,
        )
        self._methods_for_strangers = methods_for_strangers
        self._lanes = Lanes(self, lane_idle_s)
        self._guard = threading.Lock()
        self._idle: dict[Place, list[PeerConnection]] = {}
        self._backoffs: dict[Place, Backoff] = {}
        self._closed = False

    # -- the contract of members.transport.Transport -------------------------------------------------------------------

    def send(
        self,
        to: Node,
        port: Port,
        lane: tuple[Lane, int],
        build: Callable[[], Invocation],
        timeout_ms: int,
        on_done: Callable[[Any], None],
    ) -> None:
        """Call in the lane's thread when its turn has come; `timeout_ms` counts from now."""
        self._lanes.put((to, port, lane), Sending(build, self.now_ms() + timeout_ms, on_done))

    def call(self, to: Node, port: Port, method: str, arguments: tuple[Any, ...], timeout_ms: int) -> Pending[Any]:
        """Call in the thread that waits for the result; `timeout_ms` counts from now.

        Fails with `Unreachable` when nothing was sent, else with `OutcomeUnknown` or the `RemoteError` it was answered.
        """
        ends_at_ms = self.now_ms() + timeout_ms

        def send() -> Callable[[float | None], Any]:
            connection, seqid = self._send_on_idle_or_new((to, port), method, arguments, ends_at_ms)

            def receive(timeout_s: float | None) -> Any:
                left_ms = self._left_ms(ends_at_ms)
                if timeout_s is not None:
                    left_ms = min(left_ms, int(timeout_s * 1000))
                try:
                    result = connection.client.receive(method, seqid, left_ms)
                except RemoteError as error:
                    if error.code == StatusCode.NO_LEADER:
                        connection.client.close()  # who stops says so once, and ends the connection
                    else:
                        self._give_back((to, port), connection)
                    raise
                self._give_back((to, port), connection)
                return result

            return receive

        return BlockingCall(send)

    def introduce(self, ip: str, meta_port: int, timeout_ms: int) -> Pending[Any]:
        """Say `hello` to whoever answers on a meta port; gives the `HelloAnswer`, also one that refuses us."""
        ends_at_ms = self.now_ms() + timeout_ms

        def send() -> Callable[[float | None], Any]:
            connection = self._connector.introduce((ip, meta_port), Port.META, ends_at_ms)
            connection.client.close()
            if not connection.is_identified:
                raise Unreachable(f"{connection.client.name} knows no hello: not a node of this project")
            return lambda _: connection.answer

        return BlockingCall(send)

    # -- what lanes use ------------------------------------------------------------------------------------------------

    def connect(self, to: Node, port: Port, ends_at_ms: int) -> PeerConnection:
        """A new connection to this node, unless it is too early for another attempt; raises `Unreachable`."""
        if self._closed:
            raise Unreachable(f"this node stops; {to} was not called")
        backoff = self._backoff((to, port))
        backoff.check()
        try:
            connection = self._connector.open(to, port, ends_at_ms)
        except Unreachable as error:
            if backoff.failed(error.message):
                log.warning("peer_not_reached", peer=str(to), port=port.value, why=error.message)
            raise
        if backoff.succeeded():
            log.info("peer_reached", peer=str(to), port=port.value)
        return connection

    def call_on(self, connection: PeerConnection, method: str, arguments: tuple[Any, ...], ends_at_ms: int) -> Any:
        """One call on a connection, in the calling thread."""
        if not self._may_call(connection, method):
            raise unproved(connection, method)
        seqid = connection.client.send(method, arguments, self._left_ms(ends_at_ms))
        return connection.client.receive(method, seqid, self._left_ms(ends_at_ms))

    # -- life ----------------------------------------------------------------------------------------------------------

    @property
    def lane_count(self) -> int:
        """Lanes, each with a thread, that there are now."""
        return len(self._lanes)

    def close(self, timeout_s: float = 2.0) -> bool:
        """End all lanes and connections; False when a thread still ran after the time."""
        with self._guard:
            self._closed = True
            idle, self._idle = self._idle, {}
        for connections in idle.values():
            for connection in connections:
                connection.client.close()
        return self._lanes.close(timeout_s)

    # -- the pool ------------------------------------------------------------------------------------------------------

    def _send_on_idle_or_new(
        self, place: Place, method: str, arguments: tuple[Any, ...], ends_at_ms: int
    ) -> tuple[PeerConnection, int]:
        """Send; over a new connection when the idle ones turn out to be closed, since then nothing was sent."""
        while (connection := self._take_idle(place)) is not None:
            if not self._may_call(connection, method):
                self._give_back(place, connection)
                raise unproved(connection, method)
            try:
                return connection, connection.client.send(method, arguments, self._left_ms(ends_at_ms))
            except Unreachable as error:
                log.debug("idle_connection_lost", peer=str(place[0]), why=error.message)
        if self._left_ms(ends_at_ms) == 0:
            raise Unreachable(f"no time was left to call {place[0]}")
        connection = self.connect(*place, ends_at_ms)
        if not self._may_call(connection, method):
            self._give_back(place, connection)
            raise unproved(connection, method)
        return connection, connection.client.send(method, arguments, self._left_ms(ends_at_ms))

    def _take_idle(self, place: Place) -> PeerConnection | None:
        while True:
            with self._guard:
                idle = self._idle.get(place)
                connection = idle.pop() if idle else None
            if connection is None or connection.client.is_usable:
                return connection
            connection.client.close()

    def _give_back(self, place: Place, connection: PeerConnection) -> None:
        """Keep the connection for the next call, and close those that nobody has used for a while."""
        connection.idle_since_ms = now_ms = self.now_ms()
        surplus = []
        with self._guard:
            if self._closed:
                surplus.append(connection)
            else:
                self._idle.setdefault(place, []).append(connection)
                for idle in self._idle.values():
                    while idle and (len(idle) > IDLE_MAX_COUNT or idle[0].idle_since_ms < now_ms - IDLE_MS):
                        surplus.append(idle.pop(0))
        for old in surplus:
            old.client.close()

    def _may_call(self, connection: PeerConnection, method: str) -> bool:
        return connection.is_identified or method in self._methods_for_strangers

    def _backoff(self, place: Place) -> Backoff:
        with self._guard:
            backoff = self._backoffs.get(place)
            if backoff is None:
                backoff = self._backoffs[place] = Backoff(self.now_ms, self._draw)
            return backoff

    def _left_ms(self, ends_at_ms: int) -> int:
        return max(0, ends_at_ms - self.now_ms())


def unproved(connection: PeerConnection, method: str) -> Unreachable:
    """A stranger is not asked what only a known node may answer."""
    return Unreachable(f"{connection.client.name} has not proved by hello which node it is; {method} was not sent")
