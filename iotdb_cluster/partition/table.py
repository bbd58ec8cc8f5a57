"""The partition table: which header owns each slot, as a frozen value with the meta index that made it.

The ring says who replicates for a header, the table says what the header owns. A node that joins stands in the table
without slots, and a node that leaves stands in it until it owns none: slots change hands by flips only (DESIGN 5.4).
`after_adding` and `after_removing` are where such a change is headed, `moves` is the way there.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby

from iotdb_cluster.errors import MalformedInput
from iotdb_cluster.partition.ring import replicas_from, ring_order
from iotdb_cluster.partition.slots import SLOT_COUNT
from iotdb_cluster.types.identity import LogIndex, Node, NodeId, Slot

PreviousHolders = tuple[tuple[NodeId, tuple[tuple[Slot, NodeId], ...]], ...]
"""For each node that was given slots: slot and who held it before, both sorted. Nothing is ever taken out."""


@dataclass(frozen=True)
class PartitionTable:
    """Nodes in ring order and the owner of each slot.

    Invariants: `nodes` is sorted by identifier without repeats; every owner is one of them; `len(owners)` slots.
    """

    nodes: tuple[Node, ...]
    owners: tuple[NodeId, ...]
    replica_num: int
    meta_index: LogIndex = 0
    previous: PreviousHolders = ()

    def __post_init__(self) -> None:
        if self.replica_num < 1:
            raise MalformedInput(f"a partition table for {self.replica_num} replicas")
        if ring_order(self.nodes) != self.nodes:
            raise MalformedInput("a partition table whose nodes are not in the order of their identifiers")
        strangers = sorted(set(self.owners) - self.identifiers)
        if strangers:
            raise MalformedInput(f"slots that belong to {strangers}, which the table does not name")

    @classmethod
    def initial(
        cls, nodes: Iterable[Node], *, replica_num: int, slot_count: int = SLOT_COUNT, meta_index: LogIndex = 0
    ) -> "PartitionTable":
        """The first table: runs of slots in ring order whose lengths differ by at most one, for any number of nodes."""
        ring = ring_order(nodes)
        if not ring:
            raise MalformedInput("a partition table without nodes")
        owners: list[NodeId] = []
        for position, node in enumerate(ring):
            end = (position + 1) * slot_count // len(ring)
            owners += [node.identifier] * (end - len(owners))
        return cls(nodes=ring, owners=tuple(owners), replica_num=replica_num, meta_index=meta_index)

    @property
    def slot_count(self) -> int:
        return len(self.owners)

    @cached_property
    def identifiers(self) -> frozenset[NodeId]:
        """Identifiers of all nodes in the table."""
        return frozenset(node.identifier for node in self.nodes)

    @cached_property
    def headers(self) -> tuple[NodeId, ...]:
        """Every node heads a data group; in ring order."""
        return tuple(node.identifier for node in self.nodes)

    @cached_property
    def runs(self) -> tuple[tuple[int, NodeId], ...]:
        """The owners of all slots in their order, as lengths of runs of the same one."""
        return tuple((len(list(same)), owner) for owner, same in groupby(self.owners))

    @cached_property
    def _slots(self) -> dict[NodeId, tuple[Slot, ...]]:
        owned: dict[NodeId, list[Slot]] = {header: [] for header in self.headers}
        first = 0
        for length, owner in self.runs:
            owned[owner] += range(first, first + length)
            first += length
        return {header: tuple(slots) for header, slots in owned.items()}

    @cached_property
    def _groups(self) -> dict[NodeId, tuple[Node, ...]]:
        return {header: replicas_from(self.nodes, header, self.replica_num) for header in self.headers}

    def node(self, identifier: NodeId) -> Node:
        """The node with this identifier; raises `KeyError`."""
        for node in self.nodes:
            if node.identifier == identifier:
                return node
        raise KeyError(identifier)

    def header_of(self, slot: Slot) -> NodeId:
        """The header that owns `slot`."""
        return self.owners[slot]

    def slots_of(self, header: NodeId) -> tuple[Slot, ...]:
        """The slots a header owns, ascending; raises `KeyError` for a header that the table does not name."""
        return self._slots[header]

    def group_of(self, header: NodeId) -> tuple[Node, ...]:
        """Who replicates for a header, itself first; raises `KeyError`."""
        return self._groups[header]

    def groups_with(self, identifier: NodeId) -> tuple[NodeId, ...]:
        """Headers of the groups that a node belongs to, sorted; none for a node that the table does not name."""
        return tuple(
            header for header in self.headers if any(member.identifier == identifier for member in self._groups[header])
        )

    def at(self, meta_index: LogIndex) -> "PartitionTable":
        """The same table as made by another meta entry."""
        return replace(self, meta_index=meta_index)

    def with_node(self, node: Node) -> "PartitionTable":
        """The table in which `node` stands without slots; raises `MalformedInput` when its identifier is taken."""
        return replace(self, nodes=ring_order((*self.nodes, node)))

    def without_node(self, identifier: NodeId) -> "PartitionTable":
        """The table without a node that owns nothing (else `MalformedInput`)."""
        return replace(self, nodes=tuple(node for node in self.nodes if node.identifier != identifier))

    def with_owner(self, slots: Iterable[Slot], header: NodeId) -> "PartitionTable":
        """The table in which `header` owns `slots`; who held them before is remembered, as in the interface."""
        owners = list(self.owners)
        held = dict(self.previous)
        known = dict(held.get(header, ()))
        for slot in slots:
            if owners[slot] != header:
                known[slot] = owners[slot]
                owners[slot] = header
        if known:
            held[header] = tuple(sorted(known.items()))
        return replace(self, owners=tuple(owners), previous=tuple(sorted(held.items())))

    def after_adding(self, node: Node) -> "PartitionTable":
        """The table once `node` has its share, with the fewest slots moved.

        It depends on this table and the node alone: no set, no order of insertion enters it.
        """
        joined = self.with_node(node)
        return joined._with_owners(balanced(joined.owners, joined.headers))

    def after_removing(self, identifier: NodeId) -> "PartitionTable":
        """The table once a node's slots are dealt out and it is gone; `KeyError`, or `MalformedInput` for the last."""
        self.node(identifier)
        staying = tuple(header for header in self.headers if header != identifier)
        if not staying:
            raise MalformedInput("the last node of a partition table can't be removed")
        return self._with_owners(balanced(self.owners, staying)).without_node(identifier)

    def _with_owners(self, owners: Sequence[NodeId]) -> "PartitionTable":
        known = {header: dict(held) for header, held in self.previous}
        for slot, (before, after) in enumerate(zip(self.owners, owners, strict=True)):
            if before != after:
                known.setdefault(after, {})[slot] = before
        previous = tuple((header, tuple(sorted(known[header].items()))) for header in sorted(known))
        return replace(self, owners=tuple(owners), previous=previous)


@dataclass(frozen=True, slots=True)
class SlotTransfer:
    """Slots on their way from one header to another, ascending."""

    source: NodeId
    target: NodeId
    slots: tuple[Slot, ...]


def moves(before: PartitionTable, after: PartitionTable) -> tuple[SlotTransfer, ...]:
    """What has to move to get from one table to the other, sorted by source and target."""
    return transfers(before.owners, after.owners)


def transfers(before: Sequence[NodeId], after: Sequence[NodeId]) -> tuple[SlotTransfer, ...]:
    """As `moves`, from owners to owners."""
    found: dict[tuple[NodeId, NodeId], list[Slot]] = {}
    for slot, pair in enumerate(zip(before, after, strict=True)):
        if pair[0] != pair[1]:
            found.setdefault(pair, []).append(slot)
    return tuple(SlotTransfer(source, target, tuple(found[source, target])) for source, target in sorted(found))


def balanced(owners: Sequence[NodeId], headers: Sequence[NodeId]) -> list[NodeId]:
    """Owners among `headers` only, with counts that differ by at most one and the fewest slots moved.

    Whoever owns most keeps the larger share. Donors give their highest slots; receivers take them in ring order.
    """
    found = Counter(owners)
    counts = {header: found[header] for header in headers}
    least, larger_shares = divmod(len(owners), len(headers))
    by_size = sorted(headers, key=lambda header: (-counts[header], header))
    share = {header: least + (rank < larger_shares) for rank, header in enumerate(by_size)}
    dealt = list(owners)
    if counts == share:
        return dealt
    free: list[Slot] = []
    for slot in range(len(owners) - 1, -1, -1):
        owner = owners[slot]
        if owner not in counts:
            free.append(slot)
        elif counts[owner] > share[owner]:
            counts[owner] -= 1
            free.append(slot)
    free.sort()
    given = iter(free)
    for header in sorted(headers):
        for _ in range(share[header] - counts[header]):
            dealt[next(given)] = header
    return dealt
