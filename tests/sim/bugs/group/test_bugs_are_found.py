"""The simulator can see: each known mistake, planted into the core, is found within its budget of seeds."""

import pytest

from tests.sim.bugs.group.bugs import BUGS, Bug
from tests.sim.hunt import group_fault, hunt

QUICK = 100
"""Mistakes with a larger budget are looked for by `python -m tests.sim --bugs`, which `make sim-long` runs."""


@pytest.mark.parametrize("bug", [bug for bug in BUGS if bug.budget <= QUICK], ids=lambda bug: bug.name)
def test_a_planted_mistake_is_found(bug: Bug) -> None:
    found = hunt(bug, group_fault)
    assert found.fault is not None, found.line()
