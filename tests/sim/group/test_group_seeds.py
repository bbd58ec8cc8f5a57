"""A batch of simulated groups holds, and a seed is a seed: the same in every process."""

import subprocess
import sys

import pytest

from tests.sim.group.run import GroupRun

SEEDS = 60


@pytest.mark.parametrize("first", range(0, SEEDS, 20))
def test_groups_hold_under_faults(first: int) -> None:
    for seed in range(first, first + 20):
        outcome = GroupRun(seed).run()
        assert outcome.fault is None, f"{outcome.fault}\nreproduce: python -m tests.sim.group --seed {seed}"


def test_a_batch_has_work_and_faults_enough_to_say_something() -> None:
    outcomes = [GroupRun(seed).run() for seed in range(10)]
    assert sum(outcome.acked for outcome in outcomes) > 100
    assert sum(outcome.reads for outcome in outcomes) > 50
    assert sum(outcome.faults for outcome in outcomes) > 80
    assert sum(outcome.terms for outcome in outcomes) > 30


def test_the_same_seed_gives_the_same_trace_in_two_processes() -> None:
    """Order of sets and dicts depends on the hash seed of the process; nothing here may."""
    code = "from tests.sim.group.run import GroupRun; print([GroupRun(s).run().trace_hash for s in range(6)])"
    traces = []
    for hash_seed in ("1", "2"):
        result = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": hash_seed, "PYTHONPATH": ":".join(sys.path)},
        )
        traces.append(result.stdout)
    assert traces[0] == traces[1]
    assert str([GroupRun(seed).run().trace_hash for seed in range(6)]) == traces[0].strip()


def test_a_transcript_can_be_read() -> None:
    lines: list[str] = []
    GroupRun(3, show=lines.append).run()
    assert any("leader of term" in line for line in lines)
    assert any("faults off" in line for line in lines)
