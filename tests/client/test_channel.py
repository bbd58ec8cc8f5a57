"""One outbound connection against a peer whose every byte is the test's own."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from iotdb_cluster.client.channel import Channel
from iotdb_cluster.client.connection import ThriftClient, shared_codec
from iotdb_cluster.errors import OutcomeUnknown, RemoteError, Unreachable
from iotdb_cluster.wire.codec import ApplicationError
from tests.server.rig import ECHO, SERVICE, framed

Peer = Callable[[socket.socket], None]


@contextmanager
def peer(behave: Peer) -> Iterator[tuple[str, int]]:
    """Accepts one connection and behaves as told."""
    listener = socket.create_server(("127.0.0.1", 0))

    def run() -> None:
        accepted, _ = listener.accept()
        with accepted:
            behave(accepted)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield listener.getsockname()[:2]
    finally:
        thread.join(10)
        listener.close()
        assert not thread.is_alive()


def answers(data: bytes) -> Peer:
    def behave(sock: socket.socket) -> None:
        sock.recv(65_536)
        sock.sendall(data)
        sock.recv(1)

    return behave


def reply(number: int, seqid: int) -> bytes:
    codec = shared_codec()
    call = codec.decode_call(codec.encode_call(SERVICE, ECHO, (0,), seqid=seqid), SERVICE)
    return framed(codec.encode_reply(call, number))


def call(address: tuple[str, int], timeout_ms: int = 5_000) -> int:
    client = ThriftClient(address, SERVICE)
    try:
        result = client.call(ECHO, (1,), timeout_ms)
        assert isinstance(result, int)
        return result
    finally:
        client.close()


def test_an_answer_may_come_in_any_pieces() -> None:
    def drips(sock: socket.socket) -> None:
        sock.recv(65_536)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in reply(5, 1):
            sock.sendall(bytes([byte]))

    with peer(drips) as address:
        assert 5 == call(address)


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (reply(5, 2), "the answer to call 2, not 1"),
        (reply(5, 1) + reply(6, 2), "more than one answer"),
        (framed(b"\x80\x01\x00\x02nonsense"), "no sensible answer to requestStatementId"),
        (bytes(4), "a frame of 0 bytes"),
        (b"\x7f\xff\xff\xff", "a frame of 2147483647 bytes"),
        (reply(5, 1)[:-1], "gave no answer within 50 ms"),
        (b"", "gave no answer within 50 ms"),
    ],
)
def test_what_is_no_answer_to_this_call_leaves_its_outcome_unknown_and_ends_the_connection(
    data: bytes, match: str
) -> None:
    with peer(answers(data)) as address:
        client = ThriftClient(address, SERVICE)
        with pytest.raises(OutcomeUnknown, match=match):
            client.call(ECHO, (1,), 50)
        assert not client.is_usable
        with pytest.raises(Unreachable):
            client.call(ECHO, (1,), 50)


def test_a_peer_that_goes_away_before_its_answer_leaves_the_outcome_unknown() -> None:
    def leaves(sock: socket.socket) -> None:
        sock.recv(65_536)

    with peer(leaves) as address, pytest.raises(OutcomeUnknown, match="closed the connection before its answer"):
        call(address)


def test_an_exception_is_the_peers_answer_and_the_connection_stays() -> None:
    codec = shared_codec()
    request = codec.decode_call(codec.encode_call(SERVICE, ECHO, (0,), seqid=1), SERVICE)
    refusal = codec.encode_exception(request, ApplicationError.INTERNAL_ERROR, "702 NO_LEADER: nobody")
    with peer(answers(framed(refusal))) as address:
        client = ThriftClient(address, SERVICE)
        with pytest.raises(RemoteError, match="nobody") as caught:
            client.call(ECHO, (1,), 5_000)
        assert 702 == caught.value.code
        assert client.is_usable
        client.close()


def test_a_call_that_the_peer_never_takes_completely_had_no_effect() -> None:
    read = threading.Event()

    def never_reads(sock: socket.socket) -> None:
        read.wait(10)

    with peer(never_reads) as address:
        channel = Channel(address, 1_000)
        with pytest.raises(Unreachable, match="no complete call"):
            channel.send(bytes(60_000_000), 30)
        assert not channel.is_open
        read.set()


def test_a_connection_that_the_peer_closed_is_known_to_be_stale() -> None:
    closed = threading.Event()

    def closes(sock: socket.socket) -> None:
        sock.close()
        closed.set()

    with peer(closes) as address:
        channel = Channel(address, 1_000)
        assert closed.wait(10)
        assert channel.is_stale()
        channel.close()
        assert channel.is_stale()


def test_a_connection_that_the_system_made_to_itself_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def to_itself(address: tuple[str, int], timeout: float) -> socket.socket:
        sock = socket.socket()
        sock.bind(address)
        sock.connect(address)
        return sock

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = free.getsockname()
    monkeypatch.setattr(socket, "create_connection", to_itself)
    with pytest.raises(Unreachable, match="nobody listens there"):
        Channel(address, 1_000)


def test_who_waits_for_an_answer_can_be_interrupted() -> None:
    asked = threading.Event()

    def stalls(sock: socket.socket) -> None:
        sock.recv(65_536)
        asked.set()
        sock.recv(1)

    with peer(stalls) as address:
        client = ThriftClient(address, SERVICE)
        interrupter = threading.Thread(target=lambda: asked.wait(10) and client.interrupt())
        interrupter.start()
        with pytest.raises(OutcomeUnknown):
            client.call(ECHO, (1,), 10_000)
        interrupter.join(10)
