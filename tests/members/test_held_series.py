"""A series is judged by the slot that its group has it in, also where this node's meta log is behind."""

from types import SimpleNamespace
from typing import Any

import pytest

from iotdb_cluster.errors import SlotMoving
from iotdb_cluster.members.clock import Deadline, MonotonicClock
from iotdb_cluster.members.data.held_series import HeldSeries
from iotdb_cluster.members.moves.codec import GroupDeed
from iotdb_cluster.members.moves.held_slots import HeldSlots
from iotdb_cluster.members.pending import drive
from iotdb_cluster.partition.moves import Deed, MoveBook
from iotdb_cluster.partition.slots import slot_of
from iotdb_cluster.types.schema import DataType, TimeseriesSchema

HERE = "root.here"


def test_who_has_not_heard_of_a_storage_group_reads_nothing_of_it_behind_its_fence() -> None:
    schema = TimeseriesSchema(f"{HERE}.d.s", DataType.INT32)
    slots = HeldSlots([slot_of(HERE)], [HERE].__contains__, lambda: [HERE])
    member: Any = SimpleNamespace(group=7, slots=slots, store=SimpleNamespace(find=lambda path: schema))
    state = SimpleNamespace(storage_group_of=lambda path: None, moves=MoveBook())
    held = HeldSeries(SimpleNamespace(state=state, meta=None))  # type: ignore[arg-type]
    clock = MonotonicClock()

    def check() -> None:
        drive(held.check(member, schema.path, schema.data_type, Deadline.after(clock, 1_000)), clock)

    check()
    slots.apply(GroupDeed(Deed.FENCE, 1, (slot_of(HERE),)))
    with pytest.raises(SlotMoving):
        check()
