"""What a well-behaved caller sees: answers in its protocol, errors in words, the same connection for many calls."""

import socket
import threading
from typing import Any

import pytest

from iotdb_cluster.client.channel import Channel
from iotdb_cluster.errors import Corruption, Fault, NoLeader, RemoteError
from iotdb_cluster.members.pending import Pending
from iotdb_cluster.wire.codec import ApplicationError
from iotdb_cluster.wire.header import Protocol
from iotdb_cluster.wire.idl import STRUCTS
from tests.server.rig import ECHO, RawCaller, echo_call, framed, metadata_call, serving


@pytest.mark.parametrize("protocol", Protocol)
def test_a_call_is_answered_in_the_protocol_in_which_it_came(protocol: Protocol) -> None:
    with serving() as server, RawCaller(server) as caller:
        caller.send(framed(echo_call(42, protocol=protocol)))
        frame = caller.receive()
        assert frame is not None
        assert protocol == frame[0]


def test_one_connection_may_change_protocol_from_call_to_call() -> None:
    with serving() as server, RawCaller(server) as caller:
        assert [1, 2, 3] == [
            caller.call(1, protocol=Protocol.BINARY),
            caller.call(2, protocol=Protocol.COMPACT),
            caller.call(3, protocol=Protocol.BINARY),
        ]


def test_calls_that_arrive_together_are_answered_one_by_one_in_order() -> None:
    with serving() as server, RawCaller(server) as caller:
        caller.send(b"".join(framed(echo_call(n, seqid=n)) for n in range(1, 6)))
        assert [1, 2, 3, 4, 5] == [caller.answer(seqid=n) for n in range(1, 6)]


def test_small_messages_are_sent_at_once_by_both_sides() -> None:
    with serving() as server, RawCaller(server) as caller:
        assert 1 == caller.call(1)
        (connection,) = server._connections
        channel = Channel(server.address, 1_000)
        for each in (connection._socket, channel._socket):
            assert each.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert each.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        channel.close()


def test_a_call_that_arrives_byte_by_byte_is_answered() -> None:
    with serving() as server, RawCaller(server) as caller:
        for byte in framed(echo_call(9)):
            caller.send(bytes([byte]))
        assert 9 == caller.answer()


def test_large_calls_and_answers_pass_whole() -> None:
    text = "x" * 3_000_000
    with (
        serving({"fetchMetadata": lambda request, connection: response(request)}) as server,
        RawCaller(server) as caller,
    ):
        caller.send(framed(metadata_call(text)))
        assert text == caller.answer(method="fetchMetadata").dataType


def test_a_coroutine_is_driven_to_its_answer_by_the_connections_own_thread() -> None:
    pending, asked = Pending[int](), threading.Event()

    async def later(number: int, connection: Any) -> int:
        asked.set()
        return number + await pending

    with serving({ECHO: later}) as server, RawCaller(server) as caller:
        caller.send(framed(echo_call(40)))
        assert asked.wait(10)
        pending.resolve(2)
        assert 42 == caller.answer()


def test_an_unknown_method_is_named_and_the_connection_goes_on() -> None:
    with serving() as server, RawCaller(server) as caller:
        unknown = echo_call(1).replace(ECHO.encode(), b"requestStatementIx")
        for message, name in ((unknown, "requestStatementIx"), (metadata_call("x"), "fetchMetadata")):
            caller.send(framed(message))
            with pytest.raises(RemoteError, match=name) as caught:
                caller.answer()
            assert ApplicationError.UNKNOWN_METHOD == caught.value.type
        assert 5 == caller.call(5)


def test_a_refused_request_is_an_exception_with_code_and_name_and_the_connection_goes_on() -> None:
    def refuse(number: int, connection: Any) -> int:
        if number < 0:
            raise NoLeader("nobody leads group 5")
        return number

    with serving({ECHO: refuse}) as server, RawCaller(server) as caller:
        caller.send(framed(echo_call(-1)))
        frame = caller.receive()
        assert frame is not None
        assert b"702 NO_LEADER: nobody leads group 5" in frame
        assert 1 == caller.call(1)


def test_an_unexpected_error_is_answered_with_a_reference_that_stands_in_the_log(capfd: Any) -> None:
    def breaks(number: int, connection: Any) -> int:
        raise ZeroDivisionError("our inner life")

    with serving({ECHO: breaks}) as server, RawCaller(server) as caller:
        with pytest.raises(RemoteError, match="500|see") as caught:
            caller.call(1)
        reference = caught.value.message.split("see ")[1].split(" ")[0]
        assert ApplicationError.INTERNAL_ERROR == caught.value.type
        assert "our inner life" not in caught.value.message
        logged = capfd.readouterr().err
        assert reference in logged
        assert "our inner life" in logged
        with pytest.raises(RemoteError):
            caller.call(2)


def test_a_result_that_the_interface_cannot_carry_is_an_error_of_ours() -> None:
    table = {ECHO: lambda number, connection: "no number"}
    with serving(table) as server, RawCaller(server) as caller, pytest.raises(RemoteError, match="unexpected"):
        caller.call(1)


def test_an_answer_above_the_limit_is_refused_with_advice() -> None:
    def doubles(request: Any, connection: Any) -> Any:
        request.columnPath *= 2
        return response(request)

    with serving({"fetchMetadata": doubles}, frame_max_bytes=1000) as server, RawCaller(server) as caller:
        caller.send(framed(metadata_call("x" * 900)))
        with pytest.raises(RemoteError, match="at most 1000 are sent"):
            caller.answer(method="fetchMetadata")


def test_a_fault_is_told_to_the_node_and_to_the_caller_and_ends_the_connection() -> None:
    faults: list[Fault] = []

    def breaks(number: int, connection: Any) -> int:
        raise Corruption("raft/segment-1", 42, "bad checksum")

    with serving({ECHO: breaks}, on_fault=faults.append) as server, RawCaller(server) as caller:
        with pytest.raises(RemoteError, match="raft/segment-1, offset 42: bad checksum"):
            caller.call(1)
        assert caller.receive() is None
    assert [Corruption] == [type(fault) for fault in faults]


def test_what_a_handler_keeps_for_a_connection_can_go_when_it_ends() -> None:
    kept: dict[int, list[int]] = {}
    has_ended = threading.Event()

    def forget(connection: Any) -> None:
        del kept[connection.id]

    def remember(number: int, connection: Any) -> int:
        kept.setdefault(connection.id, []).append(number)
        connection.add_close_callback(forget)
        connection.add_close_callback(breaks)
        connection.add_close_callback(ended)
        return len(kept[connection.id])

    def breaks(connection: Any) -> None:
        raise ZeroDivisionError

    def ended(connection: Any) -> None:
        has_ended.set()

    with serving({ECHO: remember}) as server, RawCaller(server) as caller, RawCaller(server) as other:
        assert [1, 2, 1] == [caller.call(10), caller.call(20), other.call(30)]
        caller.socket.close()
        assert has_ended.wait(10)
        assert [[30]] == list(kept.values())


def test_an_ipv6_address_serves_as_well() -> None:
    with serving(host="::1") as server, RawCaller(server) as caller:
        assert 6 == caller.call(6)
        assert "::1" == server.address[0]


def test_a_call_that_wants_no_answer_gets_none() -> None:
    with serving() as server, RawCaller(server) as caller:
        message = bytearray(echo_call(1))
        message[3] = 4
        caller.send(framed(bytes(message)))
        assert 2 == caller.call(2)


def response(request: Any) -> Any:
    status_type = STRUCTS["TSStatusType"].make(code=200, message="")
    status = STRUCTS["TSStatus"].make(statusType=status_type)
    return STRUCTS["TSFetchMetadataResp"].make(status=status, dataType=request.columnPath)
