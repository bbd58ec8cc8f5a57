"""Log entries: a position, a kind, and bytes that only the state machine reads."""

from dataclasses import dataclass
from enum import IntEnum

from iotdb_cluster.types.identity import EntryId, LogIndex, Term
from iotdb_cluster.types.membership import Membership


class EntryKind(IntEnum):
    """The log type byte (interface page "Log entry"); from 16 up they are this project's own."""

    ADD_NODE = 0
    PHYSICAL_PLAN = 1
    CLOSE_FILE = 2
    REMOVE_NODE = 3
    EMPTY_CONTENT = 4
    MEMBERSHIP = 16
    """Body: an encoded `Membership`, then what the state machine wants to know with it (often nothing)."""
    NODE_STARTED = 17
    """Meta log. Body: i32 identifier, i64 count, i64 random: a start that every member knows from now on."""
    MOVE_STEP = 18
    """A step of a slot move, in the meta log or a data group's log."""
    ACCOUNT = 20
    """Meta log: a change of users, roles or privileges."""
    GROUP_MEMBERS = 21
    """Meta log. Body: i32 header, i64 index, i32 count, i32 voters: what a data group has committed there."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a log.

    `body` is what follows the four i64 of the mirrored layout, exactly as it came: it is passed on, stored and sent
    without being decoded.
    """

    term: Term
    index: LogIndex
    kind: int
    body: bytes

    @property
    def id(self) -> EntryId:
        return EntryId(self.term, self.index)

    @property
    def size_bytes(self) -> int:
        """What the entry takes on the wire: its body and the mirrored header of 33 bytes."""
        return len(self.body) + 33

    @property
    def membership(self) -> Membership | None:
        """The membership this entry puts in force, if it is of that kind."""
        if self.kind != EntryKind.MEMBERSHIP:
            return None
        return Membership.decode(self.body)[0]


@dataclass(frozen=True, slots=True)
class Payload:
    """An entry before it has a position: what is proposed."""

    kind: int
    body: bytes


@dataclass(frozen=True, slots=True)
class CloseFile:
    """The body of a CLOSE_FILE entry: a storage group's open files are sealed.

    `is_sequence` tells the original's two kinds of files apart; here it is kept and means nothing.
    """

    storage_group: str
    is_sequence: bool
