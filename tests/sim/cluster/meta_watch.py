"""What all nodes hold of the meta log's state: the same bytes behind the same entry, every slot owned by one header."""

from collections import Counter
from collections.abc import Callable

from iotdb_cluster.members.meta.member import MetaGroupMember
from iotdb_cluster.partition.moves import MoveBook
from iotdb_cluster.partition.slots import SLOT_COUNT
from iotdb_cluster.partition.table import PartitionTable
from iotdb_cluster.types.identity import LogIndex


class MetaWatch:
    """Invariants 18 to 20, judged whenever a node has applied something.

    `fault` is told of each violation, `heard` of the moves that the node knows now.
    """

    def __init__(self, fault: Callable[[str], None], heard: Callable[[MoveBook], None]) -> None:
        self._fault = fault
        self._heard = heard
        self._states: dict[LogIndex, bytes] = {}
        self._tables: dict[LogIndex, PartitionTable] = {}

    def attach(self, member: MetaGroupMember) -> None:
        """Look at this member's state from now on."""
        after_apply = member.after_apply

        def watched() -> None:
            self.look_at(member)
            after_apply()

        vars(member)["after_apply"] = watched

    def look_at(self, member: MetaGroupMember) -> None:
        """Compare with whoever stood at the same entry before."""
        state, index, who = member.state, member.applied.index, member.raft.me
        self._heard(state.moves)
        snapshot = state.to_snapshot()
        if self._states.setdefault(index, snapshot) != snapshot:
            self._fault(f"19: {who} holds another meta state behind entry {index} than those before it")
        nodes = Counter(node.identifier for node in state.nodes)
        if nodes and nodes.most_common(1)[0][1] > 1:
            self._fault(f"18: an identifier stands for two members in {state.nodes}")
        returned = sorted(state.tombstones & nodes.keys())
        if returned:
            self._fault(f"18: {returned} were removed and are members again behind entry {index}")
        table = state.table
        if table is not None and index not in self._tables:
            self._tables[index] = table
            self._check_coverage(table)

    def _check_coverage(self, table: PartitionTable) -> None:
        """That each slot has one owner is in the form of the table; that all are there, and replicated, is not."""
        if table.slot_count != SLOT_COUNT:
            self._fault(f"20: a table of {table.slot_count} slots")
        wanted = min(table.replica_num, len(table.nodes))
        for header in table.headers:
            group = table.group_of(header)
            if len(set(group)) != wanted or group[0].identifier != header:
                self._fault(f"20: the group of {header} is {group}, {wanted} members from it on are wanted")
        if len(table.headers) == len(table.nodes):
            for node in table.nodes:
                if len(table.groups_with(node.identifier)) != wanted:
                    self._fault(f"20: {node} is in the groups {table.groups_with(node.identifier)}, not in {wanted}")
