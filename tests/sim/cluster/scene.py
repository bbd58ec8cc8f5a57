"""A world in which nothing happens by chance: for executions that are told step by step."""

from collections.abc import Callable, Coroutine
from dataclasses import replace
from random import Random
from typing import Any

from iotdb_cluster.members.data.member import DataGroupMember
from iotdb_cluster.members.meta.member import MetaGroupMember
from iotdb_cluster.types.identity import META_GROUP, GroupId
from tests.sim.cluster.clients import Client
from tests.sim.cluster.knobs import Knobs
from tests.sim.cluster.network import Weather
from tests.sim.cluster.node import SimNode
from tests.sim.cluster.oracle import Attempt, Fate, Reading
from tests.sim.cluster.world import World
from tests.sim.disk import SimDisk


class Scene(World):
    """Nodes of equal speed on a calm network; whatever else happens, the test does."""

    def __init__(self, nodes: int = 3, seed: str = "scene", show: Callable[[str], None] | None = None, **knobs: Any):
        def adjusted(drawn: Knobs) -> Knobs:
            calm = replace(
                drawn,
                nodes=nodes,
                replica_num=min(3, nodes),
                heartbeat_interval_ms=100,
                election_timeout_min_ms=500,
                election_timeout_max_ms=1_000,
                leader_stall_timeout_ms=3_000,
                append_max_entries=100,
                append_max_bytes=1 << 20,
                log_keep_entries=1_000,
                memtable_limit_bytes=1 << 20,
                segment_max_bytes=1 << 20,
                storage_groups=4,
                series=1,
                times=4,
                write_deadline_ms=2_000,
                turn_us=100,
                sync_us=(100,) * nodes,
                drift_ppm=(0,) * nodes,
                weather=Weather(),
            )
            return replace(calm, **knobs)

        super().__init__(seed, show, adjusted)

    # -- what a test does ----------------------------------------------------------------------------------------------

    def boot(self) -> "Scene":
        """Start all nodes and wait until they serve."""
        for node in self.nodes:
            node.start()
        self.run_until(self._objection_to_founding, 60_000, "the cluster is not founded")
        self.settle()
        return self

    def settle(self) -> None:
        """Wait until everything is as it should be without faults."""
        self.run_until(self._objection, 30_000, "it does not converge")

    def do(self, work: Callable[[Client], Coroutine[Any, None, Any]], limit_ms: int = 60_000) -> Any:
        """Let the first client do something and wait for it."""
        over: list[Any] = []

        def done(value: Any, error: Exception | None) -> None:
            assert error is None, error
            over.append(value)

        client = self.clients[0]
        client.run(work(client), done)
        self.run_until(lambda: None if over else "a call hangs", limit_ms, "a call")
        return over[0]

    def write(self, times: int = 1) -> Attempt:
        """Insert rows until so many are acknowledged; the last attempt."""
        attempt: Attempt | None = None
        for _ in range(times):
            for _ in range(20):
                attempt = self.do(lambda client: client.insert_row())
                if attempt is not None and attempt.fate is Fate.ACKED:
                    break
        assert attempt is not None
        assert attempt.fate is Fate.ACKED, attempt
        return attempt

    def write_everywhere(self) -> None:
        """Insert a row into every storage group."""
        for group in self.space.storage_groups:
            for _ in range(20):
                attempt = self.do(lambda client, group=group: client.insert_row(group))
                if attempt is not None and attempt.fate is Fate.ACKED:
                    break
            else:
                raise AssertionError(f"nothing is taken for {group}: {attempt}")

    def read(self, node: SimNode, series: str) -> Reading | None:
        """A strong read at a node; None when it was not answered."""
        reading: Reading | None = self.do(lambda client: client.read_series(node.host, series))
        return reading

    def check_everything(self) -> None:
        """Everything acknowledged is readable at every member, and what was seen is linearizable."""
        self.settle()
        self.serve()
        self.restart_cold()
        self.judge()
        assert [] == self._violations

    # -- what a test looks at ------------------------------------------------------------------------------------------

    def member(self, node: SimNode, group: GroupId = META_GROUP) -> MetaGroupMember | DataGroupMember:
        """A node's member of a group."""
        found = node.node.meta if group == META_GROUP else node.node.data(group)
        assert found is not None
        return found

    def leader(self, group: GroupId = META_GROUP) -> SimNode:
        """Who leads a group, once somebody does."""
        found: list[SimNode] = []

        def objection() -> str | None:
            found[:] = [node for node, member in self.members() if member.group == group and member.raft.is_leader]
            return None if len(found) == 1 else f"{len(found)} leaders"

        self.run_until(objection, 30_000, f"group {group} has no leader")
        return found[0]

    def data_groups(self) -> list[GroupId]:
        """Every data group."""
        for node in self.nodes:
            if node.is_alive and node.node.state.table is not None:
                return [GroupId(header) for header in node.node.state.table.headers]
        raise AssertionError("nobody knows the table")

    def wipe(self, node: SimNode) -> None:
        """The machine loses its power, and gets an empty disk."""
        node.crash(power_loss=True)
        self.put_disk(node, SimDisk(Random(f"{self.seed}/new disk/{node.number}/{node.starts}")))

    def put_disk(self, node: SimNode, disk: SimDisk) -> None:
        """Put another disk into a machine that is off."""
        assert not node.is_alive
        node.disk = disk
        disk.on_sync = node.syncing
        node.has_other_disk = True
