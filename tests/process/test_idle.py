"""An idle cluster without data costs little."""

import threading

import psutil
import pytest

from iotdb_cluster.client.operators import ask_report
from tests.process.conftest import wait_for

pytestmark = pytest.mark.process

WATCHED_S = 4.0
LOOKS = 4
CORE_SHARE_MAX = 0.05
RSS_MAX_MB = 150


def every_header_leads(cluster):
    """True when all nodes agree that each data group is led by its header."""
    reports = [ask_report((node.ip, node.meta_port)) for node in cluster.nodes]
    return all(group.header in (None, group.leader) for report in reports for group in report.groups)


def share_of_a_core(processes):
    """Processor time of all of them together, over the time watched."""
    before = sum(sum(process.cpu_times()[:2]) for process in processes)
    threading.Event().wait(WATCHED_S)
    return (sum(sum(process.cpu_times()[:2]) for process in processes) - before) / WATCHED_S


def test_an_idle_cluster_uses_little_processor_and_memory(cluster_of):
    cluster = cluster_of(3)
    # Soon after the start leadership goes to the headers; then there is nothing left to do.
    wait_for(lambda: every_header_leads(cluster), "leadership spread over the nodes")
    processes = [psutil.Process(node.pid) for node in cluster.nodes]
    log_sizes = [(node.folder / "log" / "node.log").stat().st_size for node in cluster.nodes]
    # What else runs on the machine makes the same work cost more, so the best of a few looks counts.
    shares = [share_of_a_core(processes) for _ in range(LOOKS)]
    sizes = [process.memory_info().rss / (1 << 20) for process in processes]
    assert max(sizes) < RSS_MAX_MB, sizes
    assert min(shares) < CORE_SHARE_MAX, shares
    # Nothing chatty either.
    assert log_sizes == [(node.folder / "log" / "node.log").stat().st_size for node in cluster.nodes]
