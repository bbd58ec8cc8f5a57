"""The meta group's state machine: what each entry does, what it can't do, and that snapshots carry everything."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iotdb_cluster.errors import MalformedInput, StatusCode
from iotdb_cluster.members.meta.codec import Writer
from iotdb_cluster.members.meta.founding import Founding
from iotdb_cluster.members.meta.roster_codec import add_node_payload, remove_node_payload, report_payload
from iotdb_cluster.members.meta.starts import started_payload
from iotdb_cluster.members.meta.state import MetaState
from iotdb_cluster.members.moves.codec import MetaStep, intend_payload, progress_payload
from iotdb_cluster.partition.slots import slot_of
from iotdb_cluster.partition.table import PartitionTable
from iotdb_cluster.types.entries import Entry, EntryKind, Payload
from iotdb_cluster.types.identity import GroupId, Node, NodeId, Start
from iotdb_cluster.types.membership import Membership
from iotdb_cluster.types.plans import PlanKind, SetTtlPlan
from iotdb_cluster.wire.plans import encode_plan

CLUSTER = bytes(range(16))


def node(identifier: int) -> Node:
    return Node("10.0.0.1", 9000 + identifier, NodeId(identifier), 40_000 + identifier)


def founding(*identifiers: int) -> Founding:
    table = PartitionTable.initial(map(node, identifiers), replica_num=3, slot_count=100)
    return Founding(CLUSTER, 2333, table)


def plan(kind: PlanKind, path: str) -> Payload:
    writer = Writer()
    writer.raw(bytes([kind]))
    writer.text(path)
    return Payload(EntryKind.PHYSICAL_PLAN, writer.bytes())


class Story:
    """A meta log as it grows; each call applies an entry and returns the status code of its outcome."""

    def __init__(self, *founders: int) -> None:
        self.state = MetaState()
        if founders:
            assert 200 == self.enter(founding(*founders).payload())

    def enter(self, payload: Payload) -> int:
        entry = Entry(1, self.state.applied + 1, payload.kind, payload.body)
        self.state, outcome = self.state.apply(entry)
        assert entry.index == self.state.applied
        return int(outcome.code) if outcome else 200

    def set(self, path: str) -> int:
        return self.enter(plan(PlanKind.SET_STORAGE_GROUP, path))

    def delete(self, path: str) -> int:
        return self.enter(plan(PlanKind.DELETE_STORAGE_GROUP, path))

    def start(self, identifier: int, count: int, random: int = 7) -> int:
        return self.enter(started_payload(NodeId(identifier), Start(count, random)))

    def members(self, membership: Membership) -> int:
        return self.enter(Payload(EntryKind.MEMBERSHIP, membership.encode()))


def ids(*identifiers: int) -> frozenset[NodeId]:
    return frozenset(map(NodeId, identifiers))


def test_the_first_entry_founds_the_cluster() -> None:
    story = Story(3, 1, 2)
    state = story.state
    assert CLUSTER == state.cluster_id
    assert Membership(ids(1, 2, 3)) == state.roster.membership
    assert [1, 2, 3] == [each.identifier for each in state.nodes]
    assert 1 == state.table.meta_index
    assert slot_of("root.sg0", 100) == state.slot_of("root.sg0")


def test_the_order_of_the_founders_leaves_no_trace() -> None:
    assert founding(3, 1, 2).payload() == founding(2, 3, 1).payload()


def test_before_the_founding_nothing_is_taken() -> None:
    story = Story()
    assert 303 == story.set("root.a")
    assert 200 == story.enter(Payload(EntryKind.EMPTY_CONTENT, b""))
    assert not story.state.is_founded
    assert 200 == story.enter(founding(1).payload())


def test_a_founding_whose_voters_are_not_its_nodes_is_refused() -> None:
    good = founding(1, 2).payload()
    other = Membership(ids(1, 3)).encode()
    story = Story()
    assert 400 == story.enter(replace(good, body=other + good.body[len(other) :]))
    assert not story.state.is_founded


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("root.a", 200),
        ("root.a.b", 303),  # under another group
        ("root.x", 300),  # above root.x.y
        ("root.x.y", 200),  # again
        ("root.x.z", 200),  # beside
        ("root.x.yy", 200),  # the same letters in front are no nesting
        ("root", 314),
        ("", 314),
        ("toor.a", 314),
        ("rootling.a", 314),
        ("root.", 314),
        ("root..a", 314),
        ("root.*", 314),
        ("root.é", 200),
    ],
)
def test_setting_a_storage_group(path: str, code: int) -> None:
    story = Story(1)
    assert 200 == story.set("root.a")
    assert 200 == story.set("root.x.y")
    before = story.state.storage_groups
    assert code == story.set(path)
    expected = tuple(sorted({*before, path})) if code == 200 else before
    assert expected == story.state.storage_groups


def test_the_storage_group_of_a_path_is_its_prefix_by_nodes() -> None:
    story = Story(1)
    story.set("root.a.b")
    assert "root.a.b" == story.state.storage_group_of("root.a.b.d.s")
    assert "root.a.b" == story.state.storage_group_of("root.a.b")
    assert None is story.state.storage_group_of("root.a.bb.s")
    assert None is story.state.storage_group_of("root.a")


def test_deleting_a_storage_group() -> None:
    story = Story(1)
    story.set("root.a")
    assert 303 == story.delete("root.b")
    assert 200 == story.delete("root.a")
    assert () == story.state.storage_groups
    assert 200 == story.set("root.a.b")


def test_an_old_copy_of_a_disk_shows_by_its_start() -> None:
    story = Story(1, 2)
    assert 200 == story.start(1, 1)
    assert 200 == story.start(1, 2, random=8)
    assert 200 == story.start(1, 2, random=8)  # the same once more
    assert 303 == story.start(1, 2, random=9)  # two starts with one count: copies
    assert 303 == story.start(1, 1)
    assert 303 == story.start(5, 1)  # a stranger
    assert Start(2, 8) == story.state.start_of(NodeId(1))


def test_adding_and_removing_is_recorded() -> None:
    story = Story(1, 2, 3)
    assert 303 == story.enter(remove_node_payload(node(1)))  # three replicas need three nodes
    assert 200 == story.enter(add_node_payload(node(4)))
    assert 200 == story.enter(add_node_payload(node(4)))
    assert 303 == story.enter(add_node_payload(replace(node(4), ip="10.0.0.9")))
    assert node(4) == story.state.node(NodeId(4))
    assert 303 == story.enter(remove_node_payload(node(9)))
    story.members(Membership(ids(1, 2, 3), learners=ids(4)))
    assert 200 == story.enter(remove_node_payload(node(4)))
    assert ids(4) == story.state.roster.leaving


def test_who_leaves_the_membership_is_never_a_node_again() -> None:
    story = Story(1, 2, 3)
    story.enter(add_node_payload(node(4)))
    story.members(Membership(ids(1, 2, 3), learners=ids(4)))
    story.start(4, 1)
    story.members(Membership(ids(1, 2, 4), outgoing=ids(1, 2, 3)))
    assert frozenset() == story.state.tombstones  # a joint change is half way
    story.members(Membership(ids(1, 2, 3)))
    assert ids(4) == story.state.tombstones
    assert None is story.state.node(NodeId(4))
    assert None is story.state.start_of(NodeId(4))
    assert 303 == story.enter(add_node_payload(node(4)))


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (Payload(99, b"whatever"), 703),
        (Payload(EntryKind.CLOSE_FILE, b""), 703),
        (Payload(EntryKind.PHYSICAL_PLAN, b""), 400),
        (Payload(EntryKind.PHYSICAL_PLAN, b"\x00rest"), 703),
        (Payload(EntryKind.PHYSICAL_PLAN, b"\x03\x7f\xff\xff\xffroot.a"), 400),
        (Payload(EntryKind.PHYSICAL_PLAN, b"\x03\x00\x00\x00\x02\xff\xff"), 400),
        (Payload(EntryKind.PHYSICAL_PLAN, b"\x03\x00\x00\x00\x06root.abc"), 400),
        (Payload(EntryKind.ADD_NODE, b"\x00"), 400),
        (Payload(EntryKind.NODE_STARTED, bytes(19)), 400),
        (Payload(EntryKind.MEMBERSHIP, b"\x00"), 400),
    ],
)
def test_what_cannot_be_applied_is_an_outcome_and_changes_nothing(payload: Payload, code: int) -> None:
    story = Story(1, 2, 3)
    before = story.state
    assert code == story.enter(payload)
    assert before == replace(story.state, applied=before.applied)


@given(st.integers(0, 30), st.binary(max_size=60))
@settings(max_examples=300)
def test_no_entry_raises(kind: int, body: bytes) -> None:
    for state in (MetaState(), Story(1, 2, 3).state):
        after, outcome = state.apply(Entry(1, 9, kind, body))
        assert 9 == after.applied
        assert outcome is None or isinstance(outcome.code, StatusCode)


def busy_story() -> Story:
    story = Story(1, 2, 3, -5)
    story.set("root.b")
    story.set("root.a.é")
    story.start(1, 4, random=-(2**63))
    story.enter(add_node_payload(node(9)))
    story.enter(add_node_payload(node(8)))
    story.members(Membership(ids(1, 2, 3, -5), learners=ids(8, 9)))
    story.members(Membership(ids(1, 2, 3, -5), learners=ids(9)))
    story.members(Membership(ids(1, 2, 3, -5, 9)))
    story.enter(report_payload(NodeId(3), 7, ids(3, 9, -5)))
    story.enter(remove_node_payload(node(-5), is_urgent=True))
    story.enter(add_node_payload(node(7)))
    return story


def test_a_snapshot_carries_everything() -> None:
    for story in (Story(), Story(1), busy_story()):
        assert story.state == MetaState.from_snapshot(story.state.to_snapshot())


def test_equal_states_give_equal_bytes() -> None:
    assert busy_story().state.to_snapshot() == busy_story().state.to_snapshot()


def test_a_damaged_snapshot_is_refused() -> None:
    data = busy_story().state.to_snapshot()
    for length in range(len(data)):
        with pytest.raises(MalformedInput):
            MetaState.from_snapshot(data[:length])
    with pytest.raises(MalformedInput):
        MetaState.from_snapshot(data + b"\0")
    for position in range(len(data)):
        damaged = bytearray(data)
        damaged[position] ^= 0x81
        try:
            MetaState.from_snapshot(bytes(damaged))
        except MalformedInput:
            continue  # anything else would be a defect; some damage gives another state


def test_of_the_members_of_a_group_its_header_is_asked_first() -> None:
    story = Story(1, 2, 3)
    assert [2, 1, 3] == [member.identifier for member in story.state.members_of(NodeId(2))]


# -- moves of slots ----------------------------------------------------------------------------------------------------


def a_fourth_node(*, joined: bool = True) -> Story:
    """Three founders, and a fourth node that owns no slot yet."""
    story = Story(1, 2, 3)
    assert 200 == story.enter(add_node_payload(node(4)))
    assert 200 == story.members(Membership(ids(1, 2, 3), ids(4)))
    if joined:
        assert 200 == story.members(Membership(ids(1, 2, 3, 4)))
    return story


def test_a_flip_gives_the_slots_to_the_target_and_is_remembered_until_both_groups_have_ended() -> None:
    story = a_fourth_node()
    assert 200 == story.enter(intend_payload(GroupId(1), GroupId(4), [3, 4, 5]))
    assert 200 == story.enter(progress_payload(MetaStep.COPIED, 1))
    assert 1 == story.state.table.header_of(4)
    assert 200 == story.enter(progress_payload(MetaStep.FLIP, 1))
    assert [4, 4, 4] == [story.state.table.header_of(slot) for slot in (3, 4, 5)]
    assert story.state.applied == story.state.table.meta_index
    story.enter(progress_payload(MetaStep.ENDED, 1, GroupId(4)))
    assert story.state.moves.record(1) is not None
    story.enter(progress_payload(MetaStep.ENDED, 1, GroupId(1)))
    assert story.state.moves.record(1) is None


def test_of_flip_and_abort_the_first_stands() -> None:
    story = a_fourth_node()
    story.enter(intend_payload(GroupId(1), GroupId(4), [3]))
    story.enter(progress_payload(MetaStep.ABORT, 1))
    story.enter(progress_payload(MetaStep.FLIP, 1))
    assert 1 == story.state.table.header_of(3)
    story.enter(intend_payload(GroupId(1), GroupId(4), [3]))
    story.enter(progress_payload(MetaStep.FLIP, 2))
    story.enter(progress_payload(MetaStep.ABORT, 2))
    assert 4 == story.state.table.header_of(3)


def test_a_group_can_end_no_move_that_is_not_decided_or_not_its_own() -> None:
    story = a_fourth_node()
    story.enter(intend_payload(GroupId(1), GroupId(4), [3]))
    story.enter(progress_payload(MetaStep.ENDED, 1, GroupId(1)))
    story.enter(progress_payload(MetaStep.ABORT, 1))
    story.enter(progress_payload(MetaStep.ENDED, 1, GroupId(2)))
    assert frozenset() == story.state.moves.record(1).ended


def test_slots_move_only_from_who_owns_them_to_who_stays() -> None:
    story = a_fourth_node()
    before = story.state.moves
    assert 303 == story.enter(intend_payload(GroupId(2), GroupId(4), [3]))
    assert 303 == story.enter(intend_payload(GroupId(1), GroupId(9), [3]))
    assert 303 == story.enter(intend_payload(GroupId(1), GroupId(4), [100]))
    assert 200 != story.enter(intend_payload(GroupId(1), GroupId(1), [3]))
    assert 200 == story.enter(remove_node_payload(node(4), is_urgent=True))
    assert 303 == story.enter(intend_payload(GroupId(1), GroupId(4), [3]))
    assert before == story.state.moves


def test_a_slot_moves_again_only_when_its_last_move_is_decided() -> None:
    story = a_fourth_node()
    story.enter(intend_payload(GroupId(1), GroupId(4), [3, 4]))
    assert 200 != story.enter(intend_payload(GroupId(1), GroupId(2), [4, 5]))
    story.enter(progress_payload(MetaStep.FLIP, 1))
    assert 200 == story.enter(intend_payload(GroupId(4), GroupId(2), [4]))


def test_a_removal_waits_for_moves_unless_it_is_urgent() -> None:
    story = a_fourth_node()
    for header in (1, 2, 3, 4):
        wanted = story.state.roster.wanted_members(NodeId(header))
        story.enter(report_payload(NodeId(header), 5, wanted))
    story.enter(intend_payload(GroupId(1), GroupId(4), [3]))
    assert StatusCode.STILL_EXECUTING_STATUS == story.enter(remove_node_payload(node(2)))
    assert 200 == story.enter(remove_node_payload(node(2), is_urgent=True))


def test_a_snapshot_carries_the_moves_and_one_from_before_there_were_any_is_read() -> None:
    story = a_fourth_node()
    without = story.state.to_snapshot()
    story.enter(intend_payload(GroupId(1), GroupId(4), [3, 9]))
    story.enter(progress_payload(MetaStep.COPIED, 1))
    assert story.state == MetaState.from_snapshot(story.state.to_snapshot())
    older = (2).to_bytes(4) + without[4:-12]  # without the number of the newest move and an empty list of them
    assert MetaState.from_snapshot(without) == MetaState.from_snapshot(older)


def test_a_time_to_live_belongs_to_a_storage_group_and_travels_with_the_snapshot() -> None:
    story = Story(1)

    def set_ttl(path: str, ttl_ms: int | None) -> int:
        return story.enter(Payload(EntryKind.PHYSICAL_PLAN, encode_plan(SetTtlPlan(path, ttl_ms))))

    assert 303 == set_ttl("root.b", 5)
    assert (200, 200) == (story.set("root.b"), story.set("root.a"))
    assert (200, 200, 200) == (set_ttl("root.b", 5), set_ttl("root.a", 0), set_ttl("root.b", 7))
    assert (("root.a", 0), ("root.b", 7)) == story.state.ttls
    assert story.state == MetaState.from_snapshot(story.state.to_snapshot())
    assert (200, 200) == (set_ttl("root.a", None), story.delete("root.b"))
    assert () == story.state.ttls
