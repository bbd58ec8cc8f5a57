"""A replica of a data group in moves of slots: it refuses, keeps the gate, and carries out deeds (DESIGN 5.4)."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import structlog

from iotdb_cluster.errors import Busy, RequestError, SlotMoving
from iotdb_cluster.members.data.offered_files import Offer
from iotdb_cluster.members.data.planning import CLOSE_FILE
from iotdb_cluster.members.data.snapshots import Member, SnapshotSender
from iotdb_cluster.members.moves.codec import GroupDeed, install_in, read_deed
from iotdb_cluster.members.moves.held_slots import HeldSlots, not_served
from iotdb_cluster.partition.moves import DROPPED_AFTER, LAST_RANK, RANK, Deed, GroupSlots, Move
from iotdb_cluster.partition.slots import slot_of
from iotdb_cluster.raft.messages import AppendRequest
from iotdb_cluster.timeseries.move_content import MoveContent
from iotdb_cluster.timeseries.snapshots import StoreSnapshot
from iotdb_cluster.types.entries import Entry
from iotdb_cluster.types.identity import LogIndex
from iotdb_cluster.wire.plans import target_of

log = structlog.get_logger()


class MovePart:
    """A member's part in moves. Runtime's thread, unless a method says otherwise."""

    def __init__(
        self,
        member: Member,
        slots: HeldSlots,
        sender: SnapshotSender,
        storage_group_of: Callable[[str], str | None],
        seal: Callable[[], None],
    ) -> None:
        self._member = member
        self._slots = slots
        self._sender = sender
        self._storage_group_of = storage_group_of
        self._seal = seal
        self.install_wanted: Callable[[GroupDeed], None] = lambda deed: None
        """Told of an install entry whose files are not here yet."""
        self._fences: dict[int, LogIndex] = {}
        """Where the fences stand in the log that were applied since the start, by move."""
        self._offers: dict[int, list[Offer]] = {}

    # -- what is not taken -------------------------------------------------------------------------------------------

    def refusals(self, plans: Sequence[bytes]) -> dict[int, SlotMoving]:
        """By position the plans that have to wait for a move: whoever meets a fence is told without an entry.

        That is no more than a short way: what counts is judged where the entry is applied. Any thread.
        """
        if self._slots.is_untouched:
            return {}
        states = self._slots.states  # the same for all: of two rows of a series, the later one alone may not be taken
        found = ((position, self._refusal(data, states)) for position, data in enumerate(plans))
        return {position: refusal for position, refusal in found if refusal is not None}

    def _refusal(self, data: bytes, states: GroupSlots) -> SlotMoving | None:
        if data[:1] == CLOSE_FILE:
            return None
        try:
            _, path = target_of(data)
        except RequestError:
            return None  # it is refused for that when it is prepared
        storage_group = self._storage_group_of(path)
        if storage_group is None or states.state_of(slot_of(storage_group)).is_serving:
            return None
        return not_served(storage_group, f"the data group of header {self._member.group}")

    def lacks_files(self, request: AppendRequest) -> RequestError | None:
        """Why entries are not taken with which files have to be durable here (DESIGN 5.4), if so."""
        raft = self._member.raft
        for entry in request.entries:
            if not install_in(entry.kind, entry.body) or entry.index <= raft.commit_index:
                continue
            if raft.log.contains(entry.id):
                continue
            try:
                deed = read_deed(entry.body)
                content = MoveContent.decode(deed.content)
            except RequestError as refusal:
                return refusal  # no leader of this project sends that
            if not self._member.store.staging(deed.move).is_complete(content):
                self.install_wanted(deed)
                return Busy(f"the files of move {deed.move} are not here yet")
        return None

    # -- deeds -------------------------------------------------------------------------------------------------------

    def apply(self, entry: Entry) -> None:
        """Carry out a MOVE_STEP entry."""
        store = self._member.store
        store.pass_over(entry.id)
        deed = read_deed(entry.body)
        if deed.deed is Deed.INSTALL:
            content = MoveContent.decode(deed.content)
        before = self._slots.in_slots(deed.slots)
        self._note_fence(entry.index, deed, has_content=bool(before))
        changed = self._slots.apply(deed)
        log.info("move_step", group=self._member.group, deed=deed.deed.value, move=deed.move, slots=len(changed))
        if deed.deed is Deed.INSTALL and changed:
            moved = [each for each in content.storage_groups if slot_of(each.path) in set(changed)]
            store.install_move(entry.id, deed.move, replace(content, storage_groups=tuple(moved)))
        if deed.deed in DROPPED_AFTER:
            gone = [path for path in before if slot_of(path) in set(changed)]
            store.release_storage_groups(entry.id, gone)
        if deed.deed in (Deed.OPEN, Deed.DISCARD):
            store.end_move(entry.id, deed.move)
        for offer in self._offers.pop(deed.move, ()) if RANK[deed.deed] == LAST_RANK else ():
            self._sender.withdraw(offer)

    def _note_fence(self, index: LogIndex, deed: GroupDeed, *, has_content: bool) -> None:
        """Remember where a fence stands. The leader, who is asked first, seals at once: writers wait for the copy."""
        if deed.deed is not Deed.FENCE:
            self._fences.pop(deed.move, None)
            return
        self._fences.setdefault(deed.move, index)
        if has_content and self._member.raft.is_leader:
            self._seal()

    def fence_index(self, move: int) -> LogIndex:
        """Up to where files must reach to hold all that came before the fence of a move, which is applied here."""
        # One that was not applied since the start is in the files.
        return self._fences.get(move, self._member.store.covered.index)

    def is_over(self, move: int) -> bool:
        """True when what was pulled here for a move is of no use to this replica any more."""
        content = self._member.store.staging(move).content()
        if content is None:
            return False
        states = self._slots.states
        slots = [slot_of(group.path) for group in content.storage_groups]
        return all(states.state_of(slot).rank >= (move, LAST_RANK) for slot in slots)

    def last_ended_install(self, applied: LogIndex) -> LogIndex:
        """The last install entry in the applied log whose move is over.

        Its files may be gone everywhere but in the stores: who has not got it yet needs a snapshot from behind it.
        """
        states, last = self._slots.states, 0
        if self._slots.is_untouched:
            return last
        raft = self._member.raft
        for entry in raft.log.entries(raft.log.snapshot.index + 1, applied):
            if install_in(entry.kind, entry.body):
                deed = read_deed(entry.body)
                if all(states.state_of(slot).rank > (deed.move, 1) for slot in deed.slots):
                    last = entry.index
        return last

    # -- what others pull --------------------------------------------------------------------------------------------

    def offer(self, move: Move, snapshot: StoreSnapshot) -> None:
        """Let the files of a move be read until it is over: nobody needs them here any more then. Any thread.

        Raises `Busy` when it has ended meanwhile.
        """
        offer = self._sender.offer(self._member, snapshot)
        self._offers.setdefault(move.number, []).append(offer)
        if self._slots.states.lowest_rank(move) >= (move.number, LAST_RANK):
            self._sender.withdraw(offer)
            raise Busy(f"move {move.number} is over")

    def offer_paths(self, paths: Sequence[str]) -> None:
        """Let files be read that nothing but a move keeps. Any thread."""
        self._sender.offer_paths(paths)
