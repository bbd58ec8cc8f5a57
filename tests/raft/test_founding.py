"""The first boot of the meta group: all seed nodes, until the first membership is committed (DESIGN 3)."""

from iotdb_cluster.raft.events import Propose
from iotdb_cluster.raft.messages import AppendRequest
from iotdb_cluster.types.entries import EntryKind, Payload
from tests.raft.group import Group, members, put, refusals

FIRST = (Payload(EntryKind.MEMBERSHIP, members([1, 2, 3]).encode() + b"cluster id"),)


def seeds() -> Group:
    return Group(1, 2, 3, founding=True)


def test_a_quorum_is_all_seed_nodes() -> None:
    group = seeds()
    group.time_out(1)
    group.settle(1, 2)
    assert not group[1].is_leader
    group.elect(1)
    assert group[1].is_leader and not group[1].is_founded


def test_the_leader_takes_the_first_membership_and_nothing_before_or_beside_it() -> None:
    group = seeds()
    group.elect(1)
    assert 0 == group[1].last_id.index  # no entry of its own comes before
    assert ["NOT_READY"] == refusals(group.propose(1, "early"))
    assert ["NOT_READY"] == refusals(group.step(1, Propose("both", FIRST + put("x"))))
    assert ["NOT_READY"] == refusals(group.read(1))
    assert [] == refusals(group.step(1, Propose("found", FIRST)))
    assert ["NOT_READY"] == refusals(group.step(1, Propose("again", FIRST)))


def test_the_first_entry_is_committed_by_all_and_only_then_followed() -> None:
    group = seeds()
    group.elect(1)
    group.step(1, Propose("found", FIRST))
    group.deliver(1, 2, AppendRequest)
    assert (0, 1) == (group[1].commit_index, group[1].last_id.index)
    group.deliver(1, 3, AppendRequest)
    assert (1, 2) == (group[1].commit_index, group[1].last_id.index)
    group.settle()
    assert [2, 2, 2] == [group[n].commit_index for n in (1, 2, 3)]
    assert [] == refusals(group.propose(1, "a"))


def test_founded_a_majority_is_enough() -> None:
    group = seeds()
    group.elect(1)
    group.step(1, Propose("found", FIRST))
    group.beat(1)
    group.crash(1)
    group.elect(2, 2, 3)
    group.propose(2, "a")
    group.settle()
    assert ["a"] == group.texts(3)


def test_a_leader_that_dies_with_its_first_entry_blocks_until_it_is_back() -> None:
    group = seeds()
    group.elect(1)
    group.step(1, Propose("found", FIRST))
    group.deliver(1, 2, AppendRequest)
    group.crash(1)
    group.wait(5_000, 2, 3)
    group.settle()
    assert not group[2].is_leader and not group[3].is_leader
    group.start(1)
    group.elect(1)
    group.beat(1)
    # The entry of the earlier term is committed by all holding it: it stays at index 1, whoever leads.
    assert [(1, 1), (2, 2)] == group.positions(3)
    assert 2 == group[3].commit_index


def test_a_log_with_a_second_entry_proves_the_first_one_committed_after_a_restart_too() -> None:
    group = seeds()
    group.elect(1)
    group.step(1, Propose("found", FIRST))
    group.settle()
    for number in (1, 2, 3):
        group.members[number].disk.is_founded = False  # nobody remembers but the log
    group.crash(1, 2, 3)
    group.start(2, 3)
    assert group[2].is_founded
    group.elect(2, 2, 3)
    assert group[2].is_leader


def test_a_lone_seed_node_that_restarts_behind_its_first_entry_goes_on() -> None:
    group = Group(1, founding=True)
    group.elect(1)
    group.hold_syncs(1)
    group.step(1, Propose("found", (Payload(EntryKind.MEMBERSHIP, members([1]).encode()),)))
    member = group.members[1]
    member.disk.sync()  # it is durable, and the power goes before the core hears of it
    group.restart(1)
    assert (1, 0) == (group[1].last_id.index, group[1].commit_index)
    group.elect(1)
    assert (2, 2) == (group[1].last_id.index, group[1].commit_index)


def test_a_node_without_membership_that_is_no_seed_node_never_campaigns() -> None:
    group = Group(1, 2, 3, outside=[4])
    group.wait(10_000, 4)
    assert [] == group.calls
