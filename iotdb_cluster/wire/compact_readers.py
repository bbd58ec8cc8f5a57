"""Compiled readers of the compact protocol; when they give up is said in `canonical`.

A field header holds the distance from the field before, so the expected byte is a constant behind a required field and
is computed behind an optional one.
"""

import struct

from iotdb_cluster.wire.canonical import CompiledReaders, Head, NotCanonical, Reader
from iotdb_cluster.wire.compact_walk import BITS, CODES, FALSE, LEAST_BYTES, LONG_LIST, TRUE, VERSION, VERSION_BITS
from iotdb_cluster.wire.idl import Field, FieldType, Kind, Struct
from iotdb_cluster.wire.source import Source


class CompactReaders(CompiledReaders):
    """The readers of all structs in the compact protocol."""

    def _compile(self, of: Struct) -> Reader:
        return _StructReader(self, of).compile()


def quick_head(data: bytes) -> Head:
    """The head of a message; raises one of `GAVE_UP`."""
    code = data[1]
    if code & ((1 << VERSION_BITS) - 1) != VERSION:
        raise NotCanonical
    seqid, at = _varint(data, 2, 32)
    length, at = _varint(data, at, 32)
    return code >> VERSION_BITS, data[at : at + length], seqid - (1 << 32) if seqid >> 31 else seqid, at + length


def _varint(data: bytes, at: int, bits: int) -> tuple[int, int]:
    """An unsigned number and the offset behind it."""
    value = shift = 0
    while shift < bits:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            if value >> bits:
                break
            return value, at
        shift += 7
    raise NotCanonical


class _StructReader:
    """Writes the reader of one struct."""

    def __init__(self, readers: CompiledReaders, of: Struct) -> None:
        self._readers = readers
        self._struct = of
        self._source = Source(f"read_compact_{of.name}", "data, at, budget")
        self._source.names |= {
            "NotCanonical": NotCanonical,
            "varint": _varint,
            "unpack_from": struct.unpack_from,
            "STRING_BYTES": readers.string_bytes,
        }

    def compile(self) -> Reader:
        source = self._source
        source.line("size = len(data)")
        last: int | None = 0  # the id before, where it is known now; else it is in the local `last`
        for field in self._struct.fields:
            if field.required:
                self._required(field, last)
                last = field.id
            else:
                if last is not None:
                    source.line(f"last = {last}")
                last = None
                self._optional(field)
        self._give_up_if("data[at]")
        make = source.constant("make", self._struct.make)
        source.line(f"return {make}({', '.join(f'v{field.id}' for field in self._struct.fields)}), at + 1")
        return source.compile()

    def _required(self, field: Field, last: int | None) -> None:
        source = self._source
        if field.id == 0:  # a result; no distance can say 0, so the id itself follows
            self._result(field)
            return
        source.line(f"head = data[at] - {_distance(field, last)}")
        source.line("at += 1")
        if field.type.kind == Kind.BOOL:
            source.line(f"v{field.id} = head == {TRUE}")
            self._give_up_if(f"head != {TRUE} and head != {FALSE}")
            return
        self._give_up_if(f"head != {CODES[field.type.kind]}")
        self._value(field.type, f"v{field.id}")

    def _result(self, field: Field) -> None:
        self._give_up_if(f"data[at] != {CODES[field.type.kind]} or data[at + 1]")
        self._source.line("at += 2")
        self._value(field.type, f"v{field.id}")

    def _optional(self, field: Field) -> None:
        source = self._source
        local = f"v{field.id}"
        source.line(f"head = data[at] - {_distance(field, None)}")
        is_bool = field.type.kind == Kind.BOOL
        expected = f"head == {TRUE} or head == {FALSE}" if is_bool else f"head == {CODES[field.type.kind]}"
        with source.block(f"if {expected}:"):
            source.line("at += 1")
            source.line(f"last = {field.id}")
            if is_bool:
                source.line(f"{local} = head == {TRUE}")
            else:
                self._value(field.type, local)
        with source.block("else:"):
            source.line(f"{local} = None")

    def _give_up_if(self, condition: str) -> None:
        with self._source.block(f"if {condition}:"):
            self._source.line("raise NotCanonical")

    def _varint(self, target: str, bits: int) -> None:
        self._source.line(f"{target} = data[at]")
        with self._source.block(f"if {target} < 128:"):
            self._source.line("at += 1")
        with self._source.block("else:"):
            self._source.line(f"{target}, at = varint(data, at, {bits})")

    def _value(self, type: FieldType, target: str) -> None:
        """Leave the value in the local `target`; a bool here is an element."""
        source = self._source
        match type.kind:
            case Kind.BOOL:
                source.line(f"{target} = data[at] == {TRUE}")
                source.line("at += 1")
            case Kind.BYTE:
                source.line(f'{target}, = unpack_from("b", data, at)')
                source.line("at += 1")
            case Kind.DOUBLE:
                source.line(f'{target}, = unpack_from("<d", data, at)')
                source.line("at += 8")
            case Kind.STRING:
                length = source.fresh("n")
                self._varint(length, 32)
                source.line(f"end = at + {length}")
                self._give_up_if("end > size" + ("" if type.is_binary else f" or {length} > STRING_BYTES"))
                source.line(f"{target} = data[at:end]{'' if type.is_binary else '.decode()'}")
                source.line("at = end")
            case Kind.STRUCT if type.struct is not None:
                reader = source.constant("read", self._readers.reader(type.struct))
                source.line(f"{target}, at = {reader}(data, at, budget)")
            case Kind.LIST:
                self._list(type, target)
            case Kind.MAP:
                self._map(type, target)
            case _:
                self._varint(target, BITS[type.kind])
                source.line(f"{target} = ({target} >> 1) ^ -({target} & 1)")
                if type.enum_values is not None:
                    self._give_up_if(f"{target} not in {source.constant('ENUM', type.enum_values)}")

    def _list(self, type: FieldType, target: str) -> None:
        (element,) = type.inner
        source = self._source
        kind, count, item = source.fresh("k"), source.fresh("n"), source.fresh("x")
        source.line(f"{kind} = data[at]")
        source.line(f"{count} = {kind} >> 4")
        source.line("at += 1")
        with source.block(f"if {count} == {LONG_LIST}:"):
            self._varint(count, 32)
        self._count(count, LEAST_BYTES[element.kind])
        self._give_up_if(f"({kind} & 15) != {CODES[element.kind]} and {count}")
        source.line(f"{target} = []")
        with source.block(f"for _ in range({count}):"):
            self._value(element, item)
            source.line(f"{target}.append({item})")

    def _map(self, type: FieldType, target: str) -> None:
        key, value = type.inner
        source = self._source
        count, name, item = source.fresh("n"), source.fresh("x"), source.fresh("x")
        self._varint(count, 32)
        self._count(count, LEAST_BYTES[key.kind] + LEAST_BYTES[value.kind])
        source.line(f"{target} = {{}}")
        with source.block(f"if {count}:"):
            self._give_up_if(f"data[at] != {CODES[key.kind] << 4 | CODES[value.kind]}")
            source.line("at += 1")
            with source.block(f"for _ in range({count}):"):
                self._value(key, name)
                self._value(value, item)
                source.line(f"{target}[{name}] = {item}")

    def _count(self, count: str, least_bytes: int) -> None:
        self._source.line(f"budget.spend({count})")
        self._give_up_if(f"{count} * {least_bytes} > size - at")


def _distance(field: Field, last: int | None) -> str:
    """The upper half of the field's header, as an expression."""
    return f"({field.id} - last << 4)" if last is None else str(field.id - last << 4)
