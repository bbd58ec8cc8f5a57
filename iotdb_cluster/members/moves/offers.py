"""What a member gives of a move to those who pull its files (DESIGN 5.4)."""

from iotdb_cluster.errors import Busy
from iotdb_cluster.members.clock import Deadline
from iotdb_cluster.members.data.member import DataGroupMember
from iotdb_cluster.partition.moves import Deed, MoveRecord, Role
from iotdb_cluster.timeseries.move_content import MoveContent

SEAL_BYTES = 8 * 1024 * 1024
"""With less than that in memory nothing is sealed for a copy that is not the last: every seal makes small files."""


async def offer_of(
    member: DataGroupMember, record: MoveRecord, deadline: Deadline, *, fenced: bool
) -> tuple[MoveContent, tuple[str, ...]]:
    """The content of a move, and where each of its files is read by `readFile`.

    A member of the source gives what is in files, and seals before that where it is worth it. With `fenced` it gives
    only what it holds behind the fence of this very move, as it has applied it: that is the whole truth. A member of
    the target gives what it has pulled. Raises `Busy`.
    """
    number, slots = record.move.number, record.move.slots
    if record.move.role_of(member.group) is Role.TARGET:
        staging = member.store.staging(number)
        found = staging.content()
        if found is None or not staging.is_complete(found):
            raise Busy(f"the files of move {number} are not complete here")
        paths = tuple(staging.path_of(file) for file in found.files)
        member.moves.offer_paths(paths)
        return found, paths
    states = [member.slots.states.state_of(slot) for slot in slots]
    if fenced and not all(state.move == number and state.deed is Deed.FENCE for state in states):
        raise Busy(f"the fence of move {number} is not applied here")
    if fenced and not member.slots.in_slots(slots):
        return MoveContent(member.applied), ()
    if fenced:
        await member.sealing.up_to(member.moves.fence_index(number), deadline)
    elif member.store.memory_bytes >= SEAL_BYTES:
        await member.sealing.up_to(member.applied.index, deadline)
    offer = member.store.offer_move(member.slots.in_slots(slots))
    member.moves.offer(record.move, offer.snapshot)
    places = {file.folder_path: file.path for file in offer.snapshot.files}
    return offer.content, tuple(places[file.folder_path] for file in offer.content.files)
