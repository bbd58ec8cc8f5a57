"""Membership changes as values: which membership follows which (rule 4.2)."""

from iotdb_cluster.raft.effects import Refusal
from iotdb_cluster.types.identity import NodeId
from iotdb_cluster.types.membership import Membership


def first_step(current: Membership, wanted: Membership, caught_up: frozenset[NodeId]) -> Membership | Refusal:
    """What to append first on the way from `current` to `wanted`, both uniform: `wanted`, or the joint one before it.

    `caught_up` are the learners of `current` that may become voters. A joint change cannot make a voter a learner in
    the same stroke, since its entry could not tell the next leader how it ends.
    """
    if current.is_joint:
        return Refusal.CHANGE_PENDING
    if wanted.is_joint:
        return Refusal.NOT_ALLOWED
    entering = wanted.voters - current.voters
    if not entering <= current.learners:
        return Refusal.NOT_ALLOWED
    if not entering <= caught_up:
        return Refusal.NOT_CAUGHT_UP
    if len(entering) + len(current.voters - wanted.voters) <= 1:
        return wanted
    if wanted.learners & current.voters:
        return Refusal.NOT_ALLOWED
    return Membership(voters=wanted.voters, learners=wanted.learners, outgoing=current.voters)


def last_step(joint: Membership) -> Membership:
    """The uniform membership that ends a joint one, whoever finishes it."""
    return Membership(voters=joint.voters, learners=joint.learners)
