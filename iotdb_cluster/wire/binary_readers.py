"""Compiled readers of the strict binary protocol, for structs as every generated client writes them.

Fields in the order of their ids, each of its declared type, required ones present, none unknown: such bytes are read in
straight-line code with all checks of the walk (lengths, counts, UTF-8, enum values). Of anything else a reader gives
up (`canonical`).
"""

import struct

from iotdb_cluster.wire.binary_walk import FIXED, FIXED_BYTES, LEAST_BYTES, STOP
from iotdb_cluster.wire.canonical import CompiledReaders, Head, NotCanonical, Reader
from iotdb_cluster.wire.idl import Field, FieldType, Kind, Struct
from iotdb_cluster.wire.source import Source

_HEAD = struct.Struct(">Ii")
_SEQID = struct.Struct(">i")
_VERSION_MASK = 0xFFFFFF00
_VERSION = 0x80010000


class BinaryReaders(CompiledReaders):
    """The readers of all structs in the strict binary protocol."""

    def _compile(self, of: Struct) -> Reader:
        return _StructReader(self, of).compile()


def quick_head(data: bytes) -> Head:
    """The head of a message; raises one of `GAVE_UP`."""
    version, length = _HEAD.unpack_from(data)
    if version & _VERSION_MASK != _VERSION or length < 0:
        raise NotCanonical
    at = 8 + length
    (seqid,) = _SEQID.unpack_from(data, at)
    return version & 255, data[8:at], seqid, at + 4


class _StructReader:
    """Writes the reader of one struct.

    What is of fixed width is gathered (`_codes`, `_targets`) and unpacked at once: headers, values, and the length or
    the element header with which something of varying width begins.
    """

    def __init__(self, readers: CompiledReaders, of: Struct) -> None:
        self._readers = readers
        self._struct = of
        self._source = Source(f"read_{of.name}", "data, at, budget")
        self._source.names |= {
            "NotCanonical": NotCanonical,
            "unpack_from": struct.unpack_from,
            "STRING_BYTES": readers.string_bytes,
        }
        self._codes = ""
        self._targets: list[str] = []
        self._expected: dict[str, object] = {}
        self._afterwards: list[str] = []

    def compile(self) -> Reader:
        source = self._source
        source.line("size = len(data)")
        for field in self._struct.fields:
            if field.required:
                self._expect("3s", _header(field))
                self._value(field.type, f"v{field.id}")
            else:
                self._flush()
                with source.block(f"if data.startswith({source.constant('H', _header(field))}, at):"):
                    source.line("at += 3")
                    self._value(field.type, f"v{field.id}")
                    self._flush()
                with source.block("else:"):
                    source.line(f"v{field.id} = None")
        self._expect("B", STOP)
        self._flush()
        make = source.constant("make", self._struct.make)
        source.line(f"return {make}({', '.join(f'v{field.id}' for field in self._struct.fields)}), at")
        return source.compile()

    def _want(self, code: str, target: str) -> None:
        self._codes += code
        self._targets.append(target)

    def _expect(self, code: str, value: object) -> None:
        name = self._source.fresh("e")
        self._want(code, name)
        self._expected[name] = value

    def _flush(self) -> None:
        """Unpack what was gathered, and give up where it is not what was expected."""
        if not self._codes:
            return
        unpack, width = self._source.format(self._codes, "unpack_from")
        self._source.line(f"{', '.join(self._targets)}, = {unpack}(data, at)")
        if self._expected:
            self._give_up_if(" or ".join(f"{name} != {value!r}" for name, value in self._expected.items()))
        self._source.line(f"at += {width}")
        for statement in self._afterwards:
            self._source.line(statement)
        self._codes, self._targets, self._expected, self._afterwards = "", [], {}, []

    def _give_up_if(self, condition: str) -> None:
        with self._source.block(f"if {condition}:"):
            self._source.line("raise NotCanonical")

    def _value(self, type: FieldType, target: str) -> None:
        """Leave the value in the local `target` (not before the next flush, where it is of fixed width)."""
        match type.kind:
            case Kind.STRING:
                self._string(type, target)
            case Kind.STRUCT if type.struct is not None:
                self._flush()
                reader = self._source.constant("read", self._readers.reader(type.struct))
                self._source.line(f"{target}, at = {reader}(data, at, budget)")
            case Kind.LIST:
                self._list(type, target)
            case Kind.MAP:
                self._map(type, target)
            case Kind.BOOL:
                self._want("B", target)
                self._afterwards.append(f"{target} = {target} == 1")
            case _:
                self._want(FIXED[type.kind], target)
                if type.enum_values is not None:
                    self._flush()
                    self._give_up_if(f"{target} not in {self._source.constant('ENUM', type.enum_values)}")

    def _string(self, type: FieldType, target: str) -> None:
        length = self._source.fresh("n")
        self._want("i", length)
        self._flush()
        self._source.line(f"end = at + {length}")
        limit = "" if type.is_binary else f" or {length} > STRING_BYTES"
        self._give_up_if(f"{length} < 0 or end > size{limit}")
        self._source.line(f"{target} = data[at:end]{'' if type.is_binary else '.decode()'}")
        self._source.line("at = end")

    def _list(self, type: FieldType, target: str) -> None:
        (element,) = type.inner
        kind, count = self._source.fresh("k"), self._source.fresh("n")
        self._want("B", kind)
        self._want("i", count)
        self._flush()
        self._count(count, LEAST_BYTES[element.kind])
        self._give_up_if(f"{kind} != {element.kind.value} and {count}")
        if element.kind in FIXED and element.kind != Kind.BOOL:
            self._source.line(f'{target} = list(unpack_from(f">{{{count}}}{FIXED[element.kind]}", data, at))')
            self._source.line(f"at += {count} * {FIXED_BYTES[element.kind]}")
            return
        self._source.line(f"{target} = []")
        with self._source.block(f"for _ in range({count}):"):
            item = self._source.fresh("x")
            self._value(element, item)
            self._flush()
            self._source.line(f"{target}.append({item})")

    def _map(self, type: FieldType, target: str) -> None:
        key, value = type.inner
        key_kind, value_kind, count = (self._source.fresh(prefix) for prefix in "kkn")
        self._want("B", key_kind)
        self._want("B", value_kind)
        self._want("i", count)
        self._flush()
        self._count(count, LEAST_BYTES[key.kind] + LEAST_BYTES[value.kind])
        self._give_up_if(f"({key_kind} != {key.kind.value} or {value_kind} != {value.kind.value}) and {count}")
        self._source.line(f"{target} = {{}}")
        with self._source.block(f"for _ in range({count}):"):
            name, item = self._source.fresh("x"), self._source.fresh("x")
            self._value(key, name)
            self._value(value, item)
            self._flush()
            self._source.line(f"{target}[{name}] = {item}")

    def _count(self, count: str, least_bytes: int) -> None:
        self._source.line(f"budget.spend({count})")
        self._give_up_if(f"{count} * {least_bytes} > size - at")


def _header(field: Field) -> bytes:
    return struct.pack(">bh", field.type.kind, field.id)
