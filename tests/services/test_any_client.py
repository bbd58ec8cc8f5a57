"""Any Thrift client works: every method, over frames, in whatever protocol it was called."""

import struct

import pytest

from iotdb_cluster.client.connection import ThriftClient
from iotdb_cluster.errors import RemoteError
from iotdb_cluster.partition.slots import slot_of
from iotdb_cluster.types.entries import Entry, EntryKind
from iotdb_cluster.types.identity import EntryId
from iotdb_cluster.types.plans import SetStorageGroupPlan
from iotdb_cluster.types.schema import DataType
from iotdb_cluster.wire.batches import decode_batch
from iotdb_cluster.wire.entries import encode_entry
from iotdb_cluster.wire.header import Protocol
from iotdb_cluster.wire.idl import SERVICES, STRUCTS
from iotdb_cluster.wire.plans import encode_plan
from iotdb_cluster.wire.scalars import decode_scalar
from iotdb_cluster.wire.schemas import decode_schemas
from tests.services.rig import (
    CLUSTER,
    PROTOCOLS,
    RPC,
    LoggedIn,
    code,
    node_of,
    query,
    refused,
    stock,
    stranger,
    struct_of,
)

NOT_YET = {
    "executeStatement", "executeQueryStatement", "executeUpdateStatement", "executeBatchStatement", "fetchResults",
    "fetchMetadata", "closeOperation", "cancelOperation", "deleteTimeseries", "deleteStorageGroups",
}  # fmt: skip
"""Methods of TSIService that belong to the statements."""


class Recorded:
    """A client that notes which methods were called."""

    def __init__(self, client, called):
        self._client, self._called = client, called

    def __getattr__(self, name):
        self._called.add(name)
        return getattr(self._client, name)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_method_of_the_client_port(node, new_name, protocol):
    sg, called = new_name(), set()
    with stock("TSIService", node.client_address, protocol) as plain:
        client = Recorded(plain, called)
        session = LoggedIn(client)
        assert session.id > 0
        assert client.requestStatementId(session.id) > 0
        assert "ms" == client.getProperties().timestampPrecision
        assert 200 == code(client.setTimeZone(RPC.TSSetTimeZoneReq(sessionId=session.id, timeZone="Asia/Tokyo")))
        assert "Asia/Tokyo" == client.getTimeZone(session.id).timeZone
        assert 200 == code(session.set_storage_group(sg))
        assert 200 == code(session.create(f"{sg}.d.ä", DataType.TEXT))
        assert 200 == code(session.insert(f"{sg}.d", 1, ä="'ü'"))
        packed = struct.pack(">2i", 1, 2)
        batch = session.insert_batch(f"{sg}.d", ["i"], [DataType.INT32], 2, struct.pack(">2q", 1, 2), packed)
        assert [200, 200] == batch.result
        assert [200] == [code(each) for each in session.insert_rows((f"{sg}.d", 3, ["i"], ["3"])).statusList]
        assert 200 == code(session.delete(1, f"{sg}.d.i"))
        row = RPC.TSInsertReq(sessionId=1, deviceId="x", measurements=[], values=[], timestamp=1)
        assert 200 == code(client.testInsertRow(row))
        empty = RPC.TSBatchInsertionReq(
            sessionId=1, deviceId="x", measurements=[], types=[], size=0, timestamps=b"", values=b""
        )
        assert [] == client.testInsertBatch(empty).result
        rows = RPC.TSInsertInBatchReq(sessionId=1, deviceIds=[], timestamps=[], measurementsList=[], valuesList=[])
        assert 1 == len(client.testInsertRowInBatch(rows).statusList)
        assert 200 == code(session.close())
    assert set(SERVICES["TSIService"].methods) - NOT_YET == called


def raft_calls(client, head):
    """Each call of RaftService once, with what every node answers."""
    term = 0
    stale = CLUSTER.HeartBeatRequest(
        term=term, commitLogIndex=0, leader=stranger(), requireIdentifier=False, regenerateIdentifier=False, header=head
    )
    assert client.sendHeartBeat(stale).term > 0
    vote = CLUSTER.ElectionRequest(
        term=term, lastLogTerm=0, lastLogIndex=0, elector=stranger(), header=head, dataLogLastIndex=0, dataLogLastTerm=0
    )
    assert client.startElection(vote) > 0
    entry = encode_entry(Entry(0, 2, EntryKind.EMPTY_CONTENT, b""), EntryId(0, 1))
    assert client.appendEntry(CLUSTER.AppendEntryRequest(term=term, entry=entry, header=head)) > 0
    assert client.appendEntries(CLUSTER.AppendEntriesRequest(term=term, entries=[entry], header=head)) > 0
    assert client.requestCommitIndex(head) > 0
    assert "400" in refused(lambda: client.sendSnapshot(CLUSTER.SendSnapshotRequest(snapshotBytes=b"x", header=head)))
    assert "301" in refused(lambda: client.readFile("no such file", 0, 1, head))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_method_of_the_meta_port(node, new_name, protocol):
    called = set()
    with stock("TSMetaService", node.meta_address, protocol) as plain:
        client = Recorded(plain, called)
        alive = client.checkAlive()
        assert node.node == node_of(alive)
        assert -1 == client.addNode(alive).respNum
        assert -9 == client.removeNode(alive)
        assert CLUSTER.TNodeStatus() == client.queryNodeStatus()
        plan = encode_plan(SetStorageGroupPlan(new_name()))
        assert 200 == code(client.executeNonQueryPlan(CLUSTER.ExecutNonQueryReq(planBytes=plan)))
        assert "400" in refused(lambda: client.pullTimeSeriesSchema(CLUSTER.PullSchemaRequest(prefixPath="root")))
        raft_calls(client, None)
    assert set(SERVICES["TSMetaService"].methods) == called


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_method_of_the_data_port(node, session, sg, protocol):
    session.insert(f"{sg}.d", 1, s="7")
    header, called = node.header_of(sg), set()
    head = struct_of(header)
    with stock("TSDataService", node.data_address, protocol) as plain:
        client = Recorded(plain, called)
        reader = client.querySingleSeries(query(header, f"{sg}.d.s", DataType.INT64))
        _, times, values = decode_batch(client.fetchSingleSeries(head, reader))
        assert ([1], [7]) == (list(times), list(values))
        single = client.querySingleSeriesByTimestamp(query(header, f"{sg}.d.s", DataType.INT64))
        assert 7 == decode_scalar(client.fetchSingleSeriesByTimestamp(head, single, 1)).value
        client.endQuery(head, stranger(), 1)
        assert [f"{sg}.d.s"] == client.getAllPaths(head, sg)
        found = client.pullTimeSeriesSchema(CLUSTER.PullSchemaRequest(prefixPath=sg, header=head))
        assert [f"{sg}.d.s"] == [schema.path for schema in decode_schemas(found.schemaBytes)]
        slot = slot_of(sg)
        pulled = client.pullSnapshot(CLUSTER.PullSnapshotRequest(requiredSlots=[slot], header=head))
        assert [slot] == list(pulled.snapshotBytes)
        plan = encode_plan(SetStorageGroupPlan(sg))
        assert 200 == code(client.executeNonQueryPlan(CLUSTER.ExecutNonQueryReq(planBytes=plan, header=head)))
        raft_calls(client, head)
    assert set(SERVICES["TSDataService"].methods) == called


@pytest.mark.parametrize("protocol", list(Protocol))
def test_the_project_s_own_client_speaks_both_protocols(node, protocol):
    client = ThriftClient(node.meta_address, "MetaExtension", protocol=protocol)
    try:
        alive = client.call("checkAlive", (), 5_000)
        assert node.node.identifier == alive.nodeIdentifier
        assert -1 == client.call("addNode", (alive,), 5_000).respNum
        with pytest.raises(RemoteError, match="301 PATH_NOT_EXIST_ERROR"):
            client.call("readFile", ("no such file", 0, 1, None), 5_000)
        request = STRUCTS["ExecutNonQueryReq"].make(planBytes=b"", header=None)
        assert 400 == client.call("executeNonQueryPlan", (request,), 5_000).statusType.code
    finally:
        client.close()
