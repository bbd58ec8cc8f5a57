"""Deletions of what is sealed: kept beside the files until a compaction has dropped what they delete."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from iotdb_cluster.types.paths import Pattern, nodes_of

EVERY_TIME = (1 << 63) - 1
"""The bound of a deletion that leaves nothing."""
LEAST_TIME = -(1 << 63)
NOTHING_DELETED = LEAST_TIME - 1


@dataclass(frozen=True, slots=True)
class Deletion:
    """Points of the series that `path` matches with a time at or below `until` are gone.

    It counts for a file whose `clean` is below `number`: the others were written without what it deletes.
    """

    number: int
    path: str
    until: int


class DeletionList:
    """The deletions of a group in order. Changed by one thread, under the store's lock."""

    def __init__(self, deletions: Iterable[Deletion] = ()) -> None:
        self._exact: dict[str, list[Deletion]] = {}
        self._patterns: list[tuple[Pattern, Deletion]] = []
        self.last = 0
        for deletion in deletions:
            self.add(deletion)

    def add(self, deletion: Deletion) -> None:
        """Add a deletion that is later than all others; those that it makes superfluous go."""
        self.last = max(self.last, deletion.number)
        pattern = Pattern.parse(deletion.path)
        same = self._exact.setdefault(deletion.path, []) if not pattern.has_wildcard else None
        if same is None:
            self._patterns = [(p, d) for p, d in self._patterns if d.path != deletion.path or d.until > deletion.until]
            self._patterns.append((pattern, deletion))
        else:
            same[:] = [d for d in same if d.until > deletion.until]
            same.append(deletion)

    def __len__(self) -> int:
        return len(self._patterns) + sum(map(len, self._exact.values()))

    def for_series(self, path: str) -> tuple[Deletion, ...]:
        """The deletions that concern one series."""
        found = [deletion for pattern, deletion in self._patterns if pattern.matches(path)]
        if self._exact:
            nodes = nodes_of(path)
            for level in range(1, len(nodes) + 1):
                found.extend(self._exact.get(".".join(nodes[:level]), ()))
        return tuple(found)

    def all(self) -> tuple[Deletion, ...]:
        """Every deletion, by number."""
        found = [deletion for _, deletion in self._patterns]
        for deletions in self._exact.values():
            found.extend(deletions)
        return tuple(sorted(found, key=lambda deletion: deletion.number))


def deleted_until(deletions: Sequence[Deletion], clean: int) -> int:
    """The time up to which a file with this `clean` has nothing any more; `NOTHING_DELETED` when all of it counts."""
    return max((d.until for d in deletions if d.number > clean), default=NOTHING_DELETED)


def concerns(deletion: Deletion, storage_group: str) -> bool:
    """True when a deletion may delete something in a storage group."""
    return Pattern.parse(deletion.path).may_match_below(nodes_of(storage_group))
