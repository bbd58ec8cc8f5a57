"""The books that a node keeps of its sessions."""

import pytest

from iotdb_cluster.errors import Busy
from iotdb_cluster.members.client.sessions import NotLoggedIn, Sessions, WrongLogin
from tests.services.clocks import HandClock

IDLE_MS = 1_000


class Caller:
    """A connection, as far as sessions go."""

    def __init__(self, number):
        self.id = number


@pytest.fixture
def clock():
    return HandClock()


@pytest.fixture
def sessions(clock):
    return Sessions(clock, username="root", password="secret", time_zone="Z", idle_ms=IDLE_MS)


def opened(sessions, caller=None):
    return sessions.open(caller or Caller(1), "root", "secret").id


def test_a_session_that_nobody_uses_ends(sessions, clock):
    idle, used = opened(sessions), opened(sessions)
    for _ in range(3):
        clock.advance(IDLE_MS // 2)
        sessions.find(used)
    with pytest.raises(NotLoggedIn):
        sessions.find(idle)
    assert 1 == len(sessions)


def test_idle_sessions_do_not_pile_up(sessions, clock):
    for _ in range(50):
        opened(sessions)
        clock.advance(IDLE_MS + 1)
    assert len(sessions) <= 1


def test_sessions_are_as_many_as_a_node_can_bear(sessions, clock, monkeypatch):
    monkeypatch.setattr("iotdb_cluster.members.client.sessions.SESSIONS_MAX_COUNT", 3)
    first, *_ = [opened(sessions) for _ in range(3)]
    with pytest.raises(Busy, match="3 sessions"):
        opened(sessions)
    sessions.close(first)
    opened(sessions)


def test_a_connection_closes_its_last_session_only(sessions):
    caller, other = Caller(1), Caller(2)
    first, last, others = opened(sessions, caller), opened(sessions, caller), opened(sessions, other)
    sessions.connection_closed(caller)
    sessions.connection_closed(caller)
    with pytest.raises(NotLoggedIn):
        sessions.find(last)
    assert [first, others] == [sessions.find(each).id for each in (first, others)]


def test_a_closed_connection_leaves_alone_what_was_closed_before(sessions):
    caller = Caller(1)
    first, last = opened(sessions, caller), opened(sessions, caller)
    sessions.close(last)
    sessions.connection_closed(caller)
    assert first == sessions.find(first).id


@pytest.mark.parametrize(("name", "password"), [("root", "Secret"), ("ROOT", "secret"), ("root", ""), (None, None)])
def test_names_and_passwords_are_compared_exactly(sessions, name, password):
    with pytest.raises(WrongLogin):
        sessions.open(Caller(1), name, password)
    assert 0 == len(sessions)
