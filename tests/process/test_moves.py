"""Slots go on moving by themselves when those that take part are ended with SIGKILL."""

import numpy as np
import pytest

from iotdb_cluster.client.series import SeriesReader
from tests.process.clusters import (
    address,
    all_written,
    check_on_every_member,
    has_settled,
    orphans,
    report_of,
    running,
)
from tests.process.conftest import wait_for
from tests.process.moving import (
    copying,
    groups_that_will_move,
    leader_of,
    moves_at,
    moving_groups,
    random_points,
    reports_of,
    written,
)

pytestmark = pytest.mark.process

POINTS = 400_000
FEWER_POINTS = 300_000
GROUPS_MOVED = 3


@pytest.mark.timeout(400)
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
    report = report_of(cluster.nodes[-1])
    assert {report.node.identifier} == {report.storage_groups[group] for group in groups}
    check_values(cluster, values)
    wait_for(lambda: not orphans(cluster), f"nothing is left of released slots: {orphans(cluster)}")


def check_values(cluster, values):
    """Every point that was written before the moves is on each member of its group."""
    nodes = running(cluster)
    report = report_of(cluster.nodes[-1])
    for group, column in values.items():
        for member in report.group_members[report.storage_groups[group]]:
            node = nodes[member]
            with SeriesReader([(node.ip, node.meta_port)], at=(node.ip, node.data_port)) as reader:
                series = reader.read(f"{group}.bulk.v")
            assert np.array_equal(np.arange(len(column)), series.times), f"{group} on {node.name}"
            assert np.array_equal(column, series.values), f"{group} on {node.name}"


@pytest.mark.timeout(400)
def test_moves_end_when_coordinator_or_target_leader_or_source_leader_is_killed_alone(cluster_of, writers, run_command):
    cluster = cluster_of(3, slot_move_mb_per_second=1)
    values, rows = {}, []

    def write_what_will_move(**change):
        """Between groups that the meta group's leader does not lead: who is killed has one part in the move."""
        coordinator = identifier_of(leader_of(cluster, None))
        moving = (
            each for each in moving_groups(cluster, **change) if coordinator not in each and each[0] not in values
        )
        group, source, target = next(moving)
        values[group] = random_points([group], FEWER_POINTS)[group]
        written(cluster, {group: values[group]})
        rows.extend(writers(cluster, [group]))
        return source, target

    source, _ = write_what_will_move()
    kill_in_a_copy(cluster, leader_of(cluster, None), source, at=cluster.add_node())
    settle(cluster, 4, rows)
    source, _ = write_what_will_move()
    added = cluster.add_node()
    kill_in_a_copy(cluster, leader_of(cluster, source), source, at=added)
    settle(cluster, 5, rows)
    leaving = next(node for node in (added, cluster.nodes[3]) if node is not leader_of(cluster, None))
    source, target = write_what_will_move(without=identifier_of(leaving))
    taking = leader_of(cluster, target)
    asked = run_command("remove", address(leaving), "--meta", address(cluster.nodes[0]), "--no-wait")
    assert 3 == asked.returncode, asked.stdout + asked.stderr
    kill_in_a_copy(cluster, taking, source, at=taking)
    assert 0 == leaving.process.wait(60)
    cluster.nodes.remove(leaving)
    settle(cluster, 4, rows)
    for writer in rows:
        writer.stop()
    check_on_every_member(cluster, rows)
    check_values(cluster, values)
    wait_for(lambda: not orphans(cluster), f"nothing is left of released slots: {orphans(cluster)}")


def identifier_of(node):
    return report_of(node).node.identifier


def kill_in_a_copy(cluster, victim, source, *, at):
    """Kill a node while another copies from a source, and start it again when that move is over without it."""
    found = []

    def is_known():
        found[:] = [move for move in moves_at(at) if move.source == source]
        return found

    wait_for(is_known, "a move in the middle of its copy", 60)
    cluster.kill(victim)
    wait_for(lambda: is_over(cluster, found[0]), f"a move that goes on without {victim.name}", 60)
    cluster.start_node(victim)


def is_over(cluster, move):
    """True when no node that answers knows of the move, and one leads the meta group."""
    reports = [report for _, report in reports_of(cluster)]
    return any(report.meta.role == "leader" for report in reports) and not any(
        each.number == move.number for report in reports for each in report.moves
    )


def settle(cluster, size, rows):
    wait_for(lambda: has_settled(cluster, size), "every slot is where it belongs", 90)
    wait_for(all_written(rows, 5), "rows behind the moves", 60)
