"""The cluster simulator itself: deterministic, busy enough to count, and able to see."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sim.bugs.cluster.bugs import BUGS
from tests.sim.cluster.play import MOVING_EVERY
from tests.sim.cluster.world import run_seed
from tests.sim.hunt import cluster_fault, hunt

ROOT = Path(__file__).parent.parent.parent
QUICK_BUGS = ("spoken_before_the_sync", "replay_starts_too_late", "read_without_asking_the_leader")


def test_seeds_hold_and_count_by_their_content() -> None:
    results = [run_seed(seed) for seed in ("6", "8", "9")]
    for result in results:
        assert None is result.fault, "\n".join(result.lines)
        assert result.operations >= 300
        assert result.faults >= 8
    # How much of it comes through hangs on which faults were drawn.
    assert sum(result.acked for result in results) > 150
    assert sum(result.readings for result in results) > 100


def test_the_same_seed_in_two_processes_is_the_same() -> None:
    code = f"from tests.sim.cluster.play import play; print(play({MOVING_EVERY}).digest)"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            stdout=subprocess.PIPE,
            text=True,
        )
        for hash_seed in ("1", "2")
    ]
    digests = [process.communicate()[0] for process in processes]
    assert [0, 0] == [process.returncode for process in processes]
    assert digests[0] == digests[1] != ""


def test_seeds_differ() -> None:
    assert run_seed("3").digest != run_seed("4").digest


@pytest.mark.parametrize("name", QUICK_BUGS)
def test_a_planted_mistake_is_found(name: str) -> None:
    """The others are looked for by `python -m tests.sim --bugs`, which `make sim-long` runs."""
    (bug,) = [each for each in BUGS if each.name == name]
    found = hunt(bug, cluster_fault)
    assert found.fault is not None, found.line()
