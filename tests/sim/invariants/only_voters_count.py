"""Invariant 17: who becomes leader was granted a quorum of its own membership's voters, seen on the wire."""

from collections.abc import Iterable

from tests.sim.invariants.view import Violation, World


def check(world: World) -> Iterable[Violation]:
    """Count grants that were really given; a vote for oneself counts where one is a voter."""
    step = world.step
    if not step.became_leader:
        return
    membership = step.raft.membership
    granted = world.ledger.votes.get((step.raft.term, step.node), set()) | {step.node}
    if membership is None or not membership.has_quorum(granted):
        yield Violation(
            17, f"node {step.node} leads term {step.raft.term} with votes of {sorted(granted)} in {membership}"
        )
    elif not step.raft.is_founded and not membership.all_voters <= granted:
        yield Violation(17, f"node {step.node} leads an unfounded group with votes of {sorted(granted)} only")
