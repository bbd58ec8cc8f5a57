"""Real node processes on loopback, each test in a folder of its own."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from iotdb_cluster.cli.local_cluster import LocalCluster
from iotdb_cluster.client.operators import ask_report
from tests.process.clusters import GROUPS, Watcher, Writer, has_settled

PROJECT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-m", "iotdb_cluster.cli.main"]


@pytest.fixture
def cluster_of(tmp_path) -> Iterator[Callable[..., LocalCluster]]:
    """Starts clusters, ready to use; all their processes are gone after the test."""
    opened: list[LocalCluster] = []

    def start(node_count: int = 3, folder: Path | None = None, **settings: object) -> LocalCluster:
        cluster = LocalCluster.open(
            folder or tmp_path / "cluster", node_count=node_count, ask=ask_report, settings=settings
        )
        opened.append(cluster)
        cluster.start()
        cluster.wait_until_ready()
        return cluster

    yield start
    for cluster in opened:
        for node in cluster.nodes:
            cluster.kill(node)
        cluster.stop()


@pytest.fixture(scope="module")
def grown(tmp_path_factory):
    """A cluster that begins with three nodes and keeps what the tests add."""
    cluster = LocalCluster.open(tmp_path_factory.mktemp("cluster"), node_count=3, ask=ask_report)
    try:
        cluster.start()
        cluster.wait_until_ready()
        yield cluster
    finally:
        for node in cluster.nodes:
            cluster.kill(node)
        cluster.stop()


@pytest.fixture
def cluster(grown):
    """All of its nodes run, and nothing changes."""
    for node in grown.nodes:
        if not node.is_running:
            grown.start_node(node)
    wait_for(lambda: has_settled(grown, len(grown.nodes)), "nothing changes", 60)
    return grown


@pytest.fixture
def writers():
    """Starts writers, and stops them at the end of the test at the latest."""
    started = []

    def start(cluster, groups=GROUPS):
        started.extend(Writer(cluster, group) for group in groups)
        return started[-len(groups) :]

    yield start
    for writer in started:
        writer.stop()


@pytest.fixture
def watchers():
    """Starts readers that look whether what was acknowledged is there, and stops them at the latest at the end."""
    started = []

    def start(cluster, rows):
        started.append(Watcher(cluster, rows))
        return started[-1]

    yield start
    for watcher in started:
        watcher.stop()


@pytest.fixture
def run_command() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs `iotdb-cluster ...` to its end."""

    def run(*arguments: str, timeout_s: float = 60, **more: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*COMMAND, *arguments], capture_output=True, text=True, timeout=timeout_s, check=False, **more
        )

    return run


def wait_for(condition: Callable[[], object], what: str, timeout_s: float = 30.0) -> None:
    """Look again and again until `condition()` is true; fails with `what` when the time is over."""
    ends_at = time.monotonic() + timeout_s
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < ends_at, f"not within {timeout_s:.0f} s: {what}"
        pause.wait(0.02)


def is_alive(pid: int) -> bool:
    """True while the process runs; one that has ended stays a zombie where nothing asks for its exit status."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
