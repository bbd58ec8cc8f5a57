"""Virtual time: a heap of actions."""

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any


class Clock:
    """Actions in the order of their time, and of their scheduling where the time is the same. Milliseconds."""

    def __init__(self) -> None:
        self.now_ms = 0
        self.actions = 0
        self._count = 0
        self._heap: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = []

    def at(self, at_ms: int, act: Callable[..., None], *args: Any) -> None:
        """Call `act(*args)` at a time that is not before now."""
        self._count += 1
        heappush(self._heap, (max(at_ms, self.now_ms), self._count, act, args))

    def after(self, delay_ms: int, act: Callable[..., None], *args: Any) -> None:
        """Call `act(*args)` in so many milliseconds."""
        self._count += 1
        heappush(self._heap, (self.now_ms + delay_ms, self._count, act, args))

    def run_until(self, at_ms: int, stop: Callable[[], bool] | None = None) -> bool:
        """Run what is due up to a time, or until `stop` says so (asked at each new millisecond)."""
        heap = self._heap
        while heap and heap[0][0] <= at_ms:
            due_ms, _, act, args = heappop(heap)
            if due_ms != self.now_ms:
                if stop is not None and stop():
                    heappush(heap, (due_ms, 0, act, args))
                    return True
                self.now_ms = due_ms
            self.actions += 1
            act(*args)
        self.now_ms = at_ms
        return stop is not None and stop()
