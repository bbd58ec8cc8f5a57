"""A disk that is nearly full: writes are answered 503, reads and deletes go on, and it recovers alone (DESIGN 8)."""

import struct

import pytest

from iotdb_cluster.storage.disk import RealDisk
from iotdb_cluster.types.plans import DeletePlan, InsertPlan
from iotdb_cluster.types.schema import DataType
from iotdb_cluster.wire.plans import encode_plan
from tests.services.rig import CLUSTER, code, logged_in, one_node, read, said, stock, struct_of, wait_for

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A node that keeps 100 MB free, a session of it, and what its disk has left, in MB, for a test to set."""
    free = {"mb": 1_000}
    with (
        pytest.MonkeyPatch.context() as patch,
        one_node(tmp_path_factory.mktemp("small"), disk_reserve_mb=100) as node,
        logged_in(node) as session,
    ):
        patch.setattr(RealDisk, "free_bytes", lambda disk: free["mb"] * MIB)
        yield node, session, free


@pytest.fixture(scope="module")
def full(small):
    """The node, after it noticed that too little is left; before, something was written."""
    node, session, free = small
    assert 200 == code(session.insert("root.full.d", 1, s="1"))
    for time in range(10, 15):
        assert 200 == code(session.insert("root.full.r", time, s="1"))
    free["mb"] = 99
    wait_for(lambda: 503 == code(session.insert("root.full.other", 1, s="0")), "the node has noticed")
    return node, session


def test_writes_are_503_and_nothing_of_them_is_stored(full):
    node, session = full
    batch = session.insert_batch("root.full.d", ["s"], [DataType.INT64], 1, struct.pack(">q", 2), struct.pack(">q", 2))
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
        head = struct_of(node.header_of("root.full"))
        assert ["root.full.d.s"] == data.getAllPaths(head, "root.full.d")
        assert [] == data.getAllPaths(head, "root.full.e")
    assert [(1, 1)] == read(node, "root.full.d.s", DataType.INT64)


def test_reads_and_deletes_go_on(full):
    node, session = full
    assert 5 == len(read(node, "root.full.r.s", DataType.INT64))
    assert 200 == code(session.delete(11, "root.full.r.s"))
    plan = encode_plan(DeletePlan(12, "root.full.r.s"))
    with stock("TSMetaService", node.meta_address) as meta:
        assert 200 == code(meta.executeNonQueryPlan(CLUSTER.ExecutNonQueryReq(planBytes=plan)))
    assert [13, 14] == [time for time, _ in read(node, "root.full.r.s", DataType.INT64)]
    assert 301 == code(session.delete(11, "root.full.nothing"))


def test_it_recovers_alone(small, full):
    node, session, free = small
    free["mb"] = 101
    wait_for(lambda: 200 == code(session.insert("root.full.d", 2, s="2")), "the node takes writes again")
    assert [(1, 1), (2, 2)] == read(node, "root.full.d.s", DataType.INT64)
