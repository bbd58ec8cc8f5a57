"""What a group takes follows its slots: a fence stops writes, an open lets them in, and both travel with its files."""

import pytest

from iotdb_cluster.errors import SlotMoving
from iotdb_cluster.members.moves.codec import GroupDeed
from iotdb_cluster.members.moves.held_slots import HeldSlots, slots_in
from iotdb_cluster.partition.moves import Deed
from iotdb_cluster.partition.slots import slot_of
from iotdb_cluster.types.identity import NodeId
from iotdb_cluster.types.membership import Membership
from iotdb_cluster.types.plans import (
    CreateTimeseriesPlan,
    DeletePlan,
    DeleteStorageGroupPlan,
    DeleteTimeseriesPlan,
    ExpirePlan,
    InsertPlan,
    Plan,
    SetStorageGroupPlan,
)
from iotdb_cluster.types.schema import Compression, DataType, Encoding

HERE, OTHER = "root.here", "root.other"
INSERT = InsertPlan(1, f"{HERE}.d", ("s",), ("1",))
EVERY_PLAN: list[Plan] = [
    INSERT,
    CreateTimeseriesPlan(f"{HERE}.d.s", DataType.INT64, Encoding.RLE, Compression.SNAPPY),
    DeletePlan(9, f"{HERE}.d.s"),
    DeletePlan(9, "root.*.d.s"),
    DeleteTimeseriesPlan(f"{HERE}.d.s"),
    SetStorageGroupPlan(HERE),
    DeleteStorageGroupPlan(HERE),
    ExpirePlan(HERE, 9),
]


def held(*storage_groups: str) -> HeldSlots:
    there = list(storage_groups)
    return HeldSlots([slot_of(HERE), slot_of(OTHER)], there.__contains__, lambda: there)


@pytest.mark.parametrize("plan", EVERY_PLAN)
def test_behind_a_fence_nothing_is_taken_and_behind_an_unfence_everything_again(plan: Plan) -> None:
    slots = held(HERE, OTHER)
    slots.check(plan)
    assert (slot_of(HERE),) == slots.apply(GroupDeed(Deed.FENCE, 1, (slot_of(HERE),)))
    with pytest.raises(SlotMoving, match=f"slot {slot_of(HERE)} of {HERE} moves"):
        slots.check(plan)
    slots.check(InsertPlan(1, f"{OTHER}.d", ("s",), ("1",)))
    slots.apply(GroupDeed(Deed.UNFENCE, 1, (slot_of(HERE),)))
    slots.check(plan)


def test_what_is_installed_is_served_once_it_is_open() -> None:
    slots = HeldSlots([], [HERE].__contains__, lambda: [HERE])
    for deed, is_served in ((None, False), (Deed.INSTALL, False), (Deed.OPEN, True)):
        if deed is not None:
            slots.apply(GroupDeed(deed, 1, (slot_of(HERE),)))
        if is_served:
            slots.check(INSERT)
        else:
            with pytest.raises(SlotMoving):
                slots.check(INSERT)


@pytest.mark.parametrize("plan", EVERY_PLAN)
def test_behind_a_release_nothing_is_taken_for_a_storage_group_that_is_elsewhere_now(plan: Plan) -> None:
    # A leader that has not applied the release yet may still enter what it can't judge: a delete of nothing, done.
    there = [HERE]
    slots = HeldSlots([slot_of(HERE), slot_of(OTHER)], there.__contains__, lambda: there)
    slots.apply(GroupDeed(Deed.FENCE, 1, (slot_of(HERE),)))
    slots.apply(GroupDeed(Deed.RELEASE, 1, (slot_of(HERE),)))
    there.clear()
    with pytest.raises(SlotMoving):
        slots.check(plan)


def test_where_no_slot_ever_moved_a_delete_of_what_is_not_here_is_judged_by_the_store() -> None:
    held(OTHER).check(DeletePlan(9, f"{HERE}.d.s"))


def test_a_storage_group_that_was_released_meanwhile_is_no_unknown_one() -> None:
    with pytest.raises(SlotMoving):
        held(OTHER).check(INSERT)


def test_a_device_is_judged_anew_when_its_storage_group_comes() -> None:
    there: list[str] = []
    slots = HeldSlots([slot_of(HERE)], there.__contains__, lambda: there)
    with pytest.raises(SlotMoving):
        slots.check(INSERT)
    slots.check(SetStorageGroupPlan(HERE))
    there.append(HERE)
    slots.check(INSERT)


def test_the_slots_stand_beside_the_files_and_files_from_before_have_those_of_the_founding() -> None:
    slots = held(HERE)
    slots.apply(GroupDeed(Deed.FENCE, 3, (slot_of(HERE),)))
    membership = Membership(frozenset({NodeId(1)}))
    other = held(HERE)
    other.restore(slots.context(membership))
    assert slots.states == other.states == slots_in(slots.context(membership))
    assert not other.is_untouched
    other.restore(membership.encode())
    assert held(HERE).states == other.states
    assert other.is_untouched
