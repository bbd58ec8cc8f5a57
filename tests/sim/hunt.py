"""A simulator is tested, too: each planted mistake must be found within its budget of seeds."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from tests.sim.bugs.cluster.bugs import BUGS as CLUSTER_BUGS
from tests.sim.bugs.cluster.move_bugs import BUGS as MOVE_BUGS
from tests.sim.bugs.group.bugs import BUGS as GROUP_BUGS
from tests.sim.bugs.group.bugs import Bug
from tests.sim.cluster.growth import MovingWorld
from tests.sim.cluster.world import run_seed
from tests.sim.group.run import GroupRun


@dataclass(frozen=True, slots=True)
class Hunt:
    """What became of the search for one mistake."""

    name: str
    budget: int
    fault: str | None
    """What the first seed that sees it says; None when the budget did not suffice."""
    seeds: int
    seconds: float

    def line(self) -> str:
        """For people."""
        said = "NOT FOUND" if self.fault is None else self.fault.splitlines()[-1][:90]
        return f"{self.name:55} {self.seeds:4} of {self.budget:5} seeds {self.seconds:6.1f} s  {said}"


def hunt(bug: Bug, fault_of: Callable[[int], str | None]) -> Hunt:
    """Play seed after seed with the mistake planted until one of them sees it."""
    began_s = time.monotonic()
    with bug.planted():
        for seed in range(bug.budget):
            fault = fault_of(seed)
            if fault is not None:
                return Hunt(bug.name, bug.budget, fault, seed + 1, time.monotonic() - began_s)
    return Hunt(bug.name, bug.budget, None, bug.budget, time.monotonic() - began_s)


def group_fault(seed: int) -> str | None:
    """What a group seed says; the harness itself may stumble over what a broken core does."""
    try:
        return GroupRun(seed).run().fault
    except (AssertionError, IndexError, KeyError) as error:
        return repr(error)


def cluster_fault(seed: int) -> str | None:
    """What a cluster seed says."""
    return run_seed(str(seed)).fault


def moving_fault(seed: int) -> str | None:
    """What a cluster seed says in which nodes come and go, and slots move."""
    return MovingWorld(f"moves/{seed}").run().fault


def all_hunts() -> Iterator[Callable[[], Hunt]]:
    """The search for each mistake, those that take longest first."""
    for bug in sorted(CLUSTER_BUGS, key=lambda bug: -bug.budget):
        yield partial(hunt, bug, cluster_fault)
    for bug in MOVE_BUGS:
        yield partial(hunt, bug, moving_fault)
    for bug in sorted(GROUP_BUGS, key=lambda bug: -bug.budget):
        yield partial(hunt, bug, group_fault)
