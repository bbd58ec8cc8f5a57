"""What clients attempted and learned; unknown is never assumed absent."""

from dataclasses import dataclass, field

from iotdb_cluster.types.entries import Entry, EntryKind
from iotdb_cluster.types.identity import EntryId, LogIndex
from tests.sim.invariants.view import Violation

_PLAN = int(EntryKind.PHYSICAL_PLAN)


@dataclass(slots=True)
class Attempt:
    """One entry that a client proposed: unknown until it is acknowledged, or certainly lost."""

    number: int
    id: EntryId | None = None
    is_acked: bool = False

    @property
    def body(self) -> bytes:
        return b"%d" % self.number


@dataclass(slots=True)
class Read:
    """A strong read: `at_least` is what was acknowledged or read before it was asked."""

    client: int
    at_least: LogIndex


@dataclass(slots=True)
class Oracle:
    """All attempts, and how far acknowledged writes and reads have come."""

    attempts: list[Attempt] = field(default_factory=list)
    level: LogIndex = 0
    """Whatever is asked from now on sees at least this."""
    committed_at: dict[bytes, LogIndex] = field(default_factory=dict)
    reads: int = 0
    refused: int = 0

    def attempt(self) -> Attempt:
        """A client tries to write."""
        attempt = Attempt(len(self.attempts))
        self.attempts.append(attempt)
        return attempt

    def acked(self, attempt: Attempt, index: LogIndex) -> None:
        """A client hears that its write is in."""
        attempt.is_acked = True
        self.level = max(self.level, index)

    def ask(self, client: int) -> Read:
        """A client asks for a strong read."""
        return Read(client, self.level)

    def confirmed(self, read: Read, index: LogIndex, committed_index: LogIndex) -> Violation | None:
        """A read is answered: invariants 28 and 29."""
        self.reads += 1
        if index < read.at_least:
            return Violation(
                29, f"a read at {index} does not see what was acknowledged or read before: {read.at_least}"
            )
        if index > committed_index:
            return Violation(28, f"a read at {index} sees more than was ever committed: {committed_index}")
        self.level = max(self.level, index)
        return None

    def committed(self, entries: tuple[Entry, ...]) -> Violation | None:
        """New entries of the one log: each is an attempt (26), and none is there twice (27)."""
        for entry in entries:
            if entry.kind != _PLAN:
                continue
            if entry.body in self.committed_at:
                return Violation(27, f"{entry} is committed at {self.committed_at[entry.body]}, too")
            if int(entry.body) >= len(self.attempts):
                return Violation(26, f"nobody attempted {entry}")
            self.committed_at[entry.body] = entry.index
        return None

    def lost(self) -> list[Attempt]:
        """Acknowledged attempts that are not in the log where they were acknowledged."""
        return [
            attempt
            for attempt in self.attempts
            if attempt.is_acked and (attempt.id is None or self.committed_at.get(attempt.body) != attempt.id.index)
        ]
