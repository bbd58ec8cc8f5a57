"""Values still to come: settled once, waited for by any thread, awaited by coroutines with or without a deadline."""

import threading
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iotdb_cluster.errors import NoLeader, OutcomeUnknown
from iotdb_cluster.members.clock import Deadline, MonotonicClock
from iotdb_cluster.members.pending import BlockingCall, Pending, drive, gather, growing_ms, pause

CLOCK = MonotonicClock()


class StoppedClock:
    """A clock that stands still, so that a deadline is either far away or has passed."""

    def now_ms(self) -> int:
        return 1_000

    def wall_ms(self) -> int:
        return 0


def test_the_first_settlement_wins_and_later_ones_are_ignored() -> None:
    pending = Pending[int]()
    assert not pending.done
    assert pending.resolve(1)
    assert not pending.resolve(2)
    assert not pending.fail(NoLeader("late"))
    assert 1 == pending.wait()
    assert pending.error is None


def test_an_error_is_raised_wherever_the_value_is_asked_for() -> None:
    pending = Pending[int]()
    pending.fail(NoLeader("gone"))
    for ask in (pending.wait, pending.result, lambda: drive(value_of(pending), CLOCK)):
        with pytest.raises(NoLeader, match="gone"):
            ask()


def test_a_value_not_yet_there_is_not_readable() -> None:
    with pytest.raises(RuntimeError):
        Pending[int]().result()


def test_callbacks_run_once_each_whether_added_before_or_after() -> None:
    pending, seen = Pending[str](), list[tuple[str, str]]()
    pending.add_done_callback(lambda p: seen.append(("before", p.result())))
    pending.resolve("x")
    pending.add_done_callback(lambda p: seen.append(("after", p.result())))
    pending.resolve("y")
    assert [("before", "x"), ("after", "x")] == seen


def test_a_wait_that_ends_without_a_value_says_that_the_outcome_is_unknown_and_leaves_nothing_behind() -> None:
    pending = Pending[int]()
    with pytest.raises(OutcomeUnknown):
        pending.wait(0.001)
    assert [] == pending._callbacks
    pending.resolve(3)
    assert 3 == pending.wait(0)


@settings(max_examples=30, deadline=None)
@given(waiters=st.integers(1, 6), settlers=st.integers(1, 4), impatient=st.integers(0, 3))
def test_in_any_interleaving_all_waiters_see_the_one_outcome(waiters: int, settlers: int, impatient: int) -> None:
    pending, start, seen, won = Pending[int](), threading.Barrier(waiters + settlers + impatient), [], []

    def waits() -> None:
        start.wait()
        seen.append(pending.wait(10))

    def gives_up_quickly() -> None:
        start.wait()
        pending.block(0)

    def settles(value: int) -> Callable[[], None]:
        def run() -> None:
            start.wait()
            if pending.resolve(value):
                won.append(value)

        return run

    threads = [threading.Thread(target=waits) for _ in range(waiters)]
    threads += [threading.Thread(target=settles(value)) for value in range(settlers)]
    threads += [threading.Thread(target=gives_up_quickly) for _ in range(impatient)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert 1 == len(won)
    assert won * waiters == seen


async def value_of(pending: Pending[int]) -> int:
    return await pending + 0


def test_a_coroutine_is_driven_by_blocking_on_what_it_awaits() -> None:
    first, second = Pending[int](), Pending[int]()

    async def both() -> int:
        return await value_of(first) * 10 + await value_of(second)

    second.resolve(2)
    other = threading.Thread(target=lambda: first.resolve(4))
    other.start()
    assert 42 == drive(both(), CLOCK)
    other.join()


def test_an_await_with_a_deadline_that_passed_raises_the_error_it_was_given() -> None:
    async def impatient(error: Exception | None) -> int:
        return await Pending[int]().within(Deadline(999), error)

    with pytest.raises(OutcomeUnknown):
        drive(impatient(None), StoppedClock())
    with pytest.raises(NoLeader, match="nobody"):
        drive(impatient(NoLeader("nobody")), StoppedClock())


def test_a_value_that_is_there_is_taken_even_after_the_deadline() -> None:
    pending = Pending[int]()
    pending.resolve(5)

    async def late() -> int:
        return await pending.within(Deadline(0))

    assert 5 == drive(late(), StoppedClock())


def test_the_deadline_of_a_whole_call_is_raised_inside_so_that_it_can_tidy_up() -> None:
    tidied = []

    async def holds_something() -> int:
        try:
            return await Pending[int]()
        finally:
            tidied.append(True)

    with pytest.raises(OutcomeUnknown):
        drive(holds_something(), StoppedClock(), Deadline(1_000))
    assert [True] == tidied


def test_a_coroutine_may_answer_its_deadline_but_not_wait_on() -> None:
    async def answers() -> str:
        try:
            await Pending[int]()
        except OutcomeUnknown:
            return "answered"
        return "no deadline"

    async def waits_on() -> str:
        try:
            await Pending[int]()
        except OutcomeUnknown:
            await Pending[int]()
        return "waited on"

    assert "answered" == drive(answers(), StoppedClock(), Deadline(1_000))
    with pytest.raises(OutcomeUnknown, match="went on waiting"):
        drive(waits_on(), StoppedClock(), Deadline(1_000))


def test_a_pause_ends_at_its_deadline_and_not_with_an_error() -> None:
    async def pauses() -> str:
        await pause(Deadline(1_000))
        return "went on"

    assert "went on" == drive(pauses(), StoppedClock())


def test_a_blocking_call_runs_in_the_thread_that_waits() -> None:
    ran_in = []

    def send() -> Callable[[float | None], int]:
        ran_in.append(threading.get_ident())
        return lambda timeout_s: 7

    call = BlockingCall(send)
    assert [] == ran_in
    assert 7 == drive(value_of(call), CLOCK)
    assert 7 == call.wait()
    assert [threading.get_ident()] == ran_in


def test_gather_sends_every_call_before_it_receives_any() -> None:
    order = []

    def call(name: str) -> Pending[str]:
        def receive(_: float | None) -> str:
            order.append(f"receive {name}")
            return name

        def send() -> Callable[[float | None], str]:
            order.append(f"send {name}")
            return receive

        return BlockingCall(send)

    assert ["a", "b"] == gather(call("a"), call("b")).wait(10)
    assert ["send a", "send b", "receive a", "receive b"] == order


def test_gather_raises_the_first_failure_in_order_and_each_part_keeps_its_own_outcome() -> None:
    def refused() -> Callable[[float | None], int]:
        raise NoLeader("refused")

    good, bad, worse = Pending[int](), BlockingCall[int](refused), Pending[int]()
    worse.fail(OutcomeUnknown("worse"))
    good.resolve(1)
    with pytest.raises(NoLeader, match="refused"):
        gather(good, bad, worse).wait(10)
    assert [None, NoLeader, OutcomeUnknown] == [p.error and type(p.error) for p in (good, bad, worse)]
    assert [] == gather().wait(0)


def test_gather_gives_up_when_the_time_is_over() -> None:
    async def one_never_comes() -> list[int]:
        come = Pending[int]()
        come.resolve(1)
        return await gather(come, Pending[int]()).within(Deadline(1_000))

    with pytest.raises(OutcomeUnknown):
        drive(one_never_comes(), StoppedClock())


def test_a_pause_grows_up_to_its_bound() -> None:
    assert [20, 40, 80, 125, 125] == [growing_ms(attempt, 20, 125) for attempt in range(5)]
    assert 20 == growing_ms(0, 20, 5)
    assert 125 == growing_ms(10**9, 20, 125)
