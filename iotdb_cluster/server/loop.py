"""The threads of a node that are no connection's: the runtime's, the background's, and who waits for the end."""

import queue
import threading
import time
from collections.abc import Callable

import structlog

from iotdb_cluster.errors import ClusterError

log = structlog.get_logger()

SLEEP_MAX_MS = 1_000

SIGNAL_LOOK_S = 1.0
"""How late the main thread may hear of a signal that another thread took."""


class WakeUp:
    """Lets one thread sleep until another wakes it; a wake-up that comes too early is kept, further ones are one."""

    def __init__(self) -> None:
        self._asleep = threading.Lock()
        self._asleep.acquire()

    def wake(self) -> None:
        """Let the sleeper go on, or not fall asleep; from any thread."""
        if self._asleep.locked():
            try:
                self._asleep.release()
            except RuntimeError:
                return  # somebody else was faster: awake is awake

    def sleep(self, timeout_ms: int) -> None:
        """Until woken, at most `timeout_ms`."""
        self._asleep.acquire(timeout=timeout_ms / 1000)


class Turns:
    """Calls `turn` whenever something waits or is due, from one thread at a time, until stopped or a fault ends it.

    A hand-over between threads costs more than a turn with little in it. So whoever brings something takes the turn
    itself when nobody else is at it; a thread of its own does what is due by time, and what came meanwhile.
    """

    def __init__(
        self, turn: Callable[[], int], backlog: Callable[[], int], on_fault: Callable[[BaseException], None]
    ) -> None:
        self._turn = turn
        self._backlog = backlog
        self._on_fault = on_fault
        self._wake_up = WakeUp()
        self.at_it = threading.Lock()
        self.at_it.acquire()  # until `start`
        self._over = False
        self._due_at_ms = 0
        self._sleeps_until_ms = 0
        self._thread = threading.Thread(target=self._run, name="runtime", daemon=True)

    def start(self) -> None:
        """Begin."""
        self.at_it.release()
        self._thread.start()

    def wake(self) -> None:
        """Something waits: take a turn in this thread, or leave it to another one. Never waits, raises nothing."""
        if not self.at_it.acquire(blocking=False):
            self._wake_up.wake()  # whoever is at it may have looked already
            return
        try:
            self._take()
        finally:
            self.at_it.release()
        if self._backlog() or self._due_at_ms < self._sleeps_until_ms:
            self._wake_up.wake()

    def stop(self, timeout_s: float) -> bool:
        """Take no further turn; False when the present one takes longer than the time."""
        ends_at_ms = now_ms() + int(timeout_s * 1000)
        self._over = True
        self._wake_up.wake()
        self._thread.join(timeout_s)
        if self._thread.is_alive() or not self.at_it.acquire(timeout=max(0, ends_at_ms - now_ms()) / 1000):
            return False
        self.at_it.release()
        return True

    def _run(self) -> None:
        while not self._over:
            with self.at_it:
                if self._backlog() or now_ms() >= self._due_at_ms:
                    self._take()
                self._sleeps_until_ms = self._due_at_ms
            due_ms = self._sleeps_until_ms - now_ms()
            if due_ms > 0:
                self._wake_up.sleep(due_ms)

    def _take(self) -> None:
        """A turn. Only while `at_it` is held."""
        if self._over:
            return
        try:
            due_ms = self._turn()
            self._due_at_ms = now_ms() + min(due_ms, SLEEP_MAX_MS)
        except BaseException as error:  # noqa: BLE001 - told, and the node ends
            # Whatever it is, the node can't go on without its runtime: it ends, and says why.
            self._over = True
            self._on_fault(error)


def now_ms() -> int:
    """Monotonic milliseconds."""
    return time.monotonic_ns() // 1_000_000


_Queue = queue.SimpleQueue[Callable[[], None] | None]


class Background:
    """A thread for work that nobody waits for, sealing and compaction, and one for what is urgent.

    Work reports its faults itself.
    """

    def __init__(self, on_fault: Callable[[BaseException], None]) -> None:
        self._on_fault = on_fault
        self._usual: _Queue = queue.SimpleQueue()
        self._urgent: _Queue = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=self._run, args=(work,), name=name, daemon=True)
            for name, work in (("background", self._usual), ("urgent", self._urgent))
        ]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def submit(self, work: Callable[[], None], *, is_urgent: bool = False) -> None:
        """Do `work` behind what was submitted before; what is urgent waits for urgent work only."""
        (self._urgent if is_urgent else self._usual).put(work)

    def stop(self, timeout_s: float) -> bool:
        """End after the present pieces of work; False when that takes longer than the time."""
        ends_at_s = time.monotonic() + timeout_s
        for queued in (self._usual, self._urgent):
            queued.put(None)
        for thread in self._threads:
            thread.join(max(0.0, ends_at_s - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _run(self, queued: _Queue) -> None:
        while (work := queued.get()) is not None:
            try:
                work()
            except BaseException as error:  # noqa: BLE001 - told, and the node ends
                self._on_fault(error)
                return


class End:
    """Why and how the node ends; the first reason counts."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._ended = threading.Event()
        self.exit_status = 0

    def stop(self, reason: str) -> None:
        """End in good order."""
        self._end(0, reason)

    def fault(self, error: BaseException) -> None:
        """End because of an error of this node's own."""
        if not self._ended.is_set():
            if isinstance(error, ClusterError):
                log.error("node_stops", fault=str(error))
            else:
                log.error("node_stops", fault=repr(error), exc_info=error)
        self._end(1, str(error))

    def wait(self) -> int:
        """Block until it is time to end; the exit status."""
        # A signal that the system gives to another thread does not wake this one, in which its handler runs.
        while not self._ended.wait(SIGNAL_LOOK_S):
            pass
        return self.exit_status

    @property
    def is_near(self) -> bool:
        """True once something wants the node to end."""
        return self._ended.is_set()

    def _end(self, exit_status: int, reason: str) -> None:
        with self._guard:
            if not self._ended.is_set():
                self.exit_status = exit_status
                log.info("node_ends", reason=reason, exit_status=exit_status)
                self._ended.set()
