"""Damaged bytes are a valid value or a refusal in words: never another error, never a long wait, never much memory.

Every strict prefix and every changed byte of every golden vector up to 4 kB. Of longer ones some places, drawn with a
seed; by `make fuzz` all places of their first 4 kB and 2,000 behind.
"""

import random
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from iotdb_cluster.errors import MalformedInput, RemoteError, Unsupported
from iotdb_cluster.wire.codec import Codec
from iotdb_cluster.wire.limits import Limits
from iotdb_cluster.wire.scanner import message_length
from tests.wire.golden import Vector, load, payloads
from tests.wire.test_golden_messages import frame

EVERY_PLACE_BYTES = 4096
DRAWN_PLACES = 2000
SOME_PLACES = 200
FEW_PLACES = 20
PAYLOADS = payloads()
SHORT = [vector for vector in PAYLOADS if len(vector.data) <= EVERY_PLACE_BYTES]
LONG = [vector for vector in PAYLOADS if len(vector.data) > EVERY_PLACE_BYTES]
WITH_BYTES = {f"partition_tables/{item['name']}" for item in load("partition_tables.json") if "gzip_base64" in item}
MESSAGES = load("requests.json")
CODEC = Codec(Limits(frame_bytes=1 << 20))


def changed(data: bytes, places: list[int], rng: random.Random) -> Iterator[bytes]:
    """The bytes with one of them changed: one bit, all bits, and to what makes a size large."""
    for place in places:
        for byte in {data[place] ^ 1 << rng.randrange(8), data[place] ^ 0xFF, 0x7F} - {data[place]}:
            yield data[:place] + bytes((byte,)) + data[place + 1 :]


def is_refused(decode: Callable[[bytes], object], data: bytes) -> bool:
    """True when `data` is refused, False when it is read; any other error is passed on."""
    try:
        decode(data)
    except MalformedInput:
        return True
    return False


def check(vector: Vector, data: bytes) -> None:
    """`data` is refused, or a value that stands for itself."""
    try:
        value = vector.decode(data)
    except MalformedInput:
        return
    assert repr(value) == repr(vector.decode(vector.encode(value)))


@pytest.mark.parametrize("vector", SHORT, ids=lambda vector: vector.name)
def test_every_prefix_of_a_payload_is_refused(vector: Vector) -> None:
    assert all(is_refused(vector.decode, vector.data[:length]) for length in range(len(vector.data)))


@pytest.mark.parametrize("vector", SHORT, ids=lambda vector: vector.name)
def test_every_changed_byte_of_a_payload_is_refused_or_means_something(vector: Vector) -> None:
    for data in changed(vector.data, list(range(len(vector.data))), random.Random(vector.name)):
        check(vector, data)


def damage(vector: Vector, places: list[int]) -> None:
    """Cut and change a long vector in these places."""
    rng = random.Random(vector.name)
    for place in places:
        assert is_refused(vector.decode, vector.data[:place])
        data = bytearray(vector.data)
        data[place] ^= 1 << rng.randrange(8)
        is_refused(vector.decode, bytes(data))


@pytest.mark.parametrize("vector", LONG, ids=lambda vector: vector.name)
def test_a_long_payload_is_refused_or_means_something_in_some_places(vector: Vector) -> None:
    places = SOME_PLACES if vector.name in WITH_BYTES else FEW_PLACES
    damage(vector, random.Random(vector.name).sample(range(len(vector.data)), places))


@pytest.mark.long
@pytest.mark.parametrize("vector", LONG, ids=lambda vector: vector.name)
def test_a_long_payload_is_refused_or_means_something_wherever_it_is_damaged(vector: Vector) -> None:
    above = range(EVERY_PLACE_BYTES, len(vector.data))
    damage(vector, [*range(EVERY_PLACE_BYTES), *random.Random(vector.name).sample(above, DRAWN_PLACES)])


def read_message(said: Any) -> Callable[[bytes], Any]:
    """How this message is read by whoever it is for."""
    if said["kind"] == "call":
        return lambda data: CODEC.decode_call(data, said["service"])
    return lambda data: CODEC.decode_reply(data, said["service"], said["method"], said["seqid"])


@pytest.mark.parametrize("message", MESSAGES, ids=[message["name"] for message in MESSAGES])
def test_every_prefix_of_a_message_is_refused(message: Any) -> None:
    data, read = frame(message), read_message(message["value"])
    assert all(is_refused(read, data[:length]) for length in range(len(data)))


@pytest.mark.parametrize("message", MESSAGES, ids=[message["name"] for message in MESSAGES])
def test_every_changed_byte_of_a_message_is_refused_or_means_something(message: Any) -> None:
    data, read = frame(message), read_message(message["value"])
    for damaged in changed(data, list(range(len(data))), random.Random(message["name"])):
        try:
            read(damaged)
        except (MalformedInput, Unsupported, RemoteError):
            continue
        # What is read as a whole message also ends there when no frame says so.
        assert len(damaged) == message_length(damaged, CODEC.limits)


@pytest.mark.parametrize("what", ["payloads", "messages"])
def test_a_size_that_was_made_large_reserves_nothing(what: str) -> None:
    if what == "payloads":
        subjects = [(vector.data, vector.decode) for vector in SHORT if len(vector.data) <= 200]
    else:
        subjects = [(frame(message), read_message(message["value"])) for message in MESSAGES[::3]]
    tracemalloc.start()
    try:
        for data, read in subjects:
            tracemalloc.reset_peak()
            before, _ = tracemalloc.get_traced_memory()
            for place in range(len(data)):
                try:
                    read(data[:place] + b"\x7f" + data[place + 1 :])
                except (MalformedInput, Unsupported, RemoteError):
                    continue
            assert tracemalloc.get_traced_memory()[1] - before < 1 << 20
    finally:
        tracemalloc.stop()
