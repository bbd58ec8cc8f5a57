"""How messages are cut out of the bytes of a connection, each within a size and a time."""

import socket
import time
from typing import Protocol

from iotdb_cluster.client.socket_options import set_timeout
from iotdb_cluster.errors import ClusterError, MalformedInput
from iotdb_cluster.server.transport.limits import TransportLimits
from iotdb_cluster.wire.header import Protocol as ThriftProtocol
from iotdb_cluster.wire.limits import Limits
from iotdb_cluster.wire.scanner import MessageScanner

FIRST_READ_BYTES = 16 * 1024
"""Most messages are smaller: one receive takes them whole."""

LARGE_READ_BYTES = 4 * 1024 * 1024
"""What is left of a larger message is taken in pieces of this size."""

HEAD_BYTES = 512
"""What is kept of a message that is refused unread, to see which call it was."""

HEAD_TIMEOUT_MS = 200
"""How long a refused message's first bytes are waited for."""


class MessageRefused(ClusterError):
    """Bytes that are no message: what follows can't be understood either, so the connection ends.

    `head` is the beginning of the message, as far as it is known.
    """

    def __init__(self, message: str, head: bytes = b"") -> None:
        super().__init__(message)
        self.message = message
        self.head = head


class Incoming:
    """The receiving side of a blocking socket, with a buffer for what came too early."""

    __slots__ = ("_socket", "buffer")

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self.buffer = b""

    def fill(self) -> bool:
        """Wait, without limit, for more bytes; False when there will be none."""
        received = self._socket.recv(FIRST_READ_BYTES)
        self.buffer += received
        return bool(received)

    def fill_until(self, length: int, ends_at_s: float) -> bool:
        """Receive until the buffer has `length` bytes; False when the other side ends first or the time is over.

        Memory grows with what has come, not with what was announced.
        """
        parts = [self.buffer]
        missing = length - len(self.buffer)
        try:
            while missing > 0:
                left_ms = int((ends_at_s - time.monotonic()) * 1000)
                if left_ms <= 0:
                    return False
                set_timeout(self._socket, socket.SO_RCVTIMEO, left_ms)
                part = self._socket.recv(min(missing, LARGE_READ_BYTES), socket.MSG_WAITALL)
                if not part:
                    return False
                parts.append(part)
                missing -= len(part)
        except BlockingIOError:
            return False
        finally:
            set_timeout(self._socket, socket.SO_RCVTIMEO, 0)
            self.buffer = b"".join(parts)
        return True

    def receive(self, max_bytes: int, ends_at_s: float) -> bytes:
        """What has come, at most so much, waiting up to a time; nothing when the other side ended or time is over."""
        left_ms = int((ends_at_s - time.monotonic()) * 1000)
        if left_ms <= 0:
            return b""
        set_timeout(self._socket, socket.SO_RCVTIMEO, left_ms)
        try:
            return self._socket.recv(max_bytes)
        except BlockingIOError:
            return b""
        finally:
            set_timeout(self._socket, socket.SO_RCVTIMEO, 0)


class Messages(Protocol):
    """One way to cut messages out of a connection; chosen by its first bytes."""

    def read(self) -> bytes | None:
        """The next message; None when the other side ended between two. Raises `MessageRefused`."""

    def prefix(self, message: bytes) -> bytes:
        """What is sent before a message."""


class FramedMessages:
    """Thrift's framed transport: each message behind its length, an i32."""

    __slots__ = ("_incoming", "_max_bytes", "_timeout_s")

    def __init__(self, incoming: Incoming, limits: TransportLimits) -> None:
        self._incoming = incoming
        self._max_bytes = limits.frame_max_bytes
        self._timeout_s = limits.frame_timeout_ms / 1000

    def read(self) -> bytes | None:
        """Exactly one frame, without its length; what came behind it stays for the next time."""
        incoming = self._incoming
        if not incoming.buffer and not incoming.fill():
            return None
        ends_at_s = 0.0
        if len(incoming.buffer) < 4:
            ends_at_s = time.monotonic() + self._timeout_s
            if not incoming.fill_until(4, ends_at_s):
                raise MessageRefused(f"a frame was cut within its length or took longer than {self._timeout_s} s")
        buffer = incoming.buffer
        length = int.from_bytes(buffer[:4], "big", signed=True)
        end = 4 + length
        if not 0 < length <= self._max_bytes:
            raise self._refusal(length)
        if len(buffer) < end:
            # Without the length in front, what has come is the whole message: cutting it out would copy it again.
            incoming.buffer = buffer[4:]
            if not incoming.fill_until(length, ends_at_s or time.monotonic() + self._timeout_s):
                came = len(incoming.buffer)
                raise MessageRefused(
                    f"a frame of {length} bytes was cut behind {came} or took longer than {self._timeout_s} s",
                    incoming.buffer[:HEAD_BYTES],
                )
            message, incoming.buffer = incoming.buffer, b""
            return message
        incoming.buffer = buffer[end:]
        return buffer[4:end]

    def prefix(self, message: bytes) -> bytes:
        """Its length."""
        return len(message).to_bytes(4, "big")

    def _refusal(self, length: int) -> MessageRefused:
        """Says what is wrong with a length; waits shortly for the bytes that say which call it was."""
        if length > 0 and len(self._incoming.buffer) < HEAD_BYTES:
            self._incoming.fill_until(min(4 + length, HEAD_BYTES), time.monotonic() + HEAD_TIMEOUT_MS / 1000)
        head = self._incoming.buffer[4 : 4 + HEAD_BYTES]
        if length <= 0:
            return MessageRefused(f"a frame of {length} bytes: this port speaks Thrift's framed transport", head)
        return MessageRefused(f"a frame of {length} bytes: at most {self._max_bytes} are taken", head)


class PlainMessages:
    """No frames: messages one behind the other, each walked as it arrives to see where it ends."""

    __slots__ = ("_buffer", "_incoming", "_scanner", "_timeout_s")

    def __init__(self, incoming: Incoming, limits: TransportLimits, wire_limits: Limits) -> None:
        self._incoming = incoming
        self._buffer = bytearray()
        self._scanner = MessageScanner(wire_limits)
        self._timeout_s = limits.frame_timeout_ms / 1000

    def read(self) -> bytes | None:
        """Exactly one message; what came behind it stays for the next time."""
        buffer, incoming = self._buffer, self._incoming
        if not buffer and not incoming.buffer and not incoming.fill():
            return None
        buffer += incoming.buffer
        incoming.buffer = b""
        ends_at_s = time.monotonic() + self._timeout_s
        while True:
            try:
                length = self._scanner.scan(buffer)
            except MalformedInput as error:
                raise MessageRefused(error.message, bytes(buffer[:HEAD_BYTES])) from error
            if length is not None:
                message = bytes(buffer[:length])
                del buffer[:length]
                return message
            received = incoming.receive(
                LARGE_READ_BYTES if len(buffer) > FIRST_READ_BYTES else FIRST_READ_BYTES, ends_at_s
            )
            if not received:
                raise MessageRefused(
                    f"a message was cut behind {len(buffer)} bytes or took longer than {self._timeout_s} s",
                    bytes(buffer[:HEAD_BYTES]),
                )
            buffer += received

    def prefix(self, message: bytes) -> bytes:
        """Nothing."""
        return b""


def is_plain(first_bytes: bytes) -> bool:
    """True for the beginning of a connection without frames: 80 or 82, which can begin no length of a frame."""
    return first_bytes[:1] in _PLAIN_STARTS


_PLAIN_STARTS = (bytes((ThriftProtocol.BINARY,)), bytes((ThriftProtocol.COMPACT,)))


def open_messages(incoming: Incoming, limits: TransportLimits, plain: Limits | None) -> Messages:
    """The way to read a connection, chosen by its first byte, which is waited for (interface page "Transport").

    `plain` bounds messages without frames; None where they are not spoken: as a length of a frame they are refused.
    """
    if plain is not None and (incoming.buffer or incoming.fill()) and is_plain(incoming.buffer):
        return PlainMessages(incoming, limits, plain)
    return FramedMessages(incoming, limits)
