"""Bytes of slot moves: entries of the meta log, entries of the groups' logs, and what snapshots keep of both.

All entries are of kind MOVE_STEP and begin with a byte that says which step. Slots are written as runs of neighbours.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from itertools import groupby
from typing import TypeVar

from iotdb_cluster.errors import MalformedInput
from iotdb_cluster.members.meta.codec import Reader, Writer
from iotdb_cluster.partition.moves import NEVER_HELD, Decision, Deed, GroupSlots, Move, MoveBook, MoveRecord, SlotState
from iotdb_cluster.types.entries import EntryKind, Payload
from iotdb_cluster.types.identity import META_GROUP, GroupId, LogIndex, Slot

T = TypeVar("T")

MAX_SLOTS = 1_000_000
RUN_BYTES = 8
_DEEDS = {Deed.FENCE: 1, Deed.INSTALL: 2, Deed.UNFENCE: 3, Deed.RELEASE: 4, Deed.OPEN: 5, Deed.DISCARD: 6}
_DEED_OF = {number: deed for deed, number in _DEEDS.items()}
_DECISIONS: dict[Decision | None, int] = {None: 0, Decision.FLIPPED: 1, Decision.ABORTED: 2}
_DECISION_OF = {number: decision for decision, number in _DECISIONS.items()}


class MetaStep(IntEnum):
    """The first byte of a MOVE_STEP entry in the meta log."""

    INTEND = 1
    """`i32 source | i32 target | slots`: a new move, numbered by the log."""
    COPIED = 2
    """`i64 move`: the target has the bulk, the source may fence."""
    FLIP = 3
    """`i64 move`: the target has installed; it owns the slots from here on, unless the move was aborted before."""
    ABORT = 4
    """`i64 move`: unless it was flipped before, the source keeps the slots."""
    ENDED = 5
    """`i64 move | i32 group`: a group has applied its last deed of the move."""


@dataclass(frozen=True, slots=True)
class Intent:
    """INTEND: a set of slots is to go from one group to another."""

    source: GroupId
    target: GroupId
    slots: tuple[Slot, ...]


@dataclass(frozen=True, slots=True)
class Progress:
    """Any other step of the meta log; `group` is who has ended the move, of that step alone."""

    step: MetaStep
    move: int
    group: GroupId = META_GROUP


@dataclass(frozen=True, slots=True)
class GroupDeed:
    """A deed in a group's log.

    `content` is what an install brings: a manifest, as the store that offered it wrote it. `fence_index` is where the
    fence stands in the source's log that the content reaches to.
    """

    deed: Deed
    move: int
    slots: tuple[Slot, ...]
    fence_index: LogIndex = 0
    content: bytes = b""


def intend_payload(source: GroupId, target: GroupId, slots: Iterable[Slot]) -> Payload:
    """The entry of a new move."""
    writer = Writer()
    writer.raw(MetaStep.INTEND.to_bytes())
    writer.i32(source)
    writer.i32(target)
    write_slots(writer, slots)
    return Payload(EntryKind.MOVE_STEP, writer.bytes())


def progress_payload(step: MetaStep, move: int, group: GroupId = META_GROUP) -> Payload:
    """The entry of any other step in the meta log."""
    writer = Writer()
    writer.raw(step.to_bytes())
    writer.i64(move)
    if step is MetaStep.ENDED:
        writer.i32(group)
    return Payload(EntryKind.MOVE_STEP, writer.bytes())


def read_meta_step(reader: Reader) -> Intent | Progress:
    """The body of a MOVE_STEP entry of the meta log."""
    number = reader.raw(1)[0]
    if number == MetaStep.INTEND:
        return Intent(GroupId(reader.i32()), GroupId(reader.i32()), read_slots(reader))
    try:
        step = MetaStep(number)
    except ValueError:
        raise MalformedInput(f"{number} is no step of a move") from None
    move = reader.i64()
    return Progress(step, move, GroupId(reader.i32()) if step is MetaStep.ENDED else META_GROUP)


def deed_payload(deed: GroupDeed) -> Payload:
    """The entry of a deed in a data group's log."""
    writer = Writer()
    writer.raw(_DEEDS[deed.deed].to_bytes())
    writer.i64(deed.move)
    write_slots(writer, deed.slots)
    if deed.deed is Deed.INSTALL:
        writer.i64(deed.fence_index)
        writer.i32(len(deed.content))
        writer.raw(deed.content)
    return Payload(EntryKind.MOVE_STEP, writer.bytes())


def read_deed(body: bytes) -> GroupDeed:
    """The body of a MOVE_STEP entry of a data group's log, all of it; raises `MalformedInput`."""
    reader = Reader(body)
    deed = _known(_DEED_OF, reader.raw(1)[0], "deed")
    found = GroupDeed(deed, reader.i64(), read_slots(reader))
    if deed is Deed.INSTALL:
        fence_index = reader.i64()
        found = GroupDeed(deed, found.move, found.slots, fence_index, reader.raw(reader.i32()))
    reader.end()
    return found


def install_in(kind: int, body: bytes) -> bool:
    """True for an entry of a data group that installs a move, seen by its first byte alone."""
    return kind == EntryKind.MOVE_STEP and body[:1] == _DEEDS[Deed.INSTALL].to_bytes()


# -- what snapshots keep -----------------------------------------------------------------------------------------------


def write_book(writer: Writer, book: MoveBook) -> None:
    """`i64 newest | records`, in the order in which they were intended."""

    def write_record(record: MoveRecord) -> None:
        move = record.move
        writer.i64(move.number)
        writer.i32(move.source)
        writer.i32(move.target)
        write_slots(writer, move.slots)
        writer.raw(bytes((record.copied, _DECISIONS[record.decision])))
        writer.each(sorted(record.ended), writer.i32)

    writer.i64(book.newest)
    writer.each(book.records, write_record)


def read_book(reader: Reader) -> MoveBook:
    """The counterpart of `write_book`."""

    def read_record() -> MoveRecord:
        move = Move(reader.i64(), GroupId(reader.i32()), GroupId(reader.i32()), read_slots(reader))
        copied, decision = reader.raw(2)
        ended = frozenset(map(GroupId, reader.each(reader.i32, 4)))
        return MoveRecord(move, bool(copied), _known(_DECISION_OF, decision, "decision"), ended)

    newest = reader.i64()
    return MoveBook(reader.each(read_record, 26), newest)


def write_group_slots(writer: Writer, slots: GroupSlots) -> None:
    """`u8 closed | runs (i32 first | i32 count | u8 held | i64 move | u8 deed)`, ascending."""
    writer.raw(bytes((slots.is_closed,)))
    runs: list[tuple[Slot, int, SlotState]] = []
    first, count, last = 0, 0, NEVER_HELD
    for slot in sorted(slots.known):
        state = slots.known[slot]
        if slot == first + count and (state is last or state == last):
            count += 1
            continue
        if count:
            runs.append((first, count, last))
        first, count, last = slot, 1, state
    if count:
        runs.append((first, count, last))

    def write_run(run: tuple[Slot, int, SlotState]) -> None:
        first, count, state = run
        writer.i32(first)
        writer.i32(count)
        writer.raw(bytes((state.is_held,)))
        writer.i64(state.move)
        writer.raw(bytes((_DEEDS[state.deed] if state.deed else 0,)))

    writer.each(runs, write_run)


def read_group_slots(reader: Reader) -> GroupSlots:
    """The counterpart of `write_group_slots`."""
    known: dict[Slot, SlotState] = {}

    def read_run() -> None:
        first, count = reader.i32(), reader.i32()
        if first < 0 or not 0 < count <= MAX_SLOTS - len(known):
            raise MalformedInput(f"a run of {count} slots at {first}")
        is_held = bool(reader.raw(1)[0])
        move, deed = reader.i64(), reader.raw(1)[0]
        state = SlotState(is_held, move, _known(_DEED_OF, deed, "deed") if deed else None)
        known.update(dict.fromkeys(range(first, first + count), state))

    is_closed = bool(reader.raw(1)[0])
    reader.each(read_run, 18)
    return GroupSlots(known, is_closed)


def write_slots(writer: Writer, slots: Iterable[Slot]) -> None:
    """Runs of `i32 first | i32 count`, ascending."""
    runs = [
        [slot for _, slot in run] for _, run in groupby(enumerate(sorted(set(slots))), key=lambda at: at[1] - at[0])
    ]

    def write_run(run: list[Slot]) -> None:
        writer.i32(run[0])
        writer.i32(len(run))

    writer.each(runs, write_run)


def read_slots(reader: Reader) -> tuple[Slot, ...]:
    """The counterpart of `write_slots`."""
    found: list[Slot] = []

    def read_run() -> None:
        first, count = reader.i32(), reader.i32()
        if first < 0 or not 0 < count <= MAX_SLOTS - len(found) or (found and first <= found[-1]):
            raise MalformedInput(f"a run of {count} slots at {first}")
        found.extend(range(first, first + count))

    reader.each(read_run, RUN_BYTES)
    return tuple(found)


def _known(values: dict[int, T], key: int, what: str) -> T:
    try:
        return values[key]
    except KeyError:
        raise MalformedInput(f"{key} is no {what} of a move") from None
