"""A writer at every site that never stops: it shows what a client notices, and that nothing acknowledged is lost."""

import threading
import time
from collections.abc import Callable, Sequence

import numpy as np

from iotdb_cluster.cli.local_cluster import LocalNode
from iotdb_cluster.client.session import Session
from iotdb_cluster.demo.comparing import Read
from iotdb_cluster.demo.connections import WRITE_TIMEOUT_MS
from iotdb_cluster.demo.loading import LoadReport
from iotdb_cluster.demo.stations import Points, Site

BEAT_S = 0.1

Nodes = Callable[[], Sequence[LocalNode]]


class Beats:
    """Threads that write `1, 2, 3, ...` into the series `beat.number` of each site, at the times 1, 2, 3, ... ms.

    `nodes` says where to write; when that changes, the writers connect anew.
    """

    def __init__(self, sites: Sequence[Site], nodes: Nodes) -> None:
        self._sites = sites
        self._nodes = nodes
        self._end = threading.Event()
        self._guard = threading.Lock()
        self._threads = [threading.Thread(target=self._run, args=(site,), daemon=True) for site in sites]
        self.written = dict.fromkeys((site.storage_group for site in sites), 0)
        """How many were acknowledged, by site."""
        self.report = LoadReport()
        self.error: BaseException | None = None

    def start(self) -> None:
        """Begin to write."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End with the writes that are under way, and raise what stopped a writer, if anything did."""
        self._end.set()
        for thread in self._threads:
            thread.join()
        if self.error is not None:
            raise self.error

    @property
    def count(self) -> int:
        """How many were acknowledged."""
        return len(self.report.acknowledged)

    def faults(self, node_count: int, read: Read) -> list[str]:
        """What each of so many nodes lacks, or has too much of, in words; to be asked behind `stop`."""
        found = []
        for site in self._sites:
            times = np.arange(1, self.written[site.storage_group] + 1, dtype=np.int64)
            for node in range(node_count):
                if not Points(times, times).equals(read(node, f"{site.storage_group}.beat.number")):
                    found.append(f"{site.storage_group}.beat.number on node number {node + 1}")
        return found

    def _run(self, site: Site) -> None:
        try:
            while not self._end.is_set():
                nodes = tuple(self._nodes())
                with self._session(nodes) as session:
                    while not self._end.is_set() and nodes == tuple(self._nodes()):
                        self._beat(session, site.storage_group)
        except BaseException as error:  # noqa: BLE001 - whoever stops the threads raises it
            self.error = error

    def _session(self, nodes: Sequence[LocalNode]) -> Session:
        # Each value is written once and belongs to its time, so a repetition changes nothing.
        addresses = [(node.ip, node.client_port) for node in nodes]
        return Session(addresses, timeout_ms=WRITE_TIMEOUT_MS, repeatable=True)

    def _beat(self, session: Session, site: str) -> None:
        number = self.written[site] + 1
        begin = time.monotonic()
        session.insert_row(f"{site}.beat", number, ["number"], [number])
        end = time.monotonic()
        self.written[site] = number
        with self._guard:
            self.report.acknowledged.append((begin, end, site))
        self._end.wait(BEAT_S)
