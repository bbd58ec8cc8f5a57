"""Known mistakes in the moving of slots: each must be found in clusters that grow and shrink, within its budget."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from iotdb_cluster.members.data.member import DataGroupMember
from iotdb_cluster.members.moves import steward
from iotdb_cluster.members.moves.mover import Mover
from iotdb_cluster.members.moves.part import MovePart
from iotdb_cluster.partition.moves import Deed, GroupSlots, Move, MoveBook, MoveRecord, Role
from iotdb_cluster.raft.messages import AppendRequest
from iotdb_cluster.timeseries.manifest import Manifest
from iotdb_cluster.timeseries.moving import MovesHere
from iotdb_cluster.timeseries.store import GroupStore
from iotdb_cluster.types.identity import EntryId, GroupId
from tests.sim.bugs.group.bugs import Bug

BUGS: list[Bug] = []


def bug(owner: Any, attribute: str, budget: int) -> Callable[[Any], Any]:
    """Enter the decorated function as a mistake at that place; `original` is what it replaces."""

    def enter(make: Callable[[Any], Any]) -> Any:
        BUGS.append(Bug(make.__name__, owner, attribute, make(vars(owner)[attribute]), budget))
        return make

    return enter


@bug(MovePart, "lacks_files", budget=40)
def install_entry_is_stored_without_its_files(original: Any) -> Any:
    """The gate is open: a member acknowledges an install whose files it does not have (DESIGN 5.4)."""

    def lacks_files(self: MovePart, request: AppendRequest) -> None:
        return None

    return lacks_files


@bug(Mover, "_copy", budget=40)
def rest_is_never_copied(original: Any) -> Any:
    """What was copied while the source served is installed, without what came until the fence."""

    async def copy(self: Mover, member: DataGroupMember, record: MoveRecord, *, fenced: bool) -> None:
        if not fenced:
            await original(self, member, record, fenced=False)
            return
        self.copying[record.move.number].ready = member.store.staging(record.move.number).content()

    return copy


def _one_deed_early(original: Any, role: Role, last: Deed, early: Deed) -> Any:
    def due(slots: GroupSlots, book: MoveBook, group: GroupId) -> tuple[tuple[Deed, Move], ...]:
        found: Iterable[tuple[Deed, Move]] = original(slots, book, group)
        too_early = (
            (early, record.move)
            for record in book.records
            if record.move.role_of(group) is role and record.decision is None
            if all(slots.state_of(slot).deed is last for slot in record.move.slots)
        )
        return (*found, *too_early)

    return due


@bug(steward, "due_deeds", budget=40)
def released_before_the_flip(original: Any) -> Any:
    """The old group deletes a slot as soon as it is fenced."""
    return _one_deed_early(original, Role.SOURCE, Deed.FENCE, Deed.RELEASE)


@bug(steward, "due_deeds", budget=40)
def opened_before_the_flip(original: Any) -> Any:
    """The new group serves a slot as soon as it is installed."""
    return _one_deed_early(original, Role.TARGET, Deed.INSTALL, Deed.OPEN)


@bug(GroupStore, "release_storage_groups", budget=40)
def released_data_stays(original: Any) -> Any:
    """The old group's store keeps what it has given away."""

    def release(self: GroupStore, entry_id: EntryId, storage_groups: Iterable[str]) -> None:
        self.pass_over(entry_id)

    return release


@bug(MovesHere, "remover", budget=40)
def files_of_a_move_stay_when_it_is_over(original: Any) -> Any:
    """Files and the record of a move are never removed: orphans."""

    def remover(self: MovesHere, manifest: Manifest, kept: frozenset[str]) -> Callable[[], None] | None:
        return None

    return remover


@bug(GroupStore, "install_move", budget=40)
def deletions_do_not_move(original: Any) -> Any:
    """What was deleted and not yet carried out in the files comes back with the slot."""

    def install(self: GroupStore, entry_id: EntryId, move: int, content: Any) -> None:
        original(self, entry_id, move, replace(content, deletions=()))

    return install
