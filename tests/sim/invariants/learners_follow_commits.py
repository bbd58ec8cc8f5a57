"""Rule 4.1, part of invariant 17: a learner is sent committed entries only, or its log could outrun those of voters."""

from collections.abc import Iterable

from iotdb_cluster.raft.effects import Send
from iotdb_cluster.raft.messages import AppendRequest
from tests.sim.invariants.view import Violation, World


def check(world: World) -> Iterable[Violation]:
    """Look at what a leader sends to its learners."""
    step = world.step
    raft = step.raft
    membership = raft.membership
    if not raft.is_leader or membership is None or not membership.learners:
        return
    # A step may both send and begin a change: who was a voter before it may be a learner behind it.
    before = raft.log.membership_at(step.before.last_id.index) or membership
    learners = membership.learners & before.learners
    for effect in step.effects:
        if type(effect) is Send and type(effect.message) is AppendRequest and effect.to in learners:
            last = effect.message.entries[-1].index
            if last > raft.commit_index:
                yield Violation(17, f"leader {step.node} sends {last} to learner {effect.to}, before it is committed")
