"""Sessions of the client port: who is logged in, and their time zones."""

import hmac
import itertools
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from iotdb_cluster.errors import Busy, RequestError, StatusCode
from iotdb_cluster.members.clock import Clock

SESSIONS_MAX_COUNT = 100_000
"""Of a node: a client that logs in again and again and never out must not take all its memory."""


class NotLoggedIn(RequestError):
    """The session id names no open session."""

    code = StatusCode.NOT_LOGIN_ERROR


class WrongLogin(RequestError):
    """User name or password do not fit."""

    code = StatusCode.WRONG_LOGIN_PASSWORD_ERROR


class Caller(Protocol):
    """The connection on which a call came."""

    @property
    def id(self) -> int:
        """Unique in the server."""


@dataclass(slots=True)
class Session:
    """One login; several connections may use it."""

    id: int
    user: str
    time_zone: str
    last_used_ms: int = field(default=0)
    consistency: str | None = None
    """How fresh its reads are; None as `read_consistency` says."""


class Sessions:
    """The open sessions of a node. May be used from any thread."""

    def __init__(
        self,
        clock: Clock,
        *,
        username: str,
        password: str,
        time_zone: str,
        idle_ms: int,
        knows: Callable[[str, str], bool] = lambda user, password: False,
    ) -> None:
        """`knows` judges name and password of everybody beside the one account of the settings."""
        self._clock = clock
        self._knows = knows
        self._account = (username.encode(), password.encode())
        self._time_zone = time_zone
        self._idle_ms = idle_ms
        self._guard = threading.Lock()
        self._ids = itertools.count(1)
        self._statement_ids = itertools.count(1)
        self._sessions: dict[int, Session] = {}
        self._last_of_connection: dict[int, int] = {}
        self._on_end: list[Callable[[int], None]] = []

    def when_ended(self, action: Callable[[int], None]) -> None:
        """Call `action` with the id of each session that ends, in whatever thread ends it."""
        self._on_end.append(action)

    def __len__(self) -> int:
        return len(self._sessions)

    def open(self, caller: Caller, username: str | None, password: str | None) -> Session:
        """Log in; raises `WrongLogin`, and `Busy` when there are too many sessions."""
        given = ((username or "").encode(), (password or "").encode())
        fits = [hmac.compare_digest(mine, theirs) for mine, theirs in zip(self._account, given, strict=True)]
        if not all(fits) and (fits[0] or not self._knows(username or "", password or "")):
            raise WrongLogin("user name or password is wrong; names are case-sensitive")
        now_ms = self._clock.now_ms()
        self._expire(now_ms)
        with self._guard:
            if len(self._sessions) >= SESSIONS_MAX_COUNT:
                raise Busy(f"{SESSIONS_MAX_COUNT} sessions are open on this node: close those that are not needed")
            session = Session(next(self._ids), username or "", self._time_zone, now_ms)
            self._sessions[session.id] = session
            self._last_of_connection[caller.id] = session.id
        return session

    def find(self, session_id: int) -> Session:
        """The open session; raises `NotLoggedIn`."""
        now_ms = self._clock.now_ms()
        with self._guard:
            session = self._sessions.get(session_id)
            if session is not None and now_ms - session.last_used_ms <= self._idle_ms:
                session.last_used_ms = now_ms
                return session
        self._expire(now_ms)
        raise NotLoggedIn("")

    def close(self, session_id: int) -> None:
        """Log out; raises `NotLoggedIn`, also when closed twice."""
        with self._guard:
            if self._sessions.pop(session_id, None) is None:
                raise NotLoggedIn("")
        self._tell((session_id,))

    def connection_closed(self, caller: Caller) -> None:
        """A connection that ends closes the session last opened on it; its other sessions live on (interface page)."""
        with self._guard:
            last = self._last_of_connection.pop(caller.id, None)
            if last is None or self._sessions.pop(last, None) is None:
                return
        self._tell((last,))

    def statement_id(self) -> int:
        """A fresh positive number."""
        with self._guard:
            return next(self._statement_ids)

    def _expire(self, now_ms: int) -> None:
        with self._guard:
            idle = [s.id for s in self._sessions.values() if now_ms - s.last_used_ms > self._idle_ms]
            for session_id in idle:
                del self._sessions[session_id]
        self._tell(idle)

    def _tell(self, ended: Iterable[int]) -> None:
        for session_id in ended:
            for action in self._on_end:
                action(session_id)
