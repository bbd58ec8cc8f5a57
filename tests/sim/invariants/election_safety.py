"""Invariant 1: there is at most one leader of a term, and it leads in one incarnation only."""

from collections.abc import Iterable

from tests.sim.invariants.view import Violation, World


def check(world: World) -> Iterable[Violation]:
    """Compare a leader with whoever led its term before."""
    step = world.step
    if step.raft.is_leader:
        term = step.raft.term
        earlier = world.ledger.leaders.get(term)
        if earlier is not None and earlier != (step.node, step.incarnation):
            yield Violation(1, f"node {step.node} (start {step.incarnation}) leads term {term}, so did {earlier}")
