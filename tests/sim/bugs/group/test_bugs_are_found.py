"""The simulator can see: each known mistake, planted into the core, is found within its budget of seeds."""

import pytest

from tests.sim.bugs.group.bugs import BUGS, Bug
from tests.sim.group.run import GroupRun

QUICK = 100
"""Mistakes with a larger budget are looked for by the long run."""


def seeds_until_found(bug: Bug) -> int | None:
    """How many seeds it takes, or None when the budget does not suffice."""
    with bug.planted():
        for seed in range(bug.budget):
            try:
                is_found = GroupRun(seed).run().fault is not None
            except (AssertionError, IndexError, KeyError):
                is_found = True  # the harness itself stumbles over what the core does
            if is_found:
                return seed + 1
    return None


@pytest.mark.parametrize(
    "bug",
    [pytest.param(bug, marks=[] if bug.budget <= QUICK else [pytest.mark.long]) for bug in BUGS],
    ids=lambda bug: bug.name,
)
@pytest.mark.timeout(600)
def test_a_planted_mistake_is_found(bug: Bug) -> None:
    found = seeds_until_found(bug)
    assert found is not None, f"{bug.name} was not found in {bug.budget} seeds"
