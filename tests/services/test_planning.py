"""What a leader enters into its log for a plan."""

import pytest

from iotdb_cluster.errors import (
    PathIllegal,
    PathNotFound,
    RequestError,
    StorageGroupUnknown,
    Unsupported,
    ValueRefused,
)
from iotdb_cluster.members.data.planning import Planner, check_target
from iotdb_cluster.types.plans import (
    CreateTimeseriesPlan,
    DeletePlan,
    InsertPlan,
    PlanKind,
    SetStorageGroupPlan,
    TabletPlan,
)
from iotdb_cluster.types.schema import DataType, TimeseriesSchema
from iotdb_cluster.wire.plans import encode_plan

DEVICE = "root.sg.d"
KNOWN = {"b": DataType.BOOLEAN, "i": DataType.INT32}


def planner(*, auto_create=True, holds=True, storage_group="root.sg"):
    schema = {name: TimeseriesSchema(f"{DEVICE}.{name}", data_type) for name, data_type in KNOWN.items()}
    return Planner(
        device_schema=lambda device: schema if device == DEVICE else {},
        holds_storage_group=lambda path: holds,
        matches=lambda pattern: pattern == DEVICE,
        storage_group_of=lambda path: storage_group,
        auto_create=auto_create,
    )


def row(device=DEVICE, **values):
    return InsertPlan(1, device, tuple(values), tuple(values.values()))


def prepared(*plans, **knowing):
    """The plans that are proposed, and what became of each of the given ones."""
    found = planner(**knowing).prepare([encode_plan(plan) for plan in plans])
    return found.plans, found.own


def created(name, data_type, device=DEVICE):
    return (f"{device}.{name}", data_type)


def made_of(plans):
    """The series that are created, in order."""
    return [(plan.path, plan.data_type) for plan in plans if isinstance(plan, CreateTimeseriesPlan)]


def test_a_row_of_known_series_goes_as_it_came():
    plan = row(b="true", i="x")
    assert ([plan], [0]) == prepared(plan)


def test_unknown_series_are_created_in_front_of_their_row():
    plan = row(b="true", x="1.5", i="1", y="'t'")
    plans, own = prepared(plan)
    assert [created("x", DataType.DOUBLE), created("y", DataType.TEXT)] == made_of(plans)
    assert ([plan], [2]) == (plans[2:], own)


def test_rows_of_one_batch_create_a_series_once():
    plans, own = prepared(*(row(x=str(number)) for number in range(3)))
    assert [created("x", DataType.INT64)] == made_of(plans)
    assert [1, 2, 3] == own


def test_a_row_is_judged_by_the_type_that_an_earlier_row_of_its_batch_decided():
    plans, own = prepared(row(x="1"), row(x="1.5", y="2"), row(x="2"))
    assert [created("x", DataType.INT64)] == made_of(plans)
    assert isinstance(own[1], ValueRefused)
    assert [1, 2] == [own[0], own[2]]


def test_a_name_that_comes_twice_in_a_row_is_created_once():
    plan = InsertPlan(1, DEVICE, ("x", "x"), ("1", "2"))
    assert [created("x", DataType.INT64)] == made_of(prepared(plan)[0])


@pytest.mark.parametrize("values", [{"x": "1", "y": "odd"}, {"x": "1", "i": "odd"}, {"x": "1", "b": "2"}])
def test_for_a_row_that_would_be_refused_nothing_is_created(values):
    plans, own = prepared(row(**values))
    assert [] == plans
    assert isinstance(own[0], ValueRefused)


def test_a_measurement_of_several_nodes_creates_nothing():
    """Its series would be another device's, and the row, which looks in its own, would be refused all the same."""
    tablet = TabletPlan(DEVICE, ("deep.er",), (DataType.FLOAT,), 1, bytes(8), (bytes(4),))
    plans, own = prepared(InsertPlan(1, DEVICE, ("deep.er",), ("1",)), tablet)
    assert ([], [PathIllegal] * 2) == (plans, [type(each) for each in own])
    plans, _ = prepared(InsertPlan(1, DEVICE, ("'deep.er'",), ("1",)))
    assert [created("'deep.er'", DataType.INT64)] == made_of(plans)


def test_values_that_are_missing_or_too_many_create_nothing():
    plans, own = prepared(
        InsertPlan(1, DEVICE, ("x", "y"), ("1",)),
        InsertPlan(1, DEVICE, ("x",), ("1", "2")),
        InsertPlan(1, DEVICE, ("x",), (None,)),
        InsertPlan(1, DEVICE, (None, "x"), ("1", "1")),
        InsertPlan(1, None, ("x",), ("1",)),
    )
    assert [] == plans
    assert [ValueRefused] * 5 == [type(each) for each in own]


def test_a_tablet_creates_series_of_the_types_it_gives():
    tablet = TabletPlan(DEVICE, ("x", "i"), (DataType.FLOAT, DataType.INT32), 1, bytes(8), (bytes(4), bytes(4)))
    assert [created("x", DataType.FLOAT)] == made_of(prepared(tablet)[0])
    wrong = TabletPlan(DEVICE, ("x", "i"), (DataType.FLOAT, DataType.FLOAT), 1, bytes(8), (bytes(4), bytes(4)))
    plans, own = prepared(wrong)
    assert ([], ValueRefused) == (plans, type(own[0]))


def test_a_storage_group_is_opened_once_in_front_of_the_first_series():
    plans, _ = prepared(row(x="1"), row("root.sg.e", x="1"), holds=False)
    assert [SetStorageGroupPlan("root.sg")] == [plan for plan in plans if isinstance(plan, SetStorageGroupPlan)]
    assert SetStorageGroupPlan("root.sg") == plans[0]


def test_without_auto_create_only_known_series_are_written():
    _, own = prepared(row(x="1"), row(i="1"), auto_create=False)
    assert [PathNotFound, int] == [type(each) for each in own]


@pytest.mark.parametrize(
    ("plan", "error"),
    [
        (row("root.sg.e", **{"a/b": "1"}), PathIllegal),
        (row("nowhere", x="1"), PathIllegal),
        (CreateTimeseriesPlan("root.*.s", DataType.INT32, 0, 0), PathIllegal),
        (DeletePlan(1, "root.other"), PathNotFound),
        (DeletePlan(1, "other"), PathIllegal),
        (SetStorageGroupPlan("root.sg"), Unsupported),
    ],
)
def test_what_has_no_place_in_the_log_is_refused(plan, error):
    plans, own = prepared(plan)
    assert [] == plans
    assert error is type(own[0])


def test_a_series_without_a_storage_group_is_refused():
    assert StorageGroupUnknown is type(prepared(row(x="1"), storage_group=None)[1][0])


def test_bytes_that_are_no_plan_are_refused_and_the_others_go_on():
    found = planner().prepare([b"", b"\xff", encode_plan(row(i="1"))])
    assert [True, True, False] == [isinstance(each, RequestError) for each in found.own]


@pytest.mark.parametrize("kind", [kind for kind in PlanKind if kind < PlanKind.NODE_STARTED])
def test_the_target_of_every_plan_is_checked_however_long_it_is(kind):
    with pytest.raises(PathIllegal):
        check_target(kind, "root." + "a." * 1_000_000)
