"""Is a history of one register linearizable? Two ways to find out, which check each other.

`by_zones`: Gibbons and Korach (1997), for histories in which no two writes have the same value; O(n log n).
`by_search`: Wing and Gong (1993) with Lowe's memo, for any history, deletions included; within a budget of states.

A key is one (series, timestamp). A deletion is a write of `ABSENT`. Times are those of the caller: an operation
precedes another one when it ended before the other one began; equal times count as overlapping.
"""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import inf

ABSENT = None
"""What a register holds before the first write and after a deletion."""


@dataclass(frozen=True, slots=True)
class Operation:
    """A write or a read of one register.

    `ended` is infinity for a write whose outcome is unknown: it takes effect at any time after `began`, or never.
    A read without an answer says nothing and is left out of a history.
    """

    is_write: bool
    value: object
    began: float
    ended: float

    @property
    def is_unknown(self) -> bool:
        return self.ended == inf


def written(value: object, began: float, ended: float = inf) -> Operation:
    """A write; without an end its outcome is unknown."""
    return Operation(True, value, began, ended)


def read(value: object, began: float, ended: float) -> Operation:
    """A read that was answered."""
    return Operation(False, value, began, ended)


@dataclass(frozen=True, slots=True)
class _Zone:
    """All operations on one value: from the least end to the greatest beginning.

    Forward (`least_end < greatest_beginning`): the register held this value all that time. Backward: some moment of the
    zone is enough.
    """

    value: object
    least_end: float
    greatest_beginning: float

    @property
    def is_forward(self) -> bool:
        return self.least_end < self.greatest_beginning


def by_zones(history: Iterable[Operation]) -> str | None:
    """Why the history is not linearizable, or None. Raises `ValueError` when two writes have the same value."""
    writes: dict[object, Operation] = {ABSENT: written(ABSENT, -inf, -inf)}
    reads: list[Operation] = []
    for operation in history:
        if not operation.is_write:
            reads.append(operation)
        elif operation.value in writes:
            raise ValueError(f"{operation.value!r} is written twice: zones can't tell the writes apart")
        else:
            writes[operation.value] = operation
    clusters: dict[object, list[Operation]] = {v: [w] for v, w in writes.items() if not w.is_unknown}
    for operation in reads:
        write = writes.get(operation.value)
        if write is None:
            return f"{operation.value!r} was read and never written"
        if operation.ended < write.began:
            return f"{operation.value!r} was read before it was written"
        # An unknown write that was read has happened; its own end says nothing.
        clusters.setdefault(operation.value, [write]).append(operation)
    zones = [
        _Zone(value, min(op.ended for op in cluster), max(op.began for op in cluster))
        for value, cluster in clusters.items()
    ]
    return _conflict(zones)


def _conflict(zones: Sequence[_Zone]) -> str | None:
    """Two zones can't be put in a row when each has an operation that ended before one of the other began."""
    forward = sorted((zone for zone in zones if zone.is_forward), key=lambda zone: zone.least_end)
    for one, other in itertools.pairwise(forward):
        if other.least_end < one.greatest_beginning:
            return f"{one.value!r} and {other.value!r} were both there at {other.least_end}"
    # The forward zones do not overlap now, so a backward one can lie inside only in one of them.
    backward = sorted((zone for zone in zones if not zone.is_forward), key=lambda zone: zone.greatest_beginning)
    place = 0
    for zone in backward:
        while place < len(forward) and forward[place].greatest_beginning <= zone.greatest_beginning:
            place += 1
        if place < len(forward):
            around = forward[place]
            if around.least_end < zone.greatest_beginning and zone.least_end < around.greatest_beginning:
                return f"{zone.value!r} has no place: {around.value!r} was there all the time"
    return None


class Undecided(Exception):
    """The budget of states ran out: to be treated as a failure."""


def by_search(history: Iterable[Operation], budget: int = 200_000) -> str | None:
    """Why the history is not linearizable, or None; raises `Undecided` after `budget` states."""
    operations = _that_matter(sorted(history, key=lambda operation: (operation.began, operation.ended)))
    known = 0  # those that must find a place
    for position, operation in enumerate(operations):
        known |= (not operation.is_unknown) << position
    done, value = 0, ABSENT
    seen: set[tuple[int, object]] = {(done, value)}
    ways: list[tuple[int, object]] = [(done, value)]
    furthest = 0
    while ways:
        done, value = ways.pop()
        if done & known == known:
            return None
        furthest = max(furthest, (done & known).bit_count())
        tried: list[object] = []
        for position in _next(operations, done):
            operation = operations[position]
            if not operation.is_write and operation.value != value:
                continue
            if operation.is_unknown:
                # Of those that write the same and may come at any time the one that began first will do.
                if operation.value in tried:
                    continue
                tried.append(operation.value)
            after = done | 1 << position, operation.value if operation.is_write else value
            if after not in seen:
                if len(seen) >= budget:
                    raise Undecided(f"{len(operations)} operations, {budget} states")
                seen.add(after)
                ways.append(after)
    return f"at most {furthest} of {known.bit_count()} operations can be put in a row"


def _that_matter(operations: Sequence[Operation]) -> list[Operation]:
    """All but the writes that perhaps never took effect and that no read saw: without them the reads see the same."""
    seen = [operation.value for operation in operations if not operation.is_write]
    return [operation for operation in operations if not operation.is_unknown or operation.value in seen]


def _next(operations: Sequence[Operation], done: int) -> list[int]:
    """Positions of the operations that may come next: begun before any of the others ended."""
    left = [position for position in range(len(operations)) if not done >> position & 1]
    first_end = min((operations[position].ended for position in left), default=inf)
    return [position for position in left if operations[position].began <= first_end]
