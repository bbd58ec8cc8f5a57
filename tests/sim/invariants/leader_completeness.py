"""Invariant 3: who becomes leader holds every entry that a leader of a lower term committed, in log or snapshot."""

from collections.abc import Iterable

from tests.sim.invariants.view import Violation, World


def check(world: World) -> Iterable[Violation]:
    """Look for the last committed entry; those before it are there by log matching."""
    step = world.step
    if step.became_leader:
        ledger, log = world.ledger, step.raft.log
        entry = ledger.committed_at(ledger.committed_before(step.raft.term))
        if entry is not None and entry.index > log.snapshot.index and not log.contains(entry.id):
            yield Violation(3, f"node {step.node} leads term {step.raft.term} without the committed {entry.id}")
