"""Rows of one call take effect in their order, whatever becomes of the slots meanwhile."""

from collections.abc import Sequence
from typing import Any

from iotdb_cluster.errors import SlotMoving
from iotdb_cluster.members.client.row_inserts import insert_rows, row_plan
from iotdb_cluster.members.clock import Deadline, MonotonicClock
from iotdb_cluster.members.pending import drive
from iotdb_cluster.members.waiting import Outcome
from iotdb_cluster.types.identity import GroupId
from iotdb_cluster.wire.plans import decode_plan

OLD, NEW = GroupId(2), GroupId(1)
DEVICE = "root.known.d"


class MovingSlot:
    """The router of a node that hears of a flip between two looks at its table."""

    def __init__(self) -> None:
        self.looks = 0
        self.taken: list[int] = []

    async def group_of_path(self, path: str, deadline: Deadline, *, made_for: bytes | None) -> GroupId:
        self.looks += 1
        return OLD if self.looks == 1 else NEW

    async def execute_in(self, group: GroupId, plans: Sequence[bytes], deadline: Deadline) -> list[Outcome]:
        if group == OLD:
            return [SlotMoving("moved")] * len(plans)
        self.taken += [decode_plan(plan).time for plan in plans]
        return [None] * len(plans)

    async def execute(self, kind: int, path: str, plan: bytes, deadline: Deadline) -> None:
        await self.execute_in(NEW, [plan], deadline)


def test_rows_of_a_device_follow_its_slot_in_their_order() -> None:
    router: Any = MovingSlot()
    clock = MonotonicClock()
    rows = [row_plan(DEVICE, time, ["s"], ["1"]) for time in (3, 1, 2)]
    assert [None] * 3 == drive(insert_rows(router, rows, Deadline.after(clock, 1_000)), clock)
    assert [3, 1, 2] == router.taken
