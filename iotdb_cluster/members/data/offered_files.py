"""The files that `readFile` may read: only what a snapshot has offered, by the path that stood in it (DESIGN 8)."""

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from iotdb_cluster.errors import PathNotFound
from iotdb_cluster.members.clock import Clock
from iotdb_cluster.types.disk import Disk

OFFER_MAX_COUNT = 64
"""Offers at once; one more, and the one that nobody has read from for the longest time ends."""


@dataclass(slots=True, eq=False)
class Offer:
    """Files that may be read, and what lets go of them; every read of one of them prolongs it.

    Invariant: `release` is called once, when the offer has ended and no read of it is under way.
    """

    paths: frozenset[str]
    release: Callable[[], None]
    ends_at_ms: int
    reads: int = 0
    has_ended: bool = False


class OfferedFiles:
    """Offers end when they are withdrawn, or when nobody has read from them for a while. For any thread."""

    def __init__(self, disk: Disk, clock: Clock, idle_ms: int) -> None:
        self._disk = disk
        self._clock = clock
        self._idle_ms = idle_ms
        self._guard = threading.Lock()
        self._offers: list[Offer] = []

    def __len__(self) -> int:
        return len(self._offers)

    def offer(self, paths: Iterable[str], release: Callable[[], None]) -> Offer:
        """These files may be read from now on; `release` is called once when the offer ends."""
        self.expire()
        offer = Offer(frozenset(paths), release, self._clock.now_ms() + self._idle_ms)
        with self._guard:
            self._offers.append(offer)
            crowded_out = min(self._offers, key=_ends_at_ms) if len(self._offers) > OFFER_MAX_COUNT else None
        if crowded_out is not None:
            self.withdraw(crowded_out)
        return offer

    def withdraw(self, offer: Offer) -> None:
        """End an offer; one that has ended already stays so."""
        with self._guard:
            if offer.has_ended:
                return
            offer.has_ended = True
            self._offers.remove(offer)
            is_free = offer.reads == 0
        if is_free:
            offer.release()

    def expire(self) -> None:
        """End the offers that nobody reads from any more."""
        now_ms = self._clock.now_ms()
        with self._guard:
            ended = [offer for offer in self._offers if offer.ends_at_ms <= now_ms]
        for offer in ended:
            self.withdraw(offer)

    def read(self, path: str, offset: int, length: int) -> bytes:
        """At most `length` bytes from `offset`; empty beyond the end. Raises `PathNotFound` for what is not offered."""
        self.expire()
        offer = self._taken(path)
        try:
            # A disk refuses to seek far beyond the end, and what a disk refuses stops a node.
            if offset >= self._disk.size(path):
                return b""
            return self._disk.read(path, offset, length)
        finally:
            self._let_go(offer)

    def _taken(self, path: str) -> Offer:
        """An offer of this path, kept from being released until `_let_go`."""
        ends_at_ms = self._clock.now_ms() + self._idle_ms
        with self._guard:
            offers = [offer for offer in self._offers if path in offer.paths]
            for offer in offers:
                offer.ends_at_ms = ends_at_ms
            if not offers:
                raise PathNotFound(f"no snapshot of this node offers {path[:200]!r}")
            offers[0].reads += 1
            return offers[0]

    def _let_go(self, offer: Offer) -> None:
        with self._guard:
            offer.reads -= 1
            is_free = offer.has_ended and offer.reads == 0
        if is_free:
            offer.release()


def _ends_at_ms(offer: Offer) -> int:
    return offer.ends_at_ms
