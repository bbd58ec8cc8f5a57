"""The queries that clients have open on this node: found by their ids, limited in number and in idle time."""

import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from iotdb_cluster.errors import Busy, RequestError
from iotdb_cluster.members.clock import Clock
from iotdb_cluster.members.query.running import Running
from iotdb_cluster.members.query.selecting import Answer
from iotdb_cluster.query.rows import Rows


class NoSuchQuery(RequestError):
    """The id names no open query of the session."""


class OpenQuery:
    """One query of one session, for one call at a time.

    It is closed by the call that uses it, or where none does by whoever ends it: never while a call reads from it.
    """

    def __init__(self, running: Running, session_id: int, statement_id: int) -> None:
        self.running = running
        self.session_id = session_id
        self.statement_id = statement_id
        self.last_used_ms = 0
        self.answer: Answer | None = None
        """None until it is known what the query answers."""
        self._guard = threading.Lock()
        self._is_used = False
        self._is_ended = False

    @property
    def id(self) -> int:
        """Its id, as the client knows it."""
        return self.running.id

    @contextmanager
    def using(self) -> Iterator[None]:
        """Let one call work on it; raises when another one does, and ends the query when the call fails."""
        with self._guard:
            if self._is_used:
                raise RequestError(f"another call is fetching from query {self.id}")
            self._is_used = True
        try:
            yield
        except BaseException:
            self._is_ended = True
            raise
        finally:
            with self._guard:
                self._is_used = False
                is_over = self._is_ended
            if is_over:
                self._close()

    async def page(self, count: int, max_bytes: int) -> Sequence[Rows]:
        """The next `count` rows, or what fits: of all columns, or where they are not aligned of each."""
        assert self.answer is not None, "a query is read when its answer is known"
        self.running.check()
        pages = self.answer.pages
        return [await one.page(count, max_bytes // len(pages)) for one in pages]

    @property
    def is_at_end(self) -> bool:
        """True when its pages were short, since there are no more rows; False also where that is not known yet."""
        answer = self.answer
        return answer is not None and all(one.is_at_end for one in answer.pages)

    def end(self, why: str) -> None:
        """Let nobody use it any more; what it holds is freed at once, or as soon as the call that uses it notices."""
        self.running.end(why)
        with self._guard:
            self._is_ended = True
            if self._is_used:
                return
        self._close()

    def _close(self) -> None:
        answer, self.answer = self.answer, None
        if answer is not None:
            answer.close()


class OpenQueries:
    """All open queries. May be used from any thread."""

    def __init__(self, clock: Clock, *, max_count: int, idle_ms: int) -> None:
        self._clock = clock
        self._max_count = max_count
        self._idle_ms = idle_ms
        self._guard = threading.Lock()
        self._ids = itertools.count(1)
        self._queries: dict[int, OpenQuery] = {}

    def __len__(self) -> int:
        return len(self._queries)

    def new_id(self) -> int:
        """A number that no query of this node has had."""
        with self._guard:
            return next(self._ids)

    def add(self, query: OpenQuery) -> None:
        """Keep a query; raises `Busy` at the limit."""
        self.expire()
        query.last_used_ms = self._clock.now_ms()
        with self._guard:
            if len(self._queries) < self._max_count:
                self._queries[query.id] = query
                return
        raise Busy(f"{self._max_count} queries are open, query_open_max_count allows no more: close one")

    def find(self, session_id: int, query_id: int) -> OpenQuery:
        """The query of a session; raises `NoSuchQuery`, also for one that has ended."""
        self.expire()
        with self._guard:
            query = self._queries.get(query_id)
            if query is None or query.session_id != session_id:
                raise NoSuchQuery(f"no query {query_id} is open: it came to its end, was closed, or idle for too long")
            query.last_used_ms = self._clock.now_ms()
            return query

    def end(self, query: OpenQuery, why: str) -> None:
        """Forget one query."""
        with self._guard:
            self._queries.pop(query.id, None)
        query.end(why)

    def end_statement(self, session_id: int, statement_id: int) -> None:
        """Forget the queries of a statement."""
        self._forget(
            lambda query: (query.session_id, query.statement_id) == (session_id, statement_id),
            "the statement was closed",
        )

    def end_query(self, session_id: int, query_id: int, why: str) -> None:
        """Forget a query; one that is not open is none."""
        with self._guard:
            query = self._queries.get(query_id)
        if query is not None and query.session_id == session_id:
            self.end(query, why)

    def end_finished(self, session_id: int, query_id: int) -> bool:
        """Forget a query when it is known to have no more rows; says whether it was."""
        query = self._queries.get(query_id)
        if query is None or query.session_id != session_id or not query.is_at_end:
            return False
        self.end(query, "it came to its end")
        return True

    def end_session(self, session_id: int) -> None:
        """Forget the queries of a session."""
        self._forget(lambda query: query.session_id == session_id, "the session was closed")

    def expire(self) -> None:
        """Forget the queries that nobody has used for too long."""
        oldest_ms = self._clock.now_ms() - self._idle_ms
        if any(query.last_used_ms < oldest_ms for query in list(self._queries.values())):
            self._forget(lambda query: query.last_used_ms < oldest_ms, "idle for longer than reader_idle_ms")

    def _forget(self, unwanted: Callable[[OpenQuery], bool], why: str) -> None:
        with self._guard:
            gone = [query for query in self._queries.values() if unwanted(query)]
            for query in gone:
                del self._queries[query.id]
        for query in gone:
            query.end(why)
