"""Invariants 8 and 9: within one start neither term nor commit index ever falls."""

from collections.abc import Iterable

from tests.sim.invariants.view import Violation, World


def check(world: World) -> Iterable[Violation]:
    """Compare before and after."""
    before, raft = world.step.before, world.step.raft
    if raft.commit_index < before.commit_index:
        yield Violation(8, f"node {raft.me}: commit index falls from {before.commit_index} to {raft.commit_index}")
    if raft.term < before.term:
        yield Violation(9, f"node {raft.me}: term falls from {before.term} to {raft.term}")
