"""How much of what comes from a socket is believed."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """What one message may hold at most; more is refused before it costs memory or time.

    `elements` counts those of all lists and maps together, and the fields that nobody knows. `string_bytes` is for one
    string; a binary field is bounded by its frame alone.
    """

    frame_bytes: int = 64 << 20
    elements: int = 1_000_000
    depth: int = 16
    string_bytes: int = 16 << 20
