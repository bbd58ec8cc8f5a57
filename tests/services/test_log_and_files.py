"""When points go from the log to files: when the log grows long in bytes, and when an entry says so on every member."""

import pytest

from iotdb_cluster.types.identity import GroupId
from tests.services.rig import RPC, code, logged_in, one_node, wait_for

FOUNDING = 1
"""The entry that a log of a data group begins with."""


def sealed_files(node, storage_group):
    return list(node.folder.glob(f"data/*/{storage_group}/*.parquet"))


@pytest.mark.parametrize(("keep_mb", "is_sealed"), [(1, True), (64, False)])
def test_a_log_of_too_many_bytes_is_sealed_and_forgotten(tmp_path, keep_mb, is_sealed):
    with one_node(tmp_path, log_keep_mb=keep_mb) as node, logged_in(node) as session:
        for time in range(25):
            assert 200 == code(session.insert("root.g.d", time, s=f"'{'x' * 100_000}'"))
        log = node._process._node.data(GroupId(node.node.identifier)).raft.log
        if is_sealed:
            wait_for(lambda: log.bytes_behind(log.snapshot.index) < 1 << 20, "the log has forgotten what is in files")
        assert is_sealed == bool(sealed_files(node, "root.g")) == (log.snapshot.index > FOUNDING)


def test_a_flush_seals_its_storage_group_on_every_member(trio, new_name):
    storage_group = new_name()
    with logged_in(trio[0]) as session:
        assert 200 == code(session.insert(f"{storage_group}.d", 1, s="1"))
        assert [] == [file for node in trio for file in sealed_files(node, storage_group)]
        request = RPC.TSExecuteStatementReq(sessionId=session.id, statement=f"flush {storage_group}", statementId=1)
        assert 200 == code(session.client.executeStatement(request).status)
    wait_for(lambda: 2 == sum(bool(sealed_files(node, storage_group)) for node in trio), "both replicas have files")
