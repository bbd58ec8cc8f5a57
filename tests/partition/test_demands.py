"""Which moves a ring demands: equal parts, the fewest slots, a few at a time, and an end to it."""

from iotdb_cluster.partition.demands import MOST_UNDECIDED, SLOTS_A_MOVE, demanded, next_moves, slots_to_move
from iotdb_cluster.partition.moves import Decision, MoveBook
from iotdb_cluster.partition.table import PartitionTable
from iotdb_cluster.types.identity import GroupId, Node, NodeId

SLOTS = 3_000


def node(identifier: int) -> Node:
    return Node("10.0.0.1", 9000 + identifier, NodeId(identifier), 40_000 + identifier)


def table_of(*identifiers: int) -> PartitionTable:
    return PartitionTable.initial(map(node, identifiers), replica_num=3, slot_count=SLOTS)


def carried_out(table: PartitionTable, staying: list[NodeId], decide: Decision) -> tuple[PartitionTable, int, int]:
    """The table when nothing is demanded any more, how many moves it took, and the slots they moved."""
    book = MoveBook()
    count = moved = 0
    while transfers := next_moves(demanded(table, staying, book), book):
        for each in transfers:
            book = book.intend(GroupId(each.source), GroupId(each.target), each.slots)
            count += 1
            assert SLOTS_A_MOVE >= len(each.slots)
        undecided = [record.move for record in book.records if record.decision is None]
        assert MOST_UNDECIDED >= len(undecided)
        left = [*undecided, *demanded(table, staying, book)]
        assert sum(len(each.slots) for each in left) == slots_to_move(table, staying, book)
        first = next(record for record in book.records if record.decision is None)
        book = book.decide(first.move.number, decide)
        if decide is Decision.FLIPPED:
            table = table.with_owner(first.move.slots, NodeId(first.move.target))
            moved += len(first.move.slots)
        elif count > 20:
            break
    for record in book.records:
        if record.decision is None:
            table = table.with_owner(record.move.slots, NodeId(record.move.target))
            moved += len(record.move.slots)
    if decide is Decision.FLIPPED:
        assert 0 == slots_to_move(table, staying, MoveBook())
    return table, count, moved


def test_a_node_that_joined_gets_its_share_and_no_more_moves_than_that() -> None:
    table = table_of(1, 2, 3).with_node(node(4))
    after, _, moved = carried_out(table, [NodeId(n) for n in (1, 2, 3, 4)], Decision.FLIPPED)
    assert {750} == {len(after.slots_of(header)) for header in after.headers}
    assert 750 == moved


def test_a_node_that_leaves_is_drained() -> None:
    table = table_of(1, 2, 3, 4)
    after, _, moved = carried_out(table, [NodeId(n) for n in (1, 3, 4)], Decision.FLIPPED)
    assert () == after.slots_of(NodeId(2))
    assert {1_000} == {len(after.slots_of(NodeId(header))) for header in (1, 3, 4)}
    assert 750 == moved


def test_a_balanced_ring_demands_nothing() -> None:
    table = table_of(1, 2, 3)
    assert () == demanded(table, table.headers, MoveBook())


def test_what_is_under_way_is_not_moved_again() -> None:
    table = table_of(1, 2, 3).with_node(node(4))
    book = MoveBook()
    (first, *_) = next_moves(demanded(table, table.headers, book), book)
    book = book.intend(GroupId(first.source), GroupId(first.target), first.slots)
    assert not {slot for each in demanded(table, table.headers, book) for slot in each.slots} & set(first.slots)


def test_after_an_abort_the_slots_are_demanded_again() -> None:
    table = table_of(1, 2, 3).with_node(node(4))
    _, count, _ = carried_out(table, list(table.headers), Decision.ABORTED)
    assert count > 20
