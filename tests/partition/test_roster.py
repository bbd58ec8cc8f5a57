"""Who belongs to the cluster and to its groups: what entries of the meta log make of it."""

import pytest

from iotdb_cluster.errors import ChangeRunning, MetadataRefused
from iotdb_cluster.partition.roster import Roster
from iotdb_cluster.partition.table import PartitionTable
from iotdb_cluster.types.identity import Node, NodeId
from iotdb_cluster.types.membership import Membership


def node(identifier, port=None):
    return Node("10.0.0.1", port or 9000 + identifier, NodeId(identifier), 40_000 + identifier)


def ids(*identifiers):
    return frozenset(map(NodeId, identifiers))


def roster_of(*identifiers, replica_num=3):
    return Roster.founded(PartitionTable.initial(map(node, identifiers), replica_num=replica_num, slot_count=100))


def promoted(roster, new):
    """The roster once a node has joined for good; its groups have yet to follow."""
    learning = roster.after_adding(new).after_membership(
        Membership(roster.membership.voters, learners=roster.membership.learners | {new.identifier}), 5
    )
    return learning.after_membership(Membership(roster.membership.voters | {new.identifier}), 6)


def settled(roster):
    """The roster once every group has reported the members that the ring wants."""
    for record in roster.groups:
        wanted = roster.wanted_members(record.header.identifier)
        if wanted is not None:
            roster = roster.after_report(record.header.identifier, record.index + 1, wanted)
    return roster


def members(roster):
    return {record.header.identifier: set(record.members) for record in roster.groups}


def test_a_group_is_its_header_and_the_nodes_behind_it():
    roster = roster_of(10, 20, 30, 40)
    assert {10: {10, 20, 30}, 20: {20, 30, 40}, 30: {30, 40, 10}, 40: {40, 10, 20}} == members(roster)
    assert roster.change_under_way is None
    assert {1: {1, 2}, 2: {1, 2}} == members(roster_of(1, 2))


def test_a_node_that_joined_founds_a_group_and_the_others_have_to_follow():
    roster = promoted(roster_of(10, 20, 30, 40), node(25))
    assert ids(25, 30, 40) == roster.group(NodeId(25)).founders
    assert () == roster.table.slots_of(NodeId(25))
    assert 6 == roster.table.meta_index
    assert ids(20, 25, 30) == roster.wanted_members(NodeId(20))
    assert "data group 10" in roster.change_under_way
    after = settled(roster)
    assert None is after.change_under_way
    assert {10: {10, 20, 25}, 20: {20, 25, 30}, 25: {25, 30, 40}, 30: {30, 40, 10}, 40: {40, 10, 20}} == members(after)


def test_whoever_leaves_counts_for_no_group_and_its_own_group_lives_as_long_as_it_owns_slots():
    roster = roster_of(10, 20, 30, 40).after_removing(node(20), is_urgent=False)
    assert ids(10, 30, 40) == roster.wanted_members(NodeId(10))
    assert ids(30, 40, 10) == roster.wanted_members(NodeId(20))
    assert not roster.is_drained(NodeId(20))
    after = settled(roster)
    assert not after.is_drained(NodeId(20))
    joined = settled(promoted(roster_of(10, 20, 30, 40), node(25))).after_removing(node(25), is_urgent=False)
    assert None is joined.wanted_members(NodeId(25))
    assert not joined.is_drained(NodeId(25))
    assert settled(joined).is_drained(NodeId(25))
    gone = settled(joined).after_membership(Membership(ids(10, 20, 30, 40)), 99)
    assert (ids(25), None, None) == (gone.tombstones, gone.node(NodeId(25)), gone.group(NodeId(25)))
    assert 99 == gone.table.meta_index
    assert None is gone.change_under_way


def test_the_ring_never_falls_below_the_number_of_replicas():
    roster = roster_of(1, 2, 3)
    with pytest.raises(MetadataRefused, match="keeps 3 nodes"):
        roster.after_removing(node(1), is_urgent=True)
    leaving = roster_of(1, 2, 3, 4).after_removing(node(1), is_urgent=False)
    with pytest.raises(MetadataRefused, match="keeps 3 nodes"):
        leaving.after_removing(node(2), is_urgent=True)
    assert leaving == leaving.after_removing(node(1), is_urgent=False)  # asked again


def test_a_second_removal_waits_until_the_groups_have_followed_the_first():
    roster = roster_of(1, 2, 3, 4, 5).after_removing(node(1), is_urgent=False)
    with pytest.raises(ChangeRunning, match="node 1 is leaving"):
        roster.after_removing(node(2), is_urgent=False)
    assert ids(1, 2) == roster.after_removing(node(2), is_urgent=True).leaving
    joined = promoted(roster_of(1, 2, 3), node(4))
    with pytest.raises(ChangeRunning, match="changing its members"):
        joined.after_removing(node(3), is_urgent=False)
    assert ids(3) == settled(joined).after_removing(node(3), is_urgent=False).leaving


def test_removing_a_node_that_is_joining_undoes_that_at_any_time():
    asked = roster_of(1, 2, 3).after_adding(node(4))
    undone = asked.after_removing(node(4), is_urgent=False)
    assert ((), ids(4)) == (undone.joining, undone.tombstones)
    learning = asked.after_membership(Membership(ids(1, 2, 3), learners=ids(4)), 5)
    leaving = learning.after_removing(node(4), is_urgent=False)
    assert (ids(4), True) == (leaving.leaving, leaving.is_drained(NodeId(4)))
    undone = leaving.after_membership(Membership(ids(1, 2, 3)), 6)
    assert ((), ids(4), ids(1, 2, 3)) == (undone.joining, undone.tombstones, undone.table.identifiers)


def test_a_promotion_that_crossed_its_removal_gives_a_place_that_is_left_again():
    learning = roster_of(1, 2, 3).after_adding(node(4)).after_membership(Membership(ids(1, 2, 3), learners=ids(4)), 5)
    crossed = learning.after_removing(node(4), is_urgent=False).after_membership(Membership(ids(1, 2, 3, 4)), 6)
    assert ids(4) == crossed.leaving
    assert None is crossed.wanted_members(NodeId(4))
    assert ids(1, 2, 3) == crossed.wanted_members(NodeId(2))


def test_an_identifier_is_used_once():
    roster = roster_of(1, 2, 3).after_adding(node(4))
    assert roster == roster.after_adding(node(4))
    for taken in (node(4, 1234), node(2, 1234)):
        with pytest.raises(MetadataRefused, match="in use"):
            roster.after_adding(taken)
    with pytest.raises(MetadataRefused, match="in use"):
        roster.after_removing(node(4), is_urgent=False).after_adding(node(4))


def test_a_node_that_lost_its_folder_while_it_joined_takes_the_place_of_its_former_self():
    roster = roster_of(1, 2, 3).after_adding(node(4)).after_adding(node(5, 9004))
    assert ((node(5, 9004),), ids(4)) == (roster.joining, roster.tombstones)
    # One that is on the ring stays: it is removed by name.
    assert ids(1, 2, 3) == roster_of(1, 2, 3).after_adding(node(5, 9001)).table.identifiers


def test_joining_nodes_stand_in_the_order_in_which_they_were_added():
    roster = roster_of(5, 6, 7).after_adding(node(9)).after_adding(node(1))
    assert (node(9), node(1)) == roster.joining


def test_a_late_report_changes_nothing():
    roster = roster_of(1, 2, 3, 4)
    newer = roster.after_report(NodeId(1), 9, ids(1, 2, 4))
    assert ids(1, 2, 4) == newer.group(NodeId(1)).members
    assert newer == newer.after_report(NodeId(1), 9, ids(1, 2, 3))
    assert newer == newer.after_report(NodeId(1), 8, ids(1, 2, 3))
    assert newer == newer.after_report(NodeId(77), 8, ids(1, 2, 3))


def test_a_joint_membership_decides_nothing_yet():
    roster = roster_of(1, 2, 3, 4)
    joint = roster.after_membership(Membership(ids(1, 2, 3), outgoing=ids(1, 2, 4)), 8)
    assert (roster.table, roster.tombstones) == (joint.table, joint.tombstones)
