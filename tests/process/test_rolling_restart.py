"""A planned restart of one node after the other costs a writer next to nothing."""

import itertools
import os
import signal
import threading
import time

import pytest

from iotdb_cluster.client.operators import ask_report
from iotdb_cluster.client.session import Session
from iotdb_cluster.errors import RequestError
from tests.process.clusters import check_on_every_member, has_settled
from tests.process.conftest import wait_for
from tests.process.moving import groups_that_will_move

pytestmark = pytest.mark.process

PAUSE_MAX_S = 0.3
LOOK_S = 0.01
HOPS = 4
"""A row waits for a client, a node, a quorum of others and disks: each of them may be held up by the machine."""


class TimedWriter:
    """Writes rows to one device, one after the other, and remembers when each was acknowledged."""

    def __init__(self, cluster, group):
        self.group = group
        self.acknowledged = {}
        self.failures = []
        self._addresses = [(node.ip, node.client_port) for node in cluster.nodes]
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self):
        with Session(self._addresses, timeout_ms=30_000) as session:
            for number in itertools.count(1):
                if self._end.is_set():
                    return
                try:
                    session.insert_row(f"{self.group}.d", number, ["v"], [number * 3])
                except RequestError as error:
                    self.failures.append(error)
                else:
                    self.acknowledged[number] = time.monotonic()

    def stop(self):
        self._end.set()
        self._thread.join()

    def longest_pause_s(self, since_s):
        times = sorted(at_s for at_s in self.acknowledged.values() if at_s >= since_s)
        return max(after - before for before, after in itertools.pairwise(times))


class Pauses:
    """How long the machine itself held up somebody who looks at the clock and at the disk every now and then."""

    def __init__(self, path):
        self.longest_s = 0.0
        self._path = path
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self):
        with self._path.open("wb", buffering=0) as file:
            before_s = time.monotonic()
            while not self._end.wait(LOOK_S):
                file.write(bytes(100))
                os.fdatasync(file)
                now_s = time.monotonic()
                self.longest_s = max(self.longest_s, now_s - before_s - LOOK_S)
                before_s = now_s

    def stop(self):
        self._end.set()
        self._thread.join()


def leads_its_group(node):
    report = ask_report((node.ip, node.meta_port))
    return report is not None and any(
        group.role == "leader" and group.header == report.node.identifier for group in report.groups
    )


@pytest.mark.timeout(400)
def test_a_rolling_restart_pauses_no_writer_also_when_slots_have_moved(cluster_of, tmp_path):
    cluster = cluster_of(4)
    groups = groups_that_will_move(cluster, 2)
    writers = [TimedWriter(cluster, group) for group in (*groups, "root.other")]
    machine = Pauses(tmp_path / "pauses")
    try:
        wait_for(lambda: all(len(writer.acknowledged) > 50 for writer in writers), "rows")
        cluster.add_node()
        wait_for(lambda: has_settled(cluster, 5), "slots with rows have moved to the fifth", 60)
        begun = time.monotonic()
        for node in cluster.nodes:
            # Each of them leads something when it is stopped: after a while its own group is its again.
            wait_for(lambda node=node: leads_its_group(node), f"{node.name} leads its group", 60)
            node.process.send_signal(signal.SIGTERM)
            assert 0 == node.process.wait(10)
            cluster.start_node(node)
            cluster.wait_until_ready()
    finally:
        for each in (machine, *writers):
            each.stop()
    allowed_s = max(PAUSE_MAX_S, HOPS * machine.longest_s)
    for writer in writers:
        assert [] == writer.failures
        assert writer.longest_pause_s(begun) < allowed_s, writer.group
    check_on_every_member(cluster, writers)


def test_after_a_fail_over_every_header_leads_its_group_again(cluster_of):
    cluster = cluster_of(3)
    lost = cluster.nodes[0]
    cluster.kill(lost)
    wait_for(lambda: not leads_its_group(lost), "the loss")
    cluster.start_node(lost)
    cluster.wait_until_ready()
    wait_for(lambda: all(leads_its_group(node) for node in cluster.nodes), "every header leads its group", 60)
