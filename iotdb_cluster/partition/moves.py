"""The move of slots from one group to another, as values and tables (DESIGN 5.3 to 5.6).

The meta log holds intent and decision (`MoveBook`), the groups' logs hold the deeds (`GroupSlots`). Both change only by
what their own log says, so each can be replayed; an entry that comes late or twice does nothing. What a leader should
propose next follows from the two values it has applied, and from nothing else (`due_deeds`, `due_reports`).
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from enum import Enum
from operator import attrgetter

from iotdb_cluster.errors import MalformedInput
from iotdb_cluster.types.identity import GroupId, Slot


class Deed(Enum):
    """A step in a group's own log."""

    FENCE = "fence"
    INSTALL = "install"
    UNFENCE = "unfence"
    RELEASE = "release"
    OPEN = "open"
    DISCARD = "discard"


class Decision(Enum):
    """How a move ends; whichever is entered first stands."""

    FLIPPED = "flipped"
    ABORTED = "aborted"


class Role(Enum):
    """What a group is in a move."""

    SOURCE = "source"
    TARGET = "target"


NEXT_DEED: dict[tuple[Role, Decision | None], Deed] = {
    (Role.SOURCE, None): Deed.FENCE,
    (Role.TARGET, None): Deed.INSTALL,
    (Role.SOURCE, Decision.FLIPPED): Deed.RELEASE,
    (Role.TARGET, Decision.FLIPPED): Deed.OPEN,
    # After an abort these are entered also where nothing was fenced or installed: they bar late steps (DESIGN 5.3).
    (Role.SOURCE, Decision.ABORTED): Deed.UNFENCE,
    (Role.TARGET, Decision.ABORTED): Deed.DISCARD,
}
"""What the leader of a group proposes, by the move's decision in the meta log that it has applied."""

RANK = {Deed.FENCE: 1, Deed.INSTALL: 1, Deed.UNFENCE: 2, Deed.RELEASE: 2, Deed.OPEN: 2, Deed.DISCARD: 2}
"""Within one move a deed does nothing unless it ranks above the last one; 0 is a slot that no move touched."""

LAST_RANK = 2

Rank = tuple[int, int]
"""A move's number and the rank of its last deed."""

SERVING_AFTER = frozenset({Deed.UNFENCE, Deed.OPEN})
DROPPED_AFTER = frozenset({Deed.RELEASE, Deed.DISCARD})


@dataclass(frozen=True, slots=True)
class Move:
    """A set of slots, ascending, on its way between two groups; moves are numbered by the meta log from 1."""

    number: int
    source: GroupId
    target: GroupId
    slots: tuple[Slot, ...]

    def role_of(self, group: GroupId) -> Role | None:
        """What `group` is in this move, if anything."""
        if group == self.source:
            return Role.SOURCE
        return Role.TARGET if group == self.target else None


@dataclass(frozen=True, slots=True)
class MoveRecord:
    """What the meta log says of a move.

    `copied`: the target has what the source held when it asked, so the fence will be short. `ended`: groups that have
    applied their last deed.
    """

    move: Move
    copied: bool = False
    decision: Decision | None = None
    ended: frozenset[GroupId] = frozenset()

    @property
    def is_over(self) -> bool:
        """True when neither group has anything left to do."""
        return {self.move.source, self.move.target} <= self.ended


_Change = Callable[[MoveRecord], MoveRecord]


@dataclass(frozen=True, slots=True)
class MoveBook:
    """Every move that is not over, by number; `newest` is the last number given.

    Each method returns the book after an entry of that kind; one that has no effect returns the book itself.
    """

    records: tuple[MoveRecord, ...] = ()
    newest: int = 0

    def record(self, number: int) -> MoveRecord | None:
        """The move of that number, unless both groups have ended it."""
        return next((record for record in self.records if record.move.number == number), None)

    @property
    def is_fence_up(self) -> bool:
        """True while the writers of a slot wait, or are about to: between the copy and the decision."""
        return any(record.copied and record.decision is None for record in self.records)

    def intend(self, source: GroupId, target: GroupId, slots: Iterable[Slot]) -> "MoveBook":
        """A new move; raises `MalformedInput` when a slot of it is in a move that is not decided (DESIGN 5.3)."""
        move = Move(self.newest + 1, source, target, tuple(sorted(set(slots))))
        if source == target or not move.slots:
            raise MalformedInput(f"a move of {len(move.slots)} slots from {source} to {target}")
        wanted = set(move.slots)
        for record in self.records:
            shared = wanted & set(record.move.slots)
            if record.decision is None and shared:
                raise MalformedInput(f"slot {min(shared)} is in move {record.move.number}, which is not decided")
        return MoveBook((*self.records, MoveRecord(move)), move.number)

    def report_copied(self, number: int) -> "MoveBook":
        """The target has the bulk of the data: the source may fence."""
        return self._changed(number, lambda record: replace(record, copied=True))

    def decide(self, number: int, decision: Decision) -> "MoveBook":
        """Flip or abort; the first one stands."""
        return self._changed(number, lambda record: record if record.decision else replace(record, decision=decision))

    def report_ended(self, number: int, group: GroupId) -> "MoveBook":
        """`group` has applied its last deed; the move is forgotten when both have."""
        return self._changed(number, lambda record: replace(record, ended=record.ended | {group}))

    def is_readable_behind_fence(self, number: int) -> bool:
        """Whether the old group may serve a strong read of a slot that this very move has fenced (DESIGN 5.6).

        To be asked of a meta state that a ReadIndex has confirmed. A move that is not known any more is a redirect.
        """
        record = self.record(number)
        return record is not None and record.decision is not Decision.FLIPPED

    def _changed(self, number: int, change: _Change) -> "MoveBook":
        record = self.record(number)
        if record is None:
            return self
        changed = change(record)
        if changed == record:
            return self
        kept = (changed if other is record else other for other in self.records)
        return replace(self, records=tuple(each for each in kept if not each.is_over))


@dataclass(frozen=True, slots=True)
class SlotState:
    """What a group knows of one slot: whether it holds its content, and the last move and deed that touched it."""

    is_held: bool
    move: int = 0
    deed: Deed | None = None

    @property
    def rank(self) -> Rank:
        """Only a deed above this has an effect."""
        return self.move, RANK[self.deed] if self.deed else 0

    @property
    def is_serving(self) -> bool:
        """Reads and writes are taken: held, and neither fenced nor installed but not yet opened."""
        return self.is_held and (self.deed is None or self.deed in SERVING_AFTER)

    @property
    def is_fenced(self) -> bool:
        """Held, and a move has stopped its writes."""
        return self.is_held and self.deed is Deed.FENCE

    def after(self, deed: Deed, move: int) -> "SlotState":
        """The state behind an entry; itself when the entry is not above what was there before."""
        if (move, RANK[deed]) <= self.rank:
            return self
        is_held = deed not in DROPPED_AFTER and (self.is_held or deed is Deed.INSTALL)
        return SlotState(is_held, move, deed)


_RANK_OF = attrgetter("rank")

NEVER_HELD = SlotState(is_held=False)
HELD_SINCE_FOUNDING = SlotState(is_held=True)


@dataclass(frozen=True)
class GroupSlots:
    """The slots of one data group as its own log says, and whether the group is closed.

    `known` has every slot that the group holds or once was asked to move.
    """

    known: dict[Slot, SlotState] = field(default_factory=dict)
    is_closed: bool = False
    _lowest: dict[int, Rank] = field(default_factory=dict, init=False, compare=False, repr=False)
    """What `lowest_rank` has found, by the move's number: it is asked again and again while nothing changes."""

    @classmethod
    def founded(cls, slots: Iterable[Slot]) -> "GroupSlots":
        """A group that owns `slots` from its first entry on."""
        return cls(dict.fromkeys(slots, HELD_SINCE_FOUNDING))

    def state_of(self, slot: Slot) -> SlotState:
        """What is known of `slot`; one never heard of is not held."""
        return self.known.get(slot, NEVER_HELD)

    def lowest_rank(self, move: Move) -> Rank:
        """The rank of that slot of a move which has come least far."""
        lowest = self._lowest.get(move.number)
        if lowest is None:
            lowest = min(map(_RANK_OF, map(self.state_of, move.slots)))
            self._lowest[move.number] = lowest
        return lowest

    @property
    def holds_any(self) -> bool:
        """True while the content of any slot is here, installed ones included."""
        return any(state.is_held for state in self.known.values())

    def are_installed(self, move: Move) -> bool:
        """True while this move's install is the last deed of each of its slots."""
        states = map(self.state_of, move.slots)
        return all(state.move == move.number and state.deed is Deed.INSTALL for state in states)

    def after(self, deed: Deed, move: int, slots: Iterable[Slot]) -> tuple["GroupSlots", tuple[Slot, ...]]:
        """The slots behind an entry, and those among them on which it had an effect (ascending).

        A group that is closed takes nothing any more: its moves abort.
        """
        if self.is_closed:
            return self, ()
        changed: dict[Slot, SlotState] = {}
        for slot in sorted(slots):
            before = self.state_of(slot)
            state = before.after(deed, move)
            if state is not before:
                changed[slot] = state
        return GroupSlots({**self.known, **changed}) if changed else self, tuple(changed)

    def after_close(self) -> "GroupSlots":
        """Closed, unless something is held: judged where the entry is applied (DESIGN 5.1)."""
        return self if self.holds_any else replace(self, is_closed=True)


def due_deeds(slots: GroupSlots, book: MoveBook, group: GroupId) -> tuple[tuple[Deed, Move], ...]:
    """What the leader of `group` should enter in its log next, by move; an install waits for its files besides.

    Never derived from who owns a slot: a leader with an old meta log would discard what was flipped (DESIGN 5.3).
    """
    if slots.is_closed:
        return ()
    due: list[tuple[Deed, Move]] = []
    for record in book.records:
        role = record.move.role_of(group)
        if role is None:
            continue
        deed = NEXT_DEED[role, record.decision]
        if deed is Deed.FENCE and not record.copied:
            continue
        if (record.move.number, RANK[deed]) > slots.lowest_rank(record.move):
            due.append((deed, record.move))
    return tuple(due)


class Report(Enum):
    """What a group's leader tells the meta log of a move, once it is applied in the group."""

    FLIP = "flip"
    ENDED = "ended"


def due_reports(slots: GroupSlots, book: MoveBook, group: GroupId) -> tuple[tuple[Report, Move], ...]:
    """What the leader of `group` should enter in the meta log, by what is *applied* in its own.

    A closed group holds nothing and takes nothing, so it has ended every move that is decided.
    """
    due: list[tuple[Report, Move]] = []
    for record in book.records:
        if record.move.role_of(group) is None:
            continue
        number = record.move.number
        lowest = slots.lowest_rank(record.move)
        has_ended = slots.is_closed or lowest >= (number, LAST_RANK)
        if record.decision is None and lowest == (number, RANK[Deed.INSTALL]) and slots.are_installed(record.move):
            due.append((Report.FLIP, record.move))
        elif record.decision is not None and has_ended and group not in record.ended:
            due.append((Report.ENDED, record.move))
    return tuple(due)
