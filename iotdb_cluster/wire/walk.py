"""The bounded walk over one message, which is its decoding: what every protocol reader has in common.

Nothing is believed before it is checked: a type must be known, a size must fit into what is left, elements are counted,
what nobody knows is skipped to a limited depth, and every required field must be there. Any violation is a
`MalformedInput`, and no other error is raised.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

from iotdb_cluster.errors import MalformedInput
from iotdb_cluster.wire.idl import Field, FieldType, Kind, Struct
from iotdb_cluster.wire.limits import Limits

METHOD_NAME_BYTES = 256
"""Longer names are none; a refusal of a call repeats the name."""


class CutOff(MalformedInput):
    """The bytes end before the message does."""


class Budget:
    """What one message may still spend on elements."""

    __slots__ = ("_most", "elements")

    def __init__(self, elements: int) -> None:
        self._most = elements
        self.elements = elements

    def spend(self, count: int) -> None:
        """Count elements; raises `MalformedInput` when there are too many."""
        if count < 0:
            raise MalformedInput(f"a size of {count}")
        self.elements -= count
        if self.elements < 0:
            raise MalformedInput(f"more elements than the {self._most} that a message may have: send it in parts")


class Walk(ABC):
    """A cursor over one message. A protocol says how headers and single values are written.

    `least_bytes` is the least that a value of each kind takes; `fixed_bytes` what it always takes, for those that can
    be skipped without a look.
    """

    least_bytes: ClassVar[dict[Kind, int]]
    fixed_bytes: ClassVar[dict[Kind, int]]

    def __init__(self, data: bytes | bytearray, at: int, limits: Limits) -> None:
        self.data = data
        self.at = at
        self.limits = limits
        self.budget = Budget(limits.elements)

    # What a protocol says.

    @abstractmethod
    def field_header(self, previous_id: int) -> tuple[Kind, int] | None:
        """Kind and id of the next field, None at the end of the struct."""

    @abstractmethod
    def list_header(self) -> tuple[Kind | None, int]:
        """Kind and number of elements; the kind may be None when there is none."""

    @abstractmethod
    def map_header(self) -> tuple[Kind | None, Kind | None, int]:
        """Kinds of key and value, and the number of pairs; the kinds may be None when there is none."""

    @abstractmethod
    def integer(self, kind: Kind) -> int:
        """A BYTE, I16, I32 or I64."""

    @abstractmethod
    def boolean(self) -> bool:
        """A BOOL."""

    @abstractmethod
    def double(self) -> float:
        """A DOUBLE."""

    @abstractmethod
    def length(self) -> int:
        """The length of a string, not yet checked."""

    # What they share.

    def struct(self, struct: Struct) -> Any:
        """A struct, from its first field header to its end."""
        by_id = struct.by_id
        values: dict[str, Any] = {}
        number = 0
        while (header := self.field_header(number)) is not None:
            kind, number = header
            field = by_id.get(number)
            if field is None:
                self.budget.spend(1)
                self.skip(kind, self.limits.depth)
                continue
            if kind != field.type.kind:
                raise MalformedInput(f"{struct.name}.{field.name} is {kind.name}, not {field.type}")
            if field.name in values:
                raise MalformedInput(f"{struct.name}.{field.name} comes twice")
            values[field.name] = self.value(field.type)
        return struct.make(*(_present(values, struct, field) for field in struct.fields))

    def value(self, type: FieldType) -> Any:
        """A value of a type that the IDL declares."""
        return _READ[type.kind](self, type)

    def _bool(self, _: FieldType) -> bool:
        return self.boolean()

    def _double(self, _: FieldType) -> float:
        return self.double()

    def _string(self, type: FieldType) -> str | bytes:
        return self.take(self.length()) if type.is_binary else self.text()

    def _struct(self, type: FieldType) -> Any:
        assert type.struct is not None
        return self.struct(type.struct)

    def _integer(self, type: FieldType) -> int:
        number = self.integer(type.kind)
        if type.enum_values is not None and number not in type.enum_values:
            raise MalformedInput(f"{number} is no value of its enum")
        return number

    def _list(self, type: FieldType) -> list[Any]:
        (element,) = type.inner
        kind, count = self.list_header()
        self._check_count(count, self.least_bytes[element.kind])
        if count and kind != element.kind:
            raise MalformedInput(f"{type} has elements of another type")
        return [self.value(element) for _ in range(count)]

    def _map(self, type: FieldType) -> dict[Any, Any]:
        key, value = type.inner
        key_kind, value_kind, count = self.map_header()
        self._check_count(count, self.least_bytes[key.kind] + self.least_bytes[value.kind])
        if count and (key_kind != key.kind or value_kind != value.kind):
            raise MalformedInput(f"{type} has elements of other types")
        return {self.value(key): self.value(value) for _ in range(count)}

    def _check_count(self, count: int, least_bytes: int) -> None:
        self.budget.spend(count)
        if count * least_bytes > len(self.data) - self.at:
            raise MalformedInput(f"{count} elements in {len(self.data) - self.at} bytes")

    def method_name(self) -> str:
        """The name of a method, in the head of a message."""
        return self.text(METHOD_NAME_BYTES)

    def text(self, most_bytes: int | None = None) -> str:
        """A string; only UTF-8 is one."""
        length = self.length()
        most = self.limits.string_bytes if most_bytes is None else most_bytes
        if length > most:
            raise MalformedInput(f"a string of {length} bytes: at most {most} are possible")
        raw = self.take(length)
        try:
            return raw.decode()
        except UnicodeDecodeError as error:
            raise MalformedInput(f"a string that is not UTF-8: {error.reason} at byte {error.start}") from None

    def take(self, length: int) -> bytes:
        """The next bytes, all of them."""
        start = self.at
        self.pass_over(length)
        return bytes(self.data[start : self.at])

    def pass_over(self, length: int) -> None:
        """Go on behind the next bytes, which must be there."""
        if length < 0:
            raise MalformedInput(f"a length of {length}")
        if self.at + length > len(self.data):
            raise CutOff(f"cut off: {length} bytes wanted at {self.at}, {len(self.data) - self.at} are left")
        self.at += length

    def byte(self) -> int:
        """The next byte, unsigned."""
        at = self.at
        if at >= len(self.data):
            raise CutOff(f"cut off at {at}")
        self.at = at + 1
        return self.data[at]

    def skip(self, kind: Kind, depth: int) -> None:
        """Pass over a value that nobody knows; `depth` is how far it may still nest."""
        if depth == 0:
            raise MalformedInput(f"nested deeper than {self.limits.depth}")
        match kind:
            case Kind.BOOL:
                self.boolean()
            case Kind.DOUBLE:
                self.double()
            case Kind.STRING:
                self.pass_over(self.length())
            case Kind.STRUCT:
                number = 0
                while (header := self.field_header(number)) is not None:
                    inner, number = header
                    self.budget.spend(1)
                    self.skip(inner, depth - 1)
            case Kind.LIST | Kind.SET:
                element, count = self.list_header()
                self._skip_elements((element,), count, depth)
            case Kind.MAP:
                key, value, count = self.map_header()
                self._skip_elements((key, value), count, depth)
            case _:
                self.integer(kind)

    def _skip_elements(self, kinds: tuple[Kind | None, ...], count: int, depth: int) -> None:
        known = [kind for kind in kinds if kind is not None]
        if count == 0:
            return
        self._check_count(count, sum(self.least_bytes[kind] for kind in known))
        if all(kind in self.fixed_bytes for kind in known):
            self.pass_over(count * sum(self.fixed_bytes[kind] for kind in known))
            return
        for _ in range(count):
            for kind in known:
                self.skip(kind, depth - 1)

    def expect_end(self) -> None:
        """Nothing may follow a message in its frame."""
        if self.at != len(self.data):
            raise MalformedInput(f"{len(self.data) - self.at} bytes behind the message")


_READ: dict[Kind, Callable[[Walk, FieldType], Any]] = {
    Kind.BOOL: Walk._bool,
    Kind.BYTE: Walk._integer,
    Kind.DOUBLE: Walk._double,
    Kind.I16: Walk._integer,
    Kind.I32: Walk._integer,
    Kind.I64: Walk._integer,
    Kind.STRING: Walk._string,
    Kind.STRUCT: Walk._struct,
    Kind.LIST: Walk._list,
    Kind.MAP: Walk._map,
}


def _present(values: dict[str, Any], struct: Struct, field: Field) -> Any:
    value = values.get(field.name)
    if value is None and field.required:
        raise MalformedInput(f"{struct.name}.{field.name} is missing")
    return value


def kind_of(code: int) -> Kind:
    """The kind that the binary protocol numbers so; raises `MalformedInput`."""
    try:
        return Kind(code)
    except ValueError:
        raise MalformedInput(f"unknown type {code}") from None
