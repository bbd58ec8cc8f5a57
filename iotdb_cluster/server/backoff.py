"""How soon a node that could not be reached is tried again."""

import re
import threading
from collections.abc import Callable

from iotdb_cluster.errors import Unreachable

FIRST_PAUSE_MS = 20
LONGEST_PAUSE_MS = 500
"""Well below an election time-out: a node that came back must hear its leader before it campaigns."""

_TIME = re.compile(r"\d+ ms")
"""A peer that hangs is waited for a millisecond more or less each time: that is no news."""


class Backoff:
    """The pause of one address: twice as long after each failure, up to a bound, drawn from its upper half.

    Shared by all connections to the address, so a dead node costs one attempt in a while, whoever wants it.
    """

    def __init__(self, now_ms: Callable[[], int], draw: Callable[[int, int], int]) -> None:
        self._now_ms = now_ms
        self._draw = draw
        self._guard = threading.Lock()
        self._pause_ms = 0
        self._next_at_ms = 0
        self._why = ""

    def check(self) -> None:
        """Raise `Unreachable`, with the reason of the last failure, while it is too early for another attempt."""
        if self._pause_ms and self._now_ms() < self._next_at_ms:
            raise Unreachable(self._why)

    def failed(self, why: str) -> bool:
        """An attempt failed; True when the reason is news."""
        with self._guard:
            news = self._pause_ms == 0 or _TIME.sub("", why) != _TIME.sub("", self._why)
            self._why = why
            self._pause_ms = min(LONGEST_PAUSE_MS, max(FIRST_PAUSE_MS, 2 * self._pause_ms))
            self._next_at_ms = self._now_ms() + self._draw(self._pause_ms // 2, self._pause_ms)
            return news

    def succeeded(self) -> bool:
        """An attempt succeeded; True when the one before had failed."""
        with self._guard:
            had_failed = self._pause_ms > 0
            self._pause_ms = 0
            return had_failed
