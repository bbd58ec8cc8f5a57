"""Plans for one leader go together, none is lost, doubled or mixed up, and nobody waits for ever."""

import threading
from collections.abc import Sequence

import pytest

from iotdb_cluster.errors import NoLeader, RequestError
from iotdb_cluster.members.clock import Deadline, MonotonicClock
from iotdb_cluster.members.forwarding import CALLS_MAX_COUNT, Forwarding, Target
from iotdb_cluster.members.pending import Pending, drive
from iotdb_cluster.members.waiting import NotLeader, Outcome
from iotdb_cluster.types.identity import GroupId, NodeId

TARGET: Target = (GroupId(1), NodeId(2))
CLOCK = MonotonicClock()


class Leader:
    """Answers each plan by an outcome that names it, when the test lets it."""

    def __init__(self) -> None:
        self.calls: list[list[bytes]] = []
        self.gates: list[Pending[None]] = []
        self.called = threading.Condition()
        self.error: RequestError | None = None

    async def send(self, target: Target, plans: Sequence[bytes], deadline: Deadline) -> list[Outcome]:
        gate: Pending[None] = Pending()
        with self.called:
            self.calls.append(list(plans))
            self.gates.append(gate)
            self.called.notify_all()
        await gate
        if self.error is not None:
            raise self.error
        return [RequestError(plan.decode()) for plan in plans]

    def wait_for_calls(self, count: int) -> None:
        with self.called:
            assert self.called.wait_for(lambda: len(self.calls) >= count, timeout=10)

    def open_gates(self) -> None:
        for gate in list(self.gates):
            gate.resolve(None)


class Callers:
    """Threads that each forward one plan."""

    def __init__(self, forwarding: Forwarding) -> None:
        self.forwarding = forwarding
        self.threads: dict[str, threading.Thread] = {}
        self.got: dict[str, object] = {}

    def start(self, name: str, timeout_ms: int = 10_000) -> None:
        def work() -> None:
            deadline = Deadline.after(CLOCK, timeout_ms)
            try:
                outcomes = drive(self.forwarding.forward(TARGET, [name.encode()], deadline), CLOCK)
                self.got[name] = str(outcomes[0].message) if outcomes[0] else None
            except RequestError as error:
                self.got[name] = error

        self.threads[name] = threading.Thread(target=work, daemon=True)
        self.threads[name].start()

    def join(self) -> None:
        for thread in self.threads.values():
            thread.join(10)
            assert not thread.is_alive()


def wait_until_waiting(forwarding: Forwarding, count: int) -> None:
    line = forwarding._lines[TARGET]
    done = threading.Event()
    while len(line.waiting) < count:
        assert not done.wait(0.001)


def test_what_comes_while_calls_are_under_way_goes_together() -> None:
    leader = Leader()
    callers = Callers(Forwarding(leader.send))
    for number in range(CALLS_MAX_COUNT):
        callers.start(f"first-{number}")
        leader.wait_for_calls(number + 1)
    for number in range(20):
        callers.start(f"later-{number}")
    wait_until_waiting(callers.forwarding, 20)
    leader.gates[0].resolve(None)
    leader.wait_for_calls(CALLS_MAX_COUNT + 1)
    assert 20 == len(leader.calls[-1])
    leader.open_gates()
    callers.join()
    assert {name: name for name in callers.threads} == callers.got
    assert {} == callers.forwarding._lines


def test_an_error_of_the_call_is_everybodys() -> None:
    leader = Leader()
    callers = Callers(Forwarding(leader.send))
    leader.error = NotLeader("somebody else leads", NodeId(3))
    for number in range(CALLS_MAX_COUNT):
        callers.start(f"first-{number}")
        leader.wait_for_calls(number + 1)
    callers.start("second")
    callers.start("third")
    wait_until_waiting(callers.forwarding, 2)
    leader.open_gates()
    leader.wait_for_calls(CALLS_MAX_COUNT + 1)
    while any(thread.is_alive() for thread in callers.threads.values()):
        leader.open_gates()
    assert all(error is leader.error for error in callers.got.values())


def test_who_is_never_sent_hears_that_it_had_no_effect_and_holds_nobody_up() -> None:
    leader = Leader()
    callers = Callers(Forwarding(leader.send))
    for number in range(CALLS_MAX_COUNT):
        callers.start(f"first-{number}")
        leader.wait_for_calls(number + 1)
    callers.start("impatient", timeout_ms=20)
    callers.threads["impatient"].join(10)
    assert isinstance(callers.got["impatient"], NoLeader)
    leader.open_gates()
    callers.join()
    assert all(b"impatient" not in call for call in leader.calls)


@pytest.mark.parametrize("count", [200])
def test_under_a_crowd_every_plan_is_sent_once_and_answered_as_its_own(count: int) -> None:
    sent: list[bytes] = []
    guard = threading.Lock()

    async def send(target: Target, plans: Sequence[bytes], deadline: Deadline) -> list[Outcome]:
        with guard:
            sent.extend(plans)
        return [RequestError(plan.decode()) for plan in plans]

    callers = Callers(Forwarding(send))
    for number in range(count):
        callers.start(str(number))
    callers.join()
    assert {str(number): str(number) for number in range(count)} == callers.got
    assert sorted(str(number).encode() for number in range(count)) == sorted(sent)
