"""Merging pieces that overlap in time, in order and in bounded memory: what the sources of a reader have in common."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, Protocol, Self, TypeVar

import numpy as np

from iotdb_cluster.timeseries.values import Times


class Piece(Protocol):
    """Something with strictly ascending times that can be cut."""

    @property
    def times(self) -> Times:
        """Shape: the length of the piece."""

    def slice(self, low: int, high: int) -> Self:
        """Rows `low` to `high`, without copying."""


T = TypeVar("T", bound=Piece)


@dataclass(frozen=True, slots=True)
class Segment(Generic[T]):
    """A piece that is loaded when its turn comes. `first` is not after any of its times; the greater `age` is newer."""

    first: int
    age: int
    load: Callable[[], T]


def in_order(segments: Iterable[Segment[T]], merge: Callable[[list[T]], T]) -> Iterator[T]:
    """Merged pieces, ascending and apart from one another.

    Segments are loaded in the order of their first times. What lies before the first time of the next one can change no
    more and is handed out, so that at most what overlaps at one time is in memory. `merge` gets pieces oldest first.
    """
    waiting = deque(sorted(segments, key=lambda segment: (segment.first, segment.age)))
    loaded: list[tuple[int, T]] = []
    while waiting or loaded:
        following = waiting[0].first if waiting else None
        if loaded and (following is None or min(int(piece.times[0]) for _, piece in loaded) < following):
            parts, loaded = _cut(loaded, following)
            yield merge(parts)
            continue
        segment = waiting.popleft()
        piece = segment.load()
        if len(piece.times):
            loaded.append((segment.age, piece))
            loaded.sort(key=lambda entry: entry[0])


def _cut(loaded: list[tuple[int, T]], following: int | None) -> tuple[list[T], list[tuple[int, T]]]:
    """What lies before `following`, and the rest."""
    parts: list[T] = []
    rest: list[tuple[int, T]] = []
    for age, piece in loaded:
        end = len(piece.times)
        if following is None or int(piece.times[-1]) < following:
            parts.append(piece)
            continue
        at = int(np.searchsorted(piece.times, following, "left"))
        if at:
            parts.append(piece.slice(0, at))
        rest.append((age, piece.slice(at, end)))
    return parts, rest
