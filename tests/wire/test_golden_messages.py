"""Whole messages of the original, in both protocols: read to what they say and written to the same bytes."""

from typing import Any

import pytest

from iotdb_cluster.wire.codec import Call, Codec
from iotdb_cluster.wire.header import MessageKind, Protocol, protocol_of
from iotdb_cluster.wire.idl import SERVICES, FieldType, Kind, Struct
from iotdb_cluster.wire.limits import Limits
from iotdb_cluster.wire.scanner import MessageScanner
from tests.wire.golden import load

CODEC = Codec()
MESSAGES = load("requests.json")
CALLS = [message for message in MESSAGES if message["value"]["kind"] == "call"]
REPLIES = [message for message in MESSAGES if message["value"]["kind"] == "reply"]


def frame(message: Any) -> bytes:
    """A message without the length of its frame, which is right."""
    data = bytes.fromhex(message["hex"])
    assert len(data) - 4 == int.from_bytes(data[:4])
    return data[4:]


def value_of(type: FieldType, json: Any) -> Any:
    """A value of the JSON as the codec gives it."""
    match type.kind:
        case Kind.STRUCT:
            assert type.struct is not None
            return struct_of(type.struct, json)
        case Kind.LIST:
            return [value_of(type.inner[0], item) for item in json]
        case Kind.MAP:
            return {int(key): value_of(type.inner[1], item) for key, item in json.items()}
        case Kind.I64:
            return int(json)
        case Kind.STRING if type.is_binary:
            return bytes.fromhex(json)
    return json


def struct_of(struct: Struct, json: Any) -> Any:
    values = {field.name: value_of(field.type, json[field.name]) for field in struct.fields if field.name in json}
    assert set(json) == set(values)
    return struct.make(*(values.get(field.name) for field in struct.fields))


def names(messages: list[Any]) -> dict[str, Any]:
    return {"argvalues": messages, "ids": [message["name"] for message in messages]}


@pytest.mark.parametrize("message", **names(CALLS))
def test_golden_calls_are_read(message: Any) -> None:
    said = message["value"]
    call = CODEC.decode_call(frame(message), said["service"])
    args = struct_of(SERVICES[said["service"]].methods[said["method"]].args, said["args"])
    assert Call(said["method"], args, said["seqid"], Protocol[said["protocol"].upper()], False, said["service"]) == call


@pytest.mark.parametrize("message", **names(CALLS))
def test_golden_calls_are_written(message: Any) -> None:
    said = message["value"]
    args = struct_of(SERVICES[said["service"]].methods[said["method"]].args, said["args"])
    protocol = Protocol[said["protocol"].upper()]
    assert frame(message) == CODEC.encode_call(said["service"], said["method"], args, seqid=0, protocol=protocol)


@pytest.mark.parametrize("message", **names(REPLIES))
def test_golden_replies_are_read_and_written(message: Any) -> None:
    said = message["value"]
    result = SERVICES[said["service"]].methods[said["method"]].result
    expected = value_of(result.fields[0].type, said["result"]) if result.fields else None
    assert expected == CODEC.decode_reply(frame(message), said["service"], said["method"], said["seqid"])
    call = Call(said["method"], (), said["seqid"], Protocol[said["protocol"].upper()], False, said["service"])
    assert frame(message) == CODEC.encode_reply(call, expected)


@pytest.mark.parametrize("message", **names(CALLS))
def test_the_extension_reads_the_same_calls(message: Any) -> None:
    """What is served is the extension of the mirrored service; an original client never notices."""
    service = "MetaExtension" if message["value"]["service"] == "TSMetaService" else "DataExtension"
    mirrored = CODEC.decode_call(frame(message), message["value"]["service"])
    assert mirrored._replace(service=service) == CODEC.decode_call(frame(message), service)


@pytest.mark.parametrize("message", **names(MESSAGES))
def test_the_end_of_a_golden_message_is_found_without_its_frame(message: Any) -> None:
    data = frame(message)
    scanner, buffer = MessageScanner(Limits()), bytearray()
    for byte in data[:-1]:
        buffer.append(byte)
        assert scanner.scan(buffer) is None
    assert len(data) == scanner.scan(data + data[:7])


@pytest.mark.parametrize("message", **names(MESSAGES))
def test_the_head_of_a_golden_message_is_read_alone(message: Any) -> None:
    said = message["value"]
    head = CODEC.header_of(frame(message)[:60])
    assert head is not None
    assert (protocol_of(frame(message)[0]), MessageKind[said["kind"].upper()]) == (head.protocol, head.kind)
    assert (said["method"], said["seqid"]) == (head.method, head.seqid)
