"""executeNonQueryPlan: any plan, on either port of any node, with whatever header (interface page CLUSTER)."""

import struct

import pytest

from iotdb_cluster.types.plans import (
    CreateTimeseriesPlan,
    DeletePlan,
    DeleteStorageGroupPlan,
    DeleteTimeseriesPlan,
    InsertPlan,
    SetStorageGroupPlan,
    TabletPlan,
)
from iotdb_cluster.types.schema import Compression, DataType, Encoding
from iotdb_cluster.wire.plans import encode_plan
from tests.services.rig import CLUSTER, code, members_of, read, said, stock, stranger, struct_of, wait_for

PORTS = ["meta", "data"]


def execute(client, plan, header=None):
    data = plan if isinstance(plan, bytes) else encode_plan(plan)
    return client.executeNonQueryPlan(CLUSTER.ExecutNonQueryReq(planBytes=data, header=header))


def port_of(node, port):
    """A plain client of one of the two ports between nodes."""
    if port == "meta":
        return stock("TSMetaService", node.meta_address)
    return stock("TSDataService", node.data_address)


def every_plan(sg):
    """Plans that build on each other, one of each type that the interface knows."""
    return [
        SetStorageGroupPlan(sg),
        CreateTimeseriesPlan(f"{sg}.d.a", DataType.INT32, Encoding.RLE, Compression.SNAPPY),
        InsertPlan(1, f"{sg}.d", ("a", "b"), ("1", "'x'")),
        TabletPlan(f"{sg}.d", ("a",), (DataType.INT32,), 2, struct.pack(">2q", 2, 3), (struct.pack(">2i", 2, 3),)),
        DeletePlan(1, f"{sg}.*.a"),
    ]


@pytest.mark.parametrize("port", PORTS)
@pytest.mark.parametrize("header", ["none", "right", "wrong"])
def test_every_plan_finds_its_group(node, new_name, port, header):
    sg = new_name()
    head = {"none": None, "right": struct_of(node.node), "wrong": stranger()}[header]
    with port_of(node, port) as client:
        for plan in every_plan(sg):
            assert (200, plan) == (code(execute(client, plan, head)), plan)
    assert [(2, 2), (3, 3)] == read(node, f"{sg}.d.a", DataType.INT32)
    assert [(1, b"x")] == read(node, f"{sg}.d.b", DataType.TEXT)


@pytest.mark.parametrize("port", PORTS)
def test_every_plan_finds_its_group_at_every_node_of_a_cluster(trio, new_name, port):
    for node in trio:
        sg = new_name()
        with port_of(node, port) as client:
            for plan in every_plan(sg):
                assert (200, plan) == (code(execute(client, plan, stranger())), plan)
        for member in members_of(trio, node.header_of(sg))[:2]:
            assert [(2, 2), (3, 3)] == read(member, f"{sg}.d.a", DataType.INT32)


@pytest.mark.parametrize("port", PORTS)
@pytest.mark.parametrize(
    ("plan", "number"),
    [
        (InsertPlan(1, "nowhere", ("a",), ("1",)), 314),
        (InsertPlan(1, "root" + ".a" * 1_000_000, ("a",), ("1",)), 314),
        (InsertPlan(1, "root.new.d", ("a",), ("odd",)), 400),
        (InsertPlan(1, "root.new.d", (None,), ("1",)), 400),
        (InsertPlan(1, "root.new.d", ("a",), (None,)), 400),
        (InsertPlan(1, "root.new.d", (), ()), 400),
        (InsertPlan(1, None, ("a",), ("1",)), 400),
        (CreateTimeseriesPlan("root.s", DataType.INT32, Encoding.PLAIN, Compression.SNAPPY), 314),
        (DeletePlan(1, "root.nosuchgroup.d.s"), 301),
        (DeletePlan(1, ""), 314),
        (SetStorageGroupPlan("root"), 314),
        (SetStorageGroupPlan("root.a." + "b." * 100_000), 314),
        (DeleteTimeseriesPlan("root.nosuchgroup"), 301),
        (DeleteStorageGroupPlan("root.nosuchgroup"), 303),
        (b"", 400),
        (b"\x07", 400),
        (bytes([66]) + bytes(20), 400),
        (encode_plan(SetStorageGroupPlan("root.cut"))[:-1], 400),
        (encode_plan(SetStorageGroupPlan("root.long")) + b"x", 400),
        (bytes([2]) + struct.pack(">i", 6) + b"root.d" + struct.pack(">i", 2**31 - 1), 400),
        (bytes([0]) + bytes(8) + struct.pack(">i", -2), 400),
    ],
)
def test_a_plan_that_cannot_be_is_answered_by_a_status(node, port, plan, number):
    with port_of(node, port) as client:
        found, message = said(execute(client, plan))
    assert (number, True) == (found, bool(message))
    report = node.report()
    assert not {"root.new", "root.cut", "root.long"} & set(report.storage_groups)


def test_an_unknown_plan_type_is_named(data):
    assert "99" in said(execute(data, b"\x63"))[1]


def test_what_was_set_on_one_node_is_usable_at_once_on_another(trio, new_name):
    for first, second in [(0, 1), (1, 2), (2, 0)]:
        sg = new_name()
        with port_of(trio[first], "meta") as one, port_of(trio[second], "data") as other:
            assert 200 == code(execute(one, SetStorageGroupPlan(sg)))
            assert 200 == code(execute(other, InsertPlan(1, f"{sg}.d", ("s",), ("1",))))
        wait_for(lambda sg=sg: all(sg in node.report().storage_groups for node in trio), "all nodes know the group")
