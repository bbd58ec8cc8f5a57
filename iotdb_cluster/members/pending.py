"""Values that are still to come, and the driving of coroutines that await them.

Handlers are `async def` coroutines that await `Pending` values. There is no event loop: in a node, the thread of the
connection drives the coroutine and blocks on each pending value in turn (`drive`); in the simulator, a scheduler drives
the same coroutine by `add_done_callback` on virtual time. A coroutine suspends with a `Suspension`: the value that it
waits for, and the deadline up to which it waits.
"""

import threading
import time
from collections.abc import Callable, Coroutine, Generator, Sequence
from typing import Any, Generic, Protocol, TypeVar, cast

from iotdb_cluster.errors import OutcomeUnknown
from iotdb_cluster.members.clock import Clock, Deadline

T = TypeVar("T")


class Suspension(Protocol):
    """What a suspended coroutine hands to its driver: resume me when `pending` is done or `deadline` has passed."""

    @property
    def pending(self) -> "Pending[Any]":
        """The value that is awaited."""

    @property
    def deadline(self) -> Deadline | None:
        """Up to when; None: without limit."""


class Pending(Generic[T]):
    """A value or an error that comes later, once; whoever settles it first wins and later attempts are ignored.

    May be settled, awaited and waited for in any threads. Invariant: callbacks are called exactly once each, after the
    outcome is set; `_callbacks` is None from then on.
    """

    __slots__ = ("_callbacks", "_error", "_guard", "_value")

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._callbacks: list[Callable[[Pending[T]], None]] | None = []
        self._value: T | None = None
        self._error: BaseException | None = None

    @property
    def done(self) -> bool:
        """True once there is a value or an error."""
        return self._callbacks is None

    @property
    def pending(self) -> "Pending[T]":
        """Itself: a pending value is its own suspension, without a deadline."""
        return self

    @property
    def deadline(self) -> Deadline | None:
        """None: awaited as it is, it is awaited for as long as it takes."""
        return None

    @property
    def error(self) -> BaseException | None:
        """Why it failed; None when it has not, or not yet."""
        return self._error if self.done else None

    def resolve(self, value: T) -> bool:
        """Settle with a value; False when it was settled before. Callbacks run in the calling thread."""
        return self._settle(value, None)

    def fail(self, error: BaseException) -> bool:
        """Settle with an error, which `result` raises; False when it was settled before."""
        return self._settle(None, error)

    def result(self) -> T:
        """The value, or raises the error; only for one that is done."""
        if not self.done:
            raise RuntimeError("the result of a pending value was read before it was settled")
        if self._error is not None:
            raise self._error
        return cast(T, self._value)

    def add_done_callback(self, callback: "Callable[[Pending[T]], None]") -> None:
        """Call `callback(self)` once it is settled, at once when it is; in the settling thread. It must not raise."""
        with self._guard:
            if self._callbacks is not None:
                self._callbacks.append(callback)
                return
        callback(self)

    def begin(self) -> None:
        """Start what a wait would start; nothing for a value that someone else settles."""

    def block(self, timeout_s: float | None) -> bool:
        """Block the calling thread until it is settled or the time is over; True when it is settled."""
        if self.done:
            return True
        # One lock for this waiter: acquired by it, released by whoever settles; the cheapest wake-up there is.
        waiter = threading.Lock()
        waiter.acquire()

        def wake(_: Pending[T]) -> None:
            waiter.release()

        self.add_done_callback(wake)
        if waiter.acquire(timeout=-1 if timeout_s is None else max(0.0, timeout_s)):
            return True
        with self._guard:
            if self._callbacks is not None:
                self._callbacks.remove(wake)
        return self.done

    def wait(self, timeout_s: float | None = None) -> T:
        """Block for the value; raises its error, or `OutcomeUnknown` when it is not there after `timeout_s` seconds."""
        if not self.block(timeout_s):
            raise OutcomeUnknown(f"no answer within {timeout_s} s")
        return self.result()

    def within(self, deadline: Deadline, error: Exception | None = None) -> "Within[T]":
        """Await it up to `deadline`; then `error` is raised, `OutcomeUnknown` when none is given."""
        return Within(self, deadline, error)

    def __await__(self) -> Generator[Suspension, None, T]:
        while not self.done:
            yield self
        return self.result()

    def _settle(self, value: T | None, error: BaseException | None) -> bool:
        with self._guard:
            callbacks = self._callbacks
            if callbacks is None:
                return False
            self._value, self._error = value, error
            self._callbacks = None
        for callback in callbacks:
            callback(self)
        return True


class Within(Generic[T]):
    """A pending value awaited up to a deadline; the value itself may still come later, and nobody looks at it."""

    __slots__ = ("deadline", "error", "pending")

    def __init__(self, pending: Pending[T], deadline: Deadline, error: Exception | None) -> None:
        self.pending: Pending[T] = pending
        self.deadline: Deadline | None = deadline
        self.error = error

    def __await__(self) -> Generator[Suspension, None, T]:
        if not self.pending.done:
            yield self
        if not self.pending.done:
            raise self.error or OutcomeUnknown("the deadline of the call passed before there was an answer")
        return self.pending.result()


class BlockingCall(Pending[T]):
    """Work that the waiting thread does itself: an outbound call without a hand-over between threads.

    `send()` begins it and returns `receive(timeout_s)`, which ends it; so several calls can be under way at once from
    one thread (`gather` sends all before it receives any). Waited for by one thread only. Both may raise: that is the
    outcome then. `receive` must keep to its time and raise when it is over.
    """

    __slots__ = ("_receive", "_send")

    def __init__(self, send: Callable[[], Callable[[float | None], T]]) -> None:
        super().__init__()
        self._send: Callable[[], Callable[[float | None], T]] | None = send
        self._receive: Callable[[float | None], T] | None = None

    def begin(self) -> None:
        """Send, when that has not been done."""
        send, self._send = self._send, None
        if send is None or self.done:
            return
        try:
            self._receive = send()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the outcome, raised where the call is awaited
            self.fail(error)

    def block(self, timeout_s: float | None) -> bool:
        """Do the call in this thread; it is settled afterwards, if need be by the error of a time-out."""
        self.begin()
        receive, self._receive = self._receive, None
        if receive is not None:
            try:
                self.resolve(receive(timeout_s))
            except Exception as error:  # noqa: BLE001 - as in `begin`
                self.fail(error)
        return self.done


class _Gathered(Pending[list[T]]):
    """All values of several pending ones, in their order; waiting for it drives those that need a thread."""

    __slots__ = ("_left", "_parts")

    def __init__(self, parts: Sequence[Pending[T]]) -> None:
        super().__init__()
        self._parts = parts
        self._left = len(parts)
        if not parts:
            self.resolve([])
        for part in parts:
            part.add_done_callback(self._one_is_done)

    def begin(self) -> None:
        """Begin every part."""
        for part in self._parts:
            part.begin()

    def block(self, timeout_s: float | None) -> bool:
        """Send all calls first, then receive one after the other: together they take as long as the slowest."""
        ends_at = None if timeout_s is None else time.monotonic() + timeout_s
        self.begin()
        for part in self._parts:
            part.block(None if ends_at is None else ends_at - time.monotonic())
        return self.done

    def _one_is_done(self, _: Pending[T]) -> None:
        with self._guard:
            self._left -= 1
            last = self._left == 0
        if not last:
            return
        for part in self._parts:
            if part.error is not None:
                self.fail(part.error)
                return
        self.resolve([part.result() for part in self._parts])


def gather(*pendings: Pending[T]) -> Pending[list[T]]:
    """All values in the order of the arguments, once every one is settled; else the first argument's error that failed.

    Each part keeps its own outcome (`error`, `result`), for a caller that wants to know which of them failed.
    """
    return _Gathered(pendings)


async def pause(deadline: Deadline) -> None:
    """Let time pass up to `deadline`."""
    reached = OutcomeUnknown("the pause is over")
    try:
        await Pending[None]().within(deadline, reached)
    except OutcomeUnknown as error:
        if error is not reached:
            raise


def growing_ms(attempt: int, first_ms: int, longest_ms: int) -> int:
    """How long to wait behind attempt 0, 1, 2...: twice as long each time, up to a bound.

    Everybody who waits for a leader asks again and again: at a fixed short pause a fail-over is a storm of calls.
    """
    return min(first_ms << min(attempt, 16), max(first_ms, longest_ms))


def drive(coroutine: Coroutine[Any, None, T], clock: Clock, deadline: Deadline | None = None) -> T:
    """Run a coroutine in the calling thread by blocking on what it awaits; returns its value or raises its error.

    When `deadline` passes while it waits, `OutcomeUnknown` is raised *in* the coroutine, so that it can tidy up; one
    that then goes on waiting is closed.
    """
    try:
        suspension: Suspension = coroutine.send(None)
        while True:
            until = _earlier(suspension.deadline, deadline)
            timeout_s = None if until is None else until.left_ms(clock.now_ms()) / 1000
            settled = suspension.pending.block(timeout_s)
            if not settled and deadline is not None and until is not suspension.deadline:
                coroutine.throw(OutcomeUnknown("the deadline of the call passed before there was an answer"))
                raise OutcomeUnknown("the call went on waiting after its deadline")
            suspension = coroutine.send(None)
    except StopIteration as finished:
        return cast(T, finished.value)
    finally:
        coroutine.close()


def _earlier(first: Deadline | None, second: Deadline | None) -> Deadline | None:
    """The earlier of two deadlines, the first one when they are equal; None is none."""
    if first is None or second is None:
        return first or second
    return min(first, second)
