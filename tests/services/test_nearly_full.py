"""A disk that is nearly full: writes are answered 503, reads and deletes go on, and it recovers alone (DESIGN 8)."""

import struct
from contextlib import contextmanager

import pytest

from iotdb_cluster.storage.disk import RealDisk
from iotdb_cluster.types.plans import DeletePlan, InsertPlan
from iotdb_cluster.types.schema import DataType
from iotdb_cluster.wire.plans import encode_plan
from tests.services.rig import CLUSTER, code, logged_in, one_node, read, said, stock, struct_of, wait_for

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def free():
    """What every disk of this process has left, in MB; a test sets it."""
    left = {"mb": 1_000}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RealDisk, "free_bytes", lambda disk: left["mb"] * MIB)
        yield left


@pytest.fixture(scope="module")
def small(tmp_path_factory, free):
    """A node that keeps 100 MB free, and a session of it."""
    with one_node(tmp_path_factory.mktemp("small"), disk_reserve_mb=100) as node, logged_in(node) as session:
        yield node, session


@contextmanager
def nearly_full(free, session):
    """The disk has too little left, and the node has noticed."""
    free["mb"] = 99
    try:
        wait_for(lambda: 503 == code(session.insert("root.full.d", -1, s="0")), "the node has noticed")
        yield
    finally:
        free["mb"] = 1_000
    wait_for(lambda: 200 == code(session.insert("root.full.d", -1, s="0")), "the node has recovered")


def test_writes_are_503_and_nothing_of_them_is_stored(free, small):
    node, session = small
    assert 200 == code(session.insert("root.full.d", 1, s="1"))
    with nearly_full(free, session):
        batch = session.insert_batch(
            "root.full.d", ["s"], [DataType.INT64], 1, struct.pack(">q", 2), struct.pack(">q", 2)
        )
        answers = [
            session.insert("root.full.d", 2, s="2"),
            session.insert("root.full.e", 2, new="2"),
            session.create("root.full.d.t"),
            batch.status,
            *session.insert_rows(("root.full.d", 3, ["s"], ["3"]), ("root.full.d", 4, ["s"], ["4"])).statusList,
        ]
        assert [503] * 6 == [code(answer) for answer in answers]
        message = said(answers[0])[1]
        assert "99 MB" in message
        assert "disk_reserve_mb is 100" in message
        assert batch.result is None
        plan = encode_plan(InsertPlan(5, "root.full.d", ("s",), ("5",)))
        for service, address in (("TSMetaService", node.meta_address), ("TSDataService", node.data_address)):
            with stock(service, address) as client:
                assert 503 == code(client.executeNonQueryPlan(CLUSTER.ExecutNonQueryReq(planBytes=plan)))
        with stock("TSDataService", node.data_address) as data:
            assert ["root.full.d.s"] == data.getAllPaths(struct_of(node.header_of("root.full")), "root.full")
    assert [(1, 1)] == [point for point in read(node, "root.full.d.s", DataType.INT64) if point[0] > 0]


def test_reads_and_deletes_go_on(free, small):
    node, session = small
    for time in range(10, 15):
        assert 200 == code(session.insert("root.full.r", time, s="1"))
    with nearly_full(free, session):
        assert 5 == len(read(node, "root.full.r.s", DataType.INT64))
        assert 200 == code(session.delete(11, "root.full.r.s"))
        plan = encode_plan(DeletePlan(12, "root.full.r.s"))
        with stock("TSMetaService", node.meta_address) as meta:
            assert 200 == code(meta.executeNonQueryPlan(CLUSTER.ExecutNonQueryReq(planBytes=plan)))
        assert [13, 14] == [time for time, _ in read(node, "root.full.r.s", DataType.INT64)]
        assert 301 == code(session.delete(11, "root.full.nothing"))


def test_a_node_that_starts_with_too_little_refuses_the_first_write(tmp_path, free):
    with one_node(tmp_path, disk_reserve_mb=100_000) as node, logged_in(node) as session:
        assert 503 == code(session.insert("root.full.d", 1, s="1"))
