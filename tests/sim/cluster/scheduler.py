"""Virtual time: a heap of due actions, and coroutines that are driven on it."""

import heapq
from collections.abc import Callable, Coroutine
from typing import Any

from iotdb_cluster.errors import ClusterError
from iotdb_cluster.members.pending import Pending, Suspension

Act = Callable[[], None]

MS = 1_000
"""Microseconds in a millisecond: the heap counts in microseconds, nodes in milliseconds."""


class Scheduler:
    """Actions in the order of their time, and of their scheduling where the time is the same."""

    def __init__(self) -> None:
        self.now_us = 0
        self.actions = 0
        self.is_halted = False
        """Nothing more is run: whoever set it has seen enough."""
        self._heap: list[tuple[int, int, Act]] = []
        self._count = 0

    def at(self, at_us: int, act: Act) -> None:
        """Run `act` at a time, which is never before now."""
        self._count += 1
        heapq.heappush(self._heap, (max(at_us, self.now_us), self._count, act))

    def after(self, delay_us: int, act: Act) -> None:
        """Run `act` in so many microseconds, which are none or more."""
        self._count += 1
        heapq.heappush(self._heap, (self.now_us + delay_us, self._count, act))

    def run_until(self, at_us: int, is_over: Callable[[], bool] | None = None) -> None:
        """Run what is due up to a time, which is the time then; or until halted or `is_over`, asked before each one."""
        heap, pop = self._heap, heapq.heappop
        while not self.is_halted and (is_over is None or not is_over()):
            if not heap or heap[0][0] > at_us:
                self.now_us = max(self.now_us, at_us)
                return
            self.now_us, _, act = pop(heap)
            self.actions += 1
            act()


class Task:
    """A coroutine of production code on virtual time: resumed when what it awaits is settled or its deadline passes.

    `resume_at(at_ms, act)` and `resume_soon(act)` are those of whoever runs it (a node that may be paused, or dead by
    then). `on_done` gets the value, or the error.
    """

    def __init__(
        self,
        coroutine: Coroutine[Any, None, Any],
        resume_soon: Callable[[Act], None],
        resume_at: Callable[[int, Act], None],
        on_done: Callable[[Any, Exception | None], None],
    ) -> None:
        self._coroutine = coroutine
        self._resume_soon = resume_soon
        self._resume_at = resume_at
        self._on_done = on_done
        self._wait = 0
        self.is_done = False

    def start(self) -> "Task":
        """Run it up to its first wait."""
        self._step(0)
        return self

    def close(self) -> None:
        """End it where it is: its process is gone."""
        self._wait += 1
        self._coroutine.close()

    def _step(self, wait: int) -> None:
        if wait != self._wait:
            return  # the other of settling and deadline came first
        self._wait += 1
        try:
            suspension: Suspension = self._coroutine.send(None)
        except StopIteration as finished:
            self.is_done = True
            self._on_done(finished.value, None)
            return
        except ClusterError as error:
            self.is_done = True
            self._on_done(None, error)
            return
        self._await(suspension, self._wait)

    def _await(self, suspension: Suspension, wait: int) -> None:
        def settled(_: Pending[Any]) -> None:
            self._resume_soon(lambda: self._step(wait))

        suspension.pending.begin()
        suspension.pending.add_done_callback(settled)
        deadline = suspension.deadline
        if deadline is not None:
            self._resume_at(deadline.at_ms, lambda: self._step(wait))
