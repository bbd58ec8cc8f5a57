"""The slot of a storage group is the one that every peer computes."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iotdb_cluster.partition.slots import slot_of, storage_group_hash

VECTORS = json.loads((Path(__file__).parent.parent / "golden" / "slots.json").read_text())["vectors"]


@pytest.mark.parametrize("value", [vector["value"] for vector in VECTORS], ids=[v["name"][:40] for v in VECTORS])
def test_every_golden_vector(value: dict[str, object]) -> None:
    assert value["hash"] == storage_group_hash(str(value["storageGroup"]))
    assert value["slot"] == slot_of(str(value["storageGroup"]), int(str(value["slotCount"])))


def test_names_that_are_not_ascii_count_only_their_first_bytes() -> None:
    # Three characters of two bytes each: only the first three bytes enter the hash.
    assert slot_of("ééa") == slot_of("ééb")
    assert slot_of("aéé") != slot_of("béé")


def test_another_seed_gives_another_hash() -> None:
    assert storage_group_hash("root.sg0", 1) != storage_group_hash("root.sg0", 2)


@given(st.text(st.characters(exclude_categories=["Cs"])), st.integers(1, 20_000), st.integers(-(2**31), 2**31 - 1))
def test_a_slot_is_in_range(name: str, slot_count: int, seed: int) -> None:
    assert 0 <= slot_of(name, slot_count, seed) < slot_count
