"""The arguments of `appendEntries`, written straight from log entries.

Bodies are the bulk of what nodes send to each other. Here each is copied once, into the message: a third of what it
costs to encode every entry and then the struct around them (32 entries of 200 bytes: 7 against 25 microseconds).
"""

import struct
from collections.abc import Iterable
from typing import Any

from iotdb_cluster.types.entries import Entry
from iotdb_cluster.types.identity import EntryId
from iotdb_cluster.wire.binary_walk import STOP
from iotdb_cluster.wire.binary_writers import BinaryWriters
from iotdb_cluster.wire.entries import HEADER
from iotdb_cluster.wire.idl import STRUCTS, Kind

_BEGIN = struct.Struct(">bh bhq bhBi")
_ENTRY = struct.Struct(">iBqqqq")
_HEADER_FIELD = struct.pack(">bh", Kind.STRUCT, 3)
_END = bytes((STOP, STOP))
_write_node = BinaryWriters().writer(STRUCTS["Node"])


class EncodedArguments(tuple[bytes, ...]):
    """Arguments as parts of a message in the strict binary protocol, which `Codec.encode_call` takes as they are.

    A tuple, so that they go wherever arguments go. They name no call and no receiver: the same may be sent to several.
    """

    __slots__ = ()


def append_arguments(term: int, prev: EntryId, entries: Iterable[Entry], header: Any) -> EncodedArguments:
    """What `appendEntries` carries: a chain behind `prev`; `header` is a struct `Node` or None."""
    parts = [b""]
    before_index, before_term = prev.index, prev.term
    for entry in entries:
        index, entry_term, body = entry.index, entry.term, entry.body
        parts += (
            _ENTRY.pack(HEADER.size + len(body), entry.kind, before_index, before_term, index, entry_term),
            body,
        )
        before_index, before_term = index, entry_term
    count = len(parts) // 2
    parts[0] = _BEGIN.pack(Kind.STRUCT, 1, Kind.I64, 1, term, Kind.LIST, 2, Kind.STRING, count)
    if header is not None:
        parts.append(_HEADER_FIELD)
        _write_node(header, parts.append)
    parts.append(_END)
    return EncodedArguments(parts)
