"""Ports, caps and ends: who is let in, who is told no, and what is left when it is over."""

import errno
import socket
import threading

import pytest

from iotdb_cluster.errors import OutcomeUnknown, RemoteError, StartRefused
from iotdb_cluster.members.clock import MonotonicClock
from iotdb_cluster.members.pending import Pending
from iotdb_cluster.server.transport.limits import TransportLimits
from iotdb_cluster.server.transport.server import ThriftServer
from iotdb_cluster.wire.header import Protocol
from tests.server.rig import (
    CODEC,
    ECHO,
    SERVICE,
    RawCaller,
    echo,
    echo_call,
    framed,
    serving,
    threads_of,
    unexpected_fault,
)


def server_at(address: tuple[str, int]) -> ThriftServer:
    return ThriftServer(
        address,
        SERVICE,
        {ECHO: echo},
        CODEC,
        limits=TransportLimits(),
        clock=MonotonicClock(),
        on_fault=unexpected_fault,
    )


def test_a_port_in_use_refuses_the_start_and_names_it() -> None:
    with serving() as server:
        host, port = server.address
        with pytest.raises(StartRefused, match=f"{host}:{port} .*another process listens"):
            server_at(server.address)


def test_an_address_that_is_not_ours_refuses_the_start() -> None:
    with pytest.raises(
        StartRefused, match=r"192\.0\.2\.1:1234 .*; no interface of this machine has it: correct local_ip"
    ):
        server_at(("192.0.2.1", 1234))


def test_a_port_is_free_again_when_the_server_is_closed() -> None:
    with serving() as server, RawCaller(server) as caller:
        assert 1 == caller.call(1)
        address = server.address
    again = server_at(address)
    assert again.close()
    assert again.close()


def test_who_connects_before_the_start_has_only_waited() -> None:
    server = server_at(("127.0.0.1", 0))
    with RawCaller(server) as caller:
        caller.send(framed(echo_call(4)))
        server.start()
        assert 4 == caller.answer()
    assert server.close()


@pytest.mark.parametrize("protocol", Protocol)
def test_a_connection_above_the_cap_is_told_so_in_answer_to_its_first_call(protocol: Protocol) -> None:
    with serving(connection_max_count=2) as server, RawCaller(server) as first, RawCaller(server) as second:
        assert [1, 2] == [first.call(1), second.call(2)]
        with RawCaller(server) as third:
            with pytest.raises(
                RemoteError, match="the 2 connections of this port .max_concurrent_client_num"
            ) as caught:
                third.call(3, protocol=protocol)
            assert 702 == caught.value.code
            assert third.receive() is None
        assert [1, 2] == [first.call(1), second.call(2)]
        assert 2 == server.connection_count


def test_the_first_call_above_the_cap_may_be_large_or_come_in_pieces() -> None:
    with serving(connection_max_count=1) as server, RawCaller(server) as first:
        assert 1 == first.call(1)
        with RawCaller(server) as second, RawCaller(server) as third:
            for byte in framed(echo_call(2)):
                second.send(bytes([byte]))
            third.send((5_000_000).to_bytes(4, "big") + echo_call(3) + bytes(4_000_000))
            for caller in (second, third):
                with pytest.raises(RemoteError, match="max_concurrent_client_num"):
                    caller.answer()


def test_a_place_that_was_left_is_given_to_the_next() -> None:
    with serving(connection_max_count=1) as server:
        with RawCaller(server) as first:
            assert 1 == first.call(1)
            (thread,) = threads_of(server)
        thread.join(10)
        with RawCaller(server) as second:
            assert 2 == second.call(2)


def test_refusing_is_bounded_in_number_and_time() -> None:
    limits = {"connection_max_count": 1, "refusal_max_count": 3, "refusal_timeout_ms": 50}
    with serving(**limits) as server, RawCaller(server) as first:
        assert 1 == first.call(1)
        silent = [RawCaller(server) for _ in range(10)]
        assert [None] * 10 == [caller.receive() for caller in silent]
        assert 1 == first.call(1)
        for caller in silent:
            caller.socket.close()


def test_five_hundred_connections_leave_no_thread() -> None:
    with serving() as server:
        for number in range(50):
            callers = [RawCaller(server) for _ in range(10)]
            assert [number] * 10 == [caller.call(number) for caller in callers]
            for caller in callers:
                caller.socket.close()
        for thread in threads_of(server):
            thread.join(10)
        assert [] == threads_of(server)
        assert 0 == server.connection_count


def test_a_close_lets_the_running_call_answer_and_ends_the_idle_ones() -> None:
    asked, pending = threading.Event(), Pending[int]()

    async def waits(number: int, connection: object) -> int:
        asked.set()
        return await pending

    with serving({ECHO: waits}) as server, RawCaller(server) as busy, RawCaller(server) as idle:
        busy.send(framed(echo_call(1)))
        assert asked.wait(10)
        closing = threading.Thread(target=server.close, args=(10,))
        closing.start()
        assert idle.receive() is None
        pending.resolve(5)
        assert 5 == busy.answer()
        closing.join(10)
        assert not closing.is_alive()
        with pytest.raises(ConnectionRefusedError):
            RawCaller(server)


def test_a_close_does_not_wait_for_ever_for_a_call_that_hangs() -> None:
    asked, pending = threading.Event(), Pending[int]()

    async def hangs(number: int, connection: object) -> int:
        asked.set()
        return await pending

    with serving({ECHO: hangs}) as server, RawCaller(server) as caller:
        caller.send(framed(echo_call(1)))
        assert asked.wait(10)
        assert not server.close(0.05)
        assert caller.receive() is None
        pending.fail(OutcomeUnknown("too late"))


def test_a_port_is_never_shared() -> None:
    with serving() as server:
        shared = socket.socket()
        shared.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        with pytest.raises(OSError, match="in use"):
            shared.bind(server.address)
        shared.close()


def test_a_shortage_of_file_descriptors_passes_and_those_who_wait_are_served() -> None:
    class ShortOnce:
        """A listener that the system refuses once."""

        def __init__(self, listener: socket.socket) -> None:
            self._listener = listener
            self.refused = 0

        def accept(self) -> tuple[socket.socket, object]:
            if not self.refused:
                self.refused += 1
                raise OSError(errno.EMFILE, "Too many open files")
            return self._listener.accept()

        def __getattr__(self, name: str) -> object:
            return getattr(self._listener, name)

    server = server_at(("127.0.0.1", 0))
    short = ShortOnce(server._listener)
    server._listener = short  # type: ignore[assignment]
    server.start()
    with RawCaller(server) as caller:
        assert 3 == caller.call(3)
    assert 1 == short.refused
    assert server.close()


def test_without_a_thread_to_be_had_a_connection_is_refused_like_one_above_the_cap(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    start = threading.Thread.start

    def none_for_connections(thread: threading.Thread) -> None:
        if "-listener" not in thread.name:
            raise RuntimeError("can't start new thread")
        start(thread)

    with serving() as server:
        monkeypatch.setattr(threading.Thread, "start", none_for_connections)
        with RawCaller(server) as caller, pytest.raises(RemoteError, match="try again later"):
            caller.call(1)
        monkeypatch.undo()
        assert 0 == server.connection_count
        with RawCaller(server) as caller:
            assert 2 == caller.call(2)
