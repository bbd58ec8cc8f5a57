"""Who and where: nodes, groups, terms and log positions."""

from dataclasses import dataclass
from typing import NewType

NodeId = NewType("NodeId", int)
"""A node's identifier, an i32 that is never used again after its node was removed."""

GroupId = NewType("GroupId", int)
"""A Raft group: a data group is named by its header's identifier, the meta group by `META_GROUP`."""

META_GROUP = GroupId(1 << 32)
"""The meta group; outside the i32 range, so that no header can have this name."""

Term = int
LogIndex = int
Slot = int


@dataclass(frozen=True, slots=True, order=True)
class EntryId:
    """The identity of a log entry; compares as Raft compares logs (5.4.1): by term first, then by index."""

    term: Term
    index: LogIndex


BEFORE_FIRST = EntryId(0, 0)
"""What precedes the first entry of a log; entries count from index 1."""


@dataclass(frozen=True, slots=True)
class HardState:
    """What a member must never forget: its term and whom it voted for in it."""

    term: Term = 0
    vote: NodeId | None = None


@dataclass(frozen=True, slots=True)
class Node:
    """A node as the interface names it (struct `Node`)."""

    ip: str
    meta_port: int
    identifier: NodeId
    data_port: int

    @property
    def meta_address(self) -> tuple[str, int]:
        return self.ip, self.meta_port

    @property
    def data_address(self) -> tuple[str, int]:
        return self.ip, self.data_port

    def __str__(self) -> str:
        return f"{self.ip}:{self.meta_port}:{self.data_port}#{self.identifier}"


@dataclass(frozen=True, slots=True, order=True)
class Start:
    """One start of a node: a count and a number drawn at random (DESIGN 3, "Starts")."""

    count: int
    random: int
