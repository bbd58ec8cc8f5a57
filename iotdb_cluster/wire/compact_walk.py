"""The walk over a message of the compact protocol.

Numbers are zigzag varints, a field header holds the distance to the id before it, and a bool field stands in its
header. As in the binary protocol, `compact_readers` reads what looks as every generated client writes it.
"""

import struct

from iotdb_cluster.errors import MalformedInput
from iotdb_cluster.wire.header import Header, Protocol, kind_of_message
from iotdb_cluster.wire.idl import Kind
from iotdb_cluster.wire.walk import CutOff, Walk

VERSION = 1
VERSION_BITS = 5
TRUE, FALSE = 1, 2

CODES = {
    Kind.BOOL: TRUE,
    Kind.BYTE: 3,
    Kind.I16: 4,
    Kind.I32: 5,
    Kind.I64: 6,
    Kind.DOUBLE: 7,
    Kind.STRING: 8,
    Kind.LIST: 9,
    Kind.SET: 10,
    Kind.MAP: 11,
    Kind.STRUCT: 12,
}
KINDS = {code: kind for kind, code in CODES.items()} | {FALSE: Kind.BOOL}
BITS = {Kind.BYTE: 8, Kind.I16: 16, Kind.I32: 32, Kind.I64: 64}
LONG_LIST = 15
"""In a list header, says that the size follows as a varint."""

FIXED_BYTES = {Kind.BOOL: 1, Kind.BYTE: 1, Kind.DOUBLE: 8}
LEAST_BYTES = dict.fromkeys(CODES, 1) | {Kind.DOUBLE: 8}

_DOUBLE = struct.Struct("<d")


class CompactWalk(Walk):
    """The walk over a message of the compact protocol."""

    least_bytes = LEAST_BYTES
    fixed_bytes = FIXED_BYTES

    _bool_in_header: bool | None = None

    def message_header(self) -> Header:
        """The head of a message; raises `MalformedInput`."""
        self.byte()  # the protocol, which the caller has looked at
        code = self.byte()
        if code & ((1 << VERSION_BITS) - 1) != VERSION:
            raise MalformedInput(f"version {code & ((1 << VERSION_BITS) - 1)} of the compact protocol")
        kind = kind_of_message(code >> VERSION_BITS)
        seqid = self._varint(32)
        return Header(Protocol.COMPACT, kind, self.method_name(), seqid - (1 << 32) if seqid >> 31 else seqid)

    def field_header(self, previous_id: int) -> tuple[Kind, int] | None:
        code = self.byte()
        if code == 0:
            return None
        kind = _kind_of(code & 15)
        if kind == Kind.BOOL:
            self._bool_in_header = code & 15 == TRUE
        distance = code >> 4
        number = previous_id + distance if distance else self.integer(Kind.I16)
        if number >= 1 << 15:
            raise MalformedInput(f"field id {number}")
        return kind, number

    def list_header(self) -> tuple[Kind | None, int]:
        code = self.byte()
        count = code >> 4
        if count == LONG_LIST:
            count = self._varint(32)
        return (_kind_of(code & 15) if count else None), count

    def map_header(self) -> tuple[Kind | None, Kind | None, int]:
        count = self._varint(32)
        if count == 0:
            return None, None, 0
        code = self.byte()
        return _kind_of(code >> 4), _kind_of(code & 15), count

    def integer(self, kind: Kind) -> int:
        if kind == Kind.BYTE:
            return int.from_bytes(self.take(1), signed=True)
        folded = self._varint(BITS[kind])
        return (folded >> 1) ^ -(folded & 1)

    def boolean(self) -> bool:
        if self._bool_in_header is None:
            return self.byte() == TRUE
        value, self._bool_in_header = self._bool_in_header, None
        return value

    def double(self) -> float:
        value: float
        (value,) = _DOUBLE.unpack(self.take(8))
        return value

    def length(self) -> int:
        return self._varint(32)

    def _varint(self, bits: int) -> int:
        """An unsigned number of at most `bits` bits, seven to a byte, the lowest first."""
        data, at = self.data, self.at
        if at < len(data) and data[at] < 128:  # most numbers are this small
            self.at = at + 1
            return data[at]
        value = shift = 0
        while shift < bits:
            if at >= len(data):
                raise CutOff(f"cut off inside a number at {self.at}")
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            if byte < 128:
                if value >> bits:
                    break
                self.at = at
                return value
            shift += 7
        raise MalformedInput(f"a number of more than {bits} bits at {self.at}")


def _kind_of(code: int) -> Kind:
    kind = KINDS.get(code)
    if kind is None:
        raise MalformedInput(f"unknown type {code}")
    return kind
