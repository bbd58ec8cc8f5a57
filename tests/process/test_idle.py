"""An idle cluster without data costs little."""

import threading

import psutil
import pytest

pytestmark = pytest.mark.process

WATCHED_S = 8.0
CORE_SHARE_MAX = 0.05
RSS_MAX_MB = 150


def test_an_idle_cluster_uses_little_processor_and_memory(cluster_of):
    cluster = cluster_of(3)
    processes = [psutil.Process(node.pid) for node in cluster.nodes]
    log_sizes = [(node.folder / "log" / "node.log").stat().st_size for node in cluster.nodes]
    before = sum(sum(process.cpu_times()[:2]) for process in processes)
    threading.Event().wait(WATCHED_S)
    used = sum(sum(process.cpu_times()[:2]) for process in processes) - before
    sizes = [process.memory_info().rss / (1 << 20) for process in processes]
    assert max(sizes) < RSS_MAX_MB, sizes
    assert used / WATCHED_S < CORE_SHARE_MAX
    # Nothing chatty either.
    assert log_sizes == [(node.folder / "log" / "node.log").stat().st_size for node in cluster.nodes]
