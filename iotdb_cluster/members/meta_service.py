"""`TSMetaService`: what the meta port answers beside Raft (interface page CLUSTER)."""

from typing import Any

from iotdb_cluster.errors import NotReady
from iotdb_cluster.members import structs
from iotdb_cluster.members.convert import node_of, node_struct
from iotdb_cluster.members.node_view import NodeView
from iotdb_cluster.members.raft_service import RaftService
from iotdb_cluster.members.tables import layout_of
from iotdb_cluster.members.transport import Port
from iotdb_cluster.wire.tables import encode_table

AGREE = -1
REJECT = -3
PARTITION_TABLE_UNAVAILABLE = -4
IDENTIFIER_CONFLICT = -5
CLUSTER_TOO_SMALL = -9
ASK_AGAIN = -10


class MetaService(RaftService):
    """The handlers of the meta port."""

    def __init__(self, node: NodeView) -> None:
        super().__init__(node, Port.META)

    async def add_node(self, struct: Any, connection: object) -> Any:
        """A node that is in already gets the table; joining a running cluster is answered ASK_AGAIN."""
        state = self._node.state
        if state.table is None:
            return structs.AddNodeResponse(respNum=PARTITION_TABLE_UNAVAILABLE)
        node = node_of(struct)
        known = state.node(node.identifier)
        if known == node:
            table = encode_table(layout_of(state.table))
            return structs.AddNodeResponse(respNum=AGREE, partitionTableBytes=table)
        if known is not None or node.identifier in state.tombstones:
            return structs.AddNodeResponse(respNum=IDENTIFIER_CONFLICT)
        return structs.AddNodeResponse(respNum=ASK_AGAIN)

    async def remove_node(self, struct: Any, connection: object) -> int:
        """The size of the cluster is judged first, also for an unknown node; known by ip and meta port alone."""
        table = self._node.state.table
        if table is None:
            raise NotReady("this node does not know the partition table yet")
        if len(self._node.state.nodes) <= table.replica_num:
            return CLUSTER_TOO_SMALL
        if all((node.ip, node.meta_port) != (struct.ip, struct.metaPort) for node in self._node.state.nodes):
            return REJECT
        return ASK_AGAIN

    def query_node_status(self, connection: object) -> Any:
        """An empty struct, as in the original."""
        return structs.TNodeStatus()

    def check_alive(self, connection: object) -> Any:
        """This node, identifier included."""
        return node_struct(self._node.me)
