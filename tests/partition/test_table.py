"""Partition tables: evenly spread, moved as little as can be, and the same wherever they are computed."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iotdb_cluster.errors import MalformedInput
from iotdb_cluster.partition.table import PartitionTable, SlotTransfer, moves
from iotdb_cluster.types.identity import Node, NodeId


def node(identifier: int) -> Node:
    return Node(f"10.0.0.{identifier % 250}", 9003, NodeId(identifier), 40010)


def table_of(*identifiers: int, replica_num: int = 3, slot_count: int = 100) -> PartitionTable:
    return PartitionTable.initial(map(node, identifiers), replica_num=replica_num, slot_count=slot_count)


def counts(table: PartitionTable) -> list[int]:
    return [len(table.slots_of(header)) for header in table.headers]


def test_three_nodes_hold_runs_in_ring_order() -> None:
    table = table_of(2_147_483_647, -5, 0, slot_count=10_000)
    assert (-5, 0, 2_147_483_647) == table.headers
    assert tuple(range(3333)) == table.slots_of(NodeId(-5))
    assert tuple(range(3333, 6666)) == table.slots_of(NodeId(0))
    assert tuple(range(6666, 10_000)) == table.slots_of(NodeId(2_147_483_647))


@given(st.sets(st.integers(-(2**31), 2**31 - 1), min_size=1, max_size=40), st.integers(1, 300))
def test_the_first_table_is_even_for_any_number_of_nodes(identifiers: set[int], slot_count: int) -> None:
    table = table_of(*identifiers, slot_count=slot_count)
    assert slot_count == sum(counts(table))
    assert max(counts(table)) - min(counts(table)) <= 1


def test_a_group_is_its_header_and_the_next_on_the_ring() -> None:
    table = table_of(10, 20, 30, 40, 50)
    assert [10, 20, 30] == [n.identifier for n in table.group_of(NodeId(10))]
    assert [50, 10, 20] == [n.identifier for n in table.group_of(NodeId(50))]
    assert (10, 40, 50) == table.groups_with(NodeId(10))
    assert [40, 50, 10] == [n.identifier for n in table.group_of(NodeId(40))]


def test_fewer_nodes_than_replicas_are_all_in_every_group() -> None:
    table = table_of(1, 2, replica_num=3)
    assert [2, 1] == [n.identifier for n in table.group_of(NodeId(2))]
    assert () == table.groups_with(NodeId(7))


def fewest(before: PartitionTable, headers: tuple[NodeId, ...]) -> int:
    """What no dealing can go below: the best of all ways to say who has one slot more."""
    least, larger = divmod(before.slot_count, len(headers))
    held = Counter(before.owners)
    # Giving the larger shares to those who gain most from them is optimal, since each share counts by itself.
    gains = sorted((max(0, held[h] - least) - max(0, held[h] - least - 1) for h in headers), reverse=True)
    leaving = sum(count for header, count in held.items() if header not in headers)
    return leaving + sum(max(0, held[h] - least) for h in headers) - sum(gains[:larger])


IDENTIFIERS = st.integers(-1000, 1000)


@given(
    st.sets(IDENTIFIERS, min_size=1, max_size=8),
    st.integers(1, 120),
    st.lists(st.tuples(st.booleans(), IDENTIFIERS), max_size=6),
)
@settings(max_examples=200)
def test_any_history_keeps_the_counts_even_and_moves_the_fewest(
    start: set[int], slot_count: int, changes: list[tuple[bool, int]]
) -> None:
    table = table_of(*start, slot_count=slot_count)
    for removes, chosen in changes:
        if removes and len(table.nodes) > 1:
            after = table.after_removing(table.headers[chosen % len(table.headers)])
        elif chosen not in table.headers:
            after = table.after_adding(node(chosen))
        else:
            continue
        assert max(counts(after)) - min(counts(after)) <= 1
        changed = sum(a != b for a, b in zip(table.owners, after.owners, strict=True))
        assert fewest(table, after.headers) == changed
        table = after


@given(st.permutations(range(-20, 20)))
@settings(max_examples=20)
def test_insertion_order_leaves_no_trace(shuffled: list[int]) -> None:
    first = table_of(*range(-20, 20))
    assert first == table_of(*shuffled)
    assert first.after_adding(node(99)) == table_of(*shuffled).after_adding(node(99))


def test_a_flip_changes_the_owner_and_remembers_the_one_before() -> None:
    table = table_of(1, 2, slot_count=4).with_node(node(3))
    assert () == table.slots_of(NodeId(3))
    flipped = table.with_owner([1, 3], NodeId(3)).at(17)
    assert (1, 3, 2, 3) != table.owners
    assert (1, 3, 2, 3) == flipped.owners
    assert ((3, ((1, 1), (3, 2))),) == flipped.previous
    assert 17 == flipped.meta_index


def test_the_transfers_between_two_tables_lead_from_one_to_the_other() -> None:
    before = table_of(1, 2, 3, slot_count=12)
    after = before.after_adding(node(4))
    assert (
        SlotTransfer(NodeId(1), NodeId(4), (3,)),
        SlotTransfer(NodeId(2), NodeId(4), (7,)),
        SlotTransfer(NodeId(3), NodeId(4), (11,)),
    ) == moves(before, after)
    stepwise = before.with_node(node(4))
    for transfer in moves(before.with_node(node(4)), after):
        stepwise = stepwise.with_owner(transfer.slots, transfer.target)
    assert after == stepwise


def test_what_cannot_be_a_table_cannot_be_built() -> None:
    table = table_of(1, 2)
    with pytest.raises(MalformedInput, match="two nodes have the identifier 2"):
        table.after_adding(node(2))
    with pytest.raises(MalformedInput, match="slots that belong to"):
        table.without_node(NodeId(1))
    with pytest.raises(MalformedInput, match="the last node"):
        table_of(1).after_removing(NodeId(1))
    with pytest.raises(KeyError):
        table.after_removing(NodeId(9))
    with pytest.raises(MalformedInput, match="0 replicas"):
        table_of(1, replica_num=0)
