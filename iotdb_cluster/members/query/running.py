"""A query while it runs: how long it may take, what it may hold, and whether somebody has ended it."""

from iotdb_cluster.errors import RequestError, StatusCode
from iotdb_cluster.members.clock import Clock, Deadline
from iotdb_cluster.settings import MIB, Settings

CONSISTENCY_STRONG = "strong"


class QueryEnded(RequestError):
    """The query was cancelled or closed while it ran."""

    code = StatusCode.EXECUTE_STATEMENT_ERROR


class QueryTooLong(RequestError):
    """A call for rows took longer than it may."""

    code = StatusCode.TIME_OUT


class QueryTooLarge(RequestError):
    """The query would hold more memory than it may."""

    code = StatusCode.INTERNAL_SERVER_ERROR


class Running:
    """The guard of one query. `end` may be called from any thread, everything else by who runs the query.

    `consistency` is the level at which it reads.
    """

    def __init__(self, query_id: int, clock: Clock, settings: Settings, consistency: str | None) -> None:
        self.id = query_id
        self.consistency = consistency or settings.read_consistency
        self._clock = clock
        self._timeout_ms = settings.query_timeout_ms
        self._limit_mb = settings.query_memory_limit_mb
        self._ended: RequestError | None = None
        self._held: dict[int, int] = {}
        self._held_bytes = 0
        self.deadline = Deadline(0)
        self.begin_call()

    @property
    def is_strong(self) -> bool:
        """True when reads are linearizable."""
        return self.consistency == CONSISTENCY_STRONG

    @property
    def left_ms(self) -> int:
        """What is left of the time of the present call."""
        return self.deadline.left_ms(self._clock.now_ms())

    def begin_call(self) -> None:
        """A call for rows begins, with time of its own."""
        self.deadline = Deadline.after(self._clock, self._timeout_ms)

    def end(self, why: str) -> None:
        """Let the query fail at its next check."""
        if self._ended is None:
            self._ended = QueryEnded(why)

    def check(self) -> None:
        """Raise `QueryEnded` or `QueryTooLong` when the query must not go on."""
        if self._ended is not None:
            raise self._ended
        if self.deadline.has_passed(self._clock.now_ms()):
            raise QueryTooLong(f"no rows within query_timeout_ms ({self._timeout_ms}): ask for less at once")

    def holds(self, owner: object, size_bytes: int) -> None:
        """Note what a part of the query holds now; raises `QueryTooLarge`."""
        self._held_bytes += size_bytes - self._held.get(id(owner), 0)
        self._held[id(owner)] = size_bytes
        if self._held_bytes > self._limit_mb * MIB:
            raise QueryTooLarge(
                f"the query holds {self._held_bytes // MIB} MB, query_memory_limit_mb is {self._limit_mb}: "
                "select fewer series at once, or a shorter time"
            )
