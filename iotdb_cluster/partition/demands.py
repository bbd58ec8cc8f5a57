"""Which slots have to move for the ring as it is: the moves that the meta group's leader intends next (DESIGN 5.4)."""

from collections import Counter
from collections.abc import Iterable
from itertools import islice

from iotdb_cluster.partition.moves import MoveBook
from iotdb_cluster.partition.table import PartitionTable, SlotTransfer, balanced, transfers
from iotdb_cluster.types.identity import NodeId

MOST_UNDECIDED = 4
"""Moves at once: a few, so that a slot is fenced only for as long as its own move takes."""

SLOTS_A_MOVE = 256


def demanded(table: PartitionTable, staying: Iterable[NodeId], book: MoveBook) -> tuple[SlotTransfer, ...]:
    """What has yet to be intended so that `staying` own everything in equal parts, with the fewest slots moved.

    Moves that are not decided count as done: what they move is not moved again. The result follows from the values
    alone, and there is nothing left to do when it is empty and no move is undecided.
    """
    headed = list(table.owners)
    under_way: set[int] = set()
    for record in book.records:
        if record.decision is None:
            for slot in record.move.slots:
                headed[slot] = NodeId(record.move.target)
            under_way.update(record.move.slots)
    found = transfers(headed, balanced(headed, sorted(staying)))
    free = (
        SlotTransfer(each.source, each.target, tuple(slot for slot in each.slots if slot not in under_way))
        for each in found
    )
    return tuple(each for each in free if each.slots)


def next_moves(wanted: Iterable[SlotTransfer], book: MoveBook) -> tuple[SlotTransfer, ...]:
    """The moves to intend now of what is `demanded`, in turn between the pairs of groups.

    Each of at most `SLOTS_A_MOVE` slots, as many as keep the number of undecided ones at `MOST_UNDECIDED`.
    """
    undecided = sum(record.decision is None for record in book.records)
    parts = [
        (first, number, SlotTransfer(each.source, each.target, each.slots[first : first + SLOTS_A_MOVE]))
        for number, each in enumerate(wanted)
        for first in range(0, len(each.slots), SLOTS_A_MOVE)
    ]
    parts.sort(key=lambda part: part[:2])
    return tuple(islice((part for _, _, part in parts), max(0, MOST_UNDECIDED - undecided)))


def slots_to_move(table: PartitionTable, staying: Iterable[NodeId], book: MoveBook) -> int:
    """How many slots have yet to change their owner: those of moves that are not decided, and what is `demanded`.

    By counts alone, so it may be asked at any time.
    """
    counts = Counter({header: len(table.slots_of(header)) for header in table.headers})
    under_way = 0
    for record in book.records:
        if record.decision is None:
            size = len(record.move.slots)
            counts[NodeId(record.move.source)] -= size
            counts[NodeId(record.move.target)] += size
            under_way += size
    headers = sorted(staying, key=lambda header: -counts[header])
    least, larger_shares = divmod(table.slot_count, len(headers))
    kept = sum(min(counts[header], least + (rank < larger_shares)) for rank, header in enumerate(headers))
    return under_way + table.slot_count - kept
