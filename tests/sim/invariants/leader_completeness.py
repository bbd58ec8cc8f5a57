"""Invariant 3: who becomes leader holds every entry that was ever committed, in its log or its snapshot."""

from collections.abc import Iterable

from tests.sim.invariants.view import Violation, World


def check(world: World) -> Iterable[Violation]:
    """Look for the last committed entry; those before it are there by log matching."""
    step = world.step
    if step.became_leader:
        last, log = world.ledger.last_committed, step.raft.log
        if last.index > log.snapshot.index and not log.contains(last):
            yield Violation(3, f"node {step.node} leads term {step.raft.term} without the committed {last}")
