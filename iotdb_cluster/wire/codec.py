"""Whole messages: calls, replies and exceptions of the interface, in the strict binary and the compact protocol.

A message is given and taken without the length of its frame, which is the business of whoever owns the socket.
"""

from collections.abc import Sequence
from enum import IntEnum
from typing import Any, NamedTuple

from iotdb_cluster.errors import MalformedInput, RemoteError, Unsupported
from iotdb_cluster.wire import binary_readers, binary_writers, compact_readers, compact_writers
from iotdb_cluster.wire.append_call import EncodedArguments
from iotdb_cluster.wire.binary_readers import BinaryReaders
from iotdb_cluster.wire.binary_walk import BinaryWalk
from iotdb_cluster.wire.binary_writers import BinaryWriters
from iotdb_cluster.wire.canonical import GAVE_UP, CompiledReaders, CompiledWriters, Reader, Writer
from iotdb_cluster.wire.compact_readers import CompactReaders
from iotdb_cluster.wire.compact_walk import CompactWalk
from iotdb_cluster.wire.compact_writers import CompactWriters
from iotdb_cluster.wire.header import Header, MessageKind, Protocol, protocol_of
from iotdb_cluster.wire.idl import SERVICES, Field, FieldType, Kind, Method, Struct
from iotdb_cluster.wire.limits import Limits
from iotdb_cluster.wire.walk import Budget

_CALL = int(MessageKind.CALL)
_REPLY = int(MessageKind.REPLY)


class ApplicationError(IntEnum):
    """The types of a TApplicationException."""

    UNKNOWN = 0
    UNKNOWN_METHOD = 1
    INVALID_MESSAGE_TYPE = 2
    WRONG_METHOD_NAME = 3
    BAD_SEQUENCE_ID = 4
    MISSING_RESULT = 5
    INTERNAL_ERROR = 6
    PROTOCOL_ERROR = 7


class Call(NamedTuple):
    """A call that was read. `args` holds a value for each argument of the IDL; an absent header is None."""

    method: str
    args: tuple[Any, ...]
    seqid: int
    protocol: Protocol
    oneway: bool
    service: str


def _exception(message: str | None, number: int | None) -> tuple[str, int]:
    return message or "", number or 0


_EXCEPTION = Struct(
    "TApplicationException",
    _exception,
    (
        Field(1, "message", FieldType(Kind.STRING), required=False),
        Field(2, "type", FieldType(Kind.I32), required=False),
    ),
)


class _Method(NamedTuple):
    """A method in one protocol."""

    name: str
    read_args: Reader
    read_result: Reader
    write_args: Writer
    write_result: Writer


class _Dialect:
    """One protocol: how a head is read and written, and the compiled methods of all services."""

    def __init__(self, protocol: Protocol, limits: Limits) -> None:
        self.walk: type[BinaryWalk | CompactWalk]
        readers: CompiledReaders
        writers: CompiledWriters
        if protocol is Protocol.BINARY:
            self.walk, self.quick_head, self.write_head = BinaryWalk, binary_readers.quick_head, binary_writers.head
            readers, writers = BinaryReaders(limits), BinaryWriters()
        else:
            self.walk, self.quick_head, self.write_head = CompactWalk, compact_readers.quick_head, compact_writers.head
            readers, writers = CompactReaders(limits), CompactWriters()
        self.write_exception = writers.writer(_EXCEPTION, of_tuple=True)
        self.methods = {
            name: {
                method.name.encode(): _Method(
                    method.name,
                    readers.reader(method.args),
                    readers.reader(method.result),
                    writers.writer(method.args, of_tuple=True),
                    writers.writer(method.result, of_tuple=True),
                )
                for method in service.methods.values()
            }
            for name, service in SERVICES.items()
        }


class Codec:
    """Reads and writes messages within limits; holds no state of a connection, so threads may share one.

    Every method that reads raises `MalformedInput` on bad bytes, and no other error but those that it names.
    """

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self._dialects = {protocol: _Dialect(protocol, self.limits) for protocol in Protocol}

    # A server's side.

    def decode_call(self, frame: bytes, service: str) -> Call:
        """The call in a frame; raises `MalformedInput`, and `Unsupported` for a method that the service has not."""
        protocol = self._protocol(frame)
        dialect = self._dialects[protocol]
        try:
            kind, name, seqid, at = dialect.quick_head(frame)
            method = dialect.methods[service].get(name)
            if method is not None and kind == _CALL:
                args, end = method.read_args(frame, at, Budget(self.limits.elements))
                if end == len(frame):
                    return Call(method.name, args, seqid, protocol, False, service)
        except GAVE_UP:
            pass  # the walk below says what it is
        return self._walk_call(dialect.walk(frame, 0, self.limits), service)

    @staticmethod
    def _walk_call(walk: BinaryWalk | CompactWalk, service: str) -> Call:
        header = walk.message_header()
        if header.kind not in (MessageKind.CALL, MessageKind.ONEWAY):
            raise MalformedInput(f"{header.kind.name} {header.method!r} where a call should be")
        method = SERVICES[service].methods.get(header.method)
        if method is None:
            raise Unsupported(f"{service} has no method {header.method!r}")
        args = walk.struct(method.args)
        walk.expect_end()
        return Call(method.name, args, header.seqid, header.protocol, header.kind == MessageKind.ONEWAY, service)

    def encode_reply(self, call: Call, result: Any) -> bytes:
        """The answer to a call, in its protocol; `result` is None for void."""
        dialect = self._dialects[call.protocol]
        name = call.method.encode()
        parts = [dialect.write_head(_REPLY, name, call.seqid)]
        dialect.methods[call.service][name].write_result(() if result is None else (result,), parts.append)
        return b"".join(parts)

    def encode_exception(self, to: Call | Header, error: ApplicationError, message: str) -> bytes:
        """A TApplicationException that answers a call of which at least the head was read."""
        dialect = self._dialects[to.protocol]
        parts = [dialect.write_head(MessageKind.EXCEPTION, to.method.encode(), to.seqid)]
        dialect.write_exception((message, int(error)), parts.append)
        return b"".join(parts)

    def header_of(self, frame: bytes) -> Header | None:
        """The head of a message whose rest may be anything; None when even that cannot be read."""
        try:
            return self._dialects[self._protocol(frame)].walk(frame, 0, self.limits).message_header()
        except MalformedInput:
            return None

    def encode_refusal(self, frame: bytes, error: MalformedInput | Unsupported) -> bytes | None:
        """The answer to a frame that `decode_call` refused; None when nobody can be answered."""
        header = self.header_of(frame)
        if header is None or header.kind != MessageKind.CALL:
            return None
        unknown = isinstance(error, Unsupported)
        return self.encode_exception(
            header, ApplicationError.UNKNOWN_METHOD if unknown else ApplicationError.PROTOCOL_ERROR, str(error)
        )

    # A client's side.

    def encode_call(
        self,
        service: str,
        method: str,
        args: Sequence[Any],
        *,
        seqid: int,
        protocol: Protocol = Protocol.BINARY,
    ) -> bytes:
        """A call; `args` has a value for each argument, None for a header that is absent."""
        dialect = self._dialects[protocol]
        name = method.encode()
        parts = [dialect.write_head(_CALL, name, seqid)]
        if isinstance(args, EncodedArguments):
            if protocol is Protocol.BINARY:
                return b"".join((*parts, *args))
            read_args = self._dialects[Protocol.BINARY].methods[service][name].read_args
            args, _ = read_args(b"".join(args), 0, Budget(self.limits.elements))
        dialect.methods[service][name].write_args(args, parts.append)
        return b"".join(parts)

    def decode_reply(self, frame: bytes, service: str, method: str, seqid: int) -> Any:
        """The result in a frame; raises `RemoteError` for an exception, `MalformedInput` for all that is no answer."""
        dialect = self._dialects[self._protocol(frame)]
        try:
            kind, name, number, at = dialect.quick_head(frame)
            if kind == _REPLY and number == seqid and name == method.encode():
                result, end = dialect.methods[service][name].read_result(frame, at, Budget(self.limits.elements))
                if end == len(frame):
                    return result
        except GAVE_UP:
            pass  # the walk below says what it is
        return self._walk_reply(dialect.walk(frame, 0, self.limits), SERVICES[service].methods[method], seqid)

    @staticmethod
    def _walk_reply(walk: BinaryWalk | CompactWalk, method: Method, seqid: int) -> Any:
        header = walk.message_header()
        if header.seqid != seqid:
            raise MalformedInput(f"the answer to call {header.seqid}, not {seqid}")
        if header.kind == MessageKind.EXCEPTION:
            message, number = walk.struct(_EXCEPTION)
            walk.expect_end()
            raise RemoteError(message, type=number)
        if header.kind != MessageKind.REPLY or header.method != method.name:
            raise MalformedInput(f"{header.kind.name} {header.method!r} where the answer to {method.name} should be")
        result = walk.struct(method.result)
        walk.expect_end()
        return result

    def _protocol(self, frame: bytes) -> Protocol:
        if not frame:
            raise MalformedInput("a message of no bytes")
        if len(frame) > self.limits.frame_bytes:
            raise MalformedInput(f"a message of {len(frame)} bytes, above the limit of {self.limits.frame_bytes}")
        return protocol_of(frame[0])
