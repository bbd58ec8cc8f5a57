"""A server under test and a caller that can misbehave, over real loopback sockets."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, Self

from iotdb_cluster.errors import Fault
from iotdb_cluster.members.clock import MonotonicClock
from iotdb_cluster.server.transport.dispatch import ServiceTable
from iotdb_cluster.server.transport.limits import TransportLimits
from iotdb_cluster.server.transport.server import ThriftServer
from iotdb_cluster.wire.codec import Codec
from iotdb_cluster.wire.header import Protocol
from iotdb_cluster.wire.idl import STRUCTS
from iotdb_cluster.wire.limits import Limits

SERVICE = "TSIService"
ECHO = "requestStatementId"
"""A method that takes an i64 and gives one."""


@cache
def codec_for(frame_max_bytes: int) -> Codec:
    """A codec takes a fifth of a second to make, and threads may share it."""
    return Codec(Limits(frame_bytes=frame_max_bytes))


CODEC = codec_for(TransportLimits().frame_max_bytes)


def echo(number: int, connection: Any) -> int:
    return number


@contextmanager
def serving(
    table: ServiceTable | None = None,
    *,
    service: str = SERVICE,
    host: str = "127.0.0.1",
    on_fault: Callable[[Fault], None] | None = None,
    **limits: int,
) -> Iterator[ThriftServer]:
    """A started server on a free port; that it ends within its time is part of every test."""
    bounds = TransportLimits(**limits)
    server = ThriftServer(
        (host, 0),
        service,
        table or {ECHO: echo},
        codec_for(bounds.frame_max_bytes),
        limits=bounds,
        clock=MonotonicClock(),
        on_fault=on_fault or unexpected_fault,
    )
    server.start()
    try:
        yield server
    finally:
        assert server.close(5)
        assert [] == threads_of(server)


def unexpected_fault(fault: Fault) -> None:
    raise AssertionError(fault)


def threads_of(server: ThriftServer) -> list[threading.Thread]:
    """The server's threads for connections that are still alive."""
    of_server = [thread for thread in threading.enumerate() if thread.name.startswith(f"{server.name}-")]
    return [thread for thread in of_server if thread.name != f"{server.name}-listener"]


class RawCaller:
    """A connection whose every byte is the test's own."""

    def __init__(self, server: ThriftServer) -> None:
        self.socket = socket.create_connection(server.address, 10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def receive(self) -> bytes | None:
        """One frame without its length; None when the server has closed the connection."""
        head = self._exactly(4)
        if head is None:
            return None
        return self._exactly(int.from_bytes(head, "big"))

    def call(self, number: int, *, method: str = ECHO, protocol: Protocol = Protocol.BINARY, seqid: int = 7) -> Any:
        """An echo, answered; raises what the server answers."""
        self.send(framed(echo_call(number, method=method, protocol=protocol, seqid=seqid)))
        return self.answer(method=method, seqid=seqid)

    def answer(self, *, method: str = ECHO, seqid: int = 7) -> Any:
        """The next answer; raises what it says when it is an exception."""
        frame = self.receive()
        assert frame is not None, "the connection was closed without an answer"
        return CODEC.decode_reply(frame, SERVICE, method, seqid)

    def _exactly(self, size: int) -> bytes | None:
        data = b""
        while len(data) < size:
            part = self.socket.recv(size - len(data))
            if not part:
                return None
            data += part
        return data


def echo_call(number: int, *, method: str = ECHO, protocol: Protocol = Protocol.BINARY, seqid: int = 7) -> bytes:
    return CODEC.encode_call(SERVICE, method, (number,), seqid=seqid, protocol=protocol)


def framed(message: bytes) -> bytes:
    return len(message).to_bytes(4, "big") + message


def metadata_call(text: str) -> bytes:
    request = STRUCTS["TSFetchMetadataReq"].make(sessionId=1, type="COLUMN", columnPath=text)
    return CODEC.encode_call(SERVICE, "fetchMetadata", (request,), seqid=7)
