"""The original's bytes decode to the values they stand for, and those values encode to the original's bytes."""

from dataclasses import replace

import pytest

from iotdb_cluster.errors import MalformedInput
from iotdb_cluster.wire import batches, scalars, snapshots, tables
from tests.wire.golden import Vector, load, payloads

VECTORS = payloads()


IN_JAVAS_ORDER = [vector for vector in VECTORS if "java_order" in vector.name]
"""Tables whose added nodes stand in the order of a Java map, which their values do not tell."""

IN_ORDER = [vector for vector in VECTORS if vector not in IN_JAVAS_ORDER]


@pytest.mark.parametrize("vector", IN_ORDER, ids=lambda vector: vector.name)
def test_golden_bytes_decode_to_their_value(vector: Vector) -> None:
    # repr, because NaN does not equal itself and -0.0 equals 0.0
    assert repr(vector.expected(vector.value)) == repr(vector.decode(vector.data))


@pytest.mark.parametrize("vector", IN_ORDER, ids=lambda vector: vector.name)
def test_golden_values_encode_to_their_bytes(vector: Vector) -> None:
    assert vector.data == vector.encode(vector.expected(vector.value))


@pytest.mark.parametrize("vector", IN_JAVAS_ORDER, ids=lambda vector: vector.name)
def test_golden_tables_in_javas_order_decode_to_their_value_in_some_order(vector: Vector) -> None:
    found = vector.decode(vector.data)
    assert _sorted(vector.expected(vector.value)) == _sorted(found)
    assert vector.data == vector.encode(found)


def _sorted(table: tables.TableLayout) -> tables.TableLayout:
    previous = tuple(sorted((identifier, tuple(sorted(slots))) for identifier, slots in table.previous_holders))
    return replace(table, previous_holders=previous)


def test_no_bytes_stand_for_no_value_and_for_no_more_data() -> None:
    nothing = [vector for file in ("objects.json", "batches.json") for vector in load(file) if vector["value"] is None]
    assert ["no_value", "no_more"] == [vector["name"] for vector in nothing]
    assert [scalars.NO_VALUE, batches.NO_MORE] == [bytes.fromhex(vector["hex"]) for vector in nothing]


def test_every_vector_is_looked_at() -> None:
    files = ("objects", "filters", "batches", "plans", "logs", "schemas", "snapshots", "partition_tables")
    assert len(VECTORS) == sum(len(load(f"{file}.json")) for file in files) - 2


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector.name)
def test_bytes_behind_a_payload_are_an_extension_of_tables_and_snapshots_only(vector: Vector) -> None:
    value = vector.decode(vector.data)
    if vector.decode in (tables.decode_table, snapshots.decode_meta_snapshot, snapshots.decode_data_snapshot):
        extended = replace(value, extension=b"more")
        assert extended == vector.decode(vector.data + b"more")
        assert vector.data + b"more" == vector.encode(extended)
    elif "empty_content" not in vector.name:  # its body, like that of every entry, is passed on as it came
        with pytest.raises(MalformedInput):
            vector.decode(vector.data + b"more")
