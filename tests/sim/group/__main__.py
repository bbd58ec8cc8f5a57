"""`python -m tests.sim.group --seeds N [--first S]`, or `--seed S` for one seed with its transcript."""

import argparse
import sys
import time

from tests.sim.group.run import GroupRun, Outcome


def main() -> int:
    """Run seeds; the first fault is told with the command that reproduces it."""
    parser = argparse.ArgumentParser(prog="python -m tests.sim.group", description="Simulated single Raft groups.")
    parser.add_argument("--seeds", type=int, default=1_000, help="how many seeds to run")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--seed", type=int, help="one seed, with a readable transcript")
    arguments = parser.parse_args()
    if arguments.seed is not None:
        run = GroupRun(arguments.seed, show=print)
        print(run.world.knobs)
        outcome = run.run()
        print(outcome)
        return 0 if outcome.fault is None else 1
    return run_many(range(arguments.first, arguments.first + arguments.seeds))


def run_many(seeds: range) -> int:
    """Run seeds one after the other and print the totals."""
    began = time.monotonic()
    outcomes: list[Outcome] = []
    for seed in seeds:
        outcome = GroupRun(seed).run()
        outcomes.append(outcome)
        if outcome.fault is not None:
            print(f"seed {seed}: {outcome.fault}\nreproduce: python -m tests.sim.group --seed {seed}")
            return 1
    seconds = time.monotonic() - began
    steps = sum(outcome.steps for outcome in outcomes)
    print(
        f"{len(outcomes)} group seeds held in {seconds:.1f} s: {steps} steps ({steps / max(seconds, 0.001):,.0f}/s), "
        f"{sum(o.operations for o in outcomes)} operations, {sum(o.acked for o in outcomes)} acknowledged, "
        f"{sum(o.reads for o in outcomes)} reads, {sum(o.faults for o in outcomes)} faults, "
        f"{sum(o.terms for o in outcomes)} leaders"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
