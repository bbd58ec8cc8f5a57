"""Types for the structs that thriftpy2 makes at run time: writes `structs.pyi` beside `structs.py`."""

from pathlib import Path

from iotdb_cluster.wire.idl import STRUCTS, FieldType, Kind, Struct

FILE = Path(__file__).with_name("structs.pyi")
_HEAD = "# Made from thrift/*.thrift by `python -m iotdb_cluster.wire.stubs`.\n"


def python_type(type: FieldType) -> str:
    """A type of the IDL as Python has it."""
    match type.kind:
        case Kind.BOOL:
            return "bool"
        case Kind.DOUBLE:
            return "float"
        case Kind.STRING:
            return "bytes" if type.is_binary else "str"
        case Kind.LIST:
            return f"list[{python_type(type.inner[0])}]"
        case Kind.MAP:
            return f"dict[{python_type(type.inner[0])}, {python_type(type.inner[1])}]"
        case Kind.STRUCT if type.struct is not None:
            return type.struct.name
    return "int"


def stub_text() -> str:
    """The whole of `structs.pyi`."""
    return "\n".join([_HEAD, *(_class(STRUCTS[name]) for name in sorted(STRUCTS))])


def _class(struct: Struct) -> str:
    if not struct.fields:
        return f"class {struct.name}: ...\n"
    lines = [f"class {struct.name}:"]
    parameters = []
    for field in struct.fields:
        type = python_type(field.type) + ("" if field.required else " | None")
        lines.append(f"    {field.name}: {type}")
        has_default = not field.required or field.type.enum_values is not None
        parameters.append(f"        {field.name}: {type}{' = ...' if has_default else ''},")
    return "\n".join([*lines, "    def __init__(", "        self,", "        *,", *parameters, "    ) -> None: ...\n"])


if __name__ == "__main__":
    FILE.write_text(stub_text())
