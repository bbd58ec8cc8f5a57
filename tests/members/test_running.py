"""The guard of a query: its time, what it holds, and whether somebody has ended it."""

from dataclasses import replace

import pytest

from iotdb_cluster.members.query.running import QueryEnded, QueryTooLarge, QueryTooLong, Running
from iotdb_cluster.settings import MIB, Settings
from tests.services.clocks import HandClock

TIMEOUT_MS = 1_000


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def running(clock: HandClock) -> Running:
    settings = replace(Settings(), query_timeout_ms=TIMEOUT_MS, query_memory_limit_mb=2)
    return Running(1, clock, settings, None)


def test_each_call_for_rows_has_time_of_its_own(running: Running, clock: HandClock) -> None:
    clock.advance(TIMEOUT_MS - 1)
    running.check()
    running.begin_call()
    clock.advance(TIMEOUT_MS - 1)
    running.check()
    clock.advance(1)
    with pytest.raises(QueryTooLong, match="query_timeout_ms"):
        running.check()


def test_a_query_that_was_ended_goes_no_further_and_says_why_first(running: Running) -> None:
    running.end("the session was closed")
    running.end("it failed")
    with pytest.raises(QueryEnded, match="the session was closed"):
        running.check()


def test_what_its_parts_hold_counts_together(running: Running) -> None:
    one, other = object(), object()
    running.holds(one, MIB)
    running.holds(other, MIB)
    with pytest.raises(QueryTooLarge, match="query_memory_limit_mb"):
        running.holds(other, MIB + 1)
    running.holds(one, 0)
    running.holds(other, 2 * MIB)


def test_its_level_is_the_sessions_or_that_of_the_settings(clock: HandClock) -> None:
    assert Running(1, clock, Settings(), None).is_strong
    assert not Running(1, clock, Settings(), "weak").is_strong
