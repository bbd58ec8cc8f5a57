"""Slots go on moving by themselves when those that take part are ended with SIGKILL."""

import numpy as np
import pytest

from iotdb_cluster.client.series import SeriesReader
from tests.process.clusters import all_written, check_on_every_member, has_settled, orphans, report_of, running
from tests.process.conftest import wait_for
from tests.process.moving import copying, groups_that_will_move, leader_of, random_points, written

pytestmark = pytest.mark.process

POINTS = 400_000
GROUPS_MOVED = 3


def test_a_move_goes_on_when_source_target_and_coordinator_are_killed(cluster_of, writers):
    cluster = cluster_of(3, slot_move_mb_per_second=1)
    groups = groups_that_will_move(cluster, GROUPS_MOVED)
    values = random_points(groups, POINTS)
    written(cluster, values)
    rows = writers(cluster, groups)
    wait_for(all_written(rows, 5), "rows before")
    cluster.add_node()
    victims = []

    def are_known():
        move = copying(cluster)
        victims[:] = [] if move is None else [leader_of(cluster, each) for each in (move.source, move.target, None)]
        return victims and None not in victims

    wait_for(are_known, "a move in the middle of its copy", 60)
    for node in victims:
        cluster.kill(node)
    for node in victims:
        if not node.is_running:
            cluster.start_node(node)
    wait_for(lambda: has_settled(cluster, 4), "every slot is where it belongs", 120)
    wait_for(all_written(rows, 5), "rows behind the moves", 60)
    for writer in rows:
        writer.stop()
    check_on_every_member(cluster, rows)
    check_values(cluster, values)
    wait_for(lambda: not orphans(cluster), f"nothing is left of released slots: {orphans(cluster)}")


def check_values(cluster, values):
    """Every point that was written before the moves is on each member of its group."""
    nodes = running(cluster)
    report = report_of(cluster.nodes[-1])
    for group, column in values.items():
        assert report.node.identifier == report.storage_groups[group]
        for member in report.group_members[report.storage_groups[group]]:
            node = nodes[member]
            with SeriesReader([(node.ip, node.meta_port)], at=(node.ip, node.data_port)) as reader:
                series = reader.read(f"{group}.bulk.v")
            assert np.array_equal(np.arange(POINTS), series.times), f"{group} on {node.name}"
            assert np.array_equal(column, series.values), f"{group} on {node.name}"
