"""What a running query is asked about itself between two batches."""

from typing import Protocol


class Guard(Protocol):
    """Ends a query that was cancelled, takes too long or holds too much; nothing else does while it runs."""

    def check(self) -> None:
        """Raises `RequestError` when the query must not go on."""

    def holds(self, owner: object, size_bytes: int) -> None:
        """Note what a part of the query holds now; raises `RequestError` when all of them hold too much."""
