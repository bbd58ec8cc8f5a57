"""A query that meets a lost node gives all of its rows or an error, never a part of them."""

import threading

import numpy as np
import psutil
import pytest

from iotdb_cluster.client.session import Session
from iotdb_cluster.errors import RequestError
from tests.process.conftest import wait_for

pytestmark = pytest.mark.process

GROUPS = tuple(f"root.q{number}" for number in range(6))
ROWS = 5_000
PAGE = 700
WHOLE = f"select s from {', '.join(f'{group}.d' for group in GROUPS)}"
ALL_COUNTED = sorted([ROWS, float(ROWS * (ROWS - 1) // 2)] * len(GROUPS))
COUNTED = WHOLE.replace("select s", "select count(s), sum(s)")


class Asker:
    """Asks one node the same queries again and again; keeps how often they were answered, and what was wrong."""

    def __init__(self, node):
        self._address = (node.ip, node.client_port)
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.answered = 0
        self.refused = 0
        self.wrong = []
        self._thread.start()

    def _run(self):
        while not self._end.is_set():
            try:
                with Session([self._address], timeout_ms=10_000) as session:
                    self._ask(session)
            except RequestError:
                self.refused += 1

    def _ask(self, session):
        counted = sorted(next(iter(session.query(COUNTED))))
        rows = sum(1 for row in session.query(WHOLE, fetch_size=PAGE) if row[1:] == (row[0],) * len(GROUPS))
        if (counted, rows) != (ALL_COUNTED, ROWS):
            self.wrong.append((counted, rows))
        self.answered += 1

    def stop(self):
        self._end.set()
        self._thread.join()


def all_answered(askers):
    """True when each asker has more answers than when this was first asked."""
    before = [asker.answered for asker in askers]
    return lambda: all(asker.answered > begun for asker, begun in zip(askers, before, strict=True))


def write_rows(cluster, count):
    """As many rows in each group, each with its time as its value."""
    times = np.arange(count, dtype=np.int64)
    with Session([(node.ip, node.client_port) for node in cluster.nodes]) as session:
        for group in GROUPS:
            session.insert_tablet(f"{group}.d", ["s"], ["INT64"], times, [times])


def test_during_a_fail_over_no_query_gives_a_part(cluster_of):
    # Two replicas on three nodes: every node asks another one for a third of the groups, and a loss stops some of them.
    cluster = cluster_of(3, replica_num=2)
    write_rows(cluster, ROWS)
    askers = [Asker(node) for node in cluster.nodes[:2]]
    try:
        wait_for(all_answered(askers), "answers before the loss")
        lost = cluster.nodes[2]
        cluster.kill(lost)
        cluster.start_node(lost)
        cluster.wait_until_ready()
        wait_for(all_answered(askers), "answers after the loss")
    finally:
        for asker in askers:
            asker.stop()
    assert [] == askers[0].wrong + askers[1].wrong


MANY_ROWS = 150_000  # more than come in one page from another node


def test_rows_whose_last_copy_is_lost_between_two_pages_end_with_an_error(cluster_of):
    cluster = cluster_of(3, replica_num=1)
    asked, *others = cluster.nodes
    write_rows(cluster, MANY_ROWS)
    with Session([(asked.ip, asked.client_port)], timeout_ms=20_000) as session:
        assert [[MANY_ROWS] * len(GROUPS)] == [list(row[:]) for row in session.query(COUNTED.replace(", sum(s)", ""))]
        rows = iter(session.query(WHOLE, fetch_size=PAGE))
        found = [next(rows) for _ in range(PAGE)]
        for node in others:
            cluster.kill(node)
        with pytest.raises(RequestError):
            found.extend(rows)
    assert PAGE <= len(found) < MANY_ROWS
    assert all(row == (at,) * (len(GROUPS) + 1) for at, row in enumerate(found)), "what came before is right"


def test_a_node_that_dies_while_it_is_asked_gives_no_part(cluster_of):
    cluster = cluster_of(3, replica_num=2)
    write_rows(cluster, ROWS)
    dying = cluster.nodes[2]
    psutil.Process(dying.pid).suspend()  # whoever asks it now waits for it
    askers = [Asker(node) for node in cluster.nodes[:2]]
    try:
        cluster.kill(dying)
        cluster.start_node(dying)
        cluster.wait_until_ready()
        wait_for(all_answered(askers), "answers with the node that is back")
    finally:
        for asker in askers:
            asker.stop()
    assert [] == askers[0].wrong + askers[1].wrong
