"""Connections without frames, as the original's Session and JDBC speak (interface page CLIENT, "Transport")."""

import socket
from typing import Any

import pytest

from iotdb_cluster.errors import RemoteError
from iotdb_cluster.members.clock import MonotonicClock
from iotdb_cluster.server.transport.limits import TransportLimits
from iotdb_cluster.server.transport.server import ThriftServer
from iotdb_cluster.wire.codec import ApplicationError
from iotdb_cluster.wire.header import Protocol
from iotdb_cluster.wire.idl import STRUCTS
from iotdb_cluster.wire.scanner import message_length
from tests.server.rig import CODEC, ECHO, SERVICE, RawCaller, codec_for, echo, echo_call, framed, metadata_call
from tests.server.rig import unexpected_fault as on_fault


def metadata(request: Any, connection: Any) -> Any:
    status = STRUCTS["TSStatus"].make(statusType=STRUCTS["TSStatusType"].make(code=200, message=""))
    return STRUCTS["TSFetchMetadataResp"].make(status=status, dataType=request.columnPath)


@pytest.fixture
def server(request):
    """A server that takes both kinds of connections."""
    bounds = TransportLimits(**getattr(request, "param", {}))
    table = {ECHO: echo, "fetchMetadata": metadata}
    codec = codec_for(bounds.frame_max_bytes)
    made = ThriftServer(
        ("127.0.0.1", 0),
        SERVICE,
        table,
        codec,
        limits=bounds,
        clock=MonotonicClock(),
        on_fault=on_fault,
        takes_plain=True,
    )
    made.start()
    yield made
    assert made.close(5)


class PlainCaller(RawCaller):
    """Reads answers by walking them."""

    def __init__(self, server: ThriftServer) -> None:
        super().__init__(server)
        self._rest = b""

    def receive(self) -> bytes | None:
        while not self._rest or (length := message_length(self._rest, CODEC.limits)) is None:
            part = self.socket.recv(1 << 20)
            if not part:
                assert not self._rest, "the end comes between two messages"
                return None
            self._rest += part
        message, self._rest = self._rest[:length], self._rest[length:]
        return message


@pytest.mark.parametrize("protocol", Protocol)
def test_a_call_without_a_frame_is_answered_without_one_in_its_protocol(server, protocol):
    with PlainCaller(server) as caller:
        caller.send(echo_call(42, protocol=protocol))
        answer = caller.receive()
        assert protocol == answer[0]
        assert 42 == CODEC.decode_reply(answer, SERVICE, ECHO, 7)


def test_connections_of_both_kinds_are_served_side_by_side(server):
    with PlainCaller(server) as plain, RawCaller(server) as with_frames:
        plain.send(echo_call(1))
        with_frames.send(framed(echo_call(2)))
        assert [1, 2] == [plain.answer(), with_frames.answer()]


def test_calls_that_arrive_together_are_answered_one_by_one(server):
    with PlainCaller(server) as caller:
        calls = [echo_call(n, seqid=n, protocol=list(Protocol)[n % 2]) for n in range(1, 8)]
        caller.send(b"".join(calls))
        assert list(range(1, 8)) == [caller.answer(seqid=n) for n in range(1, 8)]


def test_a_call_that_arrives_byte_by_byte_is_answered(server):
    with PlainCaller(server) as caller:
        for byte in echo_call(9):
            caller.send(bytes([byte]))
        assert 9 == caller.answer()


def test_large_calls_and_answers_pass_whole(server):
    text = "x" * 3_000_000
    with PlainCaller(server) as caller:
        caller.send(metadata_call(text) + echo_call(3, seqid=8))
        assert text == caller.answer(method="fetchMetadata").dataType
        assert 3 == caller.answer(seqid=8)


@pytest.mark.parametrize(
    "garbage", [b"\x80\x01\x00\x09", b"\x80\x00" + bytes(20), b"\x82\x00\x00\x00", b"\x80\x01\x00\x01\xff\xff\xff\xff"]
)
def test_what_is_no_message_is_refused_in_words_and_ends_the_connection(server, garbage):
    with PlainCaller(server) as caller:
        caller.send(garbage + bytes(40))
        with pytest.raises(RemoteError) as caught:
            caller.answer(seqid=0)
        assert ApplicationError.PROTOCOL_ERROR == caught.value.type
        assert caller.receive() is None


@pytest.mark.parametrize("server", [{"frame_max_bytes": 20_000}], indirect=True)
def test_a_message_above_the_limit_is_refused_before_its_end_has_come(server):
    with PlainCaller(server) as caller:
        caller.send(metadata_call("x" * 30_000)[:1_000])
        with pytest.raises(RemoteError, match="20000"):
            caller.answer(method="fetchMetadata")


@pytest.mark.parametrize("server", [{"frame_timeout_ms": 200}], indirect=True)
def test_a_message_that_never_ends_is_refused_when_its_time_is_over(server):
    with PlainCaller(server) as caller, PlainCaller(server) as patient:
        patient.send(echo_call(1))
        assert 1 == patient.answer()
        caller.send(metadata_call("x" * 100)[:-30])
        with pytest.raises(RemoteError, match="took longer"):
            caller.answer(method="fetchMetadata")
        patient.send(echo_call(2))
        assert 2 == patient.answer()


@pytest.mark.parametrize("server", [{"connection_max_count": 1}], indirect=True)
def test_a_connection_above_the_cap_is_refused_in_its_own_form(server):
    with PlainCaller(server) as first, PlainCaller(server) as second:
        first.send(echo_call(1))
        assert 1 == first.answer()
        second.send(echo_call(2))
        with pytest.raises(RemoteError, match="max_concurrent_client_num"):
            second.answer()


def test_a_caller_that_says_nothing_is_let_go_when_the_server_closes(server):
    with socket.create_connection(server.address, 10) as silent, PlainCaller(server) as later:
        later.send(echo_call(1))
        assert 1 == later.answer()  # connections are accepted in their order
        assert server.close(5)
        assert b"" == silent.recv(1)
