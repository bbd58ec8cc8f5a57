"""Hypothesis strategies for everything that travels: structs of the IDL, and the values inside `binary` fields."""

from typing import Any

import numpy as np
from hypothesis import strategies as st

from iotdb_cluster.types.entries import CloseFile, Entry, EntryKind
from iotdb_cluster.types.filters import And, Compare, CompareOp, FilterKind, GroupByWindows, Not, Or, Scalar, ValueClass
from iotdb_cluster.types.identity import EntryId, Node, NodeId
from iotdb_cluster.types.plans import (
    CreateTimeseriesPlan,
    DeletePlan,
    DeleteStorageGroupPlan,
    DeleteTimeseriesPlan,
    ExpirePlan,
    InsertPlan,
    SetStorageGroupPlan,
    SetTtlPlan,
    TabletPlan,
)
from iotdb_cluster.types.schema import WIDTH_BYTES, Compression, DataType, Encoding, TimeseriesSchema
from iotdb_cluster.types.snapshots import DataSnapshot, FileSnapshot, MetaSnapshot, RemoteFile
from iotdb_cluster.wire.entries import encode_entry
from iotdb_cluster.wire.idl import FieldType, Kind, Struct
from iotdb_cluster.wire.nodes import encode_node
from iotdb_cluster.wire.plans import encode_plan
from iotdb_cluster.wire.tables import TableLayout

texts = st.text(max_size=8)
blobs = st.binary(max_size=12)
i16s = st.integers(-(1 << 15), (1 << 15) - 1)
i32s = st.integers(-(1 << 31), (1 << 31) - 1)
i64s = st.integers(-(1 << 63), (1 << 63) - 1)
f64s = st.floats(allow_nan=False)
f32s = st.floats(width=32, allow_nan=False)


# -- structs of the IDL ----------------------------------------------------------------------------------------------


def of_type(type: FieldType) -> st.SearchStrategy[Any]:
    """Values of a type of the IDL."""
    match type.kind:
        case Kind.BOOL:
            return st.booleans()
        case Kind.I16:
            return i16s
        case Kind.I32:
            return i32s if type.enum_values is None else st.sampled_from(sorted(type.enum_values))
        case Kind.I64:
            return i64s
        case Kind.STRING:
            return blobs if type.is_binary else texts
        case Kind.LIST:
            return st.lists(of_type(type.inner[0]), max_size=20)
        case Kind.MAP:
            return st.dictionaries(of_type(type.inner[0]), of_type(type.inner[1]), max_size=4)
        case Kind.STRUCT:
            assert type.struct is not None
            return of_struct(type.struct)
    raise AssertionError(type)


def of_struct(struct: Struct) -> st.SearchStrategy[Any]:
    """Structs of the IDL, or the tuples and values that arguments and results are."""
    fields = (of_type(field.type) if field.required else st.none() | of_type(field.type) for field in struct.fields)
    return st.builds(struct.make, *fields)


# -- payloads --------------------------------------------------------------------------------------------------------

nodes = st.builds(Node, texts, i32s, i32s.map(NodeId), i32s)
identities = st.builds(EntryId, i64s, i64s)
nullable = st.none() | texts
names = st.lists(nullable, max_size=4).map(tuple)


@st.composite
def columns(draw: st.DrawFn, data_type: DataType, rows: int) -> bytes:
    if data_type is not DataType.TEXT:
        return draw(st.binary(min_size=rows * WIDTH_BYTES[data_type], max_size=rows * WIDTH_BYTES[data_type]))
    values = draw(st.lists(blobs, min_size=rows, max_size=rows))
    return b"".join(len(value).to_bytes(4) + value for value in values)


@st.composite
def tablets(draw: st.DrawFn) -> TabletPlan:
    rows = draw(st.integers(0, 4))
    measurements = draw(names)
    data_types = tuple(draw(st.sampled_from(DataType)) for _ in measurements)
    return TabletPlan(
        device=draw(nullable),
        measurements=measurements,
        data_types=data_types,
        rows=rows,
        times=draw(st.binary(min_size=8 * rows, max_size=8 * rows)),
        columns=tuple(draw(columns(data_type, rows)) for data_type in data_types),
    )


plans = st.one_of(
    st.builds(InsertPlan, i64s, nullable, names, names),
    tablets(),
    st.builds(DeletePlan, i64s, texts),
    st.builds(SetStorageGroupPlan, texts),
    st.builds(
        CreateTimeseriesPlan, texts, st.sampled_from(DataType), st.sampled_from(Encoding), st.sampled_from(Compression)
    ),
    st.builds(DeleteTimeseriesPlan, texts),
    st.builds(DeleteStorageGroupPlan, texts),
    st.builds(SetTtlPlan, texts, st.one_of(st.none(), st.integers(0, 2**63 - 1))),
    st.builds(ExpirePlan, texts, i64s),
)

entries = st.builds(Entry, i64s, i64s, st.sampled_from([int(kind) for kind in EntryKind]), blobs)
close_files = st.builds(CloseFile, texts, st.booleans())

scalars = st.one_of(
    st.builds(Scalar, st.just(ValueClass.LONG), i64s),
    st.builds(Scalar, st.just(ValueClass.INTEGER), i32s),
    st.builds(Scalar, st.just(ValueClass.DOUBLE), f64s),
    st.builds(Scalar, st.just(ValueClass.FLOAT), f32s),
    st.builds(Scalar, st.just(ValueClass.BOOLEAN), st.booleans()),
    st.builds(Scalar, st.sampled_from([ValueClass.BINARY, ValueClass.STRING]), blobs),
)

filters = st.recursive(
    st.builds(Compare, st.sampled_from(CompareOp), st.sampled_from(FilterKind), scalars)
    | st.builds(GroupByWindows, i64s, i64s, i64s, i64s),
    lambda inner: st.builds(And, inner, inner) | st.builds(Or, inner, inner) | st.builds(Not, inner),
    max_leaves=8,
)

schemas = st.builds(
    TimeseriesSchema,
    texts,
    st.sampled_from(DataType),
    st.sampled_from(Encoding),
    st.sampled_from(Compression),
    st.dictionaries(texts, texts, max_size=3).map(lambda props: tuple(sorted(props.items()))),
)

times_of_devices = st.lists(st.tuples(texts, i64s), max_size=3).map(tuple)
remote_files = st.builds(
    RemoteFile,
    source=nodes,
    md5=st.just(b"") | st.binary(min_size=16, max_size=16),
    path=texts,
    start_times=times_of_devices,
    end_times=times_of_devices,
    with_modification=st.booleans(),
    historical_versions=st.lists(i64s, max_size=3).map(tuple),
)
file_snapshots = st.builds(
    FileSnapshot, st.lists(schemas, max_size=2).map(tuple), st.lists(remote_files, max_size=2).map(tuple)
)
data_snapshots = st.builds(
    DataSnapshot, st.lists(st.tuples(i32s, file_snapshots), max_size=2).map(tuple), i64s, i64s, blobs
)

mirrored_bodies = st.one_of(
    st.tuples(st.sampled_from([EntryKind.ADD_NODE, EntryKind.REMOVE_NODE]), nodes.map(encode_node)),
    st.tuples(st.just(EntryKind.PHYSICAL_PLAN), plans.map(encode_plan)),
    st.just((EntryKind.EMPTY_CONTENT, b"")),
)
mirrored_entries = st.builds(
    lambda before, at, body: encode_entry(Entry(at.term, at.index, body[0], body[1]), before),
    identities,
    identities,
    mirrored_bodies,
)
meta_snapshots = st.builds(
    MetaSnapshot, st.lists(mirrored_entries, max_size=2).map(tuple), st.lists(texts, max_size=3).map(tuple), blobs
)


@st.composite
def tables(draw: st.DrawFn) -> TableLayout:
    slot_count = draw(st.integers(1, 12))
    owners = draw(st.lists(nodes, min_size=1, max_size=3))
    dealt: list[list[int]] = [[] for _ in owners]
    for slot in draw(st.permutations(range(slot_count))):
        dealt[draw(st.integers(0, len(owners) - 1))].append(slot)
    holders = st.lists(st.tuples(i32s, i32s.map(NodeId)), max_size=3).map(tuple)
    previous = draw(st.lists(st.tuples(i32s.map(NodeId), holders), max_size=2))
    owned = tuple(zip(owners, map(tuple, dealt), strict=True))
    return TableLayout(slot_count, owned, tuple(previous), draw(blobs))


@st.composite
def batches(draw: st.DrawFn) -> tuple[DataType, Any, Any]:
    data_type = draw(st.sampled_from(DataType))
    one = {
        DataType.BOOLEAN: st.booleans(),
        DataType.INT32: i32s,
        DataType.INT64: i64s,
        DataType.FLOAT: f32s,
        DataType.DOUBLE: f64s,
        DataType.TEXT: blobs,
    }[data_type]
    pairs = draw(st.lists(st.tuples(i64s, one), max_size=6))
    kinds = {
        DataType.BOOLEAN: np.bool_,
        DataType.INT32: np.int32,
        DataType.INT64: np.int64,
        DataType.FLOAT: np.float32,
        DataType.DOUBLE: np.float64,
    }
    values: Any = [value for _, value in pairs]
    if data_type is not DataType.TEXT:
        values = np.array(values, dtype=kinds[data_type])
    return data_type, np.array([time for time, _ in pairs], dtype=np.int64), values
