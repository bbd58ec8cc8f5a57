"""Slots on their way between groups, judged at every deed that a member applies (invariants 21 to 23)."""

from collections.abc import Callable, Iterable, Iterator

from iotdb_cluster.members.data.member import DataGroupMember
from iotdb_cluster.members.moves.codec import GroupDeed, read_deed
from iotdb_cluster.partition.moves import DROPPED_AFTER, SERVING_AFTER, Decision, Deed, GroupSlots, MoveBook
from iotdb_cluster.partition.slots import slot_of
from iotdb_cluster.timeseries.manifest import Manifest, load_manifest
from iotdb_cluster.types.disk import Disk
from iotdb_cluster.types.entries import Entry
from iotdb_cluster.types.identity import GroupId, LogIndex, Slot

DECISION_BEFORE = {
    Deed.OPEN: Decision.FLIPPED,
    Deed.RELEASE: Decision.FLIPPED,
    Deed.UNFENCE: Decision.ABORTED,
    Deed.DISCARD: Decision.ABORTED,
}
"""What the meta log must have said of a move before a group may take such a step."""

UNCHANGED_AT = frozenset({Deed.INSTALL, Deed.OPEN, Deed.UNFENCE})
"""Steps behind which a slot holds what it held behind the fence: nothing has written to it since."""


class MoveWatch:
    """`fault` is told of each violation. A group stands where the furthest of its members does: that is its log."""

    def __init__(self, fault: Callable[[str], None]) -> None:
        self._fault = fault
        self._slots: dict[GroupId, GroupSlots] = {}
        self._newest: dict[GroupId, LogIndex] = {}
        self._decisions: dict[int, Decision] = {}
        self._fenced: dict[int, str] = {}
        """By move: the hash of the content behind its fence."""
        self.installs = 0
        """Moves of slots with something in them that a member has installed."""

    def attach(self, member: DataGroupMember) -> None:
        """Look at this member's deeds from now on."""
        self._slots.setdefault(member.group, member.slots.states)
        apply_deed = member.moves.apply

        def watched(entry: Entry) -> None:
            before = member.slots.states
            apply_deed(entry)
            self._look_at(member, entry.index, before, read_deed(entry.body))

        vars(member.moves)["apply"] = watched

    def heard(self, book: MoveBook) -> None:
        """A node has applied so much of the meta log."""
        for record in book.records:
            if record.decision is not None:
                known = self._decisions.setdefault(record.move.number, record.decision)
                if known is not record.decision:
                    self._fault(f"21: move {record.move.number} is {known.value} and {record.decision.value}")

    def _look_at(self, member: DataGroupMember, index: LogIndex, before: GroupSlots, deed: GroupDeed) -> None:
        after = member.slots.states
        changed = [slot for slot in deed.slots if after.state_of(slot) is not before.state_of(slot)]
        if not changed:
            return
        where = f"group {member.group} of {member.raft.me} at {deed.deed.value} of move {deed.move}"
        if index > self._newest.get(member.group, 0):
            self._newest[member.group], self._slots[member.group] = index, after
            for fault in self._faults_of_order(deed, changed):
                self._fault(f"{fault} ({where})")
        for fault in self._faults_of_content(member, deed, changed):
            self._fault(f"{fault} ({where})")

    def _faults_of_order(self, deed: GroupDeed, changed: Iterable[Slot]) -> Iterator[str]:
        wanted, decision = DECISION_BEFORE.get(deed.deed), self._decisions.get(deed.move)
        if wanted is not decision and wanted is not None:
            number = 23 if deed.deed in DROPPED_AFTER else 21
            yield f"{number}: the meta log has not {wanted.value} the move: {decision}"
        if deed.deed is Deed.INSTALL and deed.move not in self._fenced:
            yield "21: installed without a fence"
        for slot in changed if deed.deed in SERVING_AFTER else ():
            serving = [group for group, slots in self._slots.items() if slots.state_of(slot).is_serving]
            if len(serving) > 1:
                yield f"21: slot {slot} is served by groups {serving}"
                return

    def _faults_of_content(self, member: DataGroupMember, deed: GroupDeed, changed: Iterable[Slot]) -> Iterator[str]:
        paths = member.slots.in_slots(changed)
        if deed.deed in DROPPED_AFTER:
            if paths:
                yield f"23: {paths} are still here"
            return
        digest = member.store.content_hash(paths)
        if deed.deed is Deed.FENCE and self._fenced.setdefault(deed.move, digest) != digest:
            yield f"22: what is in {paths} differs between members"
        if deed.deed in UNCHANGED_AT and self._fenced.get(deed.move, digest) != digest:
            yield f"22: what is in {paths} is not what was behind the fence"
        self.installs += bool(paths) and deed.deed is Deed.INSTALL


def orphans(disk: Disk, members: Iterable[DataGroupMember]) -> list[str]:
    """Files in the folders of data groups that belong to no group here, or to a slot that it does not hold.

    To be asked when nothing has been under way for a while: what a move leaves is removed behind the next seal.
    """
    by_name = {str(member.group): member for member in members}
    found: list[str] = []
    for name in disk.list_folder("data"):
        member = by_name.get(name)
        if member is None:
            found.append(f"data/{name}")
            continue
        folder = f"data/{name}"
        manifest = load_manifest(disk, folder) or Manifest()
        named = {file.folder_path for file in manifest.files}
        for inside in disk.list_folder(folder):
            if inside == "moves":
                found += [f"{folder}/moves/{number}" for number in disk.list_folder(f"{folder}/moves")]
            if not inside.startswith("root."):
                continue
            is_held = member.slots.states.state_of(slot_of(inside)).is_held
            files = [f"{inside}/{file}" for file in disk.list_folder(f"{folder}/{inside}")]
            found += [f"{folder}/{file}" for file in files if not is_held or file not in named]
    return found
