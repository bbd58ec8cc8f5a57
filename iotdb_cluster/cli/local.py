"""`iotdb-cluster local`: a cluster of processes in the foreground."""

import json
import signal
import sys
import threading
from pathlib import Path

from iotdb_cluster.cli.local_cluster import LocalCluster
from iotdb_cluster.client.operators import ask_report

LOOK_S = 0.5


def run_local(node_count: int, folder: Path, client_port: int | None) -> None:
    """Start the nodes, print one JSON line when all is ready, and stop them at SIGINT or SIGTERM.

    Somebody at a terminal is told how to go on, on standard error. A node that dies stays dead: that is what tests and
    curious people want to see. Raises `StartRefused`.
    """
    told = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: told.set())
    cluster = LocalCluster.open(folder, node_count=node_count, ask=ask_report, client_port=client_port)
    try:
        cluster.start()
        cluster.wait_until_ready(give_up=told.is_set)
        if told.is_set():
            return
        print(json.dumps({"nodes": [node.described() for node in cluster.nodes]}), flush=True)
        if sys.stderr.isatty():
            first = cluster.nodes[0]
            print(
                f"ready, until Ctrl-C; from another terminal: iotdb-cluster sql --node {first.ip}:{first.client_port}, "
                f"iotdb-cluster status --meta {first.ip}:{first.meta_port}",
                file=sys.stderr,
                flush=True,
            )
        dead: set[str] = set()
        while not told.wait(LOOK_S):
            for node in cluster.nodes:
                if not node.is_running and node.name not in dead:
                    dead.add(node.name)
                    print(f"{node.name} (pid {node.pid}) has ended", file=sys.stderr, flush=True)
    finally:
        cluster.stop()
