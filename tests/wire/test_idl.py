"""The Thrift files say what the interface says, no less and no more, and our own calls stand beside it."""

import json
from typing import Any

import pytest
import thriftpy2
from thriftpy2.thrift import TType

from iotdb_cluster.wire import structs
from iotdb_cluster.wire.idl import SERVICES, STRUCTS, Kind, thrift_folder
from iotdb_cluster.wire.stubs import FILE, stub_text
from tests.wire.golden import FOLDER

INTERFACE = json.loads((FOLDER / "cluster-interface.json").read_text())
EXTENSION = thriftpy2.load(str(thrift_folder() / "extension.thrift"))
MODULES = {"cluster.thrift": EXTENSION.cluster, "rpc.thrift": EXTENSION.rpc}

NAMES = {
    TType.BOOL: "bool",
    TType.BYTE: "byte",
    TType.DOUBLE: "double",
    TType.I16: "i16",
    TType.I32: "i32",
    TType.I64: "i64",
    TType.STRING: "string",
    TType.BINARY: "binary",
}


def type_name(ttype: Any, detail: Any = None) -> str:
    """A type of thriftpy2 as the interface writes it."""
    if isinstance(ttype, tuple):
        return type_name(*ttype)
    match ttype:
        case TType.LIST:
            return f"list<{type_name(detail)}>"
        case TType.MAP:
            return f"map<{type_name(detail[0])},{type_name(detail[1])}>"
        case TType.STRUCT:
            return str(detail.__name__)
        case TType.I32 if detail is not None:
            return str(detail.__name__)
    return NAMES[ttype]


def described_fields(made: Any) -> list[dict[str, Any]]:
    return [
        {
            "id": number,
            "type": type_name(field[0], field[2] if len(field) == 4 else None),
            "name": field[1],
            "required": field[-1],
        }
        for number, field in made.thrift_spec.items()
        if number
    ]


def described_service(made: Any) -> dict[str, Any]:
    base = made.__mro__[1]
    methods = {}
    for name in made.thrift_services:
        if name in getattr(base, "thrift_services", ()):
            continue
        result = getattr(made, f"{name}_result")
        success = result.thrift_spec.get(0)
        methods[name] = {
            "args": described_fields(getattr(made, f"{name}_args")),
            "returns": type_name(success[0], success[2] if len(success) == 4 else None) if success else "void",
            "throws": described_fields(result),
            "oneway": result.oneway,
        }
    return {"extends": None if base is object else base.__name__, "methods": methods}


def described(module: Any) -> dict[str, Any]:
    meta = module.__thrift_meta__
    return {
        "structs": {made.__name__: described_fields(made) for made in meta.get("structs", ())},
        "enums": {made.__name__: made._NAMES_TO_VALUES for made in meta.get("enums", ())},
        "services": {made.__name__: described_service(made) for made in meta.get("services", ())},
    }


@pytest.mark.parametrize("file", MODULES)
@pytest.mark.parametrize("what", ["structs", "enums", "services"])
def test_a_thrift_file_says_what_the_interface_says(file: str, what: str) -> None:
    assert INTERFACE[file][what] == described(MODULES[file])[what]


def test_the_protocol_version_is_the_first_one_unless_said_otherwise() -> None:
    assert EXTENSION.rpc.TSOpenSessionReq().client_protocol == 0
    assert EXTENSION.rpc.TSOpenSessionResp().serverProtocolVersion == 0


def test_other_fields_have_no_defaults() -> None:
    versions = {("TSOpenSessionReq", "client_protocol"), ("TSOpenSessionResp", "serverProtocolVersion")}
    set_by_default = {
        (made.__name__, name)
        for module in (*MODULES.values(), EXTENSION)
        for made in module.__thrift_meta__["structs"]
        for name, default in made.default_spec
        if default is not None
    }
    assert versions == set_by_default


def test_the_extension_adds_the_same_calls_to_both_services_and_queries_to_that_of_the_data_port() -> None:
    shared = {"hello", "vote", "timeoutNow", "propose", "readIndex", "exile", "report"}
    queries = {"findSeries", "gather", "extent", "openRows", "fetchRows", "offerStore", "pullMove", "nearlyFull"}
    described_methods = {}
    for name, mirrored in (("MetaExtension", "TSMetaService"), ("DataExtension", "TSDataService")):
        service = described_service(getattr(EXTENSION, name))
        assert mirrored == service["extends"]
        added = shared | queries if name == "DataExtension" else shared
        assert added == set(service["methods"])
        assert added | set(SERVICES[mirrored].methods) == set(SERVICES[name].methods)
        described_methods[name] = {method: service["methods"][method] for method in shared}
    assert described_methods["MetaExtension"] == described_methods["DataExtension"]


def test_the_extension_adds_to_the_client_port_what_a_client_may_do_without() -> None:
    assert {"report", "query"} == set(described_service(EXTENSION.ClientExtension)["methods"])


def test_a_header_is_the_only_argument_that_may_be_absent() -> None:
    optional = {
        field.name
        for service in SERVICES.values()
        for method in service.methods.values()
        for field in method.args.fields
        if not field.required
    }
    assert {"header"} == optional


def test_values_are_given_to_a_struct_in_the_order_of_its_ids() -> None:
    for struct in STRUCTS.values():
        made = struct.make(*range(len(struct.fields)))
        assert list(range(len(struct.fields))) == [getattr(made, field.name) for field in struct.fields]


def test_the_types_of_the_structs_are_those_of_the_idl() -> None:
    """`python -m iotdb_cluster.wire.stubs` writes them anew."""
    assert stub_text() == FILE.read_text()
    assert [struct.make for struct in STRUCTS.values()] == [getattr(structs, name) for name in STRUCTS]


def test_a_set_would_have_to_be_thought_about() -> None:
    """Readers and writers are compiled for every type of the IDL; sets are only ever skipped."""
    kinds = {field.type.kind for struct in STRUCTS.values() for field in struct.fields}
    assert Kind.SET not in kinds
