"""Strong reads that wait for their leader to be confirmed (ReadIndex, thesis 6.4)."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from iotdb_cluster.raft.events import Token
from iotdb_cluster.types.identity import LogIndex


@dataclass(frozen=True, slots=True)
class WaitingRead:
    """A read that is answered with `index` once the heartbeats of `round` are answered by a quorum."""

    token: Token
    round: int
    index: LogIndex
    asked_at_ms: int


class WaitingReads:
    """The reads of one leadership, in the order in which they were asked.

    A round of heartbeats confirms only what was asked before it began: the first heartbeat that carries a round closes
    it, and the next read opens a new one. Reads that come meanwhile share the new one.
    """

    def __init__(self) -> None:
        self._waiting: deque[WaitingRead] = deque()
        self._is_closed = False
        self.round = 0
        """The newest round; heartbeats carry it."""

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, token: Token, index: LogIndex, now_ms: int) -> None:
        """Wait for the next round, and for `index` to be committed."""
        if self._is_closed or self.round == 0:
            self.round += 1
            self._is_closed = False
        self._waiting.append(WaitingRead(token, self.round, index, now_ms))

    def heartbeat_sent(self) -> None:
        """A heartbeat that carries the present round is on its way."""
        self._is_closed = True

    @property
    def asked_round(self) -> int:
        """The newest round that a read waits for; 0 when none waits."""
        return self._waiting[-1].round if self._waiting else 0

    def take_confirmed(self, is_confirmed: Callable[[int], bool], commit_index: LogIndex) -> list[WaitingRead]:
        """Remove and return the reads whose round is answered by a quorum and whose index is committed."""
        confirmed: list[WaitingRead] = []
        known_round = -1
        while self._waiting:
            read = self._waiting[0]
            if read.index > commit_index:
                break
            if read.round != known_round:
                if not is_confirmed(read.round):
                    break
                known_round = read.round
            confirmed.append(self._waiting.popleft())
        return confirmed

    def take_older_than(self, asked_before_ms: int) -> list[WaitingRead]:
        """Remove and return the reads that wait since before that time."""
        late: list[WaitingRead] = []
        while self._waiting and self._waiting[0].asked_at_ms < asked_before_ms:
            late.append(self._waiting.popleft())
        return late

    def take_all(self) -> list[WaitingRead]:
        """Remove and return everything: this member leads no more."""
        reads = list(self._waiting)
        self._waiting.clear()
        return reads
