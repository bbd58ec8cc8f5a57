"""Storage groups whose slots will move, and what the process tests see of a move from the outside."""

import itertools

import numpy as np

from iotdb_cluster.client.session import Session
from iotdb_cluster.partition.slots import slot_of
from iotdb_cluster.partition.table import balanced
from tests.process.clusters import owners_of_slots, report_of

STRANGER = 2**31 - 1
TABLET = 20_000


def moving_groups(cluster, *, without=None):
    """Storage groups that move, with source and target, when a node comes, or when the node `without` goes."""
    owners = [owner for _, owner in sorted(owners_of_slots(cluster).items())]
    staying = {*owners, STRANGER} if without is None else {*owners} - {without}
    after = balanced(owners, sorted(staying))
    for number in itertools.count():
        name = f"root.m{number}"
        source, target = owners[slot_of(name)], after[slot_of(name)]
        if source != target:
            yield name, source, target


def groups_that_will_move(cluster, count):
    """Storage groups in slots that the next node gets, of different groups as far as there are."""
    donors = len(set(owners_of_slots(cluster).values()))
    moving = moving_groups(cluster)
    found = []
    while len(found) < count:
        wanted = min(donors, count - len(found))
        different = {}
        while len(different) < wanted:
            name, source, _ = next(moving)
            different.setdefault(source, name)
        found.extend(different.values())
    return sorted(found)


def random_points(groups, count):
    """Values that no encoding makes small, by storage group."""
    generator = np.random.default_rng(7)
    return {group: generator.random(count) for group in groups}


def written(cluster, values):
    """Write the values of each storage group to its series `bulk.v`, at times from 0 on, and into files."""
    with Session([(node.ip, node.client_port) for node in cluster.nodes], timeout_ms=30_000) as session:
        for group, column in values.items():
            times = np.arange(len(column), dtype=np.int64)
            for at in range(0, len(column), TABLET):
                part = slice(at, at + TABLET)
                session.insert_tablet(f"{group}.bulk", ["v"], ["DOUBLE"], times[part], [column[part]])
        # What is in memory is copied behind the fence only.
        session.execute("flush")


def moves_at(node):
    """The moves whose bulk a node copies right now, by its own report."""
    report = report_of(node)
    moves = () if report is None else report.moves
    return [
        move for move in moves if move.state == "copying" and move.total_bytes and move.copied_bytes < move.total_bytes
    ]


def copying(cluster):
    """A move in the middle of its copy, by the report of a node that copies it; new ones, which copy most, first."""
    found = (move for node in reversed(cluster.nodes) if node.is_running for move in moves_at(node))
    return next((move for move in found if move.copied_bytes), None)


def leader_of(cluster, header):
    """The node that leads a group, by its own report; None while nobody does."""
    for node, report in reports_of(cluster):
        if any(group.header == header and group.role == "leader" for group in report.groups):
            return node
    return None


def reports_of(cluster):
    """Each node that answers with what it answers."""
    for node in cluster.nodes:
        report = report_of(node) if node.is_running else None
        if report is not None:
            yield node, report
