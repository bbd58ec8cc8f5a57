"""One accepted connection: its thread reads a call, has it answered, writes the answer, and so on."""

import socket
import time
from collections.abc import Callable

import structlog

from iotdb_cluster.client.socket_options import set_timeout, shut_down, tune
from iotdb_cluster.server.transport.dispatch import Dispatcher
from iotdb_cluster.server.transport.limits import TransportLimits
from iotdb_cluster.server.transport.messages import Incoming, MessageRefused, Messages, open_messages
from iotdb_cluster.wire.limits import Limits

log = structlog.get_logger()

JOIN_BYTES = 64 * 1024
"""Up to this size, copying an answer behind its length is cheaper than a second buffer in the system call."""

LINGER_S = 1.0
"""After a refusal, this long the rest of what is still being sent is taken and thrown away: a socket closed with
unread bytes resets the connection, and the answer would be lost with it."""


GOODBYE_S = 0.1
"""A caller that has just got an answer may have sent its next call already: it is waited for, and refused in words.
Closed without a word, that caller would not know whether the call was carried out."""

GOODBYE_LOOK_S = 0.005
"""A connection that was told to end while nothing was asked receives without waiting: this often it is looked at."""

GOODBYE = "702 NO_LEADER: this node stops; the call was not begun"


class Connection:
    """What handlers know of the caller: the same object for all calls of a connection.

    Everything but `end` belongs to the connection's own thread.
    """

    __slots__ = (
        "_dispatcher",
        "_is_answering",
        "_limits",
        "_on_close",
        "_plain",
        "_socket",
        "closing",
        "id",
        "peer",
        "peer_identity",
    )

    def __init__(
        self,
        number: int,
        sock: socket.socket,
        peer: str,
        dispatcher: Dispatcher,
        limits: TransportLimits,
        plain: Limits | None,
    ) -> None:
        self.id = number
        """Unique in the server."""
        self.peer = peer
        """Address and port of the caller, for messages."""
        self.peer_identity: object = None
        """What a `hello` on this connection proved about the caller; None before, and for a plain client."""
        self.closing = False
        self._socket = sock
        self._dispatcher = dispatcher
        self._limits = limits
        self._plain = plain
        self._on_close: list[Callable[[Connection], None]] = []
        self._is_answering = False

    def add_close_callback(self, callback: "Callable[[Connection], None]") -> None:
        """Call `callback(connection)` once in the connection's thread when it ends, however often it was added."""
        if callback not in self._on_close:
            self._on_close.append(callback)

    def end(self, *, at_once: bool) -> None:
        """Carry out no further call; `at_once` also cuts the answer that is being written. From any thread."""
        self.closing = True
        if at_once or not self._is_answering:
            shut_down(self._socket, socket.SHUT_RDWR if at_once else socket.SHUT_RD)

    def serve(self) -> None:
        """Answer calls until either side ends; then tidy up. Raises nothing."""
        try:
            tune(self._socket)
            set_timeout(self._socket, socket.SO_SNDTIMEO, self._limits.send_timeout_ms)
            self._serve()
        except OSError as error:
            log.debug("connection_lost", peer=self.peer, error=str(error))
        finally:
            self._socket.close()
            self._run_close_callbacks()

    def _serve(self) -> None:
        incoming = Incoming(self._socket)
        messages = open_messages(incoming, self._limits, self._plain)
        while not self.closing:
            try:
                message = messages.read()
            except MessageRefused as refusal:
                log.info("message_refused", peer=self.peer, why=refusal.message)
                answer = self._dispatcher.refuse(refusal)
            else:
                if message is None:
                    break
                if self.closing:
                    # It came while we were told to end: what a shut-down socket still receives can be read.
                    self._refuse_as_not_begun(messages, message)
                    return
                self._is_answering = True
                answer = self._dispatcher.answer(message, self)
            if answer.message is None:
                self._is_answering = False
                continue
            if not self._send(messages.prefix(answer.message), answer.message):
                log.info("caller_does_not_read", peer=self.peer, timeout_ms=self._limits.send_timeout_ms)
                return
            if not answer.go_on:
                self._linger()
                return
            self._is_answering = False
        if self.closing:
            self._say_goodbye(messages)

    def _say_goodbye(self, messages: Messages) -> None:
        """Refuse the call that followed the last answer, if there is one."""
        ends_at_s = time.monotonic() + GOODBYE_S
        set_timeout(self._socket, socket.SO_RCVTIMEO, int(GOODBYE_S * 1000))
        try:
            while (message := messages.read()) is None and time.monotonic() < ends_at_s:
                time.sleep(GOODBYE_LOOK_S)
        except (MessageRefused, BlockingIOError):
            return
        if message is not None:
            self._refuse_as_not_begun(messages, message)

    def _refuse_as_not_begun(self, messages: Messages, message: bytes) -> None:
        refusal = self._dispatcher.refuse_connection(message, GOODBYE, is_all=True)
        if refusal is not None and self._send(messages.prefix(refusal), refusal):
            self._linger()

    def _send(self, prefix: bytes, message: bytes) -> bool:
        """One write for one answer. False when the caller left it unread for too long."""
        ends_at_s = time.monotonic() + self._limits.send_timeout_ms / 1000
        try:
            if len(message) <= JOIN_BYTES:
                data = prefix + message
                sent = self._socket.send(data)
                if sent == len(data):
                    return True
                rest = memoryview(data)[sent:]
            else:
                sent = self._socket.sendmsg([prefix, message])
                if sent < len(prefix):
                    return False
                rest = memoryview(message)[sent - len(prefix) :]
            while rest and time.monotonic() < ends_at_s:
                rest = rest[self._socket.send(rest) :]
        except BlockingIOError:
            return False
        return not rest

    def _linger(self) -> None:
        if not shut_down(self._socket, socket.SHUT_WR):
            return
        ends_at_s = time.monotonic() + LINGER_S
        while (left_ms := int((ends_at_s - time.monotonic()) * 1000)) > 0:
            set_timeout(self._socket, socket.SO_RCVTIMEO, left_ms)
            if not self._socket.recv(1 << 20):
                return

    def _run_close_callbacks(self) -> None:
        for callback in self._on_close:
            try:
                callback(self)
            except Exception as error:
                log.error("close_callback_failed", peer=self.peer, exc_info=error)
