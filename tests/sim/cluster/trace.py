"""What happened, as lines: a rolling hash that proves determinism, the last lines for a failure, or all of them."""

import hashlib
from collections import deque
from collections.abc import Callable

from tests.sim.cluster.scheduler import Scheduler

KEPT_LINES = 60
QUIET = frozenset({"sendHeartBeat", "answer"})


class Trace:
    """Every event that could differ between two runs of a seed passes through here."""

    def __init__(self, scheduler: Scheduler, show: Callable[[str], None] | None = None) -> None:
        self._scheduler = scheduler
        self._show = show
        self._hash = hashlib.blake2b(digest_size=16)
        self.last: deque[str] = deque(maxlen=KEPT_LINES)
        self.count = 0

    def note(self, who: object, what: str, *values: object) -> None:
        """One line: the time in ms, who, what, and the values."""
        line = self._line(who, f"{what} {' '.join(map(str, values))}")
        self._hash.update(line.encode())
        self.count += 1
        self.last.append(line)
        if self._show is not None:
            self._show(line)

    def message(self, source: str, target: str, what: str, size: int) -> None:
        """A message leaves; told in a transcript only where it is no heartbeat, of which there are too many."""
        self._hash.update(f"{self._scheduler.now_us}{source}{target}{what}{size}".encode())
        if self._show is not None and what not in QUIET:
            self._show(self._line(source, f"{what} -> {target}"))

    def _line(self, who: object, what: str) -> str:
        us = self._scheduler.now_us
        return f"{us // 1000:7d}.{us % 1000:03d} {who!s:>8} {what}"

    @property
    def digest(self) -> str:
        """Equal for two runs in which the same happened."""
        return self._hash.hexdigest()
