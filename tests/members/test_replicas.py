"""Which replicas a node makes and drops, by what its meta log says."""

import pytest

from iotdb_cluster.members.life.replicas import is_missing
from tests.partition.test_roster import ids, node, promoted, roster_of, settled


def missing(roster, header, on, *, had_one=False):
    return is_missing(roster, roster.group(node(header).identifier), node(on).identifier, had_one=had_one)


@pytest.mark.parametrize(("on", "expected"), [(10, True), (20, True), (30, False)])
def test_a_replica_is_made_where_the_ring_wants_it(on, expected):
    assert expected is missing(roster_of(10, 20, 30, replica_num=2), 10, on)


def test_a_founder_that_leaves_before_it_looked_is_counted_on_until_others_are_reported_in_its_place():
    """Two replicas: without the founder that leaves, the new group would never have a majority."""
    roster = promoted(roster_of(10, 20, 30, replica_num=2), node(5)).after_removing(node(10), is_urgent=True)
    assert ids(5, 10) == roster.group(node(5).identifier).founders
    assert ids(5, 20) == roster.wanted_members(node(5).identifier)
    assert missing(roster, 5, on=10)
    assert missing(roster, 5, on=20)
    assert not missing(settled(roster), 5, on=10)


def test_a_replica_that_was_there_and_is_not_wanted_any_more_is_not_made_again():
    roster = promoted(roster_of(10, 20, 30, replica_num=2), node(5)).after_removing(node(10), is_urgent=True)
    assert not missing(roster, 5, on=10, had_one=True)
