"""The interface as data: structs, methods and services of `thrift/*.thrift`, as thriftpy2 reads them.

thriftpy2 describes a type by tuples of varying length and a service by class attributes. That stays in this module;
what leaves it are the frozen descriptions below, from which readers and writers are made.
"""

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import IntEnum
from pathlib import Path
from typing import Any

import thriftpy2
from thriftpy2.thrift import TType


class Kind(IntEnum):
    """A type as the binary protocol numbers it."""

    BOOL = 2
    BYTE = 3
    DOUBLE = 4
    I16 = 6
    I32 = 8
    I64 = 10
    STRING = 11
    STRUCT = 12
    MAP = 13
    SET = 14
    LIST = 15


@dataclass(frozen=True, slots=True)
class FieldType:
    """A type of the IDL.

    `is_binary` tells `binary` from `string`; `inner` has a list's element, or a map's key and value.
    """

    kind: Kind
    is_binary: bool = False
    inner: tuple["FieldType", ...] = ()
    struct: "Struct | None" = None
    enum_values: frozenset[int] | None = None

    def __str__(self) -> str:
        match self.kind:
            case Kind.LIST:
                return f"list<{self.inner[0]}>"
            case Kind.MAP:
                return f"map<{self.inner[0]},{self.inner[1]}>"
            case Kind.STRUCT if self.struct is not None:
                return self.struct.name
            case Kind.STRING if self.is_binary:
                return "binary"
        return self.kind.name.lower()


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a struct or an argument of a method."""

    id: int
    name: str
    type: FieldType
    required: bool


@dataclass(frozen=True, slots=True, eq=False)
class Struct:
    """A struct. `make` takes the values of `fields`, which stand in the order of their ids, one by one."""

    name: str
    make: Callable[..., Any]
    fields: tuple[Field, ...]
    by_id: dict[int, Field] = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_id", {field.id: field for field in self.fields})


@dataclass(frozen=True, slots=True, eq=False)
class Method:
    """A method. Its arguments make a tuple, its result is the one value (None for void).

    No method of these files is one-way or throws.
    """

    name: str
    args: Struct
    result: Struct


@dataclass(frozen=True, slots=True)
class Service:
    """A service with its inherited methods."""

    name: str
    methods: dict[str, Method]


def thrift_folder() -> Path:
    """Where the IDL stands: inside the installed package, or at the top of a checkout."""
    package = Path(__file__).resolve().parent.parent
    inside = package / "idl"
    return inside if inside.is_dir() else package.parent / "thrift"


class _Loader:
    """Turns thriftpy2's specifications into the descriptions of this module, each struct once."""

    def __init__(self) -> None:
        self._structs: dict[Any, Struct] = {}

    def struct(self, made: Any) -> Struct:
        if made not in self._structs:
            self._structs[made] = Struct(made.__name__, made, self.fields(made.thrift_spec))
        return self._structs[made]

    def fields(self, spec: dict[int, tuple[Any, ...]]) -> tuple[Field, ...]:
        return tuple(
            Field(number, field[1], self.type(field[0], field[2] if len(field) == 4 else None), field[-1])
            for number, field in sorted(spec.items())
        )

    def type(self, ttype: int, detail: Any) -> FieldType:
        match ttype:
            case TType.STRUCT:
                return FieldType(Kind.STRUCT, struct=self.struct(detail))
            case TType.LIST:
                return FieldType(Kind.LIST, inner=(self._inner(detail),))
            case TType.MAP:
                return FieldType(Kind.MAP, inner=(self._inner(detail[0]), self._inner(detail[1])))
            case TType.BINARY:
                return FieldType(Kind.STRING, is_binary=True)
            case TType.I32 if detail is not None:
                return FieldType(Kind.I32, enum_values=frozenset(detail._VALUES_TO_NAMES))
        return FieldType(Kind(ttype))

    def _inner(self, detail: Any) -> FieldType:
        """The type of an element: a bare type number or a pair with its detail."""
        return self.type(*detail) if isinstance(detail, tuple) else self.type(detail, None)

    def service(self, made: Any) -> Service:
        methods = {}
        for name in made.thrift_services:
            args = self.fields(getattr(made, f"{name}_args").thrift_spec)
            result = self.fields(getattr(made, f"{name}_result").thrift_spec)
            methods[name] = Method(
                name,
                Struct(f"{name}_args", _arguments, tuple(_argument(field) for field in args)),
                Struct(f"{name}_result", _result, tuple(replace(field, required=True) for field in result)),
            )
        return Service(made.__name__, methods)


def _arguments(*values: Any) -> tuple[Any, ...]:
    return values


def _result(value: Any = None) -> Any:
    return value


def _argument(field: Field) -> Field:
    """Thrift knows no required arguments; here only a header may be absent, which names the meta group."""
    return replace(field, required=field.name != "header")


def _load() -> tuple[dict[str, Struct], dict[str, Service]]:
    extension = thriftpy2.load(str(thrift_folder() / "extension.thrift"))
    loader = _Loader()
    structs: dict[str, Struct] = {}
    services: dict[str, Service] = {}
    for module in (extension.rpc, extension.cluster, extension):
        structs |= {made.__name__: loader.struct(made) for made in _declared(module, "structs")}
        services |= {made.__name__: loader.service(made) for made in _declared(module, "services")}
    return structs, services


def _declared(module: Any, what: str) -> Iterator[Any]:
    yield from module.__thrift_meta__.get(what, ())


STRUCTS, SERVICES = _load()
