"""The socket options that both the accepting and the calling side set."""

import socket
import struct


def tune(sock: socket.socket) -> None:
    """Send small messages at once, and notice within some two minutes that the other machine is gone."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 6)):
        if hasattr(socket, option):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)


def set_timeout(sock: socket.socket, option: int, timeout_ms: int) -> None:
    """Bound each blocking receive (`SO_RCVTIMEO`) or send (`SO_SNDTIMEO`); 0 lifts the bound.

    The kernel's own bound needs no poll before each call, as Python's `settimeout` does.
    """
    seconds, rest_ms = divmod(max(0, timeout_ms), 1000)
    sock.setsockopt(socket.SOL_SOCKET, option, struct.pack("@ll", seconds, rest_ms * 1000))


def shut_down(sock: socket.socket, how: int = socket.SHUT_RDWR) -> bool:
    """End a connection so that whoever blocks on it wakes up; False when the other side was faster."""
    try:
        sock.shutdown(how)
    except OSError:
        return False
    return True
