"""What a payload may not be, by name; and the few forms that are free to the writer."""

import math
import re
import struct
from collections.abc import Callable

import numpy as np
import pytest

from iotdb_cluster.errors import MalformedInput
from iotdb_cluster.types.filters import Compare, CompareOp, Filter, FilterKind, Not, Scalar, ValueClass
from iotdb_cluster.types.identity import Node, NodeId
from iotdb_cluster.types.plans import DeletePlan, InsertPlan, PlanKind, SetStorageGroupPlan
from iotdb_cluster.types.schema import DataType, TimeseriesSchema
from iotdb_cluster.wire.batches import decode_batch, encode_batch
from iotdb_cluster.wire.filters import MAX_DEPTH, decode_filter, encode_filter
from iotdb_cluster.wire.plans import decode_plan, encode_plan, target_of
from iotdb_cluster.wire.scalars import decode_scalar, encode_scalar, encode_value
from iotdb_cluster.wire.schemas import decode_schemas, encode_schema
from iotdb_cluster.wire.snapshots import decode_data_snapshot, decode_meta_snapshot
from iotdb_cluster.wire.tables import TableLayout, decode_table, encode_table
from tests.wire.by_hand import i32, i64, string

HUGE = i32(0x7FFFFFFF)
NODE = Node("127.0.0.1", 9003, NodeId(1), 40010)
EQUALS_ONE = Compare(CompareOp.EQ, FilterKind.TIME, Scalar(ValueClass.LONG, 1))


def nested(depth: int) -> Filter:
    """A filter of this depth."""
    filter: Filter = EQUALS_ONE
    for _ in range(depth - 1):
        filter = Not(filter)
    return filter


def table(slot_count: int, *slots: int) -> bytes:
    return encode_table(TableLayout(slot_count, ((NODE, slots),)))


BAD: dict[str, tuple[Callable[[bytes], object], bytes, str]] = {
    "a plan of no bytes": (decode_plan, b"", "plan: 1 bytes wanted"),
    "an unknown plan type": (decode_plan, b"\x09" + bytes(40), "unknown PlanKind 9"),
    "a plan that only nodes exchange": (decode_plan, b"\x42" + bytes(40), "NODE_STARTED (66) is no plan"),
    "a plan with a negative count": (decode_plan, b"\0" + i64(1) + string("d") + i32(-2), "-2 elements"),
    "a plan with a huge count": (decode_plan, b"\0" + i64(1) + string("d") + HUGE, "2147483647 elements"),
    "a text of length -2": (decode_plan, b"\0" + i64(1) + i32(-2), "a text of -2 bytes"),
    "a path that is null": (decode_plan, b"\3" + i32(-1), "-1 bytes wanted"),
    "a path that is not UTF-8": (decode_plan, b"\3" + string(b"root.\xff"), "not UTF-8"),
    "a tablet with a huge number of rows": (decode_plan, b"\2" + string("d") + i32(0) + HUGE, "2147483647 elements"),
    "a tablet of an unknown type": (
        decode_plan,
        b"\2" + string("d") + i32(1) + string("s") + struct.pack(">h", 9) + i32(0),
        "unknown DataType 9",
    ),
    "a tablet whose column is short": (
        decode_plan,
        b"\2" + string("d") + i32(1) + string("s") + struct.pack(">h", 4) + i32(2) + bytes(16) + bytes(15),
        "16 bytes wanted",
    ),
    "a tablet whose text is longer than the rest": (
        decode_plan,
        b"\2" + string("d") + i32(1) + string("s") + struct.pack(">h", 5) + i32(1) + bytes(8) + HUGE,
        "2147483647 bytes wanted",
    ),
    "an unknown encoding": (decode_plan, b"\4" + string("root.a.s") + b"\1\x08\0", "unknown Encoding 8"),
    "an unknown compressor": (decode_plan, b"\4" + string("root.a.s") + b"\1\0\x07", "unknown Compression 7"),
    "an unknown filter": (decode_filter, b"\x0a", "unknown CompareOp 10"),
    "an unknown filter kind": (decode_filter, b"\1\3\0" + bytes(8), "unknown FilterKind 3"),
    "an unknown value class": (decode_filter, b"\1\0\7" + bytes(8), "unknown ValueClass 7"),
    "half an AND": (decode_filter, b"\0" + encode_filter(EQUALS_ONE), "filter: 1 bytes wanted"),
    "a filter that nests too deep": (decode_filter, encode_filter(nested(MAX_DEPTH + 1)), "deeper than 64"),
    "a filter of a million nots": (decode_filter, b"\x08" * 1_000_000, "deeper than 64"),
    "a scalar of no bytes": (decode_scalar, b"", "scalar: 1 bytes wanted"),
    "a scalar that is too long": (decode_scalar, b"\5\1\1", "1 bytes behind its end"),
    "a batch of no bytes": (decode_batch, b"", "batch: 4 bytes wanted"),
    "a batch of an unknown type": (decode_batch, i32(0) + b"\6", "unknown DataType 6"),
    "a batch of more pairs than there are": (decode_batch, HUGE + b"\2" + bytes(16), "2147483647 pairs"),
    "a batch of fewer pairs than there are": (decode_batch, i32(1) + b"\2" + bytes(32), "1 pairs"),
    "a batch of minus one pairs": (decode_batch, i32(-1) + b"\5", "-1 pairs"),
    "a text batch of more pairs than there are": (decode_batch, HUGE + b"\5" + bytes(12), "2147483647 pairs"),
    "schemas with a property twice": (
        decode_schemas,
        i32(1) + string("root.a.s") + bytes(6) + i32(2) + (string("k") + string("v")) * 2,
        "property 'k' comes twice",
    ),
    "schemas of a huge count": (decode_schemas, HUGE, "2147483647 elements"),
    "a table without slots": (decode_table, table(0), "not the 0 that it has"),
    "a table of minus one slots": (decode_table, table(-1), "not the -1 that it has"),
    "a table of two thousand million slots": (decode_table, HUGE + table(1, 0)[4:], "not the 2147483647 that it has"),
    "a slot with two owners": (decode_table, table(2, 0, 1, 1), "3 owned slots"),
    "a slot without an owner": (decode_table, table(3, 0, 2), "2 owned slots"),
    "a slot beyond the count": (decode_table, table(2, 0, 5), "2 owned slots"),
    "a snapshot with an own entry, whose end nobody knows": (
        decode_meta_snapshot,
        i32(1) + b"\x10" + bytes(32) + bytes(8),
        "log type 16 cannot stand here",
    ),
    "a snapshot of too many entries": (decode_meta_snapshot, i32(2) + bytes(40), "2 elements"),
    "a snapshot of too many slots": (decode_data_snapshot, i32(9) + bytes(20), "9 elements"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_payload_is_refused_in_words(name: str) -> None:
    decode, data, why = BAD[name]
    with pytest.raises(MalformedInput, match=re.escape(why)):
        decode(data)


def test_a_filter_may_nest_as_deep_as_the_limit() -> None:
    assert nested(MAX_DEPTH) == decode_filter(encode_filter(nested(MAX_DEPTH)))


def test_the_target_of_a_plan_is_seen_without_reading_the_plan() -> None:
    insert = encode_plan(InsertPlan(1, "root.a.d", ("s",), ("1",)))
    assert (PlanKind.INSERT, "root.a.d") == target_of(insert) == target_of(insert[:-3])
    assert (PlanKind.DELETE, "root.a.*") == target_of(encode_plan(DeletePlan(1, "root.a.*")))
    assert (PlanKind.SET_STORAGE_GROUP, "root.a") == target_of(encode_plan(SetStorageGroupPlan("root.a")))
    for bad, why in (
        (encode_plan(InsertPlan(1, None, (), ())), "INSERT without a device"),
        (b"\x42" + bytes(40), "is no plan"),
        (b"\x09", "unknown PlanKind 9"),
        (b"", "wanted"),
    ):
        with pytest.raises(MalformedInput, match=why):
            target_of(bad)


@pytest.mark.parametrize(
    ("data_type", "canonical"), [(DataType.FLOAT, "7fc00000"), (DataType.DOUBLE, "7ff8000000000000")]
)
def test_nan_is_written_in_one_form(data_type: DataType, canonical: str) -> None:
    odd = struct.unpack(">d", bytes.fromhex("fff800000000beef"))[0]
    assert math.isnan(odd)
    assert canonical == encode_value(data_type, odd)[1:].hex()
    column = np.array([odd, 1.5], dtype=np.float32 if data_type is DataType.FLOAT else np.float64)
    batch = encode_batch(data_type, np.array([1, 2]), column)
    assert i64(1) + bytes.fromhex(canonical) == batch[5 : 5 + 8 + len(canonical) // 2]


@pytest.mark.parametrize(
    ("data_type", "value", "written"),
    [
        (DataType.BOOLEAN, True, "0501"),
        (DataType.INT32, -1, "02ffffffff"),
        (DataType.INT64, 1, "000000000000000001"),
        (DataType.FLOAT, 1.5, "033fc00000"),
        (DataType.DOUBLE, 1.5, "013ff8000000000000"),
        (DataType.TEXT, b"x", "040000000178"),
        (DataType.BOOLEAN, np.True_, "0501"),
        (DataType.INT64, np.int64(1), "000000000000000001"),
        (DataType.FLOAT, np.float32(1.5), "033fc00000"),
    ],
)
def test_a_value_of_a_series_is_written_in_the_class_of_its_type(
    data_type: DataType, value: object, written: str
) -> None:
    assert written == encode_value(data_type, value).hex()  # type: ignore[arg-type]


def test_a_byte_of_a_bool_that_is_not_one_is_false() -> None:
    assert Scalar(ValueClass.BOOLEAN, False) == decode_scalar(b"\5\2")
    _, _, values = decode_batch(i32(2) + b"\0" + i64(1) + b"\1" + i64(2) + b"\2")
    assert [True, False] == list(values)


def test_properties_come_in_any_order_and_are_sorted() -> None:
    pairs = [("b", "2"), ("a", "1")]
    written = encode_schema(TimeseriesSchema("root.a.s", DataType.TEXT, props=tuple(pairs)))
    (schema,) = decode_schemas(i32(1) + written)
    assert (("a", "1"), ("b", "2")) == schema.props


def test_columns_of_unequal_length_are_a_mistake_of_ours() -> None:
    with pytest.raises(ValueError, match="2 times and 1 values"):
        encode_batch(DataType.INT32, np.array([1, 2]), np.array([1]))


def test_a_number_for_a_text_is_a_mistake_of_ours() -> None:
    with pytest.raises(TypeError):
        encode_scalar(Scalar(ValueClass.BINARY, 5))
