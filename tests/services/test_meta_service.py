"""TSMetaService, and the extension's `hello` and `report` (interface page CLUSTER, "TSMetaService")."""

import json

import pytest

from iotdb_cluster.client.operators import ask_report
from iotdb_cluster.partition.slots import SLOT_COUNT
from iotdb_cluster.wire.tables import decode_table
from tests.services.rig import CLUSTER, IDL, IP, node_of, refused, stock, stranger, struct_of

AGREE, NOT_IN_CLUSTER, IDENTIFIER_TAKEN, TOO_SMALL = -1, -3, -5, -9


def test_a_node_says_who_it_is(node, meta):
    alive = node_of(meta.checkAlive())
    assert (IP, node.settings.local_meta_port, node.settings.local_data_port) == (
        alive.ip,
        alive.meta_port,
        alive.data_port,
    )
    assert alive == node.report().node


def test_the_status_of_a_node_is_empty(meta):
    assert CLUSTER.TNodeStatus() == meta.queryNodeStatus()


def test_a_node_that_is_in_gets_the_table_from_every_node(trio):
    structs = [struct_of(node.node) for node in trio]
    tables = []
    for node in trio:
        with stock("TSMetaService", node.meta_address) as meta:
            answers = [meta.addNode(each) for each in structs]
        assert [AGREE] * 3 == [answer.respNum for answer in answers]
        tables += [answer.partitionTableBytes for answer in answers]
    assert 1 == len(set(tables)), "all nodes hold the same bytes"
    table = decode_table(tables[0])
    assert SLOT_COUNT == table.slot_count
    assert {node.node for node in trio} == {owner for owner, _ in table.nodes}
    assert list(range(SLOT_COUNT)) == sorted(slot for _, slots in table.nodes for slot in slots)
    sizes = [len(slots) for _, slots in table.nodes]
    assert max(sizes) - min(sizes) <= 1


def test_a_taken_identifier_is_a_conflict(node, meta):
    other = stranger(node.node.identifier)
    answer = meta.addNode(other)
    assert (IDENTIFIER_TAKEN, None) == (answer.respNum, answer.partitionTableBytes)


def test_a_node_that_is_not_in_gets_no_table(meta):
    assert "does not answer this node, so it can't join" in refused(lambda: meta.addNode(stranger()))


def test_the_size_of_the_cluster_is_judged_before_the_node(node, meta):
    assert TOO_SMALL == meta.removeNode(struct_of(node.node))
    assert TOO_SMALL == meta.removeNode(stranger())


def test_no_node_is_known_by_its_identifier_alone(trio):
    known = trio[1].node
    by_number = CLUSTER.Node(ip=known.ip, metaPort=1, nodeIdentifier=known.identifier, dataPort=known.data_port)
    for node in trio:
        with stock("TSMetaService", node.meta_address) as meta:
            assert NOT_IN_CLUSTER == meta.removeNode(by_number)
    assert all(3 == len(node.report().members) for node in trio)


# -- the extension ---------------------------------------------------------------------------------------------------


def hello(node, **other):
    """What a peer that belongs to the cluster says of itself, but for what `other` says."""
    with stock("MetaExtension", node.meta_address) as meta:
        own = meta.hello(IDL.HelloRequest(**_said_by(node, blind=True, cluster_id=None)))
    said = {**_said_by(node), "cluster_id": own.cluster_id, "seed_digest": own.seed_digest, "seed_list": own.seed_list}
    return IDL.HelloRequest(**{**said, **other})


def _said_by(node, **other):
    return {
        "cluster_id": None,
        "node": stranger(),
        "start_count": 1,
        "start_random": 1,
        "recent_starts": [],
        "seed_digest": "",
        "seed_list": "",
        "format_version": 1,
        "replica_num": node.settings.replica_num,
        "slot_count": SLOT_COUNT,
        "hash_seed": 2333,
        "cluster_name": node.settings.cluster_name,
        "blind": False,
        **other,
    }


@pytest.mark.parametrize("service", ["MetaExtension", "DataExtension"])
def test_hello_says_who_answers_and_who_belongs_to_the_cluster(node, service):
    address = node.meta_address if service == "MetaExtension" else node.data_address
    with stock(service, address) as client:
        answer = client.hello(hello(node))
    assert answer.refusal is None
    assert node.node == node_of(answer.node)
    assert [node.node] == [node_of(each) for each in answer.members_known]
    assert (16, False) == (len(answer.cluster_id), answer.blind)


@pytest.mark.parametrize(
    ("other", "cause"),
    [
        ({"format_version": 2}, "format version 2"),
        ({"replica_num": 9}, "replica_num is 9"),
        ({"slot_count": 5}, "slot_count is 5"),
        ({"hash_seed": 1}, "hash_seed is 1"),
        ({"cluster_name": "other"}, "cluster_name is 'other'"),
        ({"cluster_id": bytes(16)}, "another cluster"),
    ],
)
def test_who_is_refused_is_told_why(node, other, cause):
    request = hello(node, **other)
    with stock("MetaExtension", node.meta_address) as meta:
        assert cause in meta.hello(request).refusal


def test_the_report_is_the_same_on_both_ports(node):
    with (
        stock("MetaExtension", node.meta_address) as meta,
        stock("DataExtension", node.data_address) as data,
    ):
        first, second = json.loads(meta.report().json), json.loads(data.report().json)
    assert first.keys() == second.keys()
    assert first["node"] == second["node"]
    assert node.settings.local_client_port == ask_report(node.meta_address).client_port


def test_exile_is_obeyed_for_the_own_identifier_only(node):
    with stock("MetaExtension", node.meta_address) as meta:
        meta.exile(node.node.identifier + 1, 5)
    assert node.report() is not None
    assert node.exit_status is None
