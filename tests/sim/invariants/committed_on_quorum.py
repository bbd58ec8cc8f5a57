"""Invariant 7: what a leader commits is durable on a quorum of the membership in force; followers only follow (13)."""

from collections.abc import Iterable

from iotdb_cluster.raft.effects import Committed
from iotdb_cluster.types.identity import LogIndex, NodeId
from iotdb_cluster.types.membership import Membership
from tests.sim.invariants.view import Violation, World


def check(world: World) -> Iterable[Violation]:
    """Look at the disks, not at what anybody believes of them."""
    step, ledger = world.step, world.ledger
    for effect in step.effects:
        if type(effect) is not Committed or effect.entries[-1].index <= ledger.committed_index:
            continue
        last = effect.entries[-1]
        if not step.led:
            yield Violation(13, f"follower {step.node} commits {last.id} before any leader did")
            continue
        holders = {node for node, disk in world.disks.items() if disk.holds(last.id)}
        # A step may both commit and begin a change, in either order: one of the two memberships was in force.
        in_force = {step.raft.log.membership_at(step.before.last_id.index), step.raft.membership}
        if not any(_is_enough(membership, holders, last.index) for membership in in_force):
            yield Violation(
                7, f"leader {step.node} commits {last.id} durable on {sorted(holders)}, in force: {in_force}"
            )


def _is_enough(membership: Membership | None, holders: set[NodeId], index: LogIndex) -> bool:
    """A quorum; for the founding entry everybody."""
    if membership is None:
        return False
    return membership.all_voters <= holders if index == 1 else membership.has_quorum(holders)
