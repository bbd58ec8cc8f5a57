"""What nodes say to each other beyond the mirrored interface, said by a plain client."""

import pytest

from iotdb_cluster.members.meta.snapshot import MetaImage, encode_image
from iotdb_cluster.members.meta.state import MetaState
from iotdb_cluster.timeseries.manifest import Manifest
from iotdb_cluster.types.identity import EntryId, NodeId
from iotdb_cluster.types.membership import Membership
from iotdb_cluster.types.plans import CreateTimeseriesPlan, DeletePlan, InsertPlan, SetStorageGroupPlan
from iotdb_cluster.types.schema import Compression, DataType, Encoding
from iotdb_cluster.types.snapshots import DataSnapshot
from iotdb_cluster.wire.plans import encode_plan
from iotdb_cluster.wire.snapshots import encode_data_snapshot
from tests.services.rig import (
    CLUSTER,
    IDL,
    code,
    logged_in,
    members_of,
    node_of,
    read,
    refused,
    said,
    stock,
    stranger,
    struct_of,
)
from tests.services.test_meta_service import hello

NOT_IN_GROUP, LEADER_ONLINE = -11, -8
SOON_MS = 5_000


@pytest.fixture(params=["meta", "data"])
def port(request, node):
    """A port of the one node, and the header to use there."""
    if request.param == "meta":
        with stock("MetaExtension", node.meta_address) as client:
            yield client, None, node
    else:
        with stock("DataExtension", node.data_address) as client:
            yield client, node.node, node


def propose(client, header, *plans, deadline_ms=SOON_MS):
    data = [plan if isinstance(plan, bytes) else encode_plan(plan) for plan in plans]
    head = None if header is None else struct_of(header)
    return client.propose(IDL.ProposeRequest(header=head, plans=data, deadline_ms=deadline_ms, hops=1))


def test_plans_of_a_data_group_are_carried_out_by_its_leader(node, session, sg):
    plans = [
        InsertPlan(1, f"{sg}.d", ("s",), ("1",)),
        InsertPlan(2, f"{sg}.d", ("s",), ("odd",)),
        CreateTimeseriesPlan(f"{sg}.d.t", DataType.TEXT, Encoding.PLAIN, Compression.SNAPPY),
        InsertPlan(3, f"{sg}.d", ("s",), ("3",)),
        DeletePlan(1, f"{sg}.d.s"),
        b"\xff",
        SetStorageGroupPlan(sg),
    ]
    for service, address in (("MetaExtension", node.meta_address), ("DataExtension", node.data_address)):
        with stock(service, address) as client:
            answer = propose(client, node.node, *plans)
            assert (False, None) == (answer.not_leader, answer.leader)
            plans[2] = CreateTimeseriesPlan(f"{sg}.d.u", DataType.TEXT, Encoding.PLAIN, Compression.SNAPPY)
        assert [200, 400, 200, 200] == [code(status) for status in answer.statuses[:4]]
        assert [400, 703] == [code(status) for status in answer.statuses[5:]]
    assert [(3, 3)] == read(node, f"{sg}.d.s", DataType.INT64)


def test_plans_of_the_meta_group_are_carried_out_by_its_leader(port, new_name):
    client, _, node = port
    sg = new_name()
    answer = propose(client, None, SetStorageGroupPlan(sg), SetStorageGroupPlan("root"), b"", DeletePlan(1, "root.x"))
    assert [200, 314, 400, 703] == [code(status) for status in answer.statuses]
    assert sg in node.report().storage_groups


def test_what_this_node_does_not_lead_was_certainly_not_appended(port):
    client, _, _ = port
    answer = propose(client, node_of(stranger()), InsertPlan(1, "root.a.d", ("s",), ("1",)))
    assert ([], True, None) == (answer.statuses, answer.not_leader, answer.leader)


def test_a_follower_names_its_leader(trio, new_name):
    sg = new_name()
    with logged_in(trio[0]) as session:
        session.insert(f"{sg}.d", 1, s="1")
    header = trio[0].header_of(sg)
    for node in members_of(trio, header)[:2]:
        leader = node.group(header).leader
        with stock("DataExtension", node.data_address) as client:
            answer = propose(client, header, InsertPlan(2, f"{sg}.d", ("s",), ("2",)))
            index = client.readIndex(struct_of(header), SOON_MS)
        if leader == node.node.identifier:
            assert [200] == [code(status) for status in answer.statuses]
            assert index.index > 0
        else:
            assert (True, leader) == (answer.not_leader, answer.leader.nodeIdentifier)
            assert (True, leader) == (index.not_leader, index.leader.nodeIdentifier)


def test_without_time_the_outcome_is_unknown_or_nothing_was_done(node, sg):
    with stock("DataExtension", node.data_address) as client:
        for deadline_ms in (0, -5):
            answer = propose(client, node.node, InsertPlan(1, f"{sg}.d", ("s",), ("1",)), deadline_ms=deadline_ms)
            assert code(answer.statuses[0]) in (200, 701, 702), "702: refused before it was proposed"


def test_no_plans_give_no_statuses(port):
    client, header, _ = port
    assert [] == propose(client, header).statuses


def test_read_index_is_never_passed_on(port):
    client, header, node = port
    head = None if header is None else struct_of(header)
    answer = client.readIndex(head, SOON_MS)
    assert not answer.not_leader
    assert answer.index >= node.group(header).commit_index - 1
    if header is not None:
        assert client.readIndex(stranger(), SOON_MS).not_leader


@pytest.mark.parametrize("pre", [True, False])
def test_a_vote_of_the_extension_is_judged_as_the_mirrored_one(port, pre):
    client, header, node = port
    term = node.group(header).term
    request = CLUSTER.ElectionRequest(
        term=term + 3,
        lastLogTerm=99,
        lastLogIndex=99,
        elector=stranger(),
        header=None if header is None else struct_of(header),
        dataLogLastIndex=99,
        dataLogLastTerm=99,
    )
    assert LEADER_ONLINE == client.vote(request, pre, False)
    request.term = term - 1
    assert term == client.vote(request, pre, False)
    assert term == node.group(header).term


def test_nobody_takes_over_for_a_stranger(port):
    client, header, node = port
    term = node.group(header).term
    assert NOT_IN_GROUP == client.timeoutNow(term, stranger(), None if header is None else struct_of(header))
    assert term == client.timeoutNow(term - 1, stranger(), None if header is None else struct_of(header))
    if header is not None:
        assert NOT_IN_GROUP == client.timeoutNow(term, stranger(), stranger())
    assert node.is_ready


def test_a_snapshot_that_reaches_no_further_is_taken_and_changes_nothing(node, data, session, sg):
    session.insert(f"{sg}.d", 1, s="1")
    head = struct_of(node.header_of(sg))
    old = encode_data_snapshot(DataSnapshot(slots=(), last_index=1, last_term=0))
    assert data.sendSnapshot(CLUSTER.SendSnapshotRequest(snapshotBytes=old, header=head)) is None
    assert [(1, 1)] == read(node, f"{sg}.d.s", DataType.INT64)


def test_a_snapshot_without_all_that_a_group_knows_is_refused(node, data, session, sg):
    session.insert(f"{sg}.d", 1, s="1")
    head = struct_of(node.header_of(sg))
    far = encode_data_snapshot(DataSnapshot(slots=(), last_index=10**9, last_term=10**6))
    for snapshot in (far, far + b"manifest", far[:-1]):
        request = CLUSTER.SendSnapshotRequest(snapshotBytes=snapshot, header=head)
        assert "400 EXECUTE_STATEMENT_ERROR" in refused(lambda request=request: data.sendSnapshot(request))
    assert [(1, 1)] == read(node, f"{sg}.d.s", DataType.INT64)


def test_a_snapshot_of_a_stranger_is_not_installed(node, meta, data, session, sg):
    session.insert(f"{sg}.d", 1, s="1")
    far = EntryId(10**6, 10**9)
    membership = Membership(frozenset({NodeId(node.node.identifier)}))
    manifest = Manifest(covered=far, context=membership.encode()).encode()
    content = encode_data_snapshot(DataSnapshot((), far.index, far.term, manifest))
    forged = CLUSTER.SendSnapshotRequest(snapshotBytes=content, header=struct_of(node.header_of(sg)))
    assert "hello" in refused(lambda: data.sendSnapshot(forged))
    image = encode_image(MetaImage(far, membership, MetaState(applied=far.index)))
    assert "hello" in refused(lambda: meta.sendSnapshot(CLUSTER.SendSnapshotRequest(snapshotBytes=image)))
    assert [(1, 1)] == read(node, f"{sg}.d.s", DataType.INT64)


def test_a_refused_plan_says_what_and_why(node, sg):
    with stock("DataExtension", node.data_address) as client:
        answer = propose(client, node.node, InsertPlan(1, f"{sg}.d", ("s",), ("odd",)))
    assert "'odd'" in said(answer.statuses[0])[1]


def test_what_strangers_say_of_their_starts_is_not_kept(node):
    later, earlier = hello(node, start_count=5, start_random=5), hello(node, start_count=3, start_random=3)
    with stock("MetaExtension", node.meta_address) as meta:
        assert [None, None] == [meta.hello(request).refusal for request in (later, earlier)]


def test_who_belongs_to_the_cluster_must_remember_its_starts(trio):
    forgotten = hello(trio[0], start_count=0, start_random=3)
    forgotten.node = struct_of(trio[1].node)
    with stock("MetaExtension", trio[0].meta_address) as meta:
        assert "old copy" in meta.hello(forgotten).refusal


def test_what_a_node_asks_is_not_passed_on_again(trio, new_name):
    header = trio[0].header_of(new_name())
    outsider = members_of(trio, header)[2]
    with stock("DataExtension", outsider.data_address) as client:
        assert [] == client.getAllPaths(struct_of(header), "root.nosuchgroup")
        assert client.hello(hello(outsider)).refusal is None
        for call in (
            lambda: client.getAllPaths(struct_of(header), "root"),
            lambda: client.requestCommitIndex(struct_of(header)),
            lambda: client.pullSnapshot(CLUSTER.PullSnapshotRequest(requiredSlots=[1], header=struct_of(header))),
        ):
            assert "no member of the data group" in refused(call)
