"""Connections above the cap: each is told so in answer to its first call, by the listener's thread alone."""

import selectors
import socket
import time
from collections.abc import Callable

from iotdb_cluster.client.socket_options import shut_down
from iotdb_cluster.server.transport.limits import TransportLimits
from iotdb_cluster.server.transport.messages import HEAD_BYTES, is_plain

READ_BYTES = 64 * 1024


class Refusal:
    """One connection that is being refused: its first bytes, and until when they are waited for."""

    __slots__ = ("ends_at_s", "head", "is_answered", "socket")

    def __init__(self, sock: socket.socket, ends_at_s: float) -> None:
        self.socket = sock
        self.ends_at_s = ends_at_s
        self.head = b""
        self.is_answered = False


class Refusals:
    """All connections that are being refused; bounded in number, and each in time and memory.

    Belongs to the listener's thread. `answer` makes the message for the beginning of a first call, or None when it
    needs more of it; the flag says that there will not be more.
    """

    def __init__(
        self,
        selector: selectors.BaseSelector,
        limits: TransportLimits,
        answer: Callable[[bytes, bool], bytes | None],
        *,
        takes_plain: bool,
    ) -> None:
        self._selector = selector
        self._limits = limits
        self._answer = answer
        self._takes_plain = takes_plain
        self._open: list[Refusal] = []

    def __len__(self) -> int:
        return len(self._open)

    def add(self, sock: socket.socket) -> None:
        """Refuse this connection; the oldest one is given up when there are too many."""
        if len(self._open) >= self._limits.refusal_max_count:
            self._end(self._open[0])
        sock.setblocking(False)
        refusal = Refusal(sock, time.monotonic() + self._limits.refusal_timeout_ms / 1000)
        self._selector.register(sock, selectors.EVENT_READ, refusal)
        self._open.append(refusal)

    def left_s(self) -> float | None:
        """Seconds until the oldest one's time is over; None when there is none."""
        return max(0.0, self._open[0].ends_at_s - time.monotonic()) if self._open else None

    def end_overdue(self) -> None:
        """Close those whose time is over; the list is in the order of their ends."""
        now_s = time.monotonic()
        while self._open and self._open[0].ends_at_s <= now_s:
            self._end(self._open[0])

    def readable(self, refusal: Refusal) -> None:
        """Take what came; answer once the call is known; then throw away what is still sent, up to its end."""
        if refusal not in self._open:
            return
        try:
            received = refusal.socket.recv(READ_BYTES)
            if received and not refusal.is_answered:
                self._hear(refusal, received)
        except BlockingIOError:
            return
        except OSError:
            received = b""
        if not received:
            self._end(refusal)

    def close(self) -> None:
        """Close all of them."""
        for refusal in self._open[:]:
            self._end(refusal)

    def _hear(self, refusal: Refusal, received: bytes) -> None:
        refusal.head = (refusal.head + received)[: 4 + HEAD_BYTES]
        has_frames = not (self._takes_plain and is_plain(refusal.head))
        head = refusal.head[4:] if has_frames else refusal.head
        message = self._answer(head, len(refusal.head) == 4 + HEAD_BYTES)
        if message is None:
            return
        # A message this short fits into an empty send buffer; should it not, the caller learns from the close.
        refusal.socket.send(len(message).to_bytes(4, "big") + message if has_frames else message)
        refusal.is_answered = True
        shut_down(refusal.socket, socket.SHUT_WR)

    def _end(self, refusal: Refusal) -> None:
        self._open.remove(refusal)
        self._selector.unregister(refusal.socket)
        refusal.socket.close()
