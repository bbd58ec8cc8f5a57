"""`python -m tests.sim`: simulated clusters and single Raft groups under faults, each made of one seed.

--short             100 cluster seeds and 1,000 group seeds, the kept ones among them: what `make sim` runs
--long [MINUTES]    as many seeds as fit into the time, 15 minutes by default
--bugs              looks for each planted mistake within its budget of seeds
--seed N            one cluster seed with a readable transcript; gN for a group seed
--cluster-seeds N --group-seeds N --first N --jobs N: so many, from that one on, in so many processes
"""

import argparse
import os
import sys
import time
from itertools import chain

from tests.sim.batch import endless_jobs, jobs_for, kept_jobs, run_all, spread
from tests.sim.cluster.play import play
from tests.sim.group.run import GroupRun
from tests.sim.hunt import all_hunts

LONG_MINUTES = 15


def show_seed(seed: str) -> int:
    """One seed with its transcript."""
    if seed.startswith("g"):
        outcome = GroupRun(int(seed[1:]), show=print).run()
        print(outcome)
        return 0 if outcome.fault is None else 1
    result = play(int(seed), print)
    print(result.line())
    if result.fault is not None:
        print(f"FAILED: {result.fault}")
    return 0 if result.fault is None else 1


def look_for_bugs(processes: int) -> int:
    """Exit status 0 when every planted mistake was found."""
    missed = 0
    for found in spread(all_hunts(), processes):
        print(found.line(), flush=True)
        missed += found.fault is None
    print(f"{missed} planted mistakes were NOT FOUND" if missed else "every planted mistake was found")
    return 1 if missed else 0


def main() -> int:
    """Exit status 0 when every seed held."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.sim", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--long", nargs="?", type=float, const=LONG_MINUTES, metavar="MINUTES")
    parser.add_argument("--bugs", action="store_true")
    parser.add_argument("--seed")
    parser.add_argument("--cluster-seeds", type=int, default=100)
    parser.add_argument("--group-seeds", type=int, default=1_000)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    arguments = parser.parse_args()
    if arguments.seed is not None:
        return show_seed(arguments.seed)
    if arguments.bugs:
        return look_for_bugs(arguments.jobs)
    began_s = time.monotonic()
    if arguments.long is not None:
        jobs = endless_jobs(arguments.first, began_s + 60 * arguments.long)
    else:
        first, clusters, groups = arguments.first, arguments.cluster_seeds, arguments.group_seeds
        kept = kept_jobs() if arguments.short else []
        jobs = chain(
            kept,
            jobs_for(
                range(first, first + clusters - sum(job.is_cluster for job in kept)),
                range(first, first + groups - sum(not job.is_cluster for job in kept)),
            ),
        )
    totals = run_all(jobs, arguments.jobs)
    totals.tell(time.monotonic() - began_s)
    return 1 if totals.failures else 0


if __name__ == "__main__":
    sys.exit(main())
