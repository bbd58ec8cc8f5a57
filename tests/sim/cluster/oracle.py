"""What clients attempted and saw: the truth against which the cluster is judged.

An attempt to write is pending, acknowledged, refused (it certainly had no effect) or unknown; unknown is never assumed
absent. Every written value is unique, so a value that is read names its attempt.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum

from tests.sim.linearizability import ABSENT, Operation, Undecided, by_search, by_zones, read, written

Series = str
Key = tuple[Series, int]
"""A series and a timestamp: one register."""


class Fate(Enum):
    """What a client knows of its attempt."""

    PENDING = "pending"
    ACKED = "acknowledged"
    UNKNOWN = "unknown"
    REFUSED = "refused"


@dataclass(slots=True)
class Attempt:
    """One call that writes or deletes. `writes` has the value for each key, ABSENT for one that is deleted."""

    number: int
    client: str
    began_us: int
    writes: dict[Key, object]
    fate: Fate = Fate.PENDING
    ended_us: int | None = None
    answer: str = ""

    @property
    def is_over(self) -> bool:
        return self.fate is not Fate.PENDING

    def __str__(self) -> str:
        return f"attempt {self.number} of {self.client} ({self.fate.value}{': ' if self.answer else ''}{self.answer})"


@dataclass(frozen=True, slots=True)
class Reading:
    """A strong read of one series."""

    client: str
    node: str
    series: Series
    began_us: int
    ended_us: int
    values: Mapping[int, object]
    times: tuple[int, ...]
    """What was asked for: at these times it says what is there, or that nothing is."""


@dataclass(slots=True)
class Oracle:
    """All attempts and readings of a run."""

    attempts: list[Attempt] = field(default_factory=list)
    readings: list[Reading] = field(default_factory=list)
    by_value: dict[object, Attempt] = field(default_factory=dict)

    def begin(self, client: str, now_us: int, writes: Mapping[Key, object]) -> Attempt:
        """An attempt goes out."""
        attempt = Attempt(len(self.attempts) + 1, client, now_us, dict(writes))
        self.attempts.append(attempt)
        for value in attempt.writes.values():
            if value is not ABSENT:
                self.by_value[value] = attempt
        return attempt

    def settle(self, attempt: Attempt, fate: Fate, now_us: int, answer: str = "") -> None:
        """What became of it, as far as its client knows."""
        attempt.fate, attempt.ended_us, attempt.answer = fate, now_us, answer

    def saw(self, reading: Reading) -> str | None:
        """A reading is in; says at once what nobody can have written (invariant 26)."""
        self.readings.append(reading)
        for time, value in reading.values.items():
            attempt = self.by_value.get(value)
            where = f"{reading.series} at {time} on {reading.node}"
            if time not in reading.times:
                return f"{where} was not asked for"
            if attempt is None or attempt.writes.get((reading.series, time)) != value:
                return f"{where} reads {value!r}, which nobody wrote there"
            if attempt.fate is Fate.REFUSED:
                return f"{where} reads {value!r} of {attempt}"
            if attempt.began_us > reading.ended_us:
                return f"{where} reads {value!r} before it was written"
        return None

    def count(self, fate: Fate) -> int:
        """Attempts with this fate."""
        return sum(attempt.fate is fate for attempt in self.attempts)

    def histories(self) -> Iterator[tuple[Key, list[Operation]]]:
        """The history of each key that anybody touched."""
        found: dict[Key, list[Operation]] = {}
        for attempt in self.attempts:
            if attempt.fate is Fate.REFUSED:
                continue
            is_known = attempt.fate is Fate.ACKED and attempt.ended_us is not None
            for key, value in attempt.writes.items():
                ended = {"ended": attempt.ended_us} if is_known else {}
                found.setdefault(key, []).append(written(value, attempt.began_us, **ended))
        for reading in self.readings:
            for time in reading.times:
                value = reading.values.get(time, ABSENT)
                found.setdefault((reading.series, time), []).append(read(value, reading.began_us, reading.ended_us))
        yield from sorted(found.items())

    def faults_of_histories(self) -> Iterator[str]:
        """Keys whose history is not linearizable (invariants 28 and 29)."""
        for (series, time), history in self.histories():
            fault = judge(history)
            if fault is not None:
                yield f"{series} at {time} is not linearizable: {fault}"


def judge(history: Iterable[Operation]) -> str | None:
    """Why a history is not linearizable, by both ways where both can tell."""
    operations = without_unread(history)
    if any(operation.is_write and operation.value is ABSENT for operation in operations):
        try:
            return by_search(operations)
        except Undecided as gave_up:
            return f"undecided: {gave_up}"
    return by_zones(operations)


def without_unread(history: Iterable[Operation]) -> list[Operation]:
    """The history without unknown writes that nobody saw: they may never have happened.

    Leaving one out of an order that explains all reads leaves an order that does; so nothing is judged differently.
    """
    operations = list(history)
    seen = {operation.value for operation in operations if not operation.is_write}
    return [op for op in operations if not (op.is_write and op.is_unknown and op.value not in seen)]
