"""What is said of moving slots, in words."""

from collections.abc import Sequence

from iotdb_cluster.types.counting import counted
from iotdb_cluster.types.report import MoveReport

MB = 1_000_000


def moves_in_words(moves: Sequence[MoveReport]) -> str:
    """How much was copied, how fast, and what is left of the moves that run, as the reporting node knows it.

    Empty when it knows of none that copies anything to it.
    """
    copying = [move for move in moves if move.total_bytes is not None and move.state in ("copying", "fenced")]
    if not copying:
        return ""
    total = sum(move.total_bytes or 0 for move in copying)
    copied = sum(move.copied_bytes for move in copying)
    if not total:
        return ""
    if copied >= total:
        return f"{total / MB:.1f} MB copied in {counted(len(copying), 'move')}"
    rate = sum(move.bytes_per_second for move in copying)
    return (
        f"{copied / MB:.1f} of {total / MB:.1f} MB copied at {rate / MB:.1f} MB/s, "
        f"{(total - copied) / MB:.1f} MB left in {counted(len(copying), 'move')}"
    )
