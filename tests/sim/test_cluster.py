"""The cluster simulator itself: deterministic, busy enough to count, and able to see."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sim.bugs.cluster.bugs import BUGS
from tests.sim.cluster.world import run_seed
from tests.sim.hunt import cluster_fault, hunt

ROOT = Path(__file__).parent.parent.parent
QUICK_BUGS = ("spoken_before_the_sync", "replay_starts_too_late", "read_without_asking_the_leader")


@pytest.mark.parametrize("seed", ["6", "9"])
def test_a_seed_holds_and_counts_by_its_content(seed: str) -> None:
    result = run_seed(seed)
    assert None is result.fault, "\n".join(result.lines)
    assert result.operations >= 300
    assert result.faults >= 8
    assert result.acked > 50
    assert result.readings > 50


def test_the_same_seed_in_two_processes_is_the_same() -> None:
    digests = set()
    for hash_seed in ("1", "2"):
        code = "from tests.sim.cluster.world import run_seed; print(run_seed('2').digest)"
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
        )
        digests.add(done.stdout)
    assert 1 == len(digests)


def test_seeds_differ() -> None:
    assert run_seed("3").digest != run_seed("4").digest


@pytest.mark.parametrize("name", QUICK_BUGS)
def test_a_planted_mistake_is_found(name: str) -> None:
    """The others are looked for by `python -m tests.sim --bugs`, which `make sim-long` runs."""
    (bug,) = [each for each in BUGS if each.name == name]
    found = hunt(bug, cluster_fault)
    assert found.fault is not None, found.line()
