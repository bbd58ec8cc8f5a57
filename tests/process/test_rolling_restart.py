"""A planned restart of one node after the other costs a writer next to nothing."""

import itertools
import signal
import threading
import time

import pytest

from iotdb_cluster.client.operators import ask_report
from iotdb_cluster.client.session import Session
from iotdb_cluster.errors import RequestError
from tests.process.conftest import wait_for

pytestmark = pytest.mark.process

PAUSE_MAX_S = 0.3


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
                    session.insert_row(f"{self.group}.d", number, ["v"], [number])
                except RequestError as error:
                    self.failures.append(error)
                else:
                    self.acknowledged[number] = time.monotonic()

    def stop(self):
        self._end.set()
        self._thread.join()

    def longest_pause_s(self):
        times = sorted(self.acknowledged.values())
        return max(after - before for before, after in itertools.pairwise(times))


def leads_its_group(node):
    report = ask_report((node.ip, node.meta_port))
    return report is not None and any(
        group.role == "leader" and group.header == report.node.identifier for group in report.groups
    )


def test_a_rolling_restart_pauses_no_writer(cluster_of):
    cluster = cluster_of(3)
    writers = [TimedWriter(cluster, f"root.s{number}") for number in range(4)]
    try:
        wait_for(lambda: all(len(writer.acknowledged) > 50 for writer in writers), "rows")
        for node in cluster.nodes:
            # Each of them leads something when it is stopped: after a while its own group is its again.
            wait_for(lambda node=node: leads_its_group(node), f"{node.name} leads its group", 60)
            node.process.send_signal(signal.SIGTERM)
            assert 0 == node.process.wait(10)
            cluster.start_node(node)
            cluster.wait_until_ready()
    finally:
        for writer in writers:
            writer.stop()
    for writer in writers:
        assert [] == writer.failures
        assert writer.longest_pause_s() < PAUSE_MAX_S, writer.group


def test_after_a_fail_over_every_header_leads_its_group_again(cluster_of):
    cluster = cluster_of(3)
    lost = cluster.nodes[0]
    cluster.kill(lost)
    wait_for(lambda: not leads_its_group(lost), "the loss")
    cluster.start_node(lost)
    cluster.wait_until_ready()
    wait_for(lambda: all(leads_its_group(node) for node in cluster.nodes), "every header leads its group", 60)
