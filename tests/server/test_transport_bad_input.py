"""Bytes that are no call, and callers that stall: each is answered or cut, and nobody else notices."""

import random
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from iotdb_cluster.errors import MalformedInput, RemoteError
from iotdb_cluster.server.transport.server import ThriftServer
from iotdb_cluster.wire.codec import ApplicationError
from iotdb_cluster.wire.header import Protocol
from tests.server.rig import ECHO, RawCaller, echo, echo_call, framed, metadata_call, serving, threads_of

SHORT_MS = 30
"""A time-out that a test waits for."""


@pytest.fixture
def server() -> Iterator[ThriftServer]:
    """A server beside whose misbehaved caller a good one is served all the time."""
    table = {ECHO: echo, "fetchMetadata": lambda request, connection: 1 / 0}
    with (
        serving(table, frame_max_bytes=100_000, frame_timeout_ms=SHORT_MS, send_timeout_ms=SHORT_MS) as made,
        RawCaller(made) as witness,
    ):
        assert 1 == witness.call(1)
        yield made
        assert 2 == witness.call(2)


def refused(caller: RawCaller, match: str, seqid: int = 7) -> None:
    """The next answer is a protocol error that says why, and then the connection ends."""
    with pytest.raises(RemoteError, match=match) as caught:
        caller.answer(seqid=seqid)
    assert ApplicationError.PROTOCOL_ERROR == caught.value.type
    assert caller.receive() is None


def test_a_frame_of_zero_length_is_refused(server: ThriftServer) -> None:
    with RawCaller(server) as caller:
        caller.send(bytes(4))
        refused(caller, "a frame of 0 bytes", seqid=0)


def test_a_negative_frame_length_is_refused(server: ThriftServer) -> None:
    with RawCaller(server) as caller:
        caller.send((-5).to_bytes(4, "big", signed=True))
        refused(caller, "a frame of -5 bytes", seqid=0)


@pytest.mark.parametrize("protocol", Protocol)
def test_a_frame_above_the_limit_is_refused_unread_and_names_the_call(server: ThriftServer, protocol: Protocol) -> None:
    with RawCaller(server) as caller:
        call = echo_call(1, protocol=protocol)
        caller.send((2**31 - 1).to_bytes(4, "big") + call)
        frame = caller.receive()
        assert frame is not None
        assert protocol == frame[0]
        assert ECHO.encode() in frame
        assert b"a frame of 2147483647 bytes: at most 100000 are taken" in frame
        assert caller.receive() is None


def test_a_caller_that_goes_on_sending_a_frame_above_the_limit_still_gets_its_answer(server: ThriftServer) -> None:
    with RawCaller(server) as caller:
        caller.send((8_000_000).to_bytes(4, "big") + echo_call(1) + bytes(7_000_000))
        refused(caller, "at most 100000 are taken")


def test_a_frame_that_is_cut_by_the_callers_end_is_refused_and_its_call_never_runs(server: ThriftServer) -> None:
    with RawCaller(server) as caller:
        call = echo_call(1)
        caller.send(framed(call)[:-3])
        caller.socket.shutdown(socket.SHUT_WR)
        refused(caller, f"a frame of {len(call)} bytes was cut behind {len(call) - 3}")


@pytest.mark.parametrize("sent", [2, 4, 20])
def test_a_frame_that_stalls_is_refused_when_its_time_is_over(server: ThriftServer, sent: int) -> None:
    with RawCaller(server) as caller:
        began = time.monotonic()
        caller.send(framed(echo_call(1))[:sent])
        with pytest.raises(RemoteError, match="took longer than 0.03 s"):
            caller.answer(seqid=0)
        assert SHORT_MS / 1000 <= time.monotonic() - began < 5
        assert caller.receive() is None


def test_a_frame_may_not_be_kept_alive_by_a_byte_now_and_then(server: ThriftServer) -> None:
    with RawCaller(server) as caller:
        call = framed(echo_call(1))
        caller.send(call[:10])
        caller.socket.settimeout(SHORT_MS / 1000 / 3)
        answered = b""
        for at in range(10, len(call) - 1):
            caller.send(call[at : at + 1])
            try:
                answered = caller.socket.recv(1)
                break
            except TimeoutError:
                continue
        assert b"\x00" == answered


def test_silence_between_frames_is_no_stall(server: ThriftServer) -> None:
    with RawCaller(server) as quiet:
        # A call that takes more than one read, so that there was a time to keep once.
        quiet.send(framed(metadata_call("x" * 50_000)))
        with pytest.raises(RemoteError, match="ZeroDivisionError"):
            quiet.answer()
        for _ in range(3):
            with RawCaller(server) as staller:
                staller.send(b"\x00")
                with pytest.raises(RemoteError, match="took longer"):
                    staller.answer(seqid=0)
        assert 2 == quiet.call(2)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "a frame of 1195725856 bytes"),
        (echo_call(1), "speaks Thrift's framed transport"),
        (framed(b"\x81\x01\x00\x01whatever"), "neither strict binary nor compact"),
        (framed(b"\x80\x01\x00\x01" + b"\xff" * 40), "-1|neg|size|length"),
    ],
)
def test_other_protocols_are_refused_in_words(server: ThriftServer, data: bytes, why: str) -> None:
    with RawCaller(server) as caller:
        caller.send(data)
        refused(caller, why, seqid=0)


def test_a_missing_argument_is_refused_by_name_and_the_connection_goes_on(server: ThriftServer) -> None:
    with RawCaller(server) as caller:
        call = echo_call(1)
        caller.send(framed(call[: call.index(b"\x0a\x00\x01")] + b"\x00"))
        with pytest.raises(RemoteError, match="sessionId") as caught:
            caller.answer()
        assert ApplicationError.PROTOCOL_ERROR == caught.value.type
        assert 3 == caller.call(3)


def test_a_field_of_the_wrong_type_is_refused_and_the_connection_goes_on(server: ThriftServer) -> None:
    with RawCaller(server) as caller:
        caller.send(framed(echo_call(1).replace(b"\x0a\x00\x01", b"\x04\x00\x01")))
        with pytest.raises(RemoteError, match="sessionId"):
            caller.answer()
        assert 3 == caller.call(3)


def test_bytes_behind_a_call_in_its_frame_are_refused(server: ThriftServer) -> None:
    with RawCaller(server) as caller:
        caller.send(framed(echo_call(1) + b"\x00"))
        with pytest.raises(RemoteError):
            caller.answer()
        assert 3 == caller.call(3)


def test_flipped_bytes_are_answered_or_refused_and_nobody_else_notices(server: ThriftServer) -> None:
    drawn = random.Random(3)
    for protocol in Protocol:
        good = echo_call(12345, protocol=protocol)
        for _ in range(60):
            bad = bytearray(good)
            bad[drawn.randrange(len(bad))] ^= 1 << drawn.randrange(8)
            with RawCaller(server) as caller:
                caller.send(framed(bytes(bad)))
                caller.socket.shutdown(socket.SHUT_WR)
                answered = caller.receive()
                assert answered is None or answered[0] in tuple(Protocol)


def test_a_caller_that_never_reads_is_cut_and_its_thread_ends() -> None:
    asked = threading.Event()

    def large(request: Any, connection: Any) -> Any:
        asked.set()
        raise MalformedInput("x" * 900_000)

    with serving({ECHO: large}, send_timeout_ms=SHORT_MS) as server, RawCaller(server) as caller:
        caller.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        caller.send(framed(echo_call(1)) * 20)
        assert asked.wait(10)
        for thread in threads_of(server):
            thread.join(10)
        assert [] == threads_of(server)


def test_a_caller_that_leaves_in_the_middle_of_its_call_harms_nobody(server: ThriftServer) -> None:
    for _ in range(20):
        with RawCaller(server) as caller:
            caller.send(framed(echo_call(1)) * 3)
            caller.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
