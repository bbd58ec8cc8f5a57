"""Plans over patterns reach every storage group that was acknowledged before, whatever this node has heard of it."""

from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from iotdb_cluster.errors import NoLeader, OutcomeUnknown, ReadOnly, RemoteError, SlotMoving, StatusCode
from iotdb_cluster.members.clock import Deadline, MonotonicClock
from iotdb_cluster.members.meta.founding import Founding
from iotdb_cluster.members.meta.state import MetaState
from iotdb_cluster.members.pending import Pending, drive
from iotdb_cluster.members.router import Router
from iotdb_cluster.members.waiting import NotLeader, Outcome
from iotdb_cluster.partition.table import PartitionTable
from iotdb_cluster.settings import Settings
from iotdb_cluster.types.entries import Entry, EntryKind
from iotdb_cluster.types.identity import Node, NodeId
from iotdb_cluster.types.plans import DeletePlan, DeleteStorageGroupPlan, InsertPlan, PlanKind, SetStorageGroupPlan
from iotdb_cluster.wire.plans import decode_plan, encode_plan

ME = Node("10.0.0.1", 9003, NodeId(1), 40010)
LATER = "root.later"


class OneNode:
    """A node that leads everything, and whose meta member lags behind by one storage group."""

    def __init__(self) -> None:
        table = PartitionTable.initial([ME], replica_num=1)
        founding = Founding(bytes(16), 2333, table).payload()
        self.state, _ = MetaState().apply(Entry(1, 1, founding.kind, founding.body))
        self.plans: list[bytes] = []
        self.catch_ups = 0
        self.fault: Exception | None = None
        self.moving = 0
        self.fails_after: int | None = None
        self.leader = ME.identifier
        directory = SimpleNamespace(find=lambda identifier: Node("10.0.0.2", 9003, identifier, 40010))
        self.context: Any = SimpleNamespace(
            me=ME, clock=MonotonicClock(), settings=Settings(), directory=directory, transport=None
        )
        self.router = Router(self.context, lambda: self.state, lambda group: self)

    def apply(self, path: str) -> None:
        plan = encode_plan(SetStorageGroupPlan(path))
        self.state, outcome = self.state.apply(Entry(1, self.state.applied + 1, EntryKind.PHYSICAL_PLAN, plan))
        assert outcome is None

    async def catch_up(self, deadline: Deadline) -> None:
        self.catch_ups += 1
        if self.fault is not None:
            raise self.fault
        if self.state.storage_group_of(LATER) is None:
            self.apply(LATER)

    async def execute(self, plans: Sequence[bytes], deadline: Deadline) -> list[Outcome]:
        if self.moving:
            self.moving -= 1
            return [SlotMoving("on its way")] * len(plans)
        if self.fails_after is not None and len(self.plans) >= self.fails_after:
            raise NotLeader("it leads no more", None)
        self.plans += plans
        return [None] * len(plans)

    def delete(self, path: str, deadline_ms: int = 1_000) -> None:
        plan = encode_plan(DeletePlan(9, path))
        clock = MonotonicClock()
        drive(self.router.execute(PlanKind.DELETE, path, plan, Deadline.after(clock, deadline_ms)), clock)


def test_no_storage_group_is_made_above_one_of_which_this_node_has_not_heard() -> None:
    node = OneNode()
    clock = MonotonicClock()
    plan = encode_plan(InsertPlan(1, f"{LATER}.b.d", ("s",), ("1",)))
    drive(node.router.execute(PlanKind.INSERT, f"{LATER}.b.d", plan, Deadline.after(clock, 1_000)), clock)
    assert [plan] == node.plans, "nothing but the row itself: the storage group was there"


@pytest.mark.parametrize("path", ["root.*.d.s", "root", "root.later.d.s"])
def test_a_delete_reaches_a_storage_group_of_which_this_node_has_not_heard(path: str) -> None:
    node = OneNode()
    node.delete(path)
    assert 1 == len(node.plans)


def test_below_a_storage_group_that_is_known_nobody_is_asked() -> None:
    node = OneNode()
    node.apply("root.known")
    node.delete("root.known.*.s")
    assert (1, 0) == (len(node.plans), node.catch_ups)


def test_a_delete_that_could_not_be_judged_had_no_effect() -> None:
    node = OneNode()
    node.fault = OutcomeUnknown("not applied here in time")
    with pytest.raises(NoLeader):
        node.delete("root.*.d.s")
    assert [] == node.plans


def test_what_a_leaving_node_can_not_forward_is_refused_as_read_only() -> None:
    node = OneNode()
    node.apply("root.known")
    node.fails_after = 0
    with pytest.raises(NoLeader) as caught:
        node.delete("root.known.*.s", deadline_ms=100)
    assert StatusCode.NO_LEADER == caught.value.code
    assert node.state.roster is not None
    node.state = replace(node.state, roster=replace(node.state.roster, leaving=frozenset({ME.identifier})))
    with pytest.raises(ReadOnly, match="this node leaves the cluster") as caught:
        node.delete("root.known.*.s", deadline_ms=100)
    assert StatusCode.NODE_READ_ONLY == caught.value.code


def test_who_meets_a_moving_slot_asks_again_until_it_is_taken_once() -> None:
    node = OneNode()
    node.apply("root.known")
    node.moving = 3
    node.delete("root.known.*.s")
    assert (0, 1) == (node.moving, len(node.plans))


def test_a_row_that_meets_a_moving_slot_is_taken_when_the_slot_is_open() -> None:
    node = OneNode()
    node.apply("root.known")
    node.moving = 3
    clock = MonotonicClock()
    plan = encode_plan(InsertPlan(1, "root.known.d", ("s",), ("1",)))
    drive(node.router.execute(PlanKind.INSERT, "root.known.d", plan, Deadline.after(clock, 1_000)), clock)
    assert (0, [plan]) == (node.moving, node.plans)


def test_a_slot_that_moves_for_too_long_is_told_as_without_effect() -> None:
    node = OneNode()
    node.apply("root.known")
    node.moving = 1_000
    with pytest.raises(NoLeader, match="on its way.*no effect"):
        node.delete("root.known.*.s", 100)
    assert [] == node.plans


class Stopping:
    """A transport to a node that leads no more when it has answered so."""

    def __init__(self, node: OneNode, answer: str) -> None:
        self._node = node
        self._answer = answer

    def call(self, *_: object) -> Pending[Any]:
        self._node.leader = ME.identifier
        pending: Pending[Any] = Pending()
        pending.fail(RemoteError(self._answer, type=6))
        return pending


@pytest.mark.parametrize(
    ("answer", "is_repeated"),
    [
        ("702 NO_LEADER: this node stops; the call was not begun", True),
        ("700 PARTITION_NOT_READY: this node has not met the cluster", True),
        ("500 INTERNAL_SERVER_ERROR: unexpected KeyError", False),
        ("something else", False),
    ],
)
def test_what_another_node_has_not_begun_is_brought_to_the_next_leader(answer: str, is_repeated: bool) -> None:
    node = OneNode()
    node.apply("root.known")
    node.leader = NodeId(2)
    node.context.transport = Stopping(node, answer)
    if is_repeated:
        node.delete("root.known.*.s")
    else:
        with pytest.raises(OutcomeUnknown, match=answer.rpartition(": ")[2]):
            node.delete("root.known.*.s")
    assert is_repeated == (1 == len(node.plans))


@pytest.mark.parametrize("begun", [0, 1, 2])
def test_a_storage_group_that_is_deleted_in_part_is_not_said_to_be_untouched(begun: int) -> None:
    node = OneNode()
    node.apply("root.known")
    node.fails_after = begun
    clock = MonotonicClock()
    plan = encode_plan(DeleteStorageGroupPlan("root.known"))
    deadline = Deadline.after(clock, 200)
    with pytest.raises(OutcomeUnknown if begun else NoLeader):
        drive(node.router.execute(PlanKind.DELETE_STORAGE_GROUP, "root.known", plan, deadline), clock)
    assert [plan] * begun == node.plans


def test_a_delete_over_several_storage_groups_is_one_plan_for_each() -> None:
    node = OneNode()
    node.apply("root.known")
    node.apply("root.more")
    node.delete("root.*.d.s")
    found = [decode_plan(data).path for data in node.plans]
    assert ["root.known.d.s", "root.later.d.s", "root.more.d.s"] == found
