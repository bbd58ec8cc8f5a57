"""Many seeds over several processes."""

import gc
import multiprocessing
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import islice

from tests.sim.cluster.world import Result, run_seed, shared_codec
from tests.sim.group.run import GroupRun, Outcome
from tests.sim.kept_seeds import CLUSTER_SEEDS, GROUP_SEEDS

GROUP_BATCH = 25
"""Group seeds that a process takes at once: each is over in milliseconds."""

GROUP_SEEDS_PER_CLUSTER_SEED = 13


@dataclass(frozen=True, slots=True)
class Job:
    """Seeds for one process: a cluster seed, or several group seeds."""

    is_cluster: bool
    seeds: range


@dataclass(slots=True)
class Totals:
    """What all seeds together came to."""

    clusters: list[Result] = field(default_factory=list)
    groups: list[Outcome] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def take(self, results: list[Result] | list[Outcome]) -> None:
        """Add what a job came to; a failure is told with the command that reproduces it."""
        for result in results:
            if isinstance(result, Result):
                self.clusters.append(result)
                command = f"python -m tests.sim --seed {result.seed}"
            else:
                self.groups.append(result)
                command = f"python -m tests.sim --seed g{result.seed}"
            if result.fault is not None:
                self.failures.append(f"{result.fault}\n  reproduce: {command}")
                print(f"FAILED: {self.failures[-1]}", flush=True)

    def tell(self, seconds: float) -> None:
        """Print the sums."""
        clusters, groups = self.clusters, self.groups
        print(
            f"{len(clusters)} cluster seeds: {sum(r.operations for r in clusters):,} operations "
            f"({sum(r.acked for r in clusters):,} acknowledged, {sum(r.unknown for r in clusters):,} unknown), "
            f"{sum(r.readings for r in clusters):,} readings, {sum(r.faults for r in clusters):,} faults, "
            f"{sum(r.elections for r in clusters):,} leaders, {sum(r.messages for r in clusters):,} messages, "
            f"{sum(r.virtual_ms for r in clusters) / 3_600_000:.1f} virtual hours"
        )
        print(
            f"{len(groups)} group seeds: {sum(o.operations for o in groups):,} operations, "
            f"{sum(o.faults for o in groups):,} faults, {sum(o.terms for o in groups):,} leaders, "
            f"{sum(o.steps for o in groups):,} steps"
        )
        verdict = f"{len(self.failures)} FAILED" if self.failures else "all held"
        print(f"{verdict} in {seconds:.0f} s")


def run_job(job: Job) -> list[Result] | list[Outcome]:
    """Run in a process of its own."""
    if job.is_cluster:
        return [run_seed(str(seed)) for seed in job.seeds]
    return [GroupRun(seed).run() for seed in job.seeds]


def prepare_process() -> None:
    """What there is before the first seed is no garbage, and need not be looked at behind every seed."""
    shared_codec()
    gc.freeze()


def jobs_for(clusters: range, groups: range) -> Iterator[Job]:
    """Cluster seeds first: they take longest."""
    for seed in clusters:
        yield Job(True, range(seed, seed + 1))
    for first in range(groups.start, groups.stop, GROUP_BATCH):
        yield Job(False, range(first, min(first + GROUP_BATCH, groups.stop)))


def kept_jobs() -> Iterator[Job]:
    """Seeds that once found something."""
    for seed in CLUSTER_SEEDS:
        yield Job(True, range(seed, seed + 1))
    for seed in GROUP_SEEDS:
        yield Job(False, range(seed, seed + 1))


def endless_jobs(first: int, ends_at_s: float) -> Iterator[Job]:
    """A cluster seed and some group seeds in turn, until the time is over."""
    number = 0
    while time.monotonic() < ends_at_s:
        yield Job(True, range(first + number, first + number + 1))
        groups = first + number * GROUP_SEEDS_PER_CLUSTER_SEED
        yield Job(False, range(groups, groups + GROUP_SEEDS_PER_CLUSTER_SEED))
        number += 1


def run_all(jobs: Iterator[Job], processes: int) -> Totals:
    """Spread the jobs over processes; each takes the next one when it is done. A process that dies ends the run."""
    totals = Totals()
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), prepare_process) as pool:
        running = {pool.submit(run_job, job) for job in islice(jobs, 2 * processes)}
        while running:
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                totals.take(future.result())
                running |= {pool.submit(run_job, job) for job in islice(jobs, 1)}
    return totals
