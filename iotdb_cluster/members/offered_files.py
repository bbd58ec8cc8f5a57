"""The files that `readFile` may read: only what a snapshot has offered, by the path that stood in it (DESIGN 8)."""

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from iotdb_cluster.errors import PathNotFound
from iotdb_cluster.members.clock import Clock
from iotdb_cluster.types.disk import Disk


@dataclass(slots=True)
class Offer:
    """Files that may be read, and what lets go of them; every read of one of them prolongs it."""

    paths: frozenset[str]
    release: Callable[[], None]
    ends_at_ms: int


class OfferedFiles:
    """Offers end when they are withdrawn, or when nobody has read from them for a while. For any thread."""

    def __init__(self, disk: Disk, clock: Clock, idle_ms: int) -> None:
        self._disk = disk
        self._clock = clock
        self._idle_ms = idle_ms
        self._guard = threading.Lock()
        self._offers: list[Offer] = []

    def offer(self, paths: Iterable[str], release: Callable[[], None]) -> Offer:
        """These files may be read from now on; `release` is called once when the offer ends."""
        offer = Offer(frozenset(paths), release, self._clock.now_ms() + self._idle_ms)
        with self._guard:
            self._offers.append(offer)
        return offer

    def withdraw(self, offer: Offer) -> None:
        """End an offer; one that has ended already stays so."""
        with self._guard:
            if offer not in self._offers:
                return
            self._offers.remove(offer)
        offer.release()

    def expire(self) -> None:
        """End the offers that nobody reads from any more."""
        now_ms = self._clock.now_ms()
        with self._guard:
            ended = [offer for offer in self._offers if offer.ends_at_ms <= now_ms]
            self._offers = [offer for offer in self._offers if offer.ends_at_ms > now_ms]
        for offer in ended:
            offer.release()

    def read(self, path: str, offset: int, length: int) -> bytes:
        """At most `length` bytes from `offset`; empty beyond the end. Raises `PathNotFound` for what is not offered."""
        ends_at_ms = self._clock.now_ms() + self._idle_ms
        with self._guard:
            offers = [offer for offer in self._offers if path in offer.paths]
            for offer in offers:
                offer.ends_at_ms = ends_at_ms
        if not offers:
            raise PathNotFound(f"no snapshot of this node offers {path[:200]!r}")
        return self._disk.read(path, offset, length)
