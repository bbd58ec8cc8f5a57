"""The partition table as the interface lays it out, and back."""

from iotdb_cluster.partition.table import PartitionTable
from iotdb_cluster.wire.tables import TableLayout


def layout_of(table: PartitionTable) -> TableLayout:
    """What `addNode` and heartbeats carry: slots by node, and who held moved ones before."""
    return TableLayout(
        slot_count=table.slot_count,
        nodes=tuple((node, table.slots_of(node.identifier)) for node in table.nodes),
        previous_holders=table.previous,
    )
