"""Where the time comes from: injected everywhere, so that the simulator can run the same code on virtual time."""

import time
from dataclasses import dataclass
from typing import Protocol


class Clock(Protocol):
    """Two times in milliseconds: one that only goes forward, for time-outs, and the wall's, for what people see."""

    def now_ms(self) -> int:
        """Monotonic time; its zero means nothing."""

    def wall_ms(self) -> int:
        """Milliseconds since 1970 UTC; may jump in both directions."""


class MonotonicClock:
    """The clock of the machine."""

    def now_ms(self) -> int:
        """Monotonic time, rounded down."""
        return time.monotonic_ns() // 1_000_000

    def wall_ms(self) -> int:
        """Milliseconds since 1970 UTC, rounded down."""
        return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True, order=True)
class Deadline:
    """The monotonic millisecond at which a call gives up; handed on through every step that the call takes."""

    at_ms: int

    @classmethod
    def after(cls, clock: Clock, timeout_ms: int) -> "Deadline":
        """The deadline `timeout_ms` from now."""
        return cls(clock.now_ms() + timeout_ms)

    def left_ms(self, now_ms: int) -> int:
        """Milliseconds left, never below 0."""
        return max(0, self.at_ms - now_ms)

    def has_passed(self, now_ms: int) -> bool:
        """True from the deadline's own millisecond on."""
        return now_ms >= self.at_ms
