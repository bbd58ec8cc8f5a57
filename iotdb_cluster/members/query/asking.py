"""Asking a data group that has no member on this node."""

from collections.abc import Sequence
from typing import Any

from iotdb_cluster.errors import NoLeader, RemoteError, RequestError
from iotdb_cluster.members import convert
from iotdb_cluster.members.node_view import NodeView
from iotdb_cluster.members.query.running import Running
from iotdb_cluster.members.transport import Port
from iotdb_cluster.types.identity import GroupId, Node, NodeId
from iotdb_cluster.wire.codec import ApplicationError


class Elsewhere:
    """A data group by its members on other nodes."""

    def __init__(self, node: NodeView, group: GroupId) -> None:
        self._node = node
        self.group = group
        table = node.router.ready_state().table
        assert table is not None, "a ready state has a table"
        try:
            self.header: Any = convert.node_struct(table.node(NodeId(group)))
            self.members: Sequence[Node] = [
                member for member in table.group_of(NodeId(group)) if member.identifier != node.me.identifier
            ]
        except KeyError:
            raise NoLeader(f"no group of header {group} is in the partition table any more") from None

    async def call(self, member: Node, method: str, arguments: tuple[Any, ...], timeout_ms: int) -> Any:
        """One call to one member."""
        return await self._node.context.transport.call(member, Port.DATA, method, arguments, timeout_ms)

    async def ask(self, method: str, arguments: tuple[Any, ...], running: Running) -> Any:
        """The answer of the first member that has one; for calls that change nothing."""
        return (await self.ask_any(method, arguments, running))[1]

    async def ask_any(self, method: str, arguments: tuple[Any, ...], running: Running) -> tuple[Node, Any]:
        """As `ask`, and which member that was."""
        refusal: RequestError = NoLeader(f"the data group of header {self.group} has no members")
        for asked, member in enumerate(self.members):
            running.check()
            try:
                left_ms = running.left_ms // (len(self.members) - asked)
                return member, await self.call(member, method, arguments, left_ms)
            except RequestError as error:
                refusal = error
        raise refusal


def is_unknown_call(error: RequestError) -> bool:
    """True for the answer of a node that does not know a call of the extension: an earlier version of this project."""
    return isinstance(error, RemoteError) and error.type == ApplicationError.UNKNOWN_METHOD
