"""Each way in which a message can be wrong is refused in words, with little work, and nothing else happens."""

import re
import time
from collections.abc import Callable

import pytest

from iotdb_cluster.errors import MalformedInput, RemoteError, StatusCode, Unsupported
from iotdb_cluster.wire.codec import ApplicationError, Call, Codec
from iotdb_cluster.wire.header import Header, MessageKind, Protocol
from iotdb_cluster.wire.idl import STRUCTS
from iotdb_cluster.wire.limits import Limits
from tests.wire.by_hand import (
    BOOL,
    BYTE,
    CALL,
    DOUBLE,
    EXCEPTION,
    I32,
    I64,
    LIST,
    MAP,
    ONEWAY,
    REPLY,
    SET,
    STOP,
    STRING,
    STRUCT,
    field,
    i32,
    i64,
    insert,
    insert_fields,
    message,
    node,
    string,
)

CODEC = Codec(Limits(frame_bytes=1 << 20, elements=1000, string_bytes=4096))
GOOD = insert(*insert_fields())
HUGE = i32(0x7FFFFFFF)
DEEP = 100


def with_field(number: int, value: bytes) -> bytes:
    """A good insert but for one field."""
    fields = insert_fields()
    fields[number - 1] = value
    return insert(*fields)


def with_unknown(kind: int, value: bytes) -> bytes:
    """A good insert with a field that nobody knows."""
    return insert(*insert_fields(), field(kind, 99, value))


BAD: dict[str, tuple[bytes, str]] = {
    "no bytes": (b"", "no bytes"),
    "not Thrift": (b"GET / HTTP/1.1\r\n", "neither strict binary nor compact"),
    "the old binary protocol without a version": (string("insert") + b"\1" + i32(0) + STOP, "neither strict binary"),
    "another version": (message("insert", version=b"\x80\x02\x00"), "version 800200"),
    "an unknown kind of message": (message("insert", kind=9), "unknown kind of message 9"),
    "a reply where a call should be": (message("insert", kind=REPLY), "REPLY 'insert' where a call should be"),
    "a name of negative length": (b"\x80\x01\x00\x01" + i32(-5) + bytes(20), "length of -5"),
    "a name longer than all names": (message("i" * 300), "string of 300 bytes"),
    "a name that is not UTF-8": (b"\x80\x01\x00\x01" + string(b"\xff\xfe") + i32(0) + STOP, "not UTF-8"),
    "cut off in the head": (GOOD[:10], "cut off"),
    "cut off in the middle": (GOOD[:-20], "cut off"),
    "cut off before the end": (GOOD[:-1], "cut off"),
    "something behind the end": (GOOD + b"\0", "1 bytes behind the message"),
    "above the frame limit": (bytes(2 << 20), "above the limit"),
    "no argument": (message("insert"), "insert_args.req is missing"),
    "a missing required field": (insert(*insert_fields()[:-1]), "TSInsertReq.timestamp is missing"),
    "a missing field inside a field": (
        message("requestCommitIndex", field(STRUCT, 1, field(I32, 2, i32(9003)) + STOP)),
        "Node.ip is missing",
    ),
    "a field of another type": (with_field(5, field(I32, 5, i32(1))), "TSInsertReq.timestamp is I32, not i64"),
    "a list of another type": (with_field(3, field(LIST, 3, bytes((I64,)) + i32(1) + i64(1))), "another type"),
    "a set for a list": (with_field(3, field(SET, 3, bytes((STRING,)) + i32(0))), "measurements is SET, not list"),
    "a field that comes twice": (insert(*insert_fields(), insert_fields()[0]), "sessionId comes twice"),
    "an unknown type": (with_unknown(77, b""), "unknown type 77"),
    "a string of negative length": (with_field(2, field(STRING, 2, i32(-1))), "length of -1"),
    "a string longer than what is left": (with_field(2, field(STRING, 2, HUGE)), "string of 2147483647 bytes"),
    "a string above its limit": (
        with_field(2, field(STRING, 2, string("d" * 5000))),
        "string of 5000 bytes: at most 4096",
    ),
    "a string that is not UTF-8": (with_field(2, field(STRING, 2, string(b"root.\xc3\x28"))), "not UTF-8"),
    "a list of negative size": (with_field(3, field(LIST, 3, bytes((STRING,)) + i32(-1))), "size of -1"),
    "a list of more than is left": (with_field(3, field(LIST, 3, bytes((STRING,)) + i32(900))), "900 elements in"),
    "a list of two thousand million": (with_field(3, field(LIST, 3, bytes((STRING,)) + HUGE)), "more elements"),
    "lists of too many elements together": (
        with_field(3, field(LIST, 3, bytes((STRING,)) + i32(1000) + bytes(4000))),
        "more elements",
    ),
    "an unknown list of two thousand million nothings": (with_unknown(LIST, b"\x00" + HUGE), "unknown type 0"),
    "an unknown list of two thousand million bools": (with_unknown(LIST, bytes((BOOL,)) + HUGE), "more elements"),
    "an unknown set of two thousand million structs": (with_unknown(SET, bytes((STRUCT,)) + HUGE), "more elements"),
    "an unknown map of two thousand million pairs": (with_unknown(MAP, bytes((BYTE, BYTE)) + HUGE), "more elements"),
    "an unknown list of negative size": (with_unknown(LIST, bytes((I64,)) + i32(-3)), "size of -3"),
    "unknown structs nested a hundred deep": (
        with_unknown(STRUCT, b"\x0c\x00\x01" * DEEP + STOP * DEEP),
        "nested deeper",
    ),
    "unknown lists nested a hundred deep": (with_unknown(LIST, (b"\x0f" + i32(1)) * DEEP), "nested deeper"),
    "more unknown fields than elements": (
        insert(*insert_fields(), *(field(BOOL, 99, b"\1") for _ in range(1001))),
        "more elements",
    ),
    "a value that its enum does not have": (
        message("openSession", field(STRUCT, 1, field(I32, 1, i32(3)) + STOP)),
        "3 is no value of its enum",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_call_is_refused_in_words(name: str) -> None:
    data, why = BAD[name]
    begun = time.thread_time()
    with pytest.raises(MalformedInput, match=re.escape(why)):
        CODEC.decode_call(data, "TSIService" if b"requestCommitIndex" not in data else "RaftService")
    assert time.thread_time() - begun < 0.1


BAD_COMPACT: dict[str, tuple[bytes, str]] = {
    "another version": (b"\x82\x22\x00\x01x\x00", "version 2 of the compact protocol"),
    "an unknown kind of message": (b"\x82\xe1\x00\x01x\x00", "unknown kind of message 7"),
    "cut off in the head": (b"\x82\x21", "cut off"),
    "a sequence number without end": (b"\x82\x21" + b"\xff" * 20, "more than 32 bits"),
    "a sequence number of 33 bits": (b"\x82\x21\xff\xff\xff\xff\x1f\x01x\x00", "more than 32 bits"),
    "a number without end": (b"\x82\x21\x00\x06insert\x1c\x16" + b"\xff" * 20, "more than 64 bits"),
    "an unknown type": (b"\x82\x21\x00\x06insert\x1d", "unknown type 13"),
    "a field id beyond an i16": (b"\x82\x21\x00\x06insert\x1c\x01\xfe\xff\x03\x11\x00\x00", "field id 32768"),
    "an unknown list of two thousand million": (b"\x82\x21\x00\x06insert\xf9\xfc\xff\xff\xff\xff\x07", "more elements"),
    "an unknown list of unknown type": (b"\x82\x21\x00\x06insert\xf9\x1e\x00", "unknown type 14"),
    "no argument": (b"\x82\x21\x00\x06insert\x00", "insert_args.req is missing"),
    "a bool where a struct should be": (b"\x82\x21\x00\x06insert\x11\x00", "insert_args.req is BOOL"),
    "something behind the end": (b"\x82\x21\x00\x0dgetProperties\x00\x00", "1 bytes behind"),
}


@pytest.mark.parametrize("name", BAD_COMPACT)
def test_a_bad_compact_call_is_refused_in_words(name: str) -> None:
    data, why = BAD_COMPACT[name]
    with pytest.raises(MalformedInput, match=re.escape(why)):
        CODEC.decode_call(data, "TSIService")


def test_the_good_call_that_the_bad_ones_are_made_of_is_read() -> None:
    request = STRUCTS["TSInsertReq"].make(5, "root.a.d", ["s"], ["1"], 100)
    assert Call("insert", (request,), 7, Protocol.BINARY, False, "TSIService") == CODEC.decode_call(GOOD, "TSIService")


def test_fields_in_any_order_and_fields_that_nobody_knows_are_read() -> None:
    good = CODEC.decode_call(GOOD, "TSIService")
    assert good == CODEC.decode_call(insert(*reversed(insert_fields())), "TSIService")
    for kind, value in {
        BOOL: b"\1",
        DOUBLE: bytes(8),
        STRING: string(b"\xff"),
        STRUCT: field(LIST, 1, bytes((STRING,)) + i32(2) + string("a") + string("b")) + STOP,
        MAP: bytes((I32, STRING)) + i32(1) + i32(5) + string("five"),
        SET: bytes((I64,)) + i32(1) + i64(1),
        LIST: bytes((BOOL,)) + i32(3) + b"\1\0\1",
    }.items():
        assert good == CODEC.decode_call(with_unknown(kind, value), "TSIService")


def test_an_empty_list_may_be_of_any_type() -> None:
    empty = field(LIST, 3, bytes((I64,)) + i32(0))
    (request,) = CODEC.decode_call(with_field(3, empty), "TSIService").args
    assert [] == request.measurements


def test_a_call_that_wants_no_answer_says_so() -> None:
    call = CODEC.decode_call(message("getProperties", kind=ONEWAY), "TSIService")
    assert call.oneway


def test_an_unknown_method_is_another_error_than_bytes_that_are_none() -> None:
    with pytest.raises(Unsupported, match="TSIService has no method 'format'"):
        CODEC.decode_call(message("format"), "TSIService")
    with pytest.raises(Unsupported, match="TSMetaService has no method 'insert'"):
        CODEC.decode_call(GOOD, "TSMetaService")


@pytest.mark.parametrize("protocol", Protocol)
def test_a_refusal_answers_the_call_in_its_protocol(protocol: Protocol) -> None:
    call = CODEC.encode_call("TSIService", "getTimeZone", (1,), seqid=-3, protocol=protocol)
    cut = call[:-1]
    with pytest.raises(MalformedInput) as refused:
        CODEC.decode_call(cut, "TSIService")
    answer = CODEC.encode_refusal(cut, refused.value)
    assert answer is not None
    assert Header(protocol, MessageKind.EXCEPTION, "getTimeZone", -3) == CODEC.header_of(answer)
    with pytest.raises(RemoteError, match="cut off") as answered:
        CODEC.decode_reply(answer, "TSIService", "getTimeZone", -3)
    assert ApplicationError.PROTOCOL_ERROR == answered.value.type


def test_what_has_no_head_can_not_be_answered() -> None:
    assert CODEC.encode_refusal(b"GET / HTTP/1.1", MalformedInput("no Thrift")) is None
    assert CODEC.encode_refusal(message("insert", kind=REPLY), MalformedInput("no call")) is None
    assert CODEC.header_of(b"") is None


@pytest.mark.parametrize("protocol", Protocol)
def test_an_exception_keeps_type_code_and_cause(protocol: Protocol) -> None:
    call = Call("readFile", (), 9, protocol, False, "RaftService")
    answer = CODEC.encode_exception(call, ApplicationError.INTERNAL_ERROR, "702 NO_LEADER: nobody leads group 5")
    with pytest.raises(RemoteError) as answered:
        CODEC.decode_reply(answer, "RaftService", "readFile", 9)
    error = answered.value
    assert (6, StatusCode.NO_LEADER, "nobody leads group 5") == (error.type, error.code, error.message)


@pytest.mark.parametrize(
    "text", ["702 of them", "702 NO_SUCH_NAME: x", "701 NO_LEADER: x", "", "no colon", "٧٠٢ NO_LEADER: x"]
)
def test_a_message_without_code_and_name_is_a_cause_alone(text: str) -> None:
    error = RemoteError(text, type=6)
    assert (StatusCode.EXECUTE_STATEMENT_ERROR, text) == (error.code, error.message)


def reply(result: bytes, *, method: str = "startElection", kind: int = REPLY, seqid: int = 7) -> bytes:
    return message(method, result, kind=kind, seqid=seqid)


BAD_REPLIES: dict[str, tuple[bytes, str]] = {
    "the answer to another call": (reply(field(I64, 0, i64(1)), seqid=6), "the answer to call 6, not 7"),
    "another method's answer": (reply(field(I64, 0, i64(1)), method="appendEntry"), "REPLY 'appendEntry' where"),
    "a call": (reply(field(I64, 0, i64(1)), kind=CALL), "CALL 'startElection' where"),
    "no result": (reply(b""), "startElection_result.success is missing"),
    "a result of another type": (reply(field(I32, 0, i32(1))), "success is I32, not i64"),
    "cut off": (reply(field(I64, 0, i64(1)))[:-2], "cut off"),
    "something behind it": (reply(field(I64, 0, i64(1))) + b"x", "1 bytes behind"),
    "an exception that is cut off": (reply(field(STRING, 1, i32(5)), kind=EXCEPTION), "cut off"),
}


@pytest.mark.parametrize("name", BAD_REPLIES)
def test_what_is_no_answer_to_this_call_is_refused(name: str) -> None:
    data, why = BAD_REPLIES[name]
    with pytest.raises(MalformedInput, match=re.escape(why)):
        CODEC.decode_reply(data, "RaftService", "startElection", 7)


def test_an_exception_without_message_or_type_is_one_all_the_same() -> None:
    with pytest.raises(RemoteError) as answered:
        CODEC.decode_reply(reply(b"", kind=EXCEPTION), "RaftService", "startElection", 7)
    assert ("", ApplicationError.UNKNOWN) == (answered.value.message, answered.value.type)


def test_a_header_may_be_absent_and_names_the_meta_group_then() -> None:
    assert (None,) == CODEC.decode_call(message("requestCommitIndex"), "RaftService").args
    (header,) = CODEC.decode_call(message("requestCommitIndex", field(STRUCT, 1, node())), "RaftService").args
    assert ("127.0.0.1", 9003, 1, 40010) == (header.ip, header.metaPort, header.nodeIdentifier, header.dataPort)


ELECTION = STRUCTS["ElectionRequest"].make(1, 1, 1, STRUCTS["Node"].make("127.0.0.1", 9003, 1, 40010))

OUR_MISTAKES: dict[str, Callable[[Protocol], bytes]] = {
    "a required field that is not set": lambda protocol: CODEC.encode_call(
        "RaftService", "appendEntry", (STRUCTS["AppendEntryRequest"].make(1, None, None),), seqid=1, protocol=protocol
    ),
    "a required number that is not set": lambda protocol: CODEC.encode_call(
        "TSIService", "getTimeZone", (None,), seqid=1, protocol=protocol
    ),
    "a required bool that is not set": lambda protocol: CODEC.encode_call(
        "MetaExtension", "vote", (ELECTION, None, True), seqid=1, protocol=protocol
    ),
    "a number that is too large": lambda protocol: CODEC.encode_call(
        "TSIService", "getTimeZone", (1 << 63,), seqid=1, protocol=protocol
    ),
    "too few arguments": lambda protocol: CODEC.encode_call(
        "TSIService", "setStorageGroup", (1,), seqid=1, protocol=protocol
    ),
    "no result": lambda protocol: CODEC.encode_reply(Call("checkAlive", (), 1, protocol, False, "TSMetaService"), None),
}


@pytest.mark.parametrize("protocol", Protocol)
def test_the_vote_that_one_mistake_is_made_of_is_written(protocol: Protocol) -> None:
    written = CODEC.encode_call("MetaExtension", "vote", (ELECTION, False, True), seqid=1, protocol=protocol)
    assert (ELECTION, False, True) == CODEC.decode_call(written, "MetaExtension").args


@pytest.mark.parametrize("protocol", Protocol)
@pytest.mark.parametrize("name", OUR_MISTAKES)
def test_a_value_that_the_interface_does_not_allow_is_never_written(name: str, protocol: Protocol) -> None:
    with pytest.raises(Exception):  # noqa: B017 (a mistake of this project; what Python says of it is good enough)
        OUR_MISTAKES[name](protocol)
