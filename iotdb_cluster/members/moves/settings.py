"""How slots move."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MoveSettings:
    """With them, slots move: copied at `mb_per_second` at most, and given up when one stands still for `timeout_s`.

    A source that does not answer within `call_timeout_ms` is left for the next one: it may be cut off, and writers
    may wait.
    """

    mb_per_second: int = 64
    timeout_s: int = 600
    call_timeout_ms: int = 5_000
