"""What moves write into logs and snapshots comes back as it was, and nothing else is taken."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iotdb_cluster.errors import MalformedInput
from iotdb_cluster.members.meta.codec import Reader, Writer
from iotdb_cluster.members.moves.codec import (
    GroupDeed,
    Intent,
    MetaStep,
    Progress,
    deed_payload,
    install_in,
    intend_payload,
    progress_payload,
    read_book,
    read_deed,
    read_group_slots,
    read_meta_step,
    write_book,
    write_group_slots,
)
from iotdb_cluster.partition.moves import Decision, Deed, GroupSlots, MoveBook
from iotdb_cluster.types.entries import EntryKind
from iotdb_cluster.types.identity import META_GROUP, GroupId

A, B = GroupId(11), GroupId(-7)
slots = st.sets(st.integers(0, 9_999), min_size=1, max_size=60).map(lambda found: tuple(sorted(found)))


@settings(max_examples=50)
@given(slots)
def test_an_intent_comes_back(moved: tuple[int, ...]) -> None:
    payload = intend_payload(A, B, reversed(moved))
    assert EntryKind.MOVE_STEP == payload.kind
    assert Intent(A, B, moved) == read_meta_step(Reader(payload.body))


@pytest.mark.parametrize("step", [MetaStep.COPIED, MetaStep.FLIP, MetaStep.ABORT, MetaStep.ENDED])
def test_every_other_step_of_the_meta_log_comes_back(step: MetaStep) -> None:
    group = B if step is MetaStep.ENDED else META_GROUP
    reader = Reader(progress_payload(step, 1 << 40, group).body)
    assert Progress(step, 1 << 40, group) == read_meta_step(reader)
    reader.end()


@pytest.mark.parametrize("deed", list(Deed))
@settings(max_examples=20)
@given(moved=slots, content=st.binary(max_size=40))
def test_every_deed_comes_back_and_an_install_with_its_content(
    deed: Deed, moved: tuple[int, ...], content: bytes
) -> None:
    brings = deed is Deed.INSTALL
    entered = GroupDeed(deed, 3, moved, 77 if brings else 0, content if brings else b"")
    payload = deed_payload(entered)
    assert entered == read_deed(payload.body)
    assert brings == install_in(payload.kind, payload.body)
    for cut in range(len(payload.body)):
        with pytest.raises(MalformedInput):
            read_deed(payload.body[:cut])
    with pytest.raises(MalformedInput):
        read_deed(payload.body + b"\0")


@settings(max_examples=60)
@given(st.lists(st.tuples(st.sampled_from(list(Deed)), st.integers(1, 9), slots), max_size=8), slots)
def test_the_slots_of_a_group_come_back(deeds: list[tuple[Deed, int, tuple[int, ...]]], own: tuple[int, ...]) -> None:
    held = GroupSlots.founded(own)
    for deed, move, moved in deeds:
        held, _ = held.after(deed, move, moved)
    writer = Writer()
    write_group_slots(writer, held)
    reader = Reader(writer.bytes())
    assert held == read_group_slots(reader)
    reader.end()


def test_a_book_comes_back() -> None:
    book = MoveBook().intend(A, B, [1, 2, 5]).intend(B, A, [7]).intend(A, B, [9])
    book = book.report_copied(1).decide(1, Decision.FLIPPED).report_ended(1, B).decide(2, Decision.ABORTED)
    writer = Writer()
    write_book(writer, book)
    reader = Reader(writer.bytes())
    assert book == read_book(reader)
    reader.end()


@pytest.mark.parametrize("body", [b"", b"\x09" + bytes(8), b"\x01" + bytes(8) + b"\x7f\xff\xff\xff"])
def test_what_is_no_step_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedInput):
        read_meta_step(Reader(body))


def test_a_run_that_cannot_be_takes_no_memory() -> None:
    writer = Writer()
    writer.raw(b"\0")
    writer.i32(1)
    writer.i32(0)
    writer.i32(2_000_000_000)
    writer.raw(bytes(10))
    with pytest.raises(MalformedInput):
        read_group_slots(Reader(writer.bytes()))
