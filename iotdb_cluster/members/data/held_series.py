"""Whether a series may be read from a data group here: of the group, of the type that is asked for, not moved away."""

from iotdb_cluster.errors import RequestError, UnknownGroup
from iotdb_cluster.members.clock import Deadline
from iotdb_cluster.members.data.member import DataGroupMember
from iotdb_cluster.members.data.slot_reads import check_held, check_readable
from iotdb_cluster.members.node_view import NodeView
from iotdb_cluster.partition.slots import slot_of
from iotdb_cluster.types.identity import GroupId
from iotdb_cluster.types.schema import DataType, TimeseriesSchema


class HeldSeries:
    """The checks before and behind a read for another node."""

    def __init__(self, node: NodeView) -> None:
        self._node = node

    async def check(self, member: DataGroupMember, path: str, data_type: DataType, deadline: Deadline) -> None:
        """Raise unless the series is read here, or exists nowhere; for a member that is level with its leader."""
        await self._check_slot(member, path, deadline)
        schema = member.store.find(path)
        if schema is None:
            await self._check_group(path, member.group, deadline)
            self.check_still(member, path)
        self.check_type(schema, data_type)

    @staticmethod
    def check_type(schema: TimeseriesSchema | None, data_type: DataType) -> None:
        """Raise for a series of another type."""
        if schema is not None and schema.data_type != data_type:
            raise RequestError(f"{schema.path} is {schema.data_type.name}, dataTypeOrdinal says {data_type.name}")

    def check_still(self, member: DataGroupMember, path: str) -> None:
        """Raise `SlotMoving` behind a look at a slot that may have been released since: nothing found means nothing."""
        storage_group = self._owner(member, path)
        if storage_group is not None:
            check_held(member, (slot_of(storage_group),))

    async def _check_slot(self, member: DataGroupMember, path: str, deadline: Deadline) -> None:
        """Raise `SlotMoving` for a slot that is not read here (DESIGN 5.6); a fenced one is, while its move goes on."""
        storage_group = self._owner(member, path)
        if storage_group is None:
            return
        slot = slot_of(storage_group)
        if member.slots.states.state_of(slot).deed is not None:
            await check_readable(self._node, member, (slot,), deadline)

    def _owner(self, member: DataGroupMember, path: str) -> str | None:
        """The storage group of a path; a group may have heard of one before this node's meta member has."""
        return self._node.state.storage_group_of(path) or member.slots.owner(path)

    async def _check_group(self, path: str, group: GroupId, deadline: Deadline) -> None:
        """A series that another group holds is an error here, never an empty answer (DESIGN 5.6)."""
        if self._node.state.storage_group_of(path) is None and self._node.meta is not None:
            # Made a moment ago through another node, perhaps: only who is level with the meta group can tell.
            await self._node.meta.catch_up(deadline)
        storage_group = self._node.state.storage_group_of(path)
        if storage_group is not None:
            owner = self._node.router.group_of_storage_group(storage_group)
            if owner != group:
                raise UnknownGroup(f"{path} is not held by the data group of header {group} but by that of {owner}")
