"""Bad input, by name: each gets a clear error, nobody else notices, nothing is lost, and nothing grows."""

import contextlib
import gc
import math
import socket
import struct
import tracemalloc

import pytest
from thriftpy2.thrift import TApplicationException

from iotdb_cluster.errors import RemoteError
from iotdb_cluster.types.schema import DataType
from iotdb_cluster.wire.codec import Codec
from tests.services.rig import (
    CLUSTER,
    LoggedIn,
    code,
    logged_in,
    one_node,
    query,
    read,
    refused,
    said,
    stock,
    stranger,
    struct_of,
    wait_for,
)
from tests.wire.by_hand import I32, I64, LIST, STRING, STRUCT, field, i32, i64, insert_fields, message, string
from tests.wire.by_hand import node as own_bytes

FRAME_MAX = 1024 * 1024
SHORT_MS = 250
ROUNDS = 6
"""How often each is done to see whether anything grows."""

GROWTH_BYTES = 100_000
"""Below what one kept request of each round would come to, above what the interpreter itself keeps."""

KNOWN_CONNECTIONS = 4
"""The bystander's three, and the session that wrote the first point."""

CODEC = Codec()


@pytest.fixture(scope="module")
def bad_node(tmp_path_factory):
    """A node whose limits are soon reached, with a point in it."""
    limits = {
        "frame_max_mb": 1,
        "append_max_bytes": 256 * 1024,
        "frame_timeout_ms": SHORT_MS,
        "send_timeout_ms": SHORT_MS,
        "element_max_count": 50_000,
    }
    with one_node(tmp_path_factory.mktemp("bad"), **limits) as node, logged_in(node) as session:
        assert 200 == code(session.insert("root.good.d", 1, s="1"))
        yield node


class Bystander:
    """Somebody on all three ports of a node, who must not notice anything."""

    def __init__(self, stack, node):
        self._node = node
        self._header = node.header_of("root.good")
        self._meta = stack.enter_context(stock("TSMetaService", node.meta_address))
        self._data = stack.enter_context(stock("TSDataService", node.data_address))
        self._session = LoggedIn(stack.enter_context(stock("TSIService", node.client_address)))
        self._time = 1

    def goes_on(self):
        """Writes, reads back what was ever written, and asks the meta port, all on the old connections."""
        self._time += 1
        assert 200 == code(self._session.insert("root.good.d", self._time, s="1"))
        reader = self._data.querySingleSeriesByTimestamp(query(self._header, "root.good.d.s", DataType.INT64))
        for time in (1, self._time):
            assert self._data.fetchSingleSeriesByTimestamp(struct_of(self._header), reader, time)
        self._data.endQuery(struct_of(self._header), stranger(), 1)
        assert self._node.node.identifier == self._meta.checkAlive().nodeIdentifier


class Raw:
    """A connection whose every byte is the test's own."""

    def __init__(self, address):
        self.socket = socket.create_connection(address, 10)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def send_frame(self, data):
        self.send(i32(len(data)) + data)

    def receive(self):
        """One frame; None when the node has ended the connection."""
        head = self._exactly(4)
        return None if head is None else self._exactly(int.from_bytes(head, "big"))

    def _exactly(self, size):
        data = b""
        while len(data) < size:
            part = self.socket.recv(size - len(data))
            if not part:
                return None
            data += part
        return data


def answer_of(frame, service="ClientExtension", method="insert"):
    """What an answer says when it is an exception: its type and message."""
    with pytest.raises(RemoteError) as caught:
        CODEC.decode_reply(frame, service, method, CODEC.header_of(frame).seqid)
    return caught.value.type, caught.value.message


def ports(node):
    return [node.meta_address, node.data_address, node.client_address]


# -- frames ----------------------------------------------------------------------------------------------------------


def frame_larger_than_the_limit(node):
    for address in ports(node):
        with Raw(address) as caller:
            caller.send(i32(FRAME_MAX + 1) + message("insert", *insert_fields()) + bytes(1_000))
            kind, text = answer_of(caller.receive())
            assert (7, True) == (kind, f"at most {FRAME_MAX}" in text)
            assert caller.receive() is None


def frame_cut_in_the_middle(node):
    call = message("insert", *insert_fields())
    for address in ports(node):
        with Raw(address) as caller:
            caller.send(i32(len(call)) + call[:20])
            caller.socket.shutdown(socket.SHUT_WR)
            assert "was cut behind 20" in answer_of(caller.receive())[1]


def frame_that_never_ends(node):
    with Raw(node.client_address) as caller:
        caller.send(i32(100) + b"\x80\x01")
        assert f"{SHORT_MS / 1000} s" in answer_of(caller.receive())[1]
        assert caller.receive() is None


def frame_of_zero_length(node):
    for address in ports(node):
        with Raw(address) as caller:
            caller.send(i32(0))
            assert "a frame of 0 bytes" in answer_of(caller.receive())[1]
            assert caller.receive() is None


def noise(node):
    for address in ports(node):
        with Raw(address) as caller:
            caller.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 20)
            assert answer_of(caller.receive())[1]
            assert caller.receive() is None


def frame_of_noise(node):
    for address in ports(node):
        with Raw(address) as caller:
            caller.send_frame(b"\x00\x01\x02\x03" * 100)
            assert 7 == answer_of(caller.receive())[0]


# -- messages --------------------------------------------------------------------------------------------------------


def told(node, data, number=7, address=None):
    """Send a message that can't be, on a connection that goes on being used; the answer's text."""
    with Raw(address or node.client_address) as caller:
        caller.send_frame(data)
        kind, text = answer_of(caller.receive())
        assert number == kind, text
        caller.send_frame(message("getProperties"))
        assert b"0.10.0-SNAPSHOT" in caller.receive() or address
        return text


def unknown_method(node):
    for address in ports(node):
        assert "noSuchMethod" in told(node, message("noSuchMethod"), number=1, address=address)


def method_of_another_port(node):
    assert "checkAlive" in told(node, message("checkAlive"), number=1)


def missing_required_field(node):
    for left_out in range(5):
        fields = [each for number, each in enumerate(insert_fields()) if number != left_out]
        text = told(node, message("insert", field(STRUCT, 1, b"".join(fields) + b"\0")))
        assert ["sessionId", "deviceId", "measurements", "values", "timestamp"][left_out] in text


def missing_argument(node):
    assert "insert_args.req is missing" in told(node, message("insert"))
    assert "readerId" in told(node, message("fetchSingleSeries"), address=node.data_address)


def wrong_type(node):
    fields = insert_fields()
    fields[4] = field(STRING, 5, string("soon"))
    assert "timestamp" in told(node, message("insert", field(STRUCT, 1, b"".join(fields) + b"\0")))
    assert "insert_args.req is I32" in told(node, message("insert", field(I32, 1, i32(5))))


def text_that_is_no_utf8(node):
    fields = insert_fields()
    fields[1] = field(STRING, 2, string(b"root.\xff"))
    assert "not UTF-8" in told(node, message("insert", field(STRUCT, 1, b"".join(fields) + b"\0")))


def negative_sizes(node):
    for size in (-1, -(2**31)):
        fields = insert_fields()
        fields[2] = field(LIST, 3, bytes((STRING,)) + i32(size))
        told(node, message("insert", field(STRUCT, 1, b"".join(fields) + b"\0")))
        fields = insert_fields()
        fields[1] = field(STRING, 2, i32(size))
        told(node, message("insert", field(STRUCT, 1, b"".join(fields) + b"\0")))


def sizes_that_promise_too_much(node):
    for size in (2**31 - 1, 60_000):
        fields = insert_fields()
        fields[3] = field(LIST, 4, bytes((STRING,)) + i32(size))
        told(node, message("insert", field(STRUCT, 1, b"".join(fields) + b"\0")))


def more_elements_than_the_limit(node):
    values = bytes((I64,)) + i32(60_000) + bytes(8 * 60_000)
    rows = [
        field(I64, 1, i64(1)),
        *(field(LIST, number, bytes((kind,)) + i32(0)) for number, kind in ((2, STRING), (3, LIST), (4, LIST))),
        field(LIST, 5, values),
    ]
    text = told(node, message("insertRowInBatch", field(STRUCT, 1, b"".join(rows) + b"\0")))
    assert "more elements than the 50000 that a message may have: send it in parts" in text


def structs_deeper_than_any(node):
    deep = field(STRUCT, 9, b"")[:3] * 10_000
    told(node, message("insert", field(STRUCT, 1, deep + b"\0" * 10_000)))


# -- what the bytes say ----------------------------------------------------------------------------------------------


def on_data_port(node, call):
    with stock("TSDataService", node.data_address) as data:
        return refused(lambda: call(data, struct_of(node.header_of("root.good"))))


def unknown_log_type(node):
    for kind in (5, 15, 99, 255):
        request = CLUSTER.AppendEntryRequest(term=1, entry=bytes((kind,)) + bytes(32))
        with stock("TSMetaService", node.meta_address) as meta:
            text = refused(lambda meta=meta, request=request: meta.appendEntry(request))
        assert f"unknown log type {kind}" in text


def unknown_plan_type(node):
    for kind in (5, 63, 66, 255):
        with stock("TSMetaService", node.meta_address) as meta:
            number, text = said(
                meta.executeNonQueryPlan(CLUSTER.ExecutNonQueryReq(planBytes=bytes((kind,)) + bytes(9)))
            )
        assert (400, True) == (number, str(kind) in text)


def unknown_filter_type(node):
    for data in (b"\x0a", b"\xff", b"\x01\x07\x00" + bytes(8), b"\x01\x01\x09"):

        def call(client, header, data=data):
            request = query(node.header_of("root.good"), "root.good.d.s", DataType.INT64)
            request.filterBytes = data
            return client.querySingleSeries(request)

        assert "400 EXECUTE_STATEMENT_ERROR" in on_data_port(node, call)


def negative_lengths_in_a_read(node):
    for offset, length in ((-1, 1), (0, -1)):
        text = on_data_port(node, lambda data, header, o=offset, n=length: data.readFile("x", o, n, header))
        assert "314 PATH_ILLEGAL" in text


def paths_that_are_none(node):
    levels = "root" + ".a" * 10_000
    with logged_in(node) as session:
        for path in ("", "no.root.here", "root", levels, "root.", "root..a", "root.a\nb.c"):
            assert 314 == code(session.set_storage_group(path))
            if path != "root":
                assert 314 == code(session.create(path))
                assert 314 == code(session.delete(1, path))
        for device in ("", "no.root", "root", levels):
            number, text = said(session.insert(device, 1, s="1"))
            assert (314, True) == (number, len(text) < 300)
    for path in ("", "no.root.here", levels):
        for call in ("getAllPaths", "querySingleSeries"):

            def ask(data, header, path=path, call=call):
                if call == "getAllPaths":
                    return data.getAllPaths(header, path)
                return data.querySingleSeries(query(node.header_of("root.good"), path, DataType.INT64))

            assert "314 PATH_ILLEGAL" in on_data_port(node, ask)


def value_that_does_not_convert(node):
    with logged_in(node) as session:
        for text in ("one", "", "1.5", "9" * 5_000):
            number, answer = said(session.insert("root.good.d", 1, s=text))
            assert (400, True, True) == (number, "INT64" in answer, len(answer) < 300)


def tablet_whose_column_lengths_do_not_match(node):
    one_time = struct.pack(">q", 1)
    with logged_in(node) as session:
        for values in (b"", bytes(7), bytes(9), bytes(800)):
            answer = session.insert_batch("root.good.d", ["s"], [DataType.INT64], 1, one_time, values)
            assert 400 == code(answer.status)
        for size, times in ((2, one_time), (-1, one_time), (2**31 - 1, one_time), (1, b"")):
            answer = session.insert_batch("root.good.d", ["s"], [DataType.INT64], size, times, bytes(8))
            assert (400, None) == (code(answer.status), answer.result)


def nan_and_infinities(node):
    with logged_in(node) as session:
        for text in ("NaN", "Infinity", "-Infinity"):
            assert 400 == code(session.insert("root.good.d", 1, s=text))
            assert 200 == code(session.insert("root.good.d", 1, x=text))
        packed = struct.pack(">3d", math.nan, math.inf, -math.inf)
        times = struct.pack(">3q", 1, 2, 3)
        assert 200 == code(session.insert_batch("root.good.d", ["x"], [DataType.DOUBLE], 3, times, packed).status)
    (first, *others) = [value for _, value in read(node, "root.good.d.x", DataType.DOUBLE)]
    assert math.isnan(first)
    assert [math.inf, -math.inf] == others


def unknown_reader(node):
    for reader in (0, -1, 2**63 - 1, 12_345):
        for call in (
            lambda data, header, reader=reader: data.fetchSingleSeries(header, reader),
            lambda data, header, reader=reader: data.fetchSingleSeriesByTimestamp(header, reader, 1),
        ):
            assert f"no reader {reader}" in on_data_port(node, call)


def unknown_session(node):
    with logged_in(node) as session:
        session.close()
        for number in (session.id, 0, -1, 2**63 - 1):
            session.id = number
            assert 601 == code(session.insert("root.good.d", 1, s="1"))
            assert 402 == code(session.client.getTimeZone(number).status)


def header_this_node_has_no_group_for(node):
    with stock("TSDataService", node.data_address) as data:
        beat = CLUSTER.HeartBeatRequest(
            term=9, commitLogIndex=9, leader=stranger(), requireIdentifier=False, regenerateIdentifier=False,
            header=stranger(),
        )  # fmt: skip
        assert -11 == data.sendHeartBeat(beat).term
        for call in (
            lambda: data.requestCommitIndex(stranger()),
            lambda: data.getAllPaths(stranger(), "root"),
            lambda: data.pullSnapshot(CLUSTER.PullSnapshotRequest(requiredSlots=[1], header=stranger())),
            lambda: data.sendSnapshot(CLUSTER.SendSnapshotRequest(snapshotBytes=bytes(50), header=stranger())),
        ):
            assert "4711" in refused(call)


def client_that_sends_and_never_reads(node):
    itself = node.node
    call = message(
        "addNode", field(STRUCT, 1, own_bytes(itself.ip, itself.meta_port, itself.identifier, itself.data_port))
    )
    with Raw(node.meta_address) as caller:
        caller.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        with pytest.raises(ConnectionError):
            while True:
                caller.send((i32(len(call)) + call) * 500)


def connection_that_says_nothing(node):
    with contextlib.ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(Raw(node.client_address))
        with logged_in(node) as session:
            assert 200 == code(session.answer.status)


def connection_that_ends_at_once(node):
    for address in ports(node) * 5:
        Raw(address).socket.close()


CASES = {
    case.__name__: (case, rounds)
    for case, rounds in [
        (frame_larger_than_the_limit, ROUNDS),
        (frame_cut_in_the_middle, ROUNDS),
        (frame_that_never_ends, 2),
        (frame_of_zero_length, ROUNDS),
        (noise, ROUNDS),
        (frame_of_noise, ROUNDS),
        (unknown_method, ROUNDS),
        (method_of_another_port, ROUNDS),
        (missing_required_field, ROUNDS),
        (missing_argument, ROUNDS),
        (wrong_type, ROUNDS),
        (text_that_is_no_utf8, ROUNDS),
        (negative_sizes, ROUNDS),
        (sizes_that_promise_too_much, ROUNDS),
        (more_elements_than_the_limit, ROUNDS),
        (structs_deeper_than_any, ROUNDS),
        (unknown_log_type, ROUNDS),
        (unknown_plan_type, ROUNDS),
        (unknown_filter_type, ROUNDS),
        (negative_lengths_in_a_read, ROUNDS),
        (paths_that_are_none, ROUNDS),
        (value_that_does_not_convert, ROUNDS),
        (tablet_whose_column_lengths_do_not_match, ROUNDS),
        (nan_and_infinities, ROUNDS),
        (unknown_reader, ROUNDS),
        (unknown_session, ROUNDS),
        (header_this_node_has_no_group_for, ROUNDS),
        (client_that_sends_and_never_reads, 2),
        (connection_that_says_nothing, ROUNDS),
        (connection_that_ends_at_once, ROUNDS),
    ]
}


@pytest.mark.parametrize("name", CASES)
def test_bad_input(bad_node, name):
    case, rounds = CASES[name]
    with contextlib.ExitStack() as stack:
        bystander = Bystander(stack, bad_node)
        bystander.goes_on()
        _, others = bad_node.threads()

        def do(times):
            for _ in range(times):
                case(bad_node)
            wait_for(lambda: KNOWN_CONNECTIONS == bad_node.threads()[0], "nobody else is connected")
            assert bad_node.threads()[1] <= others

        do(1)  # what is made for the first time, and once, is no growth
        with grows_by_less_than(GROWTH_BYTES):
            do(rounds)
        bystander.goes_on()
    assert bad_node.exit_status is None


@contextlib.contextmanager
def grows_by_less_than(size):
    """Nothing of this process keeps more memory afterwards, node and test together."""
    tracemalloc.start()
    try:
        gc.collect()
        before, _ = tracemalloc.get_traced_memory()
        yield
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
        largest = tracemalloc.take_snapshot().statistics("lineno")[:5] if after - before >= size else []
    finally:
        tracemalloc.stop()
    assert after - before < size, "".join(f"\n{line}" for line in largest)


def test_a_call_that_is_refused_leaves_the_connection_usable(bad_node):
    with stock("TSDataService", bad_node.data_address) as data:
        for _ in range(100):
            with pytest.raises(TApplicationException):
                data.getAllPaths(struct_of(bad_node.node), "")
        assert data.requestCommitIndex(struct_of(bad_node.node)) > 0
