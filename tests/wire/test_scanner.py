"""Messages one behind the other without frames: where each ends, however they are cut up, and what can be none."""

import random
import time

import pytest

from iotdb_cluster.errors import MalformedInput
from iotdb_cluster.wire import structs
from iotdb_cluster.wire.codec import Codec
from iotdb_cluster.wire.header import Protocol
from iotdb_cluster.wire.limits import Limits
from iotdb_cluster.wire.scanner import MessageScanner, message_length
from tests.wire.by_hand import LIST, MAP, STOP, STRING, STRUCT, field, i32, message

LIMITS = Limits(frame_bytes=1 << 16, elements=1000)
CODEC = Codec()


def insert(rows: int, protocol: Protocol) -> bytes:
    request = structs.TSInsertInBatchReq(
        sessionId=1,
        deviceIds=["root.a.d"] * rows,
        measurementsList=[["s1", "s2"]] * rows,
        valuesList=[["1", "'x'"]] * rows,
        timestamps=list(range(rows)),
    )
    return CODEC.encode_call("TSIService", "insertRowInBatch", (request,), seqid=1, protocol=protocol)


@pytest.mark.parametrize("protocol", Protocol)
def test_messages_behind_each_other_are_told_apart_however_they_are_cut_up(protocol: Protocol) -> None:
    messages = [insert(rows, protocol) for rows in (3, 0, 20, 1)]
    for seed in range(20):
        rng = random.Random(seed)
        arriving, buffer, found = b"".join(messages), bytearray(), []
        scanner = MessageScanner(LIMITS)
        while arriving:
            piece = rng.randrange(1, 100)
            buffer += arriving[:piece]
            arriving = arriving[piece:]
            while (length := scanner.scan(buffer)) is not None:
                found.append(bytes(buffer[:length]))
                del buffer[:length]
        assert messages == found


def test_a_connection_may_change_its_protocol_between_messages() -> None:
    scanner = MessageScanner(LIMITS)
    for protocol in (*Protocol, *Protocol):
        data = insert(2, protocol)
        assert scanner.scan(data[:-1]) is None
        assert len(data) == scanner.scan(data)


@pytest.mark.parametrize("protocol", Protocol)
def test_a_long_message_in_small_pieces_costs_one_walk(protocol: Protocol) -> None:
    """Were every piece a new walk, 1,500 pieces would cost as many walks."""
    data = insert(2000, protocol)
    limits = Limits(elements=100_000)
    begun = time.thread_time()
    assert len(data) == message_length(data, limits)
    one_walk = time.thread_time() - begun
    scanner, buffer = MessageScanner(limits), bytearray()
    begun = time.thread_time()
    for start in range(0, len(data) - 1, len(data) // 1500):
        buffer += data[start : start + len(data) // 1500]
        scanner.scan(buffer)
    assert time.thread_time() - begun < 20 * one_walk


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\x00", "neither strict binary nor compact"),
        (b"\x80\x01\x01\x01", "version"),
        (b"\x80\x01\x00\x09", "unknown kind of message"),
        (b"\x80\x01\x00\x01" + i32(1 << 30), "string of"),
        (message("m", field(STRING, 1, i32(1 << 30))), "above the limit"),
        (message("m", field(STRING, 1, i32(-1))), "length of -1"),
        (message("m", field(LIST, 1, bytes((STRING,)) + i32(5000))), "5000 elements"),
        (message("m", field(LIST, 1, bytes((STRING,)) + i32(-1))), "size of -1"),
        (message("m", field(LIST, 1, b"\x0a" + i32(-1))), "length of -8"),
        (message("m", field(MAP, 1, b"\x63\x0b" + i32(1))), "unknown type 99"),
        (message("m", b"\x63\x00\x01"), "unknown type 99"),
        (message("m", field(STRUCT, 1, b"\x0c\x00\x01" * 100)), "nested deeper"),
        (message("m", field(LIST, 1, (b"\x0f" + i32(1)) * 100)), "nested deeper"),
        (message("m", *[field(STRUCT, 1, STOP)] * 2000), "more elements"),
        (
            message("m", field(LIST, 1, bytes((STRUCT,)) + i32(900) + STOP * 900), *[field(STRUCT, 2, STOP)] * 101),
            "more el",
        ),
        (message("m", *[field(LIST, 1, b"\x03" + i32(600) + bytes(600))] * 2), "more elements"),
        (b"\x82\x21" + b"\xff" * 9, "more than 32 bits"),
        (b"\x82\x21\x00\x01m\x18\xff\xff\xff\xff\x0f", "above the limit"),
    ],
)
def test_what_can_be_no_message_is_refused_as_soon_as_it_is_seen(data: bytes, why: str) -> None:
    with pytest.raises(MalformedInput, match=why):
        message_length(data, LIMITS)


def test_what_never_ends_is_refused_at_the_limit() -> None:
    scanner = MessageScanner(Limits(frame_bytes=1000, elements=100_000))
    with pytest.raises(MalformedInput, match="above the limit of 1000 bytes"):
        for count in range(0, 2000, 50):
            scanner.scan(message("m", *[field(STRUCT, 1, STOP)] * 500)[:count])
    assert count <= 1050


def test_nothing_is_the_beginning_of_anything() -> None:
    assert message_length(b"", LIMITS) is None
