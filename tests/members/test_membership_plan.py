"""Which membership comes next, played to the end: every path leads where the ring wants it, one step at a time."""

import pytest

from iotdb_cluster.members.life.membership_plan import next_group_membership, next_meta_membership
from iotdb_cluster.types.membership import Membership
from tests.partition.test_roster import ids, node, roster_of, settled

NOBODY = frozenset()


def of(voters, learners=()):
    return Membership(ids(*voters), ids(*learners))


@pytest.mark.parametrize(
    ("current", "wanted", "level", "expected"),
    [
        (of([1, 2, 3]), [1, 2, 3], [], None),
        (of([1, 2, 3]), [1, 2, 4], [], of([1, 2, 3], [4])),
        (of([1, 2, 3], [4]), [1, 2, 4], [], None),
        (of([1, 2, 3], [4]), [1, 2, 4], [4], of([1, 2, 4])),
        (of([1, 2, 3], [4]), [1, 4, 5], [4], of([1, 2, 3], [4, 5])),
        (of([1, 2, 3], [4, 5]), [1, 4, 5], [4], None),
        (of([1, 2, 3], [4, 5]), [1, 4, 5], [4, 5], of([1, 4, 5])),
        (of([1, 2, 3], [4]), [1, 2, 5], [4], of([1, 2, 3], [5])),
        (of([1, 2, 3], [4]), [1, 2, 3], [4], of([1, 2, 3])),
        (of([1, 2, 3]), [1, 2], [], of([1, 2])),
        (of([1]), [1, 2], [], of([1], [2])),
        (of([1, 2, 3], [4]), None, [4], None),
    ],
)
def test_a_data_group_follows_the_ring(current, wanted, level, expected):
    found = next_group_membership(current, None if wanted is None else ids(*wanted), ids(*level))
    assert expected == found


class Meta:
    """The meta group of a roster, whose leader does what is due until nothing is; everybody catches up at once."""

    def __init__(self, roster):
        self.roster = roster
        self.index = 10
        self.entered = []

    def run(self, level=None):
        """Enter what is due, with all learners level unless told otherwise; the memberships that were entered."""
        self.entered = []
        while True:
            current = self.roster.membership
            due = next_meta_membership(self.roster, current, current.learners if level is None else ids(*level), NOBODY)
            if due is None:
                return self.entered
            changed = due.voters ^ current.voters
            assert len(changed) <= 1, "one voter at a time"
            self.entered.append(due)
            self.index += 1
            self.roster = self.roster.after_membership(due, self.index)
            assert len(self.entered) < 20


def test_a_node_joins_as_learner_and_becomes_a_voter_when_it_is_level():
    meta = Meta(roster_of(1, 2, 3).after_adding(node(4)))
    assert [of([1, 2, 3], [4])] == meta.run(level=[])
    assert [of([1, 2, 3, 4])] == meta.run()
    assert ids(1, 2, 3, 4) == meta.roster.table.identifiers


def test_several_nodes_join_one_after_the_other_and_a_dead_one_holds_up_nobody():
    roster = roster_of(1, 2, 3)
    for new in (9, 5, 7):
        roster = roster.after_adding(node(new))
    meta = Meta(roster)
    assert [of([1, 2, 3], [5, 7, 9]), of([1, 2, 3, 5], [7, 9])] == meta.run(level=[5, 7])
    assert [] == meta.run(level=[7])  # the groups have yet to follow
    meta.roster = settled(meta.roster)
    assert [of([1, 2, 3, 5, 7], [9])] == meta.run(level=[7])


def test_a_node_leaves_as_learner_and_goes_when_nothing_needs_it():
    joined = Meta(roster_of(1, 2, 3).after_adding(node(4)))
    joined.run()
    meta = Meta(settled(joined.roster).after_removing(node(4), is_urgent=False))
    assert [of([1, 2, 3], [4])] == meta.run()
    meta.roster = settled(meta.roster)
    assert [of([1, 2, 3])] == meta.run()
    assert (ids(4), None) == (meta.roster.tombstones, meta.roster.change_under_way)


def test_a_node_whose_group_takes_part_in_a_move_does_not_go_and_nobody_is_promoted():
    joined = Meta(roster_of(1, 2, 3).after_adding(node(4)))
    joined.run()
    roster = settled(settled(joined.roster).after_removing(node(4), is_urgent=False))
    demoted = roster.after_membership(of([1, 2, 3], [4]), 50)
    assert None is next_meta_membership(demoted, demoted.membership, NOBODY, ids(4))
    coming = roster_of(1, 2, 3).after_adding(node(5)).after_membership(of([1, 2, 3], [5]), 50)
    assert None is next_meta_membership(coming, coming.membership, ids(5), ids(1))


def test_an_addition_that_is_undone_leaves_no_learner():
    roster = roster_of(1, 2, 3).after_adding(node(4)).after_membership(of([1, 2, 3], [4]), 5)
    meta = Meta(roster.after_removing(node(4), is_urgent=False))
    assert [of([1, 2, 3])] == meta.run()
    # The learner's entry may cross the removal: the node is a stranger by the time it is applied.
    crossed = roster_of(1, 2, 3).after_adding(node(4)).after_removing(node(4), is_urgent=False)
    meta = Meta(crossed.after_membership(of([1, 2, 3], [4]), 6))
    assert [of([1, 2, 3])] == meta.run()


def test_the_last_voter_stays_one():
    roster = roster_of(1, replica_num=1).after_adding(node(2)).after_membership(of([1], [2]), 5)
    assert [of([1, 2])] == Meta(roster).run()
    left = roster_of(1, 2, replica_num=1).after_removing(node(1), is_urgent=False).after_membership(of([1]), 6)
    assert None is next_meta_membership(left, left.membership, NOBODY, NOBODY)
