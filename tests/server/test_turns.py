"""Who takes a node's turns: whoever brings something, or the thread that waits for what is due."""

import threading
from collections.abc import Callable

import pytest

from iotdb_cluster.errors import StorageFailure
from iotdb_cluster.server.loop import Turns

PATIENCE_S = 10.0


class Work:
    """What waits, and in which threads it was done."""

    def __init__(self, act: Callable[[], None] = lambda: None) -> None:
        self.waiting = 0
        self.done_by: list[str] = []
        self.all_done = threading.Event()
        self._act = act

    def turn(self) -> int:
        if self.waiting:
            self.done_by.append(threading.current_thread().name)
            self.waiting -= 1
            self._act()
        if not self.waiting:
            self.all_done.set()
        return 1_000

    def bring(self, turns: Turns) -> None:
        self.all_done.clear()
        self.waiting += 1
        turns.wake()


def started(work: Work, faults: list[BaseException] | None = None) -> Turns:
    """Turns over `work`, asleep until something is brought."""
    seen = [] if faults is None else faults
    turns = Turns(work.turn, lambda: work.waiting, seen.append)
    turns.start()
    assert work.all_done.wait(PATIENCE_S)
    with turns.at_it:
        pass
    return turns


def test_whoever_brings_something_takes_the_turn_itself() -> None:
    work = Work()
    turns = started(work)
    work.bring(turns)
    assert [threading.current_thread().name] == work.done_by
    assert turns.stop(PATIENCE_S)


def test_what_comes_while_somebody_is_at_it_is_done_by_the_runtimes_thread() -> None:
    work = Work()
    turns = started(work)
    with turns.at_it:
        work.bring(turns)
        assert [] == work.done_by
    assert work.all_done.wait(PATIENCE_S)
    assert ["runtime"] == work.done_by
    assert turns.stop(PATIENCE_S)


def test_what_a_turn_brings_itself_is_done_by_the_runtimes_thread() -> None:
    again = [True]
    work = Work(lambda: work.bring(turns) if again and again.pop() else None)
    turns = started(work)
    work.bring(turns)
    assert work.all_done.wait(PATIENCE_S)
    assert [threading.current_thread().name, "runtime"] == work.done_by
    assert turns.stop(PATIENCE_S)


def test_a_fault_in_a_turn_is_told_and_not_thrown_at_whoever_brought_something() -> None:
    def fail() -> None:
        raise StorageFailure("sync", "raft/1.log", "the disk is gone")

    faults: list[BaseException] = []
    work = Work(fail)
    turns = started(work, faults)
    work.bring(turns)
    work.bring(turns)
    assert ["the disk is gone" in str(fault) for fault in faults] == [True]
    assert 1 == len(work.done_by)
    assert turns.stop(PATIENCE_S)


@pytest.mark.parametrize("is_started", [True, False])
def test_nothing_is_done_before_the_start_and_after_the_stop(is_started: bool) -> None:
    work = Work()
    turns = started(work) if is_started else Turns(work.turn, lambda: work.waiting, lambda fault: None)
    if is_started:
        assert turns.stop(PATIENCE_S)
    work.bring(turns)
    assert [] == work.done_by
