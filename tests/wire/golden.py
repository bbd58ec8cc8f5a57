"""The golden vectors: bytes of the original, and the values they stand for as this project's types.

Values are built from the JSON by hand, without the code under test. i64 are decimal strings there, floats numbers or
the words NaN, Infinity and -Infinity, and bytes that are no UTF-8 are `{"hex": ...}`.
"""

import base64
import gzip
import hashlib
import json
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from iotdb_cluster.types.entries import CloseFile, Entry, EntryKind
from iotdb_cluster.types.filters import And, Compare, CompareOp, FilterKind, GroupByWindows, Not, Or, Scalar, ValueClass
from iotdb_cluster.types.identity import EntryId, Node, NodeId
from iotdb_cluster.types.plans import (
    CreateTimeseriesPlan,
    DeletePlan,
    InsertPlan,
    Plan,
    SetStorageGroupPlan,
    TabletPlan,
)
from iotdb_cluster.types.schema import Compression, DataType, Encoding, TimeseriesSchema
from iotdb_cluster.types.snapshots import DataSnapshot, FileSnapshot, MetaSnapshot, RemoteFile
from iotdb_cluster.wire import batches, entries, filters, nodes, plans, scalars, schemas, snapshots, tables

FOLDER = Path(__file__).parent.parent / "golden"
Json = Any


@dataclass(frozen=True)
class Vector:
    """Bytes, the value they stand for, and how to come from one to the other."""

    name: str
    data: bytes
    value: Json
    decode: Callable[[bytes], Any]
    encode: Callable[[Any], bytes]
    expected: Callable[[Json], Any]


def load(file: str) -> list[Json]:
    """The vectors of a file as JSON."""
    found: list[Json] = json.loads((FOLDER / file).read_text())["vectors"]
    return found


def node(value: Json) -> Node:
    return Node(value["ip"], value["metaPort"], NodeId(value["nodeIdentifier"]), value["dataPort"])


def raw(value: Json) -> bytes:
    """Bytes of a text."""
    return bytes.fromhex(value["hex"]) if isinstance(value, dict) else value.encode()


def number(value: Json) -> float:
    return float(value)


# -- scalars, filters, batches ---------------------------------------------------------------------------------------


def scalar(value: Json) -> Scalar:
    value_class = ValueClass[value["valueClass"]]
    convert: Callable[[Json], Any] = {
        ValueClass.LONG: int,
        ValueClass.INTEGER: int,
        ValueClass.DOUBLE: number,
        ValueClass.FLOAT: number,
        ValueClass.BOOLEAN: bool,
        ValueClass.BINARY: raw,
        ValueClass.STRING: raw,
    }[value_class]
    return Scalar(value_class, convert(value["value"]))


def filter_of(value: Json) -> Any:
    match value["id"]:
        case "AND":
            return And(filter_of(value["left"]), filter_of(value["right"]))
        case "OR":
            return Or(filter_of(value["left"]), filter_of(value["right"]))
        case "NOT":
            return Not(filter_of(value["filter"]))
        case "GROUP_BY":
            return GroupByWindows(*(int(value[key]) for key in ("unit", "slidingStep", "startTime", "endTime")))
    kind = FilterKind[value["filterKind"].removesuffix("_FILTER")]
    return Compare(CompareOp[value["id"]], kind, scalar(value["value"]))


def batch(value: Json) -> tuple[DataType, list[int], list[Any]]:
    data_type = DataType[value["dataType"]]
    convert = {DataType.TEXT: raw, DataType.FLOAT: number, DataType.DOUBLE: number, DataType.BOOLEAN: bool}
    values = [convert.get(data_type, int)(item) for _, item in value["pairs"]]
    return data_type, [int(time) for time, _ in value["pairs"]], values


def decode_batch(data: bytes) -> tuple[DataType, list[int], list[Any]]:
    data_type, times, values = batches.decode_batch(data)
    return data_type, times.tolist(), values.tolist() if isinstance(values, np.ndarray) else list(values)


def encode_batch(value: tuple[DataType, list[int], list[Any]]) -> bytes:
    data_type, times, values = value
    column = values if data_type is DataType.TEXT else np.array(values)
    return batches.encode_batch(data_type, np.array(times, dtype=np.int64), column)


# -- plans and entries -----------------------------------------------------------------------------------------------

COLUMN_CODES = {
    DataType.BOOLEAN: "?",
    DataType.INT32: "i",
    DataType.INT64: "q",
    DataType.FLOAT: "f",
    DataType.DOUBLE: "d",
}


def column(data_type: DataType, values: list[Json]) -> bytes:
    if data_type is DataType.TEXT:
        return b"".join(struct.pack(">i", len(raw(value))) + raw(value) for value in values)
    convert = {DataType.FLOAT: number, DataType.DOUBLE: number, DataType.BOOLEAN: bool}.get(data_type, int)
    return struct.pack(f">{len(values)}{COLUMN_CODES[data_type]}", *(convert(value) for value in values))


def plan(value: Json) -> Plan:
    match value["type"]:
        case "INSERT":
            return InsertPlan(int(value["time"]), value["device"], tuple(value["measurements"]), tuple(value["values"]))
        case "DELETE":
            return DeletePlan(int(value["deleteTime"]), value["path"])
        case "SET_STORAGE_GROUP":
            return SetStorageGroupPlan(value["path"])
        case "CREATE_TIMESERIES":
            return CreateTimeseriesPlan(
                value["path"],
                DataType[value["dataType"]],
                Encoding[value["encoding"]],
                Compression[value["compressor"]],
            )
    data_types = tuple(DataType[name] for name in value["dataTypes"])
    return TabletPlan(
        device=value["device"],
        measurements=tuple(value["measurements"]),
        data_types=data_types,
        rows=len(value["times"]),
        times=struct.pack(f">{len(value['times'])}q", *map(int, value["times"])),
        columns=tuple(column(*pair) for pair in zip(data_types, value["columns"], strict=True)),
    )


LogEntry = tuple[EntryId, EntryId, EntryKind, Any]
"""Identity of the entry before, identity, kind, and body as a value."""

BODIES: dict[EntryKind, tuple[Callable[[bytes], Any], Callable[[Any], bytes]]] = {
    EntryKind.ADD_NODE: (nodes.decode_node, nodes.encode_node),
    EntryKind.REMOVE_NODE: (nodes.decode_node, nodes.encode_node),
    EntryKind.PHYSICAL_PLAN: (plans.decode_plan, plans.encode_plan),
    EntryKind.CLOSE_FILE: (entries.decode_close_file, entries.encode_close_file),
    EntryKind.EMPTY_CONTENT: (bytes, bytes),
}


def entry(value: Json) -> LogEntry:
    kind = EntryKind[value["logType"]]
    body: Any = b""
    if "node" in value:
        body = node(value["node"])
    elif "plan" in value:
        body = plan(value["plan"])
    elif "storageGroup" in value:
        body = CloseFile(value["storageGroup"], value["isSequence"])
    before = EntryId(int(value["previousLogTerm"]), int(value["previousLogIndex"]))
    return before, EntryId(int(value["currLogTerm"]), int(value["currLogIndex"])), kind, body


def decode_entry(data: bytes) -> LogEntry:
    before, found = entries.decode_entry(data)
    kind = EntryKind(found.kind)
    decode = BODIES.get(kind, (bytes, bytes))[0]
    return before, found.id, kind, decode(found.body)


def encode_entry(value: LogEntry) -> bytes:
    before, identity, kind, body = value
    encode = BODIES.get(kind, (bytes, bytes))[1]
    return entries.encode_entry(Entry(identity.term, identity.index, kind, encode(body)), before)


# -- schemas, snapshots, tables --------------------------------------------------------------------------------------


def schema(value: Json) -> Any:
    if isinstance(value, list):
        return tuple(map(schema, value))
    return TimeseriesSchema(
        value["fullPath"],
        DataType[value["dataType"]],
        Encoding[value["encoding"]],
        Compression[value["compressor"]],
        tuple(sorted(value["props"].items())),
    )


def remote_file(value: Json) -> RemoteFile:
    return RemoteFile(
        source=node(value["source"]),
        md5=bytes.fromhex(value["md5"]),
        path=value["path"],
        start_times=tuple((device, int(time)) for device, time in sorted(value["startTimes"].items())),
        end_times=tuple((device, int(time)) for device, time in sorted(value["endTimes"].items())),
        with_modification=value["withModification"],
        historical_versions=tuple(map(int, value["historicalVersions"])),
    )


def file_snapshot(value: Json) -> FileSnapshot:
    return FileSnapshot(tuple(map(schema, value["schemas"])), tuple(map(remote_file, value["remoteFiles"])))


def snapshot(value: Json) -> Any:
    match value["kind"]:
        case "remoteFile":
            return remote_file(value)
        case "fileSnapshot":
            return file_snapshot(value)
        case "meta group":
            logged = tuple(encode_entry(entry(item)) for item in value["logEntries"])
            return MetaSnapshot(logged, tuple(value["storageGroups"]))
    slots = tuple((slot["slot"], file_snapshot(slot["fileSnapshot"])) for slot in value["slots"])
    return DataSnapshot(slots, int(value["lastLogIndex"]), int(value["lastLogTerm"]))


SNAPSHOTS: dict[str, tuple[Callable[[bytes], Any], Callable[[Any], bytes]]] = {
    "remoteFile": (snapshots.decode_remote_file, snapshots.encode_remote_file),
    "fileSnapshot": (snapshots.decode_file_snapshot, snapshots.encode_file_snapshot),
    "meta group": (snapshots.decode_meta_snapshot, snapshots.encode_meta_snapshot),
    "data group": (snapshots.decode_data_snapshot, snapshots.encode_data_snapshot),
}


def table(value: Json) -> tables.TableLayout:
    owned = tuple(
        (node(item["node"]), tuple(slot for run in item["slots"] for slot in _run(*run))) for item in value["nodes"]
    )
    previous = tuple(
        (
            NodeId(item["nodeIdentifier"]),
            tuple((slot, NodeId(holder)) for first, last, holder in item["slots"] for slot in _run(first, last)),
        )
        for item in value["previousHolders"]
    )
    return tables.TableLayout(value["slotCount"], owned, previous)


def _run(first: int, last: int, step: int = 1) -> range:
    return range(first, last + 1, step)


def table_bytes(value: Json) -> bytes:
    """The raw bytes, which some of the vectors give by their value and a digest only."""
    if "hex" in value:
        data = bytes.fromhex(value["hex"])
    elif "gzip_base64" in value:
        data = gzip.decompress(base64.b64decode(value["gzip_base64"]))
    else:
        data = tables.encode_table(table(value["value"]))
    assert value["sha256"] == hashlib.sha256(data).hexdigest()
    return data


# -- all of them -----------------------------------------------------------------------------------------------------


def payloads() -> list[Vector]:
    """Every vector of a payload that has bytes."""
    found: list[Vector] = []

    def add(file: str, expected: Any, of: Callable[[Json], tuple[Any, Any]]) -> None:
        for item in load(file):
            if item["value"] is None:
                continue  # no bytes, no value: see test_golden_payloads
            decode, encode = of(item["value"])
            data = table_bytes(item) if file == "partition_tables.json" else bytes.fromhex(item["hex"])
            found.append(Vector(f"{file.split('.')[0]}/{item['name']}", data, item["value"], decode, encode, expected))

    add("objects.json", scalar, lambda _: (scalars.decode_scalar, scalars.encode_scalar))
    add("filters.json", filter_of, lambda _: (filters.decode_filter, filters.encode_filter))
    add("batches.json", batch, lambda _: (decode_batch, encode_batch))
    add("plans.json", plan, lambda _: (plans.decode_plan, plans.encode_plan))
    add("logs.json", entry, lambda _: (decode_entry, encode_entry))
    add(
        "schemas.json",
        schema,
        lambda value: (
            (schemas.decode_schemas, schemas.encode_schemas)
            if isinstance(value, list)
            else (schemas.decode_schema, schemas.encode_schema)
        ),
    )
    add("snapshots.json", snapshot, lambda value: SNAPSHOTS[value["kind"]])
    add("partition_tables.json", table, lambda _: (tables.decode_table, tables.encode_table))
    return found
