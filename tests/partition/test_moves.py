"""The move of slots keeps in step with the searched model of the written rules (tests/models/slot_move.py)."""

from collections.abc import Iterator

import pytest

from iotdb_cluster.errors import MalformedInput
from iotdb_cluster.partition.moves import (
    Decision,
    Deed,
    GroupSlots,
    MoveBook,
    Report,
    due_deeds,
    due_reports,
)
from iotdb_cluster.types.identity import GroupId
from tests.models.slot_move import Model

SLOT = 7
A, B = GroupId(0), GroupId(1)


def group_slots(group: int, log: tuple[tuple[object, ...], ...]) -> GroupSlots:
    """What the code makes of a group's log in the model's notation."""
    slots = GroupSlots()
    for entry in log:
        match entry:
            case ("init", *_):
                slots = GroupSlots.founded([SLOT])
            case ("w", _):
                assert slots.state_of(SLOT).is_serving, "the model applied a write that the code would refuse"
            case ("close",):
                slots = slots.after_close()
            case (deed, int(number), *_):
                slots, changed = slots.after(Deed(deed), number, [SLOT])
                assert (SLOT,) == changed, f"{deed} of move {number} had an effect in the model only"
    return slots


def move_book(meta: tuple[tuple[object, ...], ...]) -> MoveBook:
    """What the code makes of the meta log in the model's notation; the copy is over at once."""
    book = MoveBook()
    for entry in meta:
        match entry:
            case ("I", int(number), int(source), int(target)):
                book = book.intend(GroupId(source), GroupId(target), [SLOT]).report_copied(number)
            case ("F", int(number)):
                book = book.decide(number, Decision.FLIPPED)
            case ("A", int(number)):
                book = book.decide(number, Decision.ABORTED)
            case ("E", int(number), int(group)):
                book = book.report_ended(number, GroupId(group))
    return book


def model_proposals(model: Model, state: tuple) -> set[tuple[object, ...]]:
    """What the freshest members may propose in the model and has an effect, without contents."""
    meta, logs = state[0], state[1]
    moves = model.meta_state(meta)[1]
    wanted: set[tuple[object, ...]] = set()
    for where, entry in model.proposals(meta, logs, True):
        if where == "meta":
            by_a_stranger = entry[0] == "E" and entry[2] not in moves[entry[1]][:2]  # the model is that generous
            if entry[0] != "C" and not by_a_stranger and model.meta_effective(meta, logs, entry):
                wanted.add(("meta", *entry))
        elif entry != ("close",) and model.effective(logs[where], entry):
            wanted.add((where, entry[0], entry[1]))
    return wanted


def code_proposals(book: MoveBook, groups: list[GroupSlots]) -> set[tuple[object, ...]]:
    wanted: set[tuple[object, ...]] = set()
    for number, slots in enumerate(groups):
        group = GroupId(number)
        for deed, move in due_deeds(slots, book, group):
            # The files of an install come from a member of the source that has applied the fence.
            if deed is not Deed.INSTALL or groups[move.source].state_of(SLOT).rank >= (move.number, 1):
                wanted.add((number, deed.value, move.number))
        for report, move in due_reports(slots, book, group):
            wanted.add(("meta", "F", move.number) if report is Report.FLIP else ("meta", "E", move.number, number))
    return wanted


def reachable(model: Model, limit: int) -> Iterator[tuple]:
    """States in the order of a breadth-first search."""
    seen = {model.initial()}
    queue = list(seen)
    while queue and len(seen) < limit:
        state = queue.pop(0)
        yield state
        for _, after, fault in model.steps(state):
            assert fault is None
            if after not in seen:
                seen.add(after)
                queue.append(after)
    yield from queue


@pytest.mark.parametrize(
    "options",
    [
        {"groups": 2, "moves": 2, "ops": 1, "reads": False, "remember": "both_ends"},
        {"groups": 3, "moves": 2, "ops": 0, "reads": False, "remember": "both_ends"},
        {"groups": 2, "moves": 2, "ops": 0, "reads": False, "closes": True, "remember": "both_ends"},
    ],
    ids=["two groups", "three groups", "groups that close"],
)
def test_logs_states_and_proposals_are_those_of_the_model(options: dict[str, object]) -> None:
    model = Model(**options)
    compared = 0
    for state in reachable(model, limit=4_000):
        meta, logs = state[0], state[1]
        book = move_book(meta)
        groups = [group_slots(number, log) for number, log in enumerate(logs)]
        for log, slots in zip(logs, groups, strict=True):
            content, move, step, is_closed = model.group_state(log)
            held = slots.state_of(SLOT)
            assert (content is not None, is_closed) == (held.is_held, slots.is_closed)
            assert (move, step) == (held.move, held.deed.value if held.deed else "init" if held.is_held else "none")
            assert model.serving(log) == (held.is_serving and not slots.is_closed)
        kept = {record.move.number: record for record in book.records}
        rows = model.meta_state(meta)[1]
        assert set(rows) == set(kept)
        for number, (_, _, decision, ended) in rows.items():
            assert {None: None, "F": Decision.FLIPPED, "A": Decision.ABORTED}[decision] == kept[number].decision
            assert ended == kept[number].ended
        wanted = code_proposals(book, groups)
        if options.get("closes"):  # a closed group reports its end besides, which the model leaves out
            closed = {number for number, slots in enumerate(groups) if slots.is_closed}
            wanted = {each for each in wanted if not (each[1] == "E" and each[-1] in closed)}
        assert model_proposals(model, state) == wanted
        compared += 1
    assert compared > 1_000


def test_the_fence_waits_for_the_copy() -> None:
    book = MoveBook().intend(A, B, [1, 2])
    source = GroupSlots.founded([1, 2, 3])
    assert () == due_deeds(source, book, A)
    assert [(Deed.FENCE, book.records[0].move)] == list(due_deeds(source, book.report_copied(1), A))


def test_a_slot_moves_again_only_when_the_move_before_is_decided() -> None:
    book = MoveBook().intend(A, B, [1, 2])
    with pytest.raises(MalformedInput, match="slot 2 is in move 1"):
        book.intend(B, A, [2, 3])
    again = book.decide(1, Decision.ABORTED).intend(B, A, [2, 3])
    assert 2 == again.newest
    assert again == again.decide(1, Decision.FLIPPED)  # the first decision stands


def test_what_is_fenced_is_read_only_while_this_very_move_may_still_abort() -> None:
    book = MoveBook().intend(A, B, [1])
    assert book.is_readable_behind_fence(1)
    assert book.decide(1, Decision.ABORTED).is_readable_behind_fence(1)
    flipped = book.decide(1, Decision.FLIPPED)
    assert not flipped.is_readable_behind_fence(1)
    forgotten = flipped.report_ended(1, A).report_ended(1, B)
    assert () == forgotten.records
    assert not forgotten.is_readable_behind_fence(1)


def test_slots_of_one_move_are_judged_one_by_one() -> None:
    slots, changed = GroupSlots.founded([1, 2]).after(Deed.FENCE, 4, [1])
    assert (1,) == changed
    slots, changed = slots.after(Deed.FENCE, 4, [1, 2])
    assert (2,) == changed
    assert not slots.state_of(1).is_serving
    slots, changed = slots.after(Deed.FENCE, 3, [1, 2])  # late
    assert () == changed


def test_a_group_closes_only_when_it_holds_nothing() -> None:
    slots = GroupSlots.founded([1])
    assert slots == slots.after_close()
    released, _ = slots.after(Deed.RELEASE, 1, [1])
    closed = released.after_close()
    assert closed.is_closed
    assert (closed, ()) == closed.after(Deed.INSTALL, 2, [1])
