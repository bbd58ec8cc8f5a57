"""The sizes of the log on disk."""

from dataclasses import dataclass

from iotdb_cluster.errors import StartRefused

MIB = 1024 * 1024
SMALLEST_BYTES = 4096


@dataclass(frozen=True, slots=True)
class JournalSettings:
    """When a segment ends and how fast old ones are emptied; sizes in bytes.

    What the log takes on disk stays below about twice what is still needed plus three segments.
    """

    segment_max_bytes: int = 32 * MIB
    carry_over_step_bytes: int = 1 * MIB
    """Entries rewritten by one `maintain` at most, so that a turn is never held up for long."""
    small_segments_max_count: int = 8
    """Segments allowed beyond those that are full: every start begins one."""

    def __post_init__(self) -> None:
        # Below this the headers of batches and segments would weigh more than what they hold.
        if min(self.segment_max_bytes, self.carry_over_step_bytes) < SMALLEST_BYTES:
            raise StartRefused(f"log segments and steps of less than {SMALLEST_BYTES} bytes")
