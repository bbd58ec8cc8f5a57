"""Nodes that come back: with an empty folder, from an old copy, damaged, or as another node in their old place."""

import shutil

import psutil
import pytest
import yaml

from iotdb_cluster.cli.local_cluster import LocalCluster
from iotdb_cluster.client.operators import ask_report
from tests.process.clusters import (
    GROUPS,
    all_written,
    check_on_every_member,
    has_settled,
    log_of,
    owners_of_slots,
    report_of,
    running,
)
from tests.process.conftest import is_alive, wait_for

pytestmark = pytest.mark.process

OF_THE_NODE = ("identity", "raft", "data")


def move(names, source, target):
    target.mkdir(exist_ok=True)
    for name in names:
        if (source / name).exists():
            (source / name).rename(target / name)


def test_a_seed_node_with_an_empty_folder_is_refused_with_the_way_out(cluster, tmp_path):
    node = cluster.nodes[2]
    identifier = report_of(node).node.identifier
    cluster.kill(node)
    move(OF_THE_NODE, node.folder, tmp_path / "kept")
    cluster.start_node(node)
    assert 1 == node.process.wait(60)
    assert "add it to the cluster instead of starting it as a seed node" in log_of(node)
    assert "its old identifier has to be removed, too" in log_of(node)
    # With its own folder it is welcome.
    move(OF_THE_NODE, node.folder, tmp_path / "empty")
    move(OF_THE_NODE, tmp_path / "kept", node.folder)
    cluster.start_node(node)
    wait_for(lambda: has_settled(cluster, 3), "it is back", 60)
    assert identifier == report_of(node).node.identifier


def test_an_old_copy_of_a_folder_is_refused_by_those_who_know_of_a_later_start(cluster, tmp_path):
    node = cluster.nodes[2]
    cluster.kill(node)
    shutil.copytree(node.folder, tmp_path / "copy")
    known = log_of(node).count("start_known")
    cluster.start_node(node)
    wait_for(lambda: log_of(node).count("start_known") > known, "the others know of this start", 60)
    cluster.kill(node)
    move(OF_THE_NODE, node.folder, tmp_path / "kept")
    move(OF_THE_NODE, tmp_path / "copy", node.folder)
    cluster.start_node(node)
    assert 1 == node.process.wait(60)
    assert "its folder is an old copy" in log_of(node)
    move(OF_THE_NODE, node.folder, tmp_path / "old")
    move(OF_THE_NODE, tmp_path / "kept", node.folder)


def test_a_dead_founder_is_replaced_at_its_own_address_in_a_cluster_of_as_many_nodes_as_replicas(
    cluster, writers, run_command, tmp_path
):
    node = cluster.nodes[2]
    old = report_of(node).node.identifier
    rows = writers(cluster, GROUPS[:4])
    wait_for(all_written(rows, 10), "rows before")
    cluster.kill(node)
    conf = str(node.folder / "conf")
    refused = run_command("replace", str(old), "-c", conf)
    assert (1, True) == (refused.returncode, "use 'iotdb-cluster rejoin'" in refused.stderr), refused
    unknown = run_command("replace", str(old + 1), "-c", conf)
    assert (1, True) == (unknown.returncode, f"the cluster has no node {old + 1}" in unknown.stderr), unknown
    move(OF_THE_NODE, node.folder, tmp_path / "lost")
    try:
        done = run_command("replace", str(old), "-c", conf, timeout_s=150)
        assert (0, "removed") == (done.returncode, done.stdout.splitlines()[-1]), done
        new = report_of(node).node.identifier
        assert {new} == {each.identifier for each in report_of(cluster.nodes[0]).members} - set(running(cluster))
        assert old != new
    finally:
        # It runs in the background: from here on as a process of the test again.
        report = report_of(node)
        if report is not None:
            psutil.Process(report.pid).terminate()
            wait_for(lambda: not is_alive(report.pid), "it has stopped")
        cluster.start_node(node)
    wait_for(lambda: has_settled(cluster, 3), "the others are settled", 60)
    assert not {old} & set(owners_of_slots(cluster).values())
    wait_for(all_written(rows, 10), "rows with the new node")
    for writer in rows:
        writer.stop()
    check_on_every_member(cluster, rows)


def test_a_node_with_a_damaged_log_comes_back_as_a_new_one(cluster, run_command):
    node = cluster.add_node()
    wait_for(lambda: has_settled(cluster, 4), "the new node is in", 60)
    old = report_of(node).node.identifier
    cluster.kill(node)
    segment = max((node.folder / "raft").iterdir(), key=lambda path: path.stat().st_size)
    data = bytearray(segment.read_bytes())
    data[len(data) // 3] ^= 0x40
    segment.write_bytes(data)
    cluster.start_node(node)
    assert 2 == node.process.wait(30)
    try:
        done = run_command("rejoin", "-c", str(node.folder / "conf"), timeout_s=100)
        assert (0, True) == (done.returncode, done.stdout.endswith("\nremoved\n")), done
        assert old != report_of(node).node.identifier
        assert (node.folder / f"left-{old}" / "raft" / segment.name).read_bytes() == data
        assert {old} & set(running(cluster)) == set()
    finally:
        cluster.nodes.remove(node)
        leave(cluster, node, run_command)


def leave(cluster, node, run_command):
    """Remove a node that runs in the background; it stops itself."""
    asked = cluster.nodes[0]
    run_command("remove", f"{node.ip}:{node.meta_port}", "--meta", f"{asked.ip}:{asked.meta_port}", timeout_s=100)
    wait_for(lambda: not (node.folder / "node.pid").exists(), "it has stopped itself", 60)


def test_nodes_with_different_seed_lists_say_so_and_found_nothing(tmp_path):
    cluster = LocalCluster.open(tmp_path / "c", node_count=2, ask=ask_report)
    first, second = cluster.nodes
    path = second.folder / "conf" / "iotdb-cluster.yaml"
    values = yaml.safe_load(path.read_text())
    values["seed_nodes"] += f",127.0.0.1:{second.meta_port + 1}:{second.data_port + 1}"
    path.write_text(yaml.safe_dump(values))
    try:
        cluster.start()
        for node in (first, second):
            wait_for(lambda node=node: "make the lists equal" in log_of(node), f"{node.name} says it")
            assert "seed_nodes are " in log_of(node)
            wait_for(lambda node=node: (found := report_of(node)) is not None and found.blind, f"{node.name} is blind")
    finally:
        for node in cluster.nodes:
            cluster.kill(node)
        cluster.stop()
