"""A scene in which machines are added and removed, and slots follow."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from iotdb_cluster.members.data.member import DataGroupMember
from iotdb_cluster.members.moves.settings import MoveSettings
from iotdb_cluster.partition.moves import Deed
from iotdb_cluster.partition.slots import slot_of
from iotdb_cluster.partition.table import PartitionTable
from iotdb_cluster.types.identity import GroupId, Node
from tests.sim.cluster.growth import SPARES, Growing
from tests.sim.cluster.node import SimNode
from tests.sim.cluster.oracle import Attempt, Fate
from tests.sim.cluster.scene import Scene
from tests.sim.cluster.scheduler import MS

MINUTE_MS = 60_000


class MovingScene(Scene):
    """A few machines are kept in reserve; `add` starts one of them."""

    def __init__(self, nodes: int = 3, seed: str = "moves", **knobs: Any) -> None:
        many = nodes + SPARES
        calm: dict[str, Any] = {"sync_us": (100,) * many, "drift_ppm": (0,) * many, "storage_groups": 24}
        super().__init__(nodes, seed, **{**calm, **knobs})
        self.growing = Growing(self)
        self.growing.moves = MoveSettings()
        for node in self.nodes:
            node.moves = self.growing.moves

    # -- what a test does ----------------------------------------------------------------------------------------------

    def add(self, **options: Any) -> SimNode:
        """Start one machine more, which asks to be added."""
        return self.growing.add(**options)

    def remove(self, node: SimNode) -> Node:
        """Ask for the removal of a node, dead or alive; who it was."""
        known = self._known[node.number] if node.process is None else node.node.me
        if node.process is None:
            node.is_removed = True  # nobody starts it again
        self.growing.remove(node, known)
        return known

    def crash(self, node: SimNode) -> None:
        """The machine loses its power."""
        self._known[node.number] = node.node.me
        node.crash(power_loss=True)

    def cut_off(self, *nodes: SimNode) -> None:
        """Nothing passes between these and the others."""
        places = [node.place for node in nodes]
        self.network.split(places, [node.place for node in self.nodes if node.place not in places])

    def until(self, holds: Callable[[], bool], limit_ms: int = MINUTE_MS) -> None:
        """Let time pass until something holds, to the moment."""
        self._run(self.scheduler.now_us + limit_ms * MS, holds)
        assert holds(), "it does not come to that"

    def balanced(self, minutes: int = 5) -> None:
        """Wait until every node has its share and no move is left."""
        self.run_until(self._objection, minutes * MINUTE_MS, "the slots do not come to rest")

    def write_via(self, node: SimNode, storage_group: str) -> Attempt | None:
        """Insert a row through one node."""
        client = self.clients[0]
        client.hang_up()
        hosts, client.around.hosts = client.around.hosts, lambda: (node.host,)
        attempt: Attempt | None = self.do(lambda client: client.insert_row(storage_group))
        client.around.hosts = hosts
        client.hang_up()
        return attempt

    def write_until_taken(self, storage_group: str) -> None:
        """Insert a row into a storage group, as often as it is refused."""
        for _ in range(20):
            attempt = self.do(lambda client: client.insert_row(storage_group))
            if attempt is not None and attempt.fate is Fate.ACKED:
                return
        raise AssertionError(f"nothing is taken for {storage_group}")

    @contextmanager
    def old_meta_log(self, node: SimNode) -> Iterator[None]:
        """The node's member of the meta group hears nothing meanwhile; its data groups go on."""
        meta = node.node.meta
        assert meta is not None
        meta.hold_back()
        yield
        meta.go_on()

    def check_everything(self) -> None:
        """As in any scene; and nothing of a move is left anywhere, not even behind a cold restart."""
        super().check_everything()
        self.rest()
        assert [] == self._violations

    # -- what a test looks at ------------------------------------------------------------------------------------------

    def boot(self) -> "MovingScene":
        super().boot()
        self._known = {node.number: node.node.me for node in self.nodes}
        return self

    def _objection(self) -> str | None:
        table = self.table
        if table is None:
            return "nobody knows the table"
        return self.growing.objection() or self.growing.objection_to_slots()

    def members_of(self, storage_group: str) -> tuple[Node, Sequence[Node]] | None:
        return self.growing.members_of(storage_group)

    @property
    def table(self) -> PartitionTable | None:
        """The newest one that anybody knows."""
        roster = self.growing.roster()
        return None if roster is None else roster.table

    def owner(self, storage_group: str) -> GroupId:
        """The data group that owns a storage group."""
        table = self.table
        assert table is not None
        return GroupId(table.header_of(slot_of(storage_group)))

    def owners(self) -> dict[str, GroupId]:
        """The data group of each storage group."""
        return {path: self.owner(path) for path in self.space.storage_groups}

    def is_known(self, node: SimNode) -> bool:
        """True once the node stands on the ring."""
        return node.is_alive and self.table is not None and node.node.me in self.table.nodes

    def is_pulling(self, node: SimNode) -> bool:
        """True while the node has pulled something of a move, and not installed it."""
        return node.is_alive and any(copying.pulled_bytes for copying in node.node.mover.copying.values())

    def has_deed(self, node: SimNode, deed: Deed) -> bool:
        """True while that is the last step of some slot in a group of this node."""
        members: Sequence[DataGroupMember] = node.node.data_members if node.is_alive else ()
        return any(state.deed is deed for member in members for state in member.slots.states.known.values())
