"""A Thrift server: a listener's thread, and a thread for each connection up to a cap."""

import errno
import selectors
import socket
import threading
import time
from collections.abc import Callable

import structlog

from iotdb_cluster.errors import Fault, StartRefused
from iotdb_cluster.members.clock import Clock
from iotdb_cluster.server.transport.connection import Connection
from iotdb_cluster.server.transport.dispatch import Dispatcher, ServiceTable
from iotdb_cluster.server.transport.limits import TransportLimits
from iotdb_cluster.server.transport.refusals import Refusal, Refusals
from iotdb_cluster.wire.codec import Codec

log = structlog.get_logger()

BACKLOG = 512
"""Connections that the system holds ready between two accepts."""

ACCEPTS_PER_TURN = 64
"""After so many accepted connections the listener looks after those that it refuses."""

SHORTAGE_PAUSE_S = 0.1
"""How long nothing is accepted when the system has no file descriptors or memory left for another connection."""

_SHORTAGES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class ThriftServer:
    """One service on one port. The port is bound when the server is made, so that a start is refused early.

    `address` may be a name, an IPv4 or an IPv6 address; port 0 takes a free one. `on_fault` is called, in the thread of
    a connection, when a handler raises a `Fault`: the node has to stop. Where it `takes_plain`, connections may also
    speak without frames.
    """

    def __init__(
        self,
        address: tuple[str, int],
        service: str,
        table: ServiceTable,
        codec: Codec,
        *,
        limits: TransportLimits,
        clock: Clock,
        on_fault: Callable[[Fault], None],
        takes_plain: bool = False,
    ) -> None:
        self._service = service
        self._plain = codec.limits if takes_plain else None
        self._limits = limits
        self._dispatcher = Dispatcher(service, table, codec, clock, limits.frame_max_bytes, on_fault)
        self._listener = _listen(address, service)
        host, port = self._listener.getsockname()[:2]
        self.address: tuple[str, int] = (host, port)
        """Where it listens, with the port that was really taken."""
        self._selector = selectors.DefaultSelector()
        self._wake_read, self._wake_write = socket.socketpair()
        self._refusals = Refusals(self._selector, limits, self._cap_answer, takes_plain=takes_plain)
        self._guard = threading.Lock()
        self._connections: dict[Connection, threading.Thread] = {}
        self._accepted = 0
        self._closing = False
        self.name = f"{service}-{port}"
        """How the server's threads are called, before their own part of the name."""
        self._thread = threading.Thread(target=self._accept_until_closed, name=f"{self.name}-listener", daemon=True)

    @property
    def connection_count(self) -> int:
        """Connections that are served now."""
        return len(self._connections)

    def start(self) -> None:
        """Begin to accept; what connected since the server was made has waited."""
        self._thread.start()

    def close(self, timeout_s: float = 2.0) -> bool:
        """Accept nothing more, let running calls answer, end all threads; False when some still ran after the time.

        Calls that are still running in the last quarter of the time lose their connections.
        """
        ends_at_s = time.monotonic() + timeout_s
        self._closing = True
        if self._thread.ident is None:
            self._listener.close()
        else:
            self._wake_write.close()
            self._thread.join(timeout_s)
        threads = self._end_connections(at_once=False)
        _join(threads, ends_at_s - timeout_s / 4)
        threads = self._end_connections(at_once=True)
        return _join(threads, ends_at_s)

    # -- the listener's thread -----------------------------------------------------------------------------------------

    def _accept_until_closed(self) -> None:
        self._selector.register(self._listener, selectors.EVENT_READ, None)
        self._selector.register(self._wake_read, selectors.EVENT_READ, None)
        try:
            while not self._closing:
                for key, _ in self._selector.select(self._refusals.left_s()):
                    if isinstance(key.data, Refusal):
                        self._refusals.readable(key.data)
                    elif key.fileobj is self._listener:
                        self._accept()
                self._refusals.end_overdue()
        finally:
            self._close_listener()

    def _close_listener(self) -> None:
        self._refusals.close()
        self._selector.close()
        self._listener.close()
        self._wake_read.close()

    def _accept(self) -> None:
        for _ in range(ACCEPTS_PER_TURN):
            try:
                sock, peer = self._listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in _SHORTAGES:
                    log.error(
                        "cannot_accept", service=self._service, error=str(error), connections=len(self._connections)
                    )
                    time.sleep(SHORTAGE_PAUSE_S)
                    return
                log.debug("connection_lost_before_accept", service=self._service, error=str(error))
                continue
            is_full = len(self._connections) >= self._limits.connection_max_count
            if is_full or not self._serve(sock, peer):
                self._refusals.add(sock)

    def _serve(self, sock: socket.socket, peer: tuple[str, int]) -> bool:
        """Give the connection its thread; False when there is no thread to be had."""
        self._accepted += 1
        sock.setblocking(True)
        connection = Connection(self._accepted, sock, _as_text(peer), self._dispatcher, self._limits, self._plain)
        thread = threading.Thread(
            target=self._run, args=(connection,), name=f"{self.name}-{self._accepted}", daemon=True
        )
        with self._guard:
            self._connections[connection] = thread
        try:
            thread.start()
        except RuntimeError as error:
            log.error("no_thread_for_connection", service=self._service, error=str(error))
            self._forget(connection)
            return False
        return True

    def _cap_answer(self, message: bytes, is_all: bool) -> bytes | None:
        limit = f"{self._limits.connection_max_count} connections of this port (max_concurrent_client_num)"
        why = f"702 NO_LEADER: no place among the {limit}; try again later"
        return self._dispatcher.refuse_connection(message, why, is_all=is_all)

    # -- connections ---------------------------------------------------------------------------------------------------

    def _run(self, connection: Connection) -> None:
        try:
            connection.serve()
        finally:
            self._forget(connection)

    def _forget(self, connection: Connection) -> None:
        with self._guard:
            self._connections.pop(connection, None)

    def _end_connections(self, *, at_once: bool) -> list[threading.Thread]:
        with self._guard:
            connections = dict(self._connections)
        for connection in connections:
            connection.end(at_once=at_once)
        return list(connections.values())


def _listen(address: tuple[str, int], service: str) -> socket.socket:
    """Bind and listen; never on a port that another socket has, which SO_REUSEPORT would allow."""
    host, port = address
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise StartRefused(f"{host}:{port} ({service}): {error.strerror or error}") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setblocking(False)
        listener.bind(where)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise StartRefused(f"{host}:{port} ({service}): another process listens on this port") from error
        way_out = ""
        if error.errno == errno.EADDRNOTAVAIL:
            way_out = "; no interface of this machine has it: correct local_ip, or set bind_address"
        raise StartRefused(f"{host}:{port} ({service}): {error.strerror or error}{way_out}") from error
    return listener


def _as_text(peer: tuple[str, int]) -> str:
    host, port = peer[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _join(threads: list[threading.Thread], ends_at_s: float) -> bool:
    """Wait for threads up to a time; True when all have ended."""
    for thread in threads:
        thread.join(max(0.0, ends_at_s - time.monotonic()))
    return not any(thread.is_alive() for thread in threads)
