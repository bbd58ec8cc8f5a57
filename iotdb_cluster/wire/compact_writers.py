"""Compiled writers of the compact protocol."""

import struct
from functools import partial

from iotdb_cluster.wire.canonical import CompiledWriters, Writer
from iotdb_cluster.wire.compact_walk import BITS, CODES, FALSE, LONG_LIST, TRUE, VERSION, VERSION_BITS
from iotdb_cluster.wire.header import Protocol
from iotdb_cluster.wire.idl import Field, FieldType, Kind, Struct
from iotdb_cluster.wire.source import Source


class CompactWriters(CompiledWriters):
    """The writers of all structs in the compact protocol."""

    def _compile(self, of: Struct, of_tuple: bool) -> Writer:
        return _StructWriter(self, of, of_tuple).compile()


def head(kind: int, name: bytes, seqid: int) -> bytes:
    """The head of a message."""
    start = bytes((Protocol.COMPACT, VERSION | kind << VERSION_BITS))
    return start + _varint(seqid & 0xFFFFFFFF) + _varint(len(name)) + name


def _varint(number: int) -> bytes:
    written = bytearray()
    while number > 127:
        written.append(number & 127 | 128)
        number >>= 7
    written.append(number)
    return bytes(written)


def _zigzag(number: int, bits: int) -> bytes:
    if number >> bits - 1 not in (0, -1):
        raise OverflowError(f"{number} does not fit into {bits} bits")
    return _varint((number << 1) ^ (number >> bits - 1))


_SMALL = [_varint(number) for number in range(1024)]
"""The varints of most lengths, counts and codes."""


class _StructWriter:
    """Writes the writer of one struct."""

    def __init__(self, writers: CompiledWriters, of: Struct, of_tuple: bool) -> None:
        self._writers = writers
        self._struct = of
        self._of_tuple = of_tuple
        self._source = Source(f"write_compact_{of.name}", "value, put")
        self._source.names |= {"varint": _varint, "pack": struct.pack, "SMALL": _SMALL}
        self._source.names |= {f"zigzag{bits}": partial(_zigzag, bits=bits) for bits in BITS.values()}

    def compile(self) -> Writer:
        source = self._source
        if self._of_tuple and self._struct.fields:
            source.line(f"{', '.join(f'v{field.id}' for field in self._struct.fields)}, = value")
        last: int | None = 0  # the id before, where it is known now; else it is in the local `last`
        known = 0
        for field in self._struct.fields:
            assert field.id - known < LONG_LIST + 1, f"{self._struct.name}.{field.name} needs a long field header"
            value = f"v{field.id}" if self._of_tuple else f"value.{field.name}"
            if field.required:
                known = field.id
                self._field(field, value, last)
                last = field.id
                continue
            if last is not None:
                source.line(f"last = {last}")
            last = None
            local = source.fresh("o")
            source.line(f"{local} = {value}")
            with source.block(f"if {local} is not None:"):
                self._field(field, local, None)
                source.line(f"last = {field.id}")
        self._constant(bytes(1))
        return source.compile()

    def _constant(self, value: bytes) -> None:
        self._source.line(f"put({self._source.constant('B', value)})")

    def _field(self, field: Field, value: str, last: int | None) -> None:
        code = str(CODES[field.type.kind])
        is_bool = field.type.kind == Kind.BOOL
        if is_bool:
            code = f"(({FALSE}, {TRUE})[{value}])"  # None is neither
        if field.id == 0:  # a result; no distance can say 0, so the id itself follows
            if is_bool:
                self._source.line(f"put(SMALL[{code}] + SMALL[0])")
            else:
                self._constant(bytes((CODES[field.type.kind], 0)))
        elif last is not None and not is_bool:
            self._constant(bytes((field.id - last << 4 | CODES[field.type.kind],)))
        else:
            before = "last" if last is None else str(last)
            self._source.line(f"put(({field.id} - {before} << 4 | {code}).to_bytes())")
        if not is_bool:
            self._value(field.type, value)

    def _value(self, type: FieldType, value: str) -> None:
        """Write a value; a bool here is an element."""
        source = self._source
        match type.kind:
            case Kind.BOOL:
                source.line(f"put(SMALL[({FALSE}, {TRUE})[{value}]])")
            case Kind.BYTE:
                source.line(f'put(pack("b", {value}))')
            case Kind.DOUBLE:
                source.line(f'put(pack("<d", {value}))')
            case Kind.STRING:
                raw = source.fresh("s")
                source.line(f"{raw} = {value}{'' if type.is_binary else '.encode()'}")
                source.line(f"put(varint(len({raw})))")
                source.line(f"put({raw})")
            case Kind.STRUCT if type.struct is not None:
                source.line(f"{source.constant('write', self._writers.writer(type.struct))}({value}, put)")
            case Kind.LIST:
                self._list(type, value)
            case Kind.MAP:
                self._map(type, value)
            case _:
                number, small = source.fresh("i"), len(_SMALL) // 2
                zigzag = f"zigzag{BITS[type.kind]}"
                source.line(f"{number} = {value}")
                source.line(f"put(SMALL[{number} << 1] if 0 <= {number} < {small} else {zigzag}({number}))")

    def _list(self, type: FieldType, value: str) -> None:
        (element,) = type.inner
        source = self._source
        items, item, code = source.fresh("l"), source.fresh("x"), CODES[element.kind]
        source.line(f"{items} = {value}")
        with source.block(f"if len({items}) < {LONG_LIST}:"):
            source.line(f"put((len({items}) << 4 | {code}).to_bytes())")
        with source.block("else:"):
            source.line(f"put({source.constant('B', bytes((LONG_LIST << 4 | code,)))} + varint(len({items})))")
        with source.block(f"for {item} in {items}:"):
            self._value(element, item)

    def _map(self, type: FieldType, value: str) -> None:
        key_type, value_type = type.inner
        source = self._source
        pairs, key, item = (source.fresh(prefix) for prefix in "mxx")
        source.line(f"{pairs} = {value}")
        source.line(f"put(varint(len({pairs})))")
        with source.block(f"if {pairs}:"):
            self._constant(bytes((CODES[key_type.kind] << 4 | CODES[value_type.kind],)))
        with source.block(f"for {key}, {item} in {pairs}.items():"):
            self._value(key_type, key)
            self._value(value_type, item)
