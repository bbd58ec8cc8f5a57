"""How long a writer waits when the leader of its group is ended with SIGKILL."""

import threading
import time

from iotdb_cluster.cli.local_cluster import LocalCluster, LocalNode
from iotdb_cluster.client.operators import MetaClient, ask_report, header_of
from iotdb_cluster.client.session import Session
from iotdb_cluster.partition.slots import slot_of
from iotdb_cluster.types.identity import NodeId

DEVICE = "root.g0.failover"
STEADY_WRITES = 20
TIMEOUT_MS = 60_000


class _Writer:
    """Writes one row after the other to one device, through the nodes that do not lead its group."""

    def __init__(self, nodes: list[LocalNode]) -> None:
        self._session = Session([(n.ip, n.client_port) for n in nodes], timeout_ms=TIMEOUT_MS, repeatable=True)
        self._thread = threading.Thread(target=self._run)
        self.acknowledged: list[float] = []
        self.enough = threading.Event()
        self._until = float("inf")

    def start(self) -> None:
        self._thread.start()

    def stop_after(self, moment: float) -> None:
        """End with the first write that begins after `moment` and is acknowledged."""
        self._until = moment
        self._thread.join()

    def _run(self) -> None:
        with self._session as session:
            while True:
                begin = time.monotonic()
                session.insert_row(DEVICE, int(begin * 1e6), ["s0"], [1.5])
                self.acknowledged.append(time.monotonic())
                if len(self.acknowledged) >= STEADY_WRITES:
                    self.enough.set()
                if begin > self._until:
                    return


def fail_over_times_s(cluster: LocalCluster, count: int) -> list[float]:
    """Seconds from a SIGKILL of the leader to the next acknowledged write, so many times."""
    times = []
    for _ in range(count):
        leader = _leader(cluster)
        writer = _Writer([node for node in cluster.nodes if node is not leader])
        writer.start()
        writer.enough.wait()
        killed_at = time.monotonic()
        cluster.kill(leader)
        writer.stop_after(killed_at)
        # A write that was under way at the kill may have been acknowledged by it already: the first gap counts.
        times.append(next(at for at in writer.acknowledged if at > killed_at + 0.001) - killed_at)
        cluster.start_node(leader)
        cluster.wait_until_ready()
    return times


def _leader(cluster: LocalCluster) -> LocalNode:
    """The node that leads the data group of `DEVICE`."""
    node = cluster.nodes[0]
    report = ask_report((node.ip, node.meta_port))
    if report is None:
        raise RuntimeError(f"{node.name} does not answer")
    header = header_of_group(cluster, "root.g0")
    leader = next(group.leader for group in report.groups if group.header == header)
    return next(each for each in cluster.nodes if each.identifier == leader)


def header_of_group(cluster: LocalCluster, storage_group: str) -> NodeId:
    """Whose data group holds a storage group, by the partition table."""
    node = cluster.nodes[0]
    with MetaClient((node.ip, node.meta_port)) as meta:
        return header_of(meta.partition_table(), slot_of(storage_group)).identifier
