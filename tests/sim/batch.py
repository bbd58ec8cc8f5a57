"""Many seeds over several processes."""

import gc
import multiprocessing
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import TypeVar

from tests.sim.cluster.play import play
from tests.sim.cluster.world import Result, shared_codec
from tests.sim.group.run import GroupRun, Outcome
from tests.sim.kept_seeds import CLUSTER_SEEDS, GROUP_SEEDS

T = TypeVar("T")

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
        gc.disable()  # the process ends with the seed: nobody needs to look for its garbage
        return [play(seed) for seed in job.seeds]
    return [GroupRun(seed).run() for seed in job.seeds]


def jobs_for(clusters: range, groups: range) -> Iterator[Job]:
    """Cluster seeds first: they take longest."""
    for seed in clusters:
        yield Job(True, range(seed, seed + 1))
    for first in range(groups.start, groups.stop, GROUP_BATCH):
        yield Job(False, range(first, min(first + GROUP_BATCH, groups.stop)))


def kept_jobs() -> list[Job]:
    """Seeds that once found something, one in each job."""
    return [
        Job(is_cluster, range(seed, seed + 1))
        for is_cluster, seeds in ((True, CLUSTER_SEEDS), (False, GROUP_SEEDS))
        for seed in seeds
    ]


def endless_jobs(first: int, ends_at_s: float) -> Iterator[Job]:
    """A cluster seed and some group seeds in turn, until the time is over."""
    number = 0
    while time.monotonic() < ends_at_s:
        yield Job(True, range(first + number, first + number + 1))
        groups = first + number * GROUP_SEEDS_PER_CLUSTER_SEED
        yield Job(False, range(groups, groups + GROUP_SEEDS_PER_CLUSTER_SEED))
        number += 1


def run_all(jobs: Iterator[Job], processes: int) -> Totals:
    """Run the jobs, so many at a time."""
    totals = Totals()
    for results in spread((partial(run_job, job) for job in jobs), processes):
        totals.take(results)
    return totals


def spread(work: Iterator[Callable[[], T]], processes: int) -> Iterator[T]:
    """What the pieces of work come to, as they are done, each in a process that is a copy of this one.

    Raises `RuntimeError` when one of them dies.
    """
    shared_codec()
    gc.collect()
    gc.freeze()
    context = multiprocessing.get_context("fork")
    running: dict[Connection, BaseProcess] = {}
    while True:
        while len(running) < processes and (piece := next(work, None)) is not None:
            receiver, sender = context.Pipe(duplex=False)
            process = context.Process(target=_send_result, args=(piece, sender))
            process.start()
            sender.close()
            running[receiver] = process
        if not running:
            return
        for ready in wait(list(running)):
            assert isinstance(ready, Connection)
            process = running.pop(ready)
            try:
                result = ready.recv()
            except EOFError:
                process.join()
                raise RuntimeError(f"a process ended with {process.exitcode} and without a result") from None
            process.join()
            ready.close()
            yield result


def _send_result(piece: Callable[[], object], sender: Connection) -> None:
    sender.send(piece())
