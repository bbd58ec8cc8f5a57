"""Who belongs to the cluster and to each of its groups, as the meta log says (docs/life-cycle.md).

A frozen value that changes only by entries of the meta log: what it wants (the ring, without those who leave) and what
was reported (the members of each group). Where the two differ, whoever leads a group has something to do.
"""

from bisect import bisect_left
from dataclasses import dataclass, replace
from functools import cached_property

from iotdb_cluster.errors import ChangeRunning, MetadataRefused
from iotdb_cluster.partition.table import PartitionTable
from iotdb_cluster.types.identity import LogIndex, Node, NodeId
from iotdb_cluster.types.membership import Membership

FOUNDING_INDEX: LogIndex = 1
"""Where a data group's founding membership stands in its log (DESIGN 5.1)."""


@dataclass(frozen=True, slots=True)
class GroupRecord:
    """What the meta log says of a data group.

    `founders` are its first voters, the same for ever; `members` the voters of the last membership that was reported as
    committed, which stands at `index` of the group's log.
    """

    header: Node
    founders: frozenset[NodeId]
    members: frozenset[NodeId]
    index: LogIndex = FOUNDING_INDEX


@dataclass(frozen=True)
class Roster:
    """Nodes, ring and groups.

    `joining` are nodes that were added and have no place on the ring yet, in the order of their ADD_NODE entries;
    `leaving` those that were removed and are still in the meta group; `tombstones` are identifiers that are never used
    again. Invariants: `groups` is sorted by header and has one record for each node of the table; nobody is both in the
    table and joining.
    """

    membership: Membership
    table: PartitionTable
    groups: tuple[GroupRecord, ...]
    joining: tuple[Node, ...] = ()
    leaving: frozenset[NodeId] = frozenset()
    tombstones: frozenset[NodeId] = frozenset()

    @classmethod
    def founded(cls, table: PartitionTable) -> "Roster":
        """The first one: all nodes of the table are voters, and found the groups."""
        return cls(Membership(table.identifiers), table, tuple(_founded(table, node) for node in table.nodes))

    # -- looking -----------------------------------------------------------------------------------------------------

    @property
    def nodes(self) -> tuple[Node, ...]:
        """Every node of the cluster, also one that is only joining, by identifier."""
        return tuple(sorted((*self.table.nodes, *self.joining), key=lambda node: node.identifier))

    def node(self, identifier: NodeId) -> Node | None:
        """The node of this identifier, if it is in the cluster."""
        return self._by_identifier.get(identifier)

    @cached_property
    def _by_identifier(self) -> dict[NodeId, Node]:
        return {node.identifier: node for node in (*self.joining, *self.table.nodes)}

    def is_joining(self, identifier: NodeId) -> bool:
        """True for a node that was added and has no place on the ring yet."""
        return any(node.identifier == identifier for node in self.joining)

    def group(self, header: NodeId) -> GroupRecord | None:
        """The record of a group; None for one that never was, or has ended."""
        return next((record for record in self.groups if record.header.identifier == header), None)

    @property
    def staying(self) -> tuple[NodeId, ...]:
        """The nodes of the ring that do not leave, in ring order."""
        return tuple(header for header in self.table.headers if header not in self.leaving)

    def wanted_members(self, header: NodeId) -> frozenset[NodeId] | None:
        """Who should replicate for a header: the nodes from its place on the ring on, those who leave not counted.

        None where nothing is wanted any more: the header leaves and owns no slot, so its group ends with it.
        """
        if header in self.leaving and not self.table.slots_of(header):
            return None
        ring = self.staying
        first = bisect_left(ring, header)
        count = min(self.table.replica_num, len(ring))
        return frozenset(ring[(first + step) % len(ring)] for step in range(count))

    def is_settled_group(self, record: GroupRecord) -> bool:
        """True when a group has the members that the ring wants."""
        return self.wanted_members(record.header.identifier) in (None, record.members)

    @property
    def change_under_way(self) -> str | None:
        """What must be over before the ring may change again, in words; None when nothing is."""
        on_ring = sorted(self.leaving & self.table.identifiers)
        if on_ring:
            return f"node {on_ring[0]} is leaving"
        for record in self.groups:
            if not self.is_settled_group(record):
                return f"data group {record.header.identifier} is changing its members"
        return None

    def is_drained(self, identifier: NodeId) -> bool:
        """True for a leaving node that nothing needs any more: no slot, no group but its own, which ends with it."""
        if identifier in self.table.identifiers and self.table.slots_of(identifier):
            return False
        return all(identifier not in record.members for record in self.groups if record.header.identifier != identifier)

    # -- entries of the meta log -------------------------------------------------------------------------------------

    def after_adding(self, node: Node) -> "Roster":
        """ADD_NODE: one more is joining; the same node again changes nothing. Raises `MetadataRefused`.

        A node that comes with the address of one that is only joining takes its place: that one lost its folder.
        """
        if node == self.node(node.identifier):
            return self
        if node.identifier in self.tombstones or self.node(node.identifier) is not None:
            raise MetadataRefused(f"the identifier {node.identifier} is or was in use")
        roster = self
        for other in self.joining:
            if other.meta_address == node.meta_address:
                roster = roster._after_removing(other.identifier)
        return replace(roster, joining=(*roster.joining, node))

    def after_removing(self, node: Node, *, is_urgent: bool, moving: str | None = None) -> "Roster":
        """REMOVE_NODE: one more is leaving. Raises `MetadataRefused`, or `ChangeRunning` when it has to wait.

        `moving` says which slots are on their way, if any are: that is a change under way, too.
        `is_urgent`: another change may be waiting for this very node, so it is removed all the same.
        """
        identifier = node.identifier
        if self.node(identifier) is None:
            raise MetadataRefused(f"{node} is not in the cluster")
        if identifier in self.leaving or self.is_joining(identifier):
            return self._after_removing(identifier)
        if len(self.staying) <= self.table.replica_num:
            raise MetadataRefused(f"a cluster for {self.table.replica_num} replicas keeps {len(self.staying)} nodes")
        under_way = self.change_under_way or moving
        if under_way is not None and not is_urgent:
            raise ChangeRunning(f"{under_way}: ask again when that is over")
        return self._after_removing(identifier)

    def _after_removing(self, identifier: NodeId) -> "Roster":
        if self.is_joining(identifier) and identifier not in self.membership.members:
            return self._without(frozenset({identifier}))
        return replace(self, leaving=self.leaving | {identifier})

    def after_membership(self, membership: Membership, index: LogIndex) -> "Roster":
        """A change of the meta group's members.

        Once it is uniform, a joining node that it makes a voter gets its place on the ring and its group, and who was a
        member and is none any more is gone for ever.
        """
        before = self.membership.members
        roster = replace(self, membership=membership)
        if membership.is_joint:
            return roster
        for node in self.joining:
            if node.identifier in membership.voters:
                roster = roster._with_ring_place(node, index)
        gone = before - membership.members
        return roster._without(gone, index) if gone else roster

    def _with_ring_place(self, node: Node, index: LogIndex) -> "Roster":
        table = self.table.with_node(node).at(index)
        joining = tuple(other for other in self.joining if other != node)
        groups = sorted((*self.groups, _founded(table, node)), key=lambda record: record.header.identifier)
        return replace(self, table=table, joining=joining, groups=tuple(groups))

    def _without(self, gone: frozenset[NodeId], index: LogIndex | None = None) -> "Roster":
        table = self.table
        for identifier in sorted(gone & table.identifiers):
            if not table.slots_of(identifier):
                table = table.without_node(identifier)
        if table is not self.table and index is not None:
            table = table.at(index)
        return replace(
            self,
            table=table,
            groups=tuple(record for record in self.groups if record.header.identifier in table.identifiers),
            joining=tuple(node for node in self.joining if node.identifier not in gone),
            leaving=self.leaving - gone,
            tombstones=self.tombstones | gone,
        )

    def after_report(self, header: NodeId, index: LogIndex, members: frozenset[NodeId]) -> "Roster":
        """GROUP_MEMBERS: a group has committed these voters at `index` of its log; a late report changes nothing."""
        record = self.group(header)
        if record is None or index <= record.index:
            return self
        newer = replace(record, members=members, index=index)
        return replace(self, groups=tuple(newer if each is record else each for each in self.groups))


def _founded(table: PartitionTable, node: Node) -> GroupRecord:
    members = frozenset(member.identifier for member in table.group_of(node.identifier))
    return GroupRecord(node, founders=members, members=members)
