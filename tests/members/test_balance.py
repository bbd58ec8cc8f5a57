"""Leadership goes back to the header of a group, but not in a hurry."""

from iotdb_cluster.members.life.balance import CLOSE_BYTES, Balance, can_lead
from iotdb_cluster.raft.events import ChangeMembership, Propose, TransferLeadership
from iotdb_cluster.types.entries import EntryKind, Payload
from iotdb_cluster.types.identity import GroupId, NodeId
from iotdb_cluster.types.membership import Membership
from tests.members.group_rig import Group

HEADER = NodeId(1)
SETTLE_MS, CONTACT_MS = 3_000, 750


def first_successor(group, leader, balance, within_ms):
    """When the balance first names somebody, and whom; looked at as often as a node does."""
    began_ms = group.now_ms
    while group.now_ms < began_ms + within_ms:
        successor = balance.successor(GroupId(HEADER), group.rafts[leader], group.now_ms)
        if successor is not None:
            return group.now_ms - began_ms, successor
        group.pass_ms(50)
    return None


def test_a_header_that_answers_long_enough_leads_again():
    group = Group(1, 2, 3)
    group.elect(2)
    waited_ms, successor = first_successor(group, 2, Balance(SETTLE_MS, CONTACT_MS), 10_000)
    assert (HEADER, True) == (successor, waited_ms >= SETTLE_MS)
    group.step(2, TransferLeadership(successor))
    group.pass_ms(1_000)
    assert group.rafts[HEADER].is_leader


def test_a_header_that_is_silent_gets_nothing_and_waits_anew_when_it_is_back():
    group = Group(1, 2, 3)
    group.elect(2)
    balance = Balance(SETTLE_MS, CONTACT_MS)
    group.silent.add(HEADER)
    assert first_successor(group, 2, balance, 10_000) is None
    group.silent.clear()
    waited_ms, _ = first_successor(group, 2, balance, 10_000)
    assert waited_ms >= SETTLE_MS


def test_a_hand_over_that_came_to_nothing_is_not_tried_again_at_once():
    group = Group(1, 2, 3)
    group.elect(2)
    balance = Balance(SETTLE_MS, CONTACT_MS)
    assert first_successor(group, 2, balance, 10_000) is not None
    waited_ms, _ = first_successor(group, 2, balance, 10_000)
    assert waited_ms >= SETTLE_MS


def test_a_header_far_behind_cannot_lead():
    group = Group(1, 2, 3)
    leader = group.elect(2)
    assert can_lead(leader, HEADER)
    group.silent.add(HEADER)
    group.step(2, Propose([], (Payload(EntryKind.PHYSICAL_PLAN, b"x" * (CLOSE_BYTES + 1)),)))
    assert not can_lead(leader, HEADER)


def test_nothing_is_handed_over_while_members_change_or_to_one_that_is_no_voter():
    group = Group(1, 2, 3)
    leader = group.elect(2)
    group.silent |= {1, 3}
    group.step(
        2, ChangeMembership([], Membership(frozenset({NodeId(1), NodeId(2), NodeId(3)}), frozenset({NodeId(4)})))
    )
    assert not can_lead(leader, HEADER)
    group.silent.clear()
    group.pass_ms(300)
    assert can_lead(leader, HEADER)
    assert not can_lead(leader, NodeId(4))
