"""`TSMetaService`: what the meta port answers beside Raft (interface page CLUSTER)."""

from typing import Any

from iotdb_cluster.members import structs
from iotdb_cluster.members.convert import node_of, node_struct
from iotdb_cluster.members.life.changes import NodeChanges
from iotdb_cluster.members.node_view import NodeView
from iotdb_cluster.members.raft_service import RaftService
from iotdb_cluster.members.tables import layout_of
from iotdb_cluster.members.transport import Port
from iotdb_cluster.types.identity import NodeId
from iotdb_cluster.wire.tables import encode_table


class MetaService(RaftService):
    """The handlers of the meta port."""

    def __init__(self, node: NodeView) -> None:
        super().__init__(node, Port.META)
        self._changes = NodeChanges(node)

    async def add_node(self, struct: Any, connection: object) -> Any:
        """A node wants to join; answered with the table when it is in, also when it has been for long."""
        answer, table = await self._changes.add(node_of(struct))
        encoded = None if table is None else encode_table(layout_of(table))
        return structs.AddNodeResponse(respNum=answer, partitionTableBytes=encoded)

    async def remove_node(self, struct: Any, connection: object) -> int:
        """A node is to go; it is known by ip and meta port alone, other fields are free (interface page)."""
        return await self._changes.remove(struct.ip, struct.metaPort, NodeId(struct.nodeIdentifier))

    def query_node_status(self, connection: object) -> Any:
        """An empty struct, as in the original."""
        return structs.TNodeStatus()

    def check_alive(self, connection: object) -> Any:
        """This node, identifier included."""
        return node_struct(self._node.me)
