"""One outbound connection that carries framed messages, each within a deadline."""

import socket
import struct
import time

from iotdb_cluster.client.socket_options import set_timeout, shut_down, tune
from iotdb_cluster.errors import OutcomeUnknown, Unreachable

FIRST_READ_BYTES = 16 * 1024
LARGE_READ_BYTES = 4 * 1024 * 1024
JOIN_BYTES = 64 * 1024
"""Up to this size a message is copied behind its length, so that it leaves in one small write."""

FRAME_MAX_BYTES = 64 * 1024 * 1024
"""The largest answer that is taken when nothing else is said."""


class Channel:
    """A connected socket. After any error it is closed and must not be used again; used by one thread at a time.

    Times are in milliseconds from the call. `Unreachable` is raised only when no complete message left this machine,
    so that the other side can't have acted on it; everything later is `OutcomeUnknown`.
    """

    __slots__ = ("_bounds_ms", "_frame_max_bytes", "_socket", "name")

    def __init__(
        self, address: tuple[str, int], connect_timeout_ms: int, *, frame_max_bytes: int = FRAME_MAX_BYTES
    ) -> None:
        host, port = address
        self.name = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._frame_max_bytes = frame_max_bytes
        self._bounds_ms = {socket.SO_RCVTIMEO: 0, socket.SO_SNDTIMEO: 0}
        try:
            sock = socket.create_connection(address, max(1, connect_timeout_ms) / 1000)
        except OSError as error:
            raise Unreachable(f"{self.name} cannot be reached: {error.strerror or error}") from error
        self._socket = sock
        if sock.getsockname() == sock.getpeername():
            # Nobody listens, and the system gave this socket the very port it asked for: TCP's simultaneous open.
            sock.close()
            raise Unreachable(f"{self.name} cannot be reached: nobody listens there")
        sock.settimeout(None)
        tune(sock)

    @property
    def is_open(self) -> bool:
        """False once it was closed, by an error or on purpose."""
        return self._socket.fileno() >= 0

    def is_stale(self) -> bool:
        """True when the other side has closed it, or sends without having been asked; to be looked at before a call."""
        if not self.is_open:
            return True
        try:
            self._socket.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            return True
        return True

    def send(self, message: bytes, timeout_ms: int) -> None:
        """Send one frame; raises `Unreachable` when it did not leave completely."""
        prefix = struct.pack("!i", len(message))
        ends_at_s = time.monotonic() + timeout_ms / 1000
        try:
            self._bound(socket.SO_SNDTIMEO, timeout_ms)
            if len(message) <= JOIN_BYTES:
                rest = memoryview(prefix + message)
                rest = rest[self._socket.send(rest) :]
            else:
                sent = self._socket.sendmsg([prefix, message])
                if sent < len(prefix):
                    raise BlockingIOError
                rest = memoryview(message)[sent - len(prefix) :]
            while rest and time.monotonic() < ends_at_s:
                rest = rest[self._socket.send(rest) :]
        except OSError as error:
            self.close()
            raise Unreachable(f"{self.name} took no complete call: {error.strerror or error}") from error
        if rest:
            self.close()
            raise Unreachable(f"{self.name} took no complete call within {timeout_ms} ms")

    def receive(self, timeout_ms: int) -> bytes:
        """The next frame, without its length; raises `OutcomeUnknown`."""
        ends_at_s = time.monotonic() + timeout_ms / 1000
        try:
            buffer = self._take(FIRST_READ_BYTES, ends_at_s)
            while len(buffer) < 4:
                buffer += self._take(4 - len(buffer), ends_at_s)
            length = int.from_bytes(buffer[:4], "big", signed=True)
            if not 0 < length <= self._frame_max_bytes:
                raise self._broken(f"announced a frame of {length} bytes")
            missing = 4 + length - len(buffer)
            if missing < 0:
                raise self._broken("sent more than one answer to one call")
            if missing == 0:
                return buffer[4:]
            parts = [buffer[4:]]
            while missing > 0:
                parts.append(self._take(min(missing, LARGE_READ_BYTES), ends_at_s, socket.MSG_WAITALL))
                missing -= len(parts[-1])
        except BlockingIOError:
            raise self._broken(f"gave no answer within {timeout_ms} ms") from None
        except OSError as error:
            raise self._broken(f"ended the connection before its answer: {error.strerror or error}") from error
        return b"".join(parts)

    def interrupt(self) -> None:
        """Let a blocked send or receive fail at once; from any thread."""
        shut_down(self._socket)

    def close(self) -> None:
        """Close it; a second time does nothing."""
        self._socket.close()

    def _take(self, size: int, ends_at_s: float, flags: int = 0) -> bytes:
        self._bound(socket.SO_RCVTIMEO, int((ends_at_s - time.monotonic()) * 1000))
        received = self._socket.recv(size, flags)
        if not received:
            raise self._broken("closed the connection before its answer")
        return received

    def _broken(self, what: str) -> OutcomeUnknown:
        self.close()
        return OutcomeUnknown(f"{self.name} {what}")

    def _bound(self, option: int, timeout_ms: int) -> None:
        """Set the kernel's bound, unless the one that is set is right within a tenth: calls come with similar times."""
        if timeout_ms <= 0:
            raise BlockingIOError
        if not timeout_ms <= self._bounds_ms[option] <= timeout_ms * 1.1 + 1:
            set_timeout(self._socket, option, timeout_ms)
            self._bounds_ms[option] = timeout_ms
