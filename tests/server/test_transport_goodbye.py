"""A server that is closed leaves no caller in doubt."""

import threading

import pytest

from iotdb_cluster.errors import RemoteError, StatusCode
from iotdb_cluster.members.pending import Pending
from tests.server.rig import ECHO, RawCaller, echo_call, framed, serving


def test_the_call_behind_a_last_answer_is_refused_as_not_begun() -> None:
    asked, pending = threading.Event(), Pending[int]()

    async def waits(number: int, connection: object) -> int:
        asked.set()
        return await pending

    with serving({ECHO: waits}) as server, RawCaller(server) as busy, RawCaller(server) as idle:
        busy.send(framed(echo_call(1)))
        assert asked.wait(10)
        closing = threading.Thread(target=server.close, args=(10,))
        closing.start()
        assert idle.receive() is None  # by now the server is closing
        busy.send(framed(echo_call(2, seqid=8)))
        pending.resolve(5)
        assert 5 == busy.answer()
        with pytest.raises(RemoteError, match="was not begun") as caught:
            busy.answer(seqid=8)
        assert StatusCode.NO_LEADER == caught.value.code
        closing.join(10)


def test_a_call_that_crosses_the_end_of_its_idle_connection_is_refused_as_not_begun() -> None:
    with serving({ECHO: lambda number, connection: number}) as server, RawCaller(server) as caller:
        caller.send(framed(echo_call(1)))
        assert 1 == caller.answer()
        (connection,) = server._connections
        connection.end(at_once=False)
        caller.send(framed(echo_call(2, seqid=8)))
        with pytest.raises(RemoteError, match="was not begun"):
            caller.answer(seqid=8)
