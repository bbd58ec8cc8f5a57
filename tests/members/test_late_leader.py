"""A leader that learns only while it is asked that a slot is gone says so, and never that nothing is there."""

from types import SimpleNamespace
from typing import Any

import pytest

from iotdb_cluster.errors import PathNotFound, SlotMoving
from iotdb_cluster.members.clock import Deadline, MonotonicClock
from iotdb_cluster.members.data.member import DataGroupMember
from iotdb_cluster.members.data.planning import Planner
from iotdb_cluster.members.moves.codec import GroupDeed
from iotdb_cluster.members.moves.held_slots import HeldSlots
from iotdb_cluster.members.moves.part import MovePart
from iotdb_cluster.members.pending import drive
from iotdb_cluster.partition.moves import Deed
from iotdb_cluster.partition.slots import slot_of
from iotdb_cluster.types.identity import GroupId
from iotdb_cluster.types.plans import DeletePlan, DeleteTimeseriesPlan, ExpirePlan, Plan
from iotdb_cluster.wire.plans import encode_plan

MOVED, HERE = "root.moved", "root.here"


class LateLeader(DataGroupMember):
    """A member that has not applied `deeds` before it is made level with its log; it has no series."""

    def __init__(self, *deeds: Deed) -> None:
        self.group = GroupId(7)
        self.slots = HeldSlots([slot_of(MOVED), slot_of(HERE)], lambda path: False, list)
        self.room: Any = SimpleNamespace(refusal=lambda raft: None)
        self.raft: Any = None
        self._late = [GroupDeed(deed, 1, (slot_of(MOVED),)) for deed in deeds]
        self._storage_group_of = lambda path: next((each for each in (MOVED, HERE) if path.startswith(each)), None)
        nobody: Any = None
        self.moves = MovePart(self, self.slots, nobody, self._storage_group_of, seal=lambda: None)
        self._planner = Planner(lambda _: {}, lambda _: False, lambda _: False, self._storage_group_of, True)

    async def _level_with_meta_group(self, deadline: Deadline) -> None:
        pass

    async def local_read_index(self, deadline: Deadline) -> int:
        return 3

    async def wait_applied(self, index: int, deadline: Deadline) -> None:
        while self._late:
            self.slots.apply(self._late.pop(0))


@pytest.mark.parametrize("kind", [lambda sg: DeletePlan(9, f"{sg}.d.s"), lambda sg: DeleteTimeseriesPlan(f"{sg}.d.s")])
def test_a_delete_of_what_was_released_is_brought_elsewhere_and_not_said_to_match_nothing(kind: Any) -> None:
    moved, here = outcomes(LateLeader(Deed.FENCE, Deed.RELEASE), kind(MOVED), kind(HERE))
    assert isinstance(moved, SlotMoving), moved
    assert isinstance(here, PathNotFound), here


def test_what_expires_has_gone_with_its_slot_and_is_not_unknown() -> None:
    (outcome,) = outcomes(LateLeader(Deed.FENCE, Deed.RELEASE), ExpirePlan(MOVED, 9))
    assert isinstance(outcome, SlotMoving), outcome


def outcomes(member: DataGroupMember, *plans: Plan) -> list[Any]:
    clock = MonotonicClock()
    return drive(member.execute([encode_plan(plan) for plan in plans], Deadline.after(clock, 1_000)), clock)
