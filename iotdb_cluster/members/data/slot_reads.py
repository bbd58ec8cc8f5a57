"""Looks at whole slots: judged before and behind, so that what is not here is an error and never empty (DESIGN 5.6)."""

from collections.abc import Iterable, Sequence

from iotdb_cluster.errors import SlotMoving, UnknownGroup
from iotdb_cluster.members.clock import Deadline
from iotdb_cluster.members.data.member import DataGroupMember
from iotdb_cluster.members.meta.state import MetaState
from iotdb_cluster.members.node_view import NodeView
from iotdb_cluster.partition.slots import slot_of
from iotdb_cluster.types.identity import GroupId, Slot
from iotdb_cluster.types.paths import Pattern, nodes_of
from iotdb_cluster.types.schema import TimeseriesSchema


async def check_readable(
    node: NodeView, member: DataGroupMember, slots: Iterable[Slot], deadline: Deadline, *, is_strong: bool = True
) -> None:
    """Raise `SlotMoving` unless a member, level with its leader, may be read for all of these slots.

    One that is fenced may, as long as the meta group has not decided that very move for the other group.
    """
    fenced = []
    for slot in slots:
        state = member.slots.states.state_of(slot)
        if state.is_fenced:
            fenced.append(state)
        elif not state.is_serving:
            raise SlotMoving(f"slot {slot} is not read in the data group of header {member.group}")
    meta = node.meta
    if fenced and is_strong and meta is not None:
        await meta.catch_up(deadline)
    for state in fenced:
        if not node.state.moves.is_readable_behind_fence(state.move):
            raise SlotMoving(f"move {state.move} took slots from the data group of header {member.group}")


def check_held(member: DataGroupMember, slots: Iterable[Slot]) -> None:
    """Raise `SlotMoving` behind a look at slots one of which was released since: nothing found means nothing."""
    for slot in slots:
        if not member.slots.states.state_of(slot).is_held:
            raise SlotMoving(f"slot {slot} is not held by the data group of header {member.group} any more")


def storage_groups_met(state: MetaState, pattern: Pattern) -> Sequence[str]:
    """The storage groups that can hold a match."""
    if not pattern.has_wildcard:
        owner = state.storage_group_of(pattern.path)
        return state.storage_groups_below(pattern.path) if owner is None else (owner,)
    return [path for path in state.storage_groups if pattern.may_match_below(nodes_of(path))]


def owner_of(state: MetaState, storage_group: str) -> GroupId:
    """The data group to which the table gives the slot of a storage group."""
    assert state.table is not None, "who serves series knows the table"
    return GroupId(state.table.header_of(slot_of(storage_group)))


def only_owned(state: MetaState, group: GroupId, found: Sequence[TimeseriesSchema]) -> Sequence[TimeseriesSchema]:
    """The series among these whose slot the table gives to a group.

    During a move two groups have the same series in their stores: one answers for them.
    """
    if state.moves.newest == 0:
        return found
    judged: dict[str | None, bool] = {None: False}
    kept = []
    for schema in found:
        storage_group = state.storage_group_of(schema.path)
        is_owned = judged.get(storage_group)
        if is_owned is None:
            assert storage_group is not None, "None is judged already"
            is_owned = judged[storage_group] = owner_of(state, storage_group) == group
        if is_owned:
            kept.append(schema)
    return kept


async def series_of_group(
    node: NodeView, member: DataGroupMember, path: str, deadline: Deadline
) -> Sequence[TimeseriesSchema]:
    """All series of a group that match a pattern, sorted, of every slot that is its own.

    Raises `SlotMoving` while one of the slots is not open here, `UnknownGroup` for a storage group of another group.
    """
    await member.catch_up(deadline)
    if node.state.moves.newest == 0:
        return member.store.series(path)
    assert node.meta is not None, "who knows of moves is a member of the meta group"
    await node.meta.catch_up(deadline)
    state = node.state
    pattern = Pattern.parse(path)
    storage_groups = storage_groups_met(state, pattern)
    owned = [each for each in storage_groups if owner_of(state, each) == member.group]
    if state.storage_group_of(path) in set(storage_groups).difference(owned):
        raise UnknownGroup(f"{path} is not held by the data group of header {member.group}")
    slots = sorted({slot_of(each) for each in owned})
    await member.catch_up(deadline)
    await check_readable(node, member, slots, deadline)
    found = member.store.series(path)
    check_held(member, slots)
    return only_owned(state, member.group, found)
