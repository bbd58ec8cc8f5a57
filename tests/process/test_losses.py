"""Nothing acknowledged is lost when processes are ended with SIGKILL, and a writer goes on."""

import random
import time

import pytest

from iotdb_cluster.client.operators import ask_report
from iotdb_cluster.client.series import SeriesReader
from iotdb_cluster.client.session import Session
from iotdb_cluster.errors import RequestError
from tests.process.clusters import GROUPS, all_written
from tests.process.conftest import wait_for

pytestmark = pytest.mark.process

FAIL_OVER_S = 10.0


def leader_of_most(cluster):
    """The node that leads the most data groups."""
    reports = {node.name: ask_report((node.ip, node.meta_port)) for node in cluster.nodes}
    led = {
        name: sum(group.role == "leader" for group in report.groups if group.header is not None)
        for name, report in reports.items()
    }
    return max(cluster.nodes, key=lambda node: led[node.name])


def check_all(cluster, writers):
    """Every acknowledged row is on every node, and nothing that nobody wrote."""
    for node in cluster.nodes:
        with SeriesReader([(node.ip, node.meta_port)], at=(node.ip, node.data_port)) as reader:
            for writer in writers:
                series = reader.read(f"{writer.group}.d.v")
                found = dict(zip(series.times.tolist(), series.values.tolist(), strict=True))
                missing = writer.acknowledged.keys() - found.keys()
                assert not missing, f"{writer.group} on {node.name}: {len(missing)} rows are lost"
                assert found.items() <= (writer.acknowledged | writer.unknown).items(), f"{writer.group} on {node.name}"


def test_a_lost_leader_costs_no_acknowledged_row(cluster_of, writers):
    cluster = cluster_of(3)
    rows = writers(cluster)
    wait_for(all_written(rows, 20), "rows before the loss")
    lost = leader_of_most(cluster)
    cluster.kill(lost)
    begun = time.monotonic()
    wait_for(all_written(rows, 20), "rows after the loss", FAIL_OVER_S + 20)
    assert time.monotonic() - begun < FAIL_OVER_S + 20
    cluster.start_node(lost)
    cluster.wait_until_ready()
    for writer in rows:
        writer.stop()
    check_all(cluster, rows)


def test_all_nodes_lost_at_once_lose_no_acknowledged_row(cluster_of, writers):
    cluster = cluster_of(3)
    rows = writers(cluster, GROUPS[:4])
    wait_for(all_written(rows, 30), "rows before the loss")
    for node in cluster.nodes:
        node.process.kill()
    for node in cluster.nodes:
        cluster.kill(node)
    cluster.start()
    cluster.wait_until_ready()
    wait_for(all_written(rows, 5), "rows after the loss")
    for writer in rows:
        writer.stop()
    check_all(cluster, rows)


def test_stopped_in_order_and_started_again_all_is_there(cluster_of, writers, tmp_path):
    cluster = cluster_of(3)
    rows = writers(cluster, GROUPS[:4])
    wait_for(all_written(rows, 30), "rows")
    for writer in rows:
        writer.stop()
    cluster.stop()
    check_all(cluster_of(3), rows)


def test_a_node_that_was_away_for_long_comes_back_by_snapshot(cluster_of, writers):
    cluster = cluster_of(3, log_keep_entries=50, log_keep_mb=1, segment_max_mb=1)
    rows = writers(cluster, GROUPS[:3])
    wait_for(all_written(rows, 5), "rows before the loss")
    lost = cluster.nodes[2]
    cluster.kill(lost)
    wait_for(all_written(rows, 300), "more rows than the log keeps", 60)
    cluster.start_node(lost)
    cluster.wait_until_ready()
    wait_for(all_written(rows, 20), "rows after its return")
    for writer in rows:
        writer.stop()
    check_all(cluster, rows)
    assert '"event": "snapshot_installed"' in (lost.folder / "log" / "node.log").read_text()


def test_without_a_majority_nothing_is_acknowledged(cluster_of):
    cluster = cluster_of(3)
    with Session([(node.ip, node.client_port) for node in cluster.nodes]) as session:
        session.insert_row("root.s.d", 1, ["v"], [1])
    for node in cluster.nodes[:2]:
        cluster.kill(node)
    left = cluster.nodes[2]
    with Session([(left.ip, left.client_port)], timeout_ms=3_000) as session, pytest.raises(RequestError) as caught:
        session.insert_row("root.s.d", 2, ["v"], [2])
    assert caught.value.code in (701, 702)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_twenty_losses_in_a_row(cluster_of, writers):
    # Small files, so that seals, compaction and catch-up by snapshot take part.
    cluster = cluster_of(3, log_keep_entries=200, log_keep_mb=1, segment_max_mb=1, memtable_limit_mb=1)
    chance = random.Random(4)
    rows = writers(cluster)
    for _ in range(20):
        wait_for(all_written(rows, chance.randrange(1, 60)), "rows between the losses")
        lost = leader_of_most(cluster) if chance.random() < 0.5 else chance.choice(cluster.nodes)
        cluster.kill(lost)
        if chance.random() < 0.5:
            wait_for(all_written(rows, chance.randrange(1, 60)), "rows without the lost node", FAIL_OVER_S + 20)
        cluster.start_node(lost)
        cluster.wait_until_ready()
    for writer in rows:
        writer.stop()
    check_all(cluster, rows)
