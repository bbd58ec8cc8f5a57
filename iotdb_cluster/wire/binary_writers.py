"""Compiled writers of the strict binary protocol."""

import struct

from iotdb_cluster.wire.binary_walk import FIXED, STOP
from iotdb_cluster.wire.canonical import CompiledWriters, Writer
from iotdb_cluster.wire.idl import Field, FieldType, Kind, Struct
from iotdb_cluster.wire.source import Source

_HEAD = struct.Struct(">Ii")
_SEQID = struct.Struct(">i")
_VERSION = 0x80010000


class BinaryWriters(CompiledWriters):
    """The writers of all structs in the strict binary protocol."""

    def _compile(self, of: Struct, of_tuple: bool) -> Writer:
        return _StructWriter(self, of, of_tuple).compile()


def head(kind: int, name: bytes, seqid: int) -> bytes:
    """The head of a message."""
    return _HEAD.pack(_VERSION | kind, len(name)) + name + _SEQID.pack(seqid)


class _StructWriter:
    """Writes the writer of one struct; what is of fixed width is gathered and packed at once."""

    def __init__(self, writers: CompiledWriters, of: Struct, of_tuple: bool) -> None:
        self._writers = writers
        self._struct = of
        self._of_tuple = of_tuple
        self._source = Source(f"write_{of.name}", "value, put")
        self._source.names["pack"] = struct.pack
        self._codes = ""
        self._values: list[str | int] = []

    def compile(self) -> Writer:
        source = self._source
        if self._of_tuple and self._struct.fields:
            source.line(f"{', '.join(f'v{field.id}' for field in self._struct.fields)}, = value")
        for field in self._struct.fields:
            value = f"v{field.id}" if self._of_tuple else f"value.{field.name}"
            if field.required:
                self._field(field, value)
                continue
            self._flush()
            local = source.fresh("o")
            source.line(f"{local} = {value}")
            with source.block(f"if {local} is not None:"):
                self._field(field, local)
                self._flush()
        self._add("B", STOP)
        self._flush()
        return source.compile()

    def _field(self, field: Field, value: str) -> None:
        self._add("bh", field.type.kind.value, field.id)
        self._value(field.type, value)

    def _add(self, codes: str, *values: str | int) -> None:
        """Gather values: numbers that are known now, or expressions."""
        self._codes += codes
        self._values += values

    def _flush(self) -> None:
        if not self._codes:
            return
        if all(isinstance(value, int) for value in self._values):
            constant = self._source.constant("B", struct.pack(f">{self._codes}", *self._values))
            self._source.line(f"put({constant})")
        else:
            pack, _ = self._source.format(self._codes, "pack")
            self._source.line(f"put({pack}({', '.join(map(str, self._values))}))")
        self._codes, self._values = "", []

    def _value(self, type: FieldType, value: str) -> None:
        match type.kind:
            case Kind.STRING:
                raw = self._source.fresh("s")
                self._source.line(f"{raw} = {value}{'' if type.is_binary else '.encode()'}")
                self._add("i", f"len({raw})")
                self._flush()
                self._source.line(f"put({raw})")
            case Kind.STRUCT if type.struct is not None:
                self._flush()
                self._source.line(f"{self._source.constant('write', self._writers.writer(type.struct))}({value}, put)")
            case Kind.LIST:
                self._list(type, value)
            case Kind.MAP:
                self._map(type, value)
            case Kind.BOOL:
                self._add("B", value)
            case _:
                self._add(FIXED[type.kind], value)

    def _list(self, type: FieldType, value: str) -> None:
        (element,) = type.inner
        items = self._source.fresh("l")
        self._source.line(f"{items} = {value}")
        self._add("Bi", element.kind.value, f"len({items})")
        self._flush()
        if element.kind in FIXED:
            code = "B" if element.kind == Kind.BOOL else FIXED[element.kind]
            self._source.line(f'put(pack(f">{{len({items})}}{code}", *{items}))')
            return
        item = self._source.fresh("x")
        with self._source.block(f"for {item} in {items}:"):
            self._value(element, item)
            self._flush()

    def _map(self, type: FieldType, value: str) -> None:
        key_type, value_type = type.inner
        pairs, key, item = (self._source.fresh(prefix) for prefix in "mxx")
        self._source.line(f"{pairs} = {value}")
        self._add("BBi", key_type.kind.value, value_type.kind.value, f"len({pairs})")
        self._flush()
        with self._source.block(f"for {key}, {item} in {pairs}.items():"):
            self._value(key_type, key)
            self._value(value_type, item)
            self._flush()
