"""The head of a message: protocol, kind, method, sequence number."""

from enum import IntEnum
from typing import NamedTuple

from iotdb_cluster.errors import MalformedInput


class Protocol(IntEnum):
    """The protocols spoken here, numbered by the first byte of their messages."""

    BINARY = 0x80
    COMPACT = 0x82


class MessageKind(IntEnum):
    """TMessageType."""

    CALL = 1
    REPLY = 2
    EXCEPTION = 3
    ONEWAY = 4


class Header(NamedTuple):
    """What stands before the arguments or the result."""

    protocol: Protocol
    kind: MessageKind
    method: str
    seqid: int


def protocol_of(first_byte: int) -> Protocol:
    """The protocol of a message that begins so; raises `MalformedInput`."""
    if first_byte == Protocol.BINARY:
        return Protocol.BINARY
    if first_byte == Protocol.COMPACT:
        return Protocol.COMPACT
    raise MalformedInput(f"neither strict binary nor compact protocol: first byte {first_byte:#04x}")


def kind_of_message(code: int) -> MessageKind:
    """The kind of message that is numbered so; raises `MalformedInput`."""
    try:
        return MessageKind(code)
    except ValueError:
        raise MalformedInput(f"unknown kind of message {code}") from None
