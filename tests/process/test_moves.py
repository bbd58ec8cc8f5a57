"""Slots go on moving by themselves when those that take part are ended with SIGKILL."""

import itertools

import numpy as np
import pytest

from iotdb_cluster.client.series import SeriesReader
from iotdb_cluster.client.session import Session
from iotdb_cluster.partition.slots import slot_of
from iotdb_cluster.partition.table import balanced
from tests.process.clusters import (
    all_written,
    check_on_every_member,
    has_settled,
    orphans,
    owners_of_slots,
    report_of,
    running,
)
from tests.process.conftest import wait_for

pytestmark = pytest.mark.process

POINTS = 400_000
TABLET = 20_000
GROUPS_MOVED = 3
STRANGER = 2**31 - 1


def groups_that_will_move(cluster):
    """Storage groups in slots that the next node gets, of different groups as far as there are."""
    owners = [owner for _, owner in sorted(owners_of_slots(cluster).items())]
    after = balanced(owners, sorted({*owners, STRANGER}))
    names = (f"root.m{number}" for number in itertools.count())
    moving = (name for name in names if after[slot_of(name)] == STRANGER)
    found = {}
    while len(found) < GROUPS_MOVED:
        name = next(moving)
        found.setdefault(owners[slot_of(name)], name)
    return sorted(found.values())


def random_points(groups):
    """Values that no encoding makes small, by storage group."""
    generator = np.random.default_rng(7)
    return {group: generator.random(POINTS) for group in groups}


def written(cluster, values):
    times = np.arange(POINTS, dtype=np.int64)
    with Session([(node.ip, node.client_port) for node in cluster.nodes], timeout_ms=30_000) as session:
        for group, column in values.items():
            for at in range(0, POINTS, TABLET):
                part = slice(at, at + TABLET)
                session.insert_tablet(f"{group}.bulk", ["v"], ["DOUBLE"], times[part], [column[part]])
        # What is in memory is copied behind the fence only.
        session.execute("flush")


def copying(cluster):
    """A move whose bulk is being copied right now, by the report of a node that copies it."""
    for node in running(cluster).values():
        report = report_of(node)
        for move in () if report is None else report.moves:
            if move.state == "copying" and move.total_bytes and 0 < move.copied_bytes < move.total_bytes:
                return move
    return None


def leader_of(cluster, header):
    """The node that leads a group, by its own report; None while nobody does."""
    for node in running(cluster).values():
        report = report_of(node)
        if report and any(group.header == header and group.role == "leader" for group in report.groups):
            return node
    return None


def test_a_move_goes_on_when_source_target_and_coordinator_are_killed(cluster_of, writers):
    cluster = cluster_of(3, slot_move_mb_per_second=1)
    groups = groups_that_will_move(cluster)
    values = random_points(groups)
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
