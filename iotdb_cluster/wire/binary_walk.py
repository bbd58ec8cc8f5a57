"""The walk over a message of the strict binary protocol.

It is complete and says precisely what is wrong; the hot path (`binary_readers`) reads only what looks as every
generated client writes it and leaves the rest to this walk.
"""

import struct

from iotdb_cluster.errors import MalformedInput
from iotdb_cluster.wire.header import Header, Protocol, kind_of_message
from iotdb_cluster.wire.idl import Kind
from iotdb_cluster.wire.walk import Walk, kind_of

STOP = 0
VERSION = b"\x80\x01\x00"

FIXED = {Kind.BOOL: "?", Kind.BYTE: "b", Kind.I16: "h", Kind.I32: "i", Kind.I64: "q", Kind.DOUBLE: "d"}
"""The kinds of fixed width, as `struct` packs them."""

FIXED_BYTES = {kind: struct.calcsize(f">{code}") for kind, code in FIXED.items()}
LEAST_BYTES = FIXED_BYTES | {Kind.STRING: 4, Kind.STRUCT: 1, Kind.MAP: 6, Kind.SET: 5, Kind.LIST: 5}

_DOUBLE = struct.Struct(">d")


class BinaryWalk(Walk):
    """Big-endian numbers, headers of a kind byte and an i16 id, sizes and lengths as i32."""

    least_bytes = LEAST_BYTES
    fixed_bytes = FIXED_BYTES

    def message_header(self) -> Header:
        """The head of a message; raises `MalformedInput`."""
        version = self.take(3)
        if version != VERSION:
            raise MalformedInput(f"version {version.hex()} of the binary protocol")
        kind = kind_of_message(self.byte())
        method = self.method_name()
        return Header(Protocol.BINARY, kind, method, self.integer(Kind.I32))

    def field_header(self, previous_id: int) -> tuple[Kind, int] | None:
        code = self.byte()
        if code == STOP:
            return None
        return kind_of(code), self.integer(Kind.I16)

    def list_header(self) -> tuple[Kind | None, int]:
        code, count = self.byte(), self.integer(Kind.I32)
        return (kind_of(code) if count else None), count

    def map_header(self) -> tuple[Kind | None, Kind | None, int]:
        key, value, count = self.byte(), self.byte(), self.integer(Kind.I32)
        return (kind_of(key), kind_of(value), count) if count else (None, None, 0)

    def integer(self, kind: Kind) -> int:
        return int.from_bytes(self.take(FIXED_BYTES[kind]), signed=True)

    def boolean(self) -> bool:
        return self.byte() == 1

    def double(self) -> float:
        value: float
        (value,) = _DOUBLE.unpack(self.take(8))
        return value

    def length(self) -> int:
        return self.integer(Kind.I32)
