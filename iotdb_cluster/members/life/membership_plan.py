"""Which membership of a group comes next, as functions of values alone (docs/life-cycle.md).

Each is asked again and again by whoever leads the group, about its newest membership once that is committed and
uniform; what it says is proposed, and refused by the core where something else came first.
"""

from iotdb_cluster.partition.roster import Roster
from iotdb_cluster.types.identity import NodeId
from iotdb_cluster.types.membership import Membership

Nodes = frozenset[NodeId]


def next_meta_membership(roster: Roster, current: Membership, level: Nodes, moving: Nodes) -> Membership | None:
    """What the meta group's leader should enter, if anything: one node at a time changes its part.

    `level` are learners that have caught up; `moving` the headers of groups that take part in a move.
    """
    leaving = sorted(current.voters & roster.leaving)
    if leaving and len(current.voters) > 1:
        return Membership(current.voters - {leaving[0]}, current.learners | {leaving[0]})
    done = {
        learner
        for learner in current.learners
        if roster.node(learner) is None
        or (learner in roster.leaving and learner not in moving and roster.is_drained(learner))
    }
    if done:
        return Membership(current.voters, current.learners - done)
    arriving = {node.identifier for node in roster.joining} - roster.leaving
    if not arriving <= current.members:
        return Membership(current.voters, current.learners | (arriving - current.voters))
    if moving or roster.change_under_way is not None:
        return None
    for node in roster.joining:
        identifier = node.identifier
        if identifier in arriving and identifier in level:
            return Membership(current.voters | {identifier}, current.learners - {identifier})
    return None


def next_group_membership(current: Membership, wanted: Nodes | None, level: Nodes) -> Membership | None:
    """What a data group's leader should enter on the way to the members that the ring wants, if anything.

    `wanted` is None for a group that is about to end, which is left as it is.
    """
    if wanted is None:
        return None
    missing = wanted - current.voters
    if missing != current.learners:
        return Membership(current.voters, missing)
    if current.voters != wanted and missing <= level:
        return Membership(wanted)
    return None
