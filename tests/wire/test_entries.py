"""Entries as an append carries them: a chain or nothing, and written without detours."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iotdb_cluster.errors import MalformedInput
from iotdb_cluster.types.entries import Entry, EntryKind
from iotdb_cluster.types.identity import BEFORE_FIRST, EntryId
from iotdb_cluster.wire import structs
from iotdb_cluster.wire.append_call import append_arguments
from iotdb_cluster.wire.codec import Codec
from iotdb_cluster.wire.entries import decode_chain, decode_entry, encode_entry
from iotdb_cluster.wire.header import Protocol
from tests.wire import strategies

CODEC = Codec()
EMPTY = EntryKind.EMPTY_CONTENT


def chain(*entries: Entry, prev: EntryId = BEFORE_FIRST) -> list[bytes]:
    """Entries, each with the identity of the one before it."""
    encoded = []
    for entry in entries:
        encoded.append(encode_entry(entry, prev))
        prev = entry.id
    return encoded


def test_a_chain_is_read_with_what_stands_before_it() -> None:
    entries = (Entry(3, 8, EMPTY, b""), Entry(3, 9, EntryKind.PHYSICAL_PLAN, b"plan"), Entry(5, 10, 17, b"own"))
    assert (EntryId(2, 7), entries) == decode_chain(chain(*entries, prev=EntryId(2, 7)))


def test_the_first_entry_of_a_data_group_may_have_term_zero() -> None:
    founding = Entry(0, 1, EntryKind.MEMBERSHIP, b"members")
    assert (BEFORE_FIRST, (founding,)) == decode_chain(chain(founding))


NO_CHAINS: dict[str, tuple[list[bytes], str]] = {
    "nothing": ([], "without entries"),
    "a gap": (chain(Entry(1, 1, EMPTY, b"")) + chain(Entry(1, 3, EMPTY, b""), prev=EntryId(1, 2)), "no chain"),
    "an entry that does not count on": (chain(Entry(1, 5, EMPTY, b""), prev=EntryId(1, 3)), "no chain"),
    "the same entry again": (chain(Entry(1, 1, EMPTY, b"")) * 2, "no chain"),
    "another term before": (
        chain(Entry(1, 1, EMPTY, b"")) + chain(Entry(3, 2, EMPTY, b""), prev=EntryId(2, 1)),
        "no chain: entry 2 of term 3 names 1 of term 2 as the one before it, which is 1 of term 1",
    ),
    "a term that goes back": (chain(Entry(2, 1, EMPTY, b""), Entry(1, 2, EMPTY, b"")), "no chain"),
    "what precedes no log": (chain(Entry(0, 0, EMPTY, b""), prev=EntryId(-1, -1)), "behind index -1"),
    "an unknown kind": (chain(Entry(1, 1, 99, b"")), "unknown log type 99"),
    "half an entry": ([chain(Entry(1, 1, EMPTY, b""))[0][:20]], "a log entry of 20 bytes"),
}


@pytest.mark.parametrize("name", NO_CHAINS)
def test_what_is_no_chain_is_refused_whole(name: str) -> None:
    entries, why = NO_CHAINS[name]
    with pytest.raises(MalformedInput, match=why):
        decode_chain(entries)


def test_an_unknown_log_type_is_named() -> None:
    for kind in {*range(256)} - {int(kind) for kind in EntryKind}:
        with pytest.raises(MalformedInput, match=f"unknown log type {kind}$"):
            decode_entry(bytes((kind,)) + bytes(32))


@pytest.mark.parametrize("protocol", Protocol)
def test_arguments_written_straight_from_entries_are_those_of_the_struct(protocol: Protocol) -> None:
    node = structs.Node(ip="127.0.0.1", metaPort=9003, nodeIdentifier=5, dataPort=40010)

    @settings(max_examples=50, deadline=None)
    @given(
        strategies.i64s, strategies.identities, st.lists(strategies.entries, max_size=4), st.sampled_from([None, node])
    )
    def equal(term: int, prev: EntryId, entries: list[Entry], header: Any) -> None:
        request = structs.AppendEntriesRequest(term=term, entries=chain(*entries, prev=prev), header=header)

        def call(args: Any) -> bytes:
            return CODEC.encode_call("DataExtension", "appendEntries", args, seqid=9, protocol=protocol)

        assert call((request,)) == call(append_arguments(term, prev, entries, header))

    equal()
