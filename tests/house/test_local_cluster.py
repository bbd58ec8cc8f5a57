"""A cluster on this machine: what its folder remembers, and when it counts as ready."""

import dataclasses
import socket

import pytest
import yaml

from iotdb_cluster.cli.local_cluster import LocalCluster, what_is_missing
from iotdb_cluster.errors import StartRefused
from iotdb_cluster.server.config import load
from iotdb_cluster.types.identity import Node, NodeId
from iotdb_cluster.types.report import GroupReport, Report

NODES = tuple(Node("127.0.0.1", 9000 + n, NodeId(n), 40_000 + n) for n in (1, 2, 3))


def group(header, leader, me):
    role = "leader" if leader == me else "follower"
    return GroupReport(header, role, leader, term=2, commit_index=5, last_applied=5, last_index=5)


def report(me, *, leaders=None, **changes):
    leaders = leaders or {None: 1, 1: 1, 2: 2, 3: 1}
    groups = tuple(group(header, leader, me) for header, leader in leaders.items())
    whole = Report(NODES[me - 1], 6667, 99, False, "1", "default", "ab", 5, NODES, groups)
    return dataclasses.replace(whole, **changes)


def opened(folder, **options):
    return LocalCluster.open(folder, ask=lambda address, timeout_ms: None, **options)


# ---- the folder


def test_the_same_folder_is_the_same_cluster(tmp_path):
    first = opened(tmp_path, node_count=3)
    ports = [node.described() for node in first.nodes]
    first.stop()
    again = opened(tmp_path, node_count=3)
    assert ports == [node.described() for node in again.nodes]
    assert 9 == len({port for node in again.nodes for port in (node.meta_port, node.data_port, node.client_port)})


def test_another_number_of_nodes_is_refused(tmp_path):
    opened(tmp_path, node_count=3).stop()
    with pytest.raises(StartRefused, match="holds a cluster of 3 nodes, not 4"):
        opened(tmp_path, node_count=4)


def test_a_folder_in_use_is_refused(tmp_path):
    cluster = opened(tmp_path, node_count=1)
    with pytest.raises(StartRefused, match="in use by process [0-9]+"):
        opened(tmp_path, node_count=1)
    cluster.stop()


def test_client_ports_are_counted_up_and_must_be_free(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(StartRefused, match=f"client port {port}: is in use"):
            opened(tmp_path, node_count=2, client_port=port)
    with pytest.raises(StartRefused, match="must be from 1 to 65533"):
        opened(tmp_path, node_count=3, client_port=65_534)
    cluster = opened(tmp_path, node_count=2, client_port=18_000)
    assert [18_000, 18_001] == [node.client_port for node in cluster.nodes]
    cluster.stop()


def test_each_node_gets_a_configuration_that_loads(tmp_path):
    cluster = opened(tmp_path, node_count=4, settings={"log_level": "debug"})
    for node in cluster.nodes:
        settings = load(node.folder / "conf").settings
        assert (node.meta_port, node.data_port, node.client_port) == (
            settings.local_meta_port,
            settings.local_data_port,
            settings.local_client_port,
        )
        assert (3, "debug", str(node.folder), 4) == (
            settings.replica_num,
            settings.log_level,
            settings.data_dir,
            len(settings.seeds),
        )
    cluster.stop()


def test_two_nodes_keep_two_replicas(tmp_path):
    cluster = opened(tmp_path, node_count=2)
    text = (cluster.nodes[0].folder / "conf" / "iotdb-cluster.yaml").read_text()
    assert 2 == yaml.safe_load(text)["replica_num"]
    cluster.stop()


# ---- ready


def test_ready_is_when_all_know_the_table_and_every_group_has_a_leader():
    assert "" == what_is_missing([report(1), report(2), report(3)])


@pytest.mark.parametrize(
    ("reports", "expected"),
    [
        ([report(1), None, report(3)], "1 of 3 nodes do not answer"),
        ([report(1), report(2, blind=True), report(3)], "9002:40002#2 knows no partition table"),
        ([report(1), report(2, table_version=6), report(3)], "nodes know different partition tables"),
        ([report(1), report(2), report(3, leaders={None: 1, 1: 1, 2: None, 3: 1})], "data group 2 has no leader"),
        ([report(1), report(2), report(3, leaders={None: 2, 1: 1, 2: 2, 3: 1})], "the meta group has no leader"),
        ([report(n, leaders={None: 1, 1: 1, 2: 2}) for n in (1, 2, 3)], "data group 3 has no leader"),
        ([report(n, leaders={None: 9, 1: 1, 2: 2, 3: 1}) for n in (1, 2, 3)], "the leader of the meta group does not"),
    ],
)
def test_what_is_missing_is_said(reports, expected):
    assert expected in what_is_missing(reports)
