"""Log entries (interface page "Log entry").

`u8 logType | i64 previousIndex | i64 previousTerm | i64 index | i64 term`, then the body.
"""

import struct
from collections.abc import Sequence

from iotdb_cluster.errors import MalformedInput
from iotdb_cluster.types.entries import CloseFile, Entry, EntryKind
from iotdb_cluster.types.identity import EntryId
from iotdb_cluster.wire.payload import PayloadReader, text

HEADER = struct.Struct(">Bqqqq")
_KINDS = frozenset(int(kind) for kind in EntryKind)


def encode_entry(entry: Entry, prev: EntryId) -> bytes:
    """An entry with the identity of the one before it."""
    return HEADER.pack(entry.kind, prev.index, prev.term, entry.index, entry.term) + entry.body


def decode_entry(data: bytes) -> tuple[EntryId, Entry]:
    """The identity of the entry before, and the entry; its body is not looked at.

    Raises `MalformedInput` for bytes that are cut off and for an unknown log type, which it names.
    """
    kind, prev_index, prev_term, index, term = _header(data)
    return EntryId(prev_term, prev_index), Entry(term, index, kind, data[HEADER.size :])


def _header(data: bytes) -> tuple[int, int, int, int, int]:
    if len(data) < HEADER.size:
        raise MalformedInput(f"a log entry of {len(data)} bytes")
    header: tuple[int, int, int, int, int] = HEADER.unpack_from(data)
    if header[0] not in _KINDS:
        raise MalformedInput(f"unknown log type {header[0]}")
    return header


def decode_chain(entries: Sequence[bytes]) -> tuple[EntryId, tuple[Entry, ...]]:
    """What an append carries: the identity before its first entry, and the entries.

    Raises `MalformedInput` when there is none, and when an entry does not name the one before it, does not count on by
    one, or goes back in term: an append is taken or refused whole.
    """
    if not entries:
        raise MalformedInput("an append without entries")
    _, first_index, first_term, _, _ = _header(entries[0])
    if first_index < 0 or first_term < 0:
        raise MalformedInput(f"entries behind index {first_index} of term {first_term}")
    before_index, before_term = first_index, first_term
    chain = []
    for data in entries:
        kind, prev_index, prev_term, index, term = _header(data)
        if prev_index != before_index or prev_term != before_term or index != prev_index + 1 or term < prev_term:
            raise MalformedInput(
                f"no chain: entry {index} of term {term} names {prev_index} of term {prev_term} as the one before it, "
                f"which is {before_index} of term {before_term}"
            )
        chain.append(Entry(term, index, kind, data[HEADER.size :]))
        before_index, before_term = index, term
    return EntryId(first_term, first_index), tuple(chain)


def encode_close_file(body: CloseFile) -> bytes:
    """The body of a CLOSE_FILE entry."""
    return text(body.storage_group) + bytes((body.is_sequence,))


def decode_close_file(data: bytes) -> CloseFile:
    """The body of a CLOSE_FILE entry; raises `MalformedInput`."""
    reader = PayloadReader(data, "CLOSE_FILE")
    body = read_close_file(reader)
    reader.expect_end()
    return body


def read_close_file(reader: PayloadReader) -> CloseFile:
    """The body of a CLOSE_FILE entry within a payload."""
    return CloseFile(reader.text(), reader.boolean())
