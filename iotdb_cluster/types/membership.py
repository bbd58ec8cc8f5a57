"""Who belongs to a Raft group, as a value that a log entry carries."""

import struct
from dataclasses import dataclass

from iotdb_cluster.errors import MalformedInput
from iotdb_cluster.types.identity import NodeId

_COUNT = struct.Struct(">H")
MAX_MEMBERS = 1024


@dataclass(frozen=True, slots=True)
class Membership:
    """Voters, learners and, while a change is joint, the voters before it (`outgoing`).

    Invariants: there is a voter; a learner is no voter, old or new; `outgoing` is empty unless the change is joint.
    """

    voters: frozenset[NodeId]
    learners: frozenset[NodeId] = frozenset()
    outgoing: frozenset[NodeId] = frozenset()

    def __post_init__(self) -> None:
        if not self.voters:
            raise MalformedInput("a membership without voters")
        if self.learners & (self.voters | self.outgoing):
            raise MalformedInput(f"learners {sorted(self.learners)} are voters, too")

    @property
    def is_joint(self) -> bool:
        return bool(self.outgoing)

    @property
    def all_voters(self) -> frozenset[NodeId]:
        """Voters of either half."""
        return self.voters | self.outgoing

    @property
    def members(self) -> frozenset[NodeId]:
        """Everyone who is sent entries: voters of either half and learners."""
        return self.voters | self.outgoing | self.learners

    def has_quorum(self, who: frozenset[NodeId] | set[NodeId]) -> bool:
        """True when `who` holds a majority of the voters, and of the outgoing ones while the change is joint."""
        return all(2 * len(half & who) > len(half) for half in (self.voters, self.outgoing) if half)

    def encode(self) -> bytes:
        """Three sorted lists of i32, each behind an i16 count: the head of a MEMBERSHIP entry's body."""
        parts: list[bytes] = []
        for half in (self.voters, self.learners, self.outgoing):
            parts.append(_COUNT.pack(len(half)))
            parts.append(struct.pack(f">{len(half)}i", *sorted(half)))
        return b"".join(parts)

    @classmethod
    def decode(cls, data: bytes, offset: int = 0) -> tuple["Membership", int]:
        """The membership at `offset` and the offset behind it; raises `MalformedInput`."""
        halves: list[frozenset[NodeId]] = []
        for _ in range(3):
            if offset + 2 > len(data):
                raise MalformedInput("a membership that is cut off")
            (count,) = _COUNT.unpack_from(data, offset)
            offset += 2
            if count > MAX_MEMBERS or offset + 4 * count > len(data):
                raise MalformedInput(f"a membership of {count} members that is cut off")
            ids = struct.unpack_from(f">{count}i", data, offset)
            offset += 4 * count
            if list(ids) != sorted(set(ids)):
                raise MalformedInput("members that are not in ascending order")
            halves.append(frozenset(NodeId(i) for i in ids))
        return cls(voters=halves[0], learners=halves[1], outgoing=halves[2]), offset
