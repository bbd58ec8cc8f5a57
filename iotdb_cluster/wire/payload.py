"""A bounded cursor over the bytes of a `binary` field (interface page "What travels inside the binary fields").

Everything is big-endian. What is read is checked against what is left before anything is made of it; what does not fit
is a `MalformedInput`.
"""

import math
import struct
from enum import IntEnum
from typing import TypeVar

from iotdb_cluster.errors import MalformedInput

_I16 = struct.Struct(">h")
_I32 = struct.Struct(">i")
_I64 = struct.Struct(">q")
_F32 = struct.Struct(">f")
_F64 = struct.Struct(">d")
_NAN_F32 = bytes.fromhex("7fc00000")
_NAN_F64 = bytes.fromhex("7ff8000000000000")
_NULL = _I32.pack(-1)

Ordinal = TypeVar("Ordinal", bound=IntEnum)


class PayloadReader:
    """Reads values one after the other; `what` names the payload in errors."""

    __slots__ = ("at", "data", "end", "what")

    def __init__(self, data: bytes, what: str, at: int = 0) -> None:
        self.data = data
        self.what = what
        self.at = at
        self.end = len(data)

    @property
    def left(self) -> int:
        """Bytes that are not read yet."""
        return self.end - self.at

    def _advance(self, width: int) -> int:
        """The offset of the next `width` bytes, which are then read."""
        at = self.at
        if not 0 <= width <= self.end - at:
            raise MalformedInput(f"{self.what}: {width} bytes wanted at {at}, {self.end - at} are left")
        self.at = at + width
        return at

    def take(self, width: int) -> bytes:
        """The next bytes as they are."""
        at = self._advance(width)
        return self.data[at : self.at]

    def view(self, width: int) -> memoryview:
        """The next bytes where they are: nothing is copied, and the payload lives as long as the view."""
        at = self._advance(width)
        return memoryview(self.data)[at : self.at]

    def u8(self) -> int:
        """An unsigned byte."""
        return self.data[self._advance(1)]

    def i16(self) -> int:
        """A signed number of 2 bytes."""
        number: int = _I16.unpack_from(self.data, self._advance(2))[0]
        return number

    def i32(self) -> int:
        """A signed number of 4 bytes."""
        number: int = _I32.unpack_from(self.data, self._advance(4))[0]
        return number

    def i64(self) -> int:
        """A signed number of 8 bytes."""
        number: int = _I64.unpack_from(self.data, self._advance(8))[0]
        return number

    def f32(self) -> float:
        """A float of 4 bytes."""
        number: float = _F32.unpack_from(self.data, self._advance(4))[0]
        return number

    def f64(self) -> float:
        """A float of 8 bytes."""
        number: float = _F64.unpack_from(self.data, self._advance(8))[0]
        return number

    def boolean(self) -> bool:
        """One byte; as the original reads it, all but 1 is false."""
        return self.u8() == 1

    def ordinal(self, enum: type[Ordinal], number: int) -> Ordinal:
        """The member of an enum; raises `MalformedInput` that names the number."""
        try:
            return enum(number)
        except ValueError:
            raise MalformedInput(f"{self.what}: unknown {enum.__name__} {number}") from None

    def count(self, least_bytes: int) -> int:
        """An i32 that counts what takes at least `least_bytes` bytes each."""
        count = self.i32()
        if count < 0 or count * least_bytes > self.end - self.at:
            raise MalformedInput(f"{self.what}: {count} elements in {self.end - self.at} bytes at {self.at}")
        return count

    def blob(self) -> bytes:
        """An i32 length, then bytes."""
        return self.take(self.i32())

    def text(self) -> str:
        """A `str`: an i32 length, then UTF-8."""
        return self._decoded(self.take(self.i32()))

    def texts(self, count: int) -> tuple[str | None, ...]:
        """`count` times an `nstr`: as `text`, or null where the length is -1."""
        read: list[str | None] = []
        data, at, end = self.data, self.at, self.end
        for _ in range(count):  # written out: the names and values of every insert come through here
            start = at + 4
            if start > end:
                raise MalformedInput(f"{self.what}: cut off before a text at {at}")
            length = _I32.unpack_from(data, at)[0]
            at = start + length
            if start <= at <= end:
                self.at = at
                read.append(self._decoded(data[start:at]))
            elif length == -1:
                at = start
                read.append(None)
            else:
                raise MalformedInput(f"{self.what}: a text of {length} bytes at {start}, {end - start} are left")
        self.at = at
        return tuple(read)

    def i16s(self, count: int) -> tuple[int, ...]:
        """`count` signed numbers of 2 bytes."""
        return struct.unpack_from(f">{count}h", self.data, self._advance(2 * count))

    def i32s(self, count: int) -> tuple[int, ...]:
        """`count` signed numbers of 4 bytes."""
        return struct.unpack_from(f">{count}i", self.data, self._advance(4 * count))

    def i64s(self, count: int) -> tuple[int, ...]:
        """`count` signed numbers of 8 bytes."""
        return struct.unpack_from(f">{count}q", self.data, self._advance(8 * count))

    def _decoded(self, raw: bytes) -> str:
        try:
            return raw.decode()
        except UnicodeDecodeError as error:
            raise MalformedInput(f"{self.what}: a text that is not UTF-8 before offset {self.at}") from error

    def rest(self) -> bytes:
        """All that is left."""
        return self.take(self.left)

    def expect_end(self) -> None:
        """Nothing may follow."""
        if self.at != self.end:
            raise MalformedInput(f"{self.what}: {self.end - self.at} bytes behind its end at {self.at}")


def i32(number: int) -> bytes:
    """A signed number of 4 bytes."""
    return _I32.pack(number)


def i64(number: int) -> bytes:
    """A signed number of 8 bytes."""
    return _I64.pack(number)


def f32(number: float) -> bytes:
    """A float of 4 bytes; NaN in the one form that the original writes."""
    return _F32.pack(number) if not math.isnan(number) else _NAN_F32


def f64(number: float) -> bytes:
    """A float of 8 bytes; NaN in the one form that the original writes."""
    return _F64.pack(number) if not math.isnan(number) else _NAN_F64


def blob(value: bytes) -> bytes:
    """An i32 length, then bytes."""
    return _I32.pack(len(value)) + value


def text(value: str) -> bytes:
    """A `str`."""
    return blob(value.encode())


def nullable_text(value: str | None) -> bytes:
    """An `nstr`."""
    return _NULL if value is None else blob(value.encode())
