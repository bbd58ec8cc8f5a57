"""Clusters that grow and shrink: nodes join and are removed while everything else goes on.

Until slots can move, only nodes that own none are removed: those that have joined.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random
from typing import Any

from iotdb_cluster.members.convert import node_struct
from iotdb_cluster.members.data.member import DataGroupMember
from iotdb_cluster.members.life.changes import AGREE, CLUSTER_TOO_SMALL, REJECT
from iotdb_cluster.members.meta.member import MetaGroupMember
from iotdb_cluster.members.moves.settings import MoveSettings
from iotdb_cluster.members.pending import Pending
from iotdb_cluster.partition.roster import Roster
from iotdb_cluster.partition.slots import slot_of
from iotdb_cluster.types.identity import META_GROUP, GroupId, Node
from tests.sim.cluster.calls import Caller
from tests.sim.cluster.clients import Client
from tests.sim.cluster.knobs import Knobs
from tests.sim.cluster.nemesis import Ending, Nemesis
from tests.sim.cluster.node import SimNode
from tests.sim.cluster.world import World, shared_codec

META_PORT = 9003
SPARES = 3
CHANGE_TIMEOUTS = 120
"""Within so many election time-outs without faults every change that was asked for is over."""


def with_spares(knobs: Knobs) -> Knobs:
    """Knobs for a few machines more than the cluster begins with."""
    return replace(
        knobs,
        sync_us=knobs.sync_us + knobs.sync_us[:1] * SPARES,
        drift_ppm=knobs.drift_ppm + knobs.drift_ppm[:1] * SPARES,
    )


class Operator:
    """Asks nodes to remove others, again and again, until one of them says what came of it."""

    def __init__(self, client: Client, hosts: Callable[[], Sequence[str]], timeout_ms: int) -> None:
        self.client = client
        self._hosts = hosts
        self._timeout_ms = timeout_ms
        self.under_way: list[Node] = []
        self.answers: list[tuple[Node, int]] = []

    def remove(self, node: Node) -> None:
        """Begin to ask for a removal."""
        self.under_way.append(node)

        def done(answer: int, error: Exception | None) -> None:
            if error is not None:
                raise error
            self.under_way.remove(node)
            self.answers.append((node, answer))
            self.client.around.trace.note("operator", "removal of", node, "is answered", answer)

        self.client.around.trace.note("operator", "removes", node)
        self.client.run(self._remove(node), done)

    async def _remove(self, node: Node) -> int:
        while True:
            host = self.client.random.choice(list(self._hosts()))
            answer = await self.ask(host, "removeNode", node_struct(node))
            if answer in (AGREE, REJECT, CLUSTER_TOO_SMALL):
                return int(answer)
            self.client.around.trace.note("operator", host, "answers", answer)
            await self.client.sleep(self._timeout_ms // 4)

    async def ask(self, host: str, method: str, *arguments: Any) -> Any:
        """One call on a meta port; its result, or the error."""
        answered: Pending[Any] = Pending()
        connection = self.client.caller.connect(host, META_PORT, "TSMetaService")
        connection.call(method, arguments, self._timeout_ms, lambda result: answered.resolve(result) and None)
        result = await answered
        connection.close()
        return result


class Growing:
    """What grows and shrinks in a world; mixed into one."""

    def __init__(self, world: World) -> None:
        self.world = world
        around = world.clients[0].around

        def connect(client: Client) -> Caller:
            return Caller(client, world.network, shared_codec(), world.at)

        client = Client("operator", around, Random(f"{world.seed}/operator"), connect)
        self.operator = Operator(client, lambda: world.hosts, 4 * world.short_ms)
        self.founders = len(world.nodes)
        self.moves: MoveSettings | None = None

    def add(self, *, later_ms: int = 0) -> SimNode:
        """Start one machine more, which asks to be added."""
        world = self.world
        number = len(world.nodes) + 1
        host = f"10.0.0.{number}"
        node = SimNode(number, replace(world.nodes[0].settings, local_ip=host), world.hardware)
        node.joins = True
        node.moves = self.moves
        world.hosts = (*world.hosts, host)
        world.nodes.append(node)
        world.scheduler.after(later_ms * 1_000, node.start)
        return node

    def remove(self, node: SimNode, known: Node) -> None:
        """Ask for the removal of a node, dead or alive."""
        node.may_be_removed = node.may_be_refused = True
        self.operator.remove(known)

    def roster(self) -> Roster | None:
        """What the node that is furthest says of the cluster."""
        states = [node.node.state for node in self.world.nodes if node.is_alive]
        return max(states, key=lambda state: state.applied).roster if states else None

    def machine_of(self, node: Node) -> SimNode | None:
        """The machine at a node's address."""
        return self.world.at(node.ip)

    def removable(self) -> list[tuple[SimNode, Node]]:
        """Nodes that have joined, or are joining, and that nobody has asked to remove yet."""
        roster = self.roster()
        if roster is None:
            return []
        found = [(self.machine_of(node), node) for node in roster.nodes]
        return [
            (machine, node)
            for machine, node in found
            if machine and (machine.joins or self.moves) and not machine.may_be_removed
        ]

    def members_of(self, storage_group: str) -> tuple[Node, Sequence[Node]] | None:
        """Header and present members of a storage group's data group."""
        roster = self.roster()
        if roster is None:
            return None
        header = roster.table.header_of(slot_of(storage_group, roster.table.slot_count))
        record = roster.group(header)
        assert record is not None
        members = [roster.node(member) for member in sorted(record.members)]
        return record.header, [member for member in members if member is not None]

    def objection_to_slots(self) -> str | None:
        """Why slots are not where they should be when nothing is under way; None when they are (invariants 20, 30)."""
        for node in self.world.nodes:
            if not node.is_alive or node.node.state.table is None:
                continue
            state = node.node.state
            counts = [len(state.table.slots_of(header)) for header in state.table.headers]
            if max(counts) - min(counts) > 1:
                return f"{node.place} has slots {counts}"
            if state.moves.records:
                return f"{node.place} has moves {[record.move.number for record in state.moves.records]}"
        return None

    def objection(self) -> str | None:
        """Why nodes and groups are not as they should be when nothing is under way; None when they are."""
        world = self.world
        if self.operator.under_way:
            return f"the removal of {self.operator.under_way} is not answered"
        staying = [node for node in world.nodes if not node.is_removed]
        for node in staying:
            if not node.is_alive:
                return f"{node.place} is not alive ({node.refusal})"
            state = node.node.state
            if state.roster is None:
                return f"{node.place} is blind"
            if state.start_of(node.node.me.identifier) != node.node.identity.start:
                return f"the start of {node.place} is not known"
            assert node.process is not None
            if node.node.context.runtime.backlog or node.process.transport.backlog:
                return f"{node.place} has something waiting"
        roster = staying[0].node.state.roster
        assert roster is not None
        if roster.joining or roster.leaving or roster.change_under_way:
            return f"joining {roster.joining}, leaving {sorted(roster.leaving)}, {roster.change_under_way}"
        if roster.table.identifiers != {node.node.me.identifier for node in staying}:
            return f"the ring has {sorted(roster.table.identifiers)}"
        if len({node.node.state.to_snapshot() for node in staying}) > 1:
            return "the meta states differ"
        return self._objection_to_groups(roster)

    def _objection_to_groups(self, roster: Roster) -> str | None:
        by_group: dict[GroupId, list[tuple[SimNode, MetaGroupMember | DataGroupMember]]] = {}
        for node, member in self.world.members():
            by_group.setdefault(member.group, []).append((node, member))
        wanted = {GroupId(record.header.identifier): record.members for record in roster.groups}
        wanted[META_GROUP] = roster.table.identifiers
        count = min(roster.table.replica_num, len(roster.table.nodes))
        for group in sorted(by_group.keys() | wanted.keys()):
            there = {node.node.me.identifier for node, _ in by_group.get(group, [])}
            if there != wanted.get(group) or (group != META_GROUP and len(there) != count):
                return f"group {group} has replicas on {sorted(there)}, members are {sorted(wanted.get(group, ()))}"
            objection = _objection_to_group([member for _, member in by_group[group]])
            if objection is not None:
                return f"group {group}: {objection}"
        return None


def _objection_to_group(members: Sequence[MetaGroupMember | DataGroupMember]) -> str | None:
    leaders = [member.raft.me for member in members if member.raft.is_leader]
    if len(leaders) != 1:
        return f"leaders {leaders}"
    positions = {(member.raft.last_id, member.raft.commit_index, member.applied) for member in members}
    if len(positions) != 1:
        return f"positions {sorted(positions)}"
    ((last, commit, applied),) = positions
    if not last.index == commit == applied.index:
        return f"last {last}, committed {commit}, applied {applied}"
    return None


class GrowingWorld(World):
    """A world of one seed in which nodes come and go among the faults."""

    def __init__(
        self, seed: str, show: Callable[[str], None] | None = None, adjust: Callable[[Knobs], Knobs] | None = None
    ) -> None:
        super().__init__(seed, show, lambda drawn: with_spares(adjust(drawn) if adjust else drawn))
        self.growing = Growing(self)
        self._whims = Random(f"{seed}/growth")
        self.nemesis.add_faults(((self._grow, 6), (self._shrink, 5)))

    def _grow(self, nemesis: Nemesis) -> Ending:
        if len(self.nodes) < self.growing.founders + SPARES:
            node = self.growing.add(later_ms=self._whims.randint(0, self.short_ms))
            self.trace.note("world", node.place, "is to join")
        return _nothing

    def _shrink(self, nemesis: Nemesis) -> Ending:
        removable = self.growing.removable()
        if removable:
            machine, known = self._whims.choice(removable)
            if self._whims.random() < 0.3:
                machine.crash(power_loss=self._whims.random() < 0.5)
            self.growing.remove(machine, known)
        return _nothing

    def members_of(self, storage_group: str) -> tuple[Node, Sequence[Node]] | None:
        return self.growing.members_of(storage_group)

    def _objection(self) -> str | None:
        return self.growing.objection()

    def converge(self) -> None:
        """As in any world, and every change that was asked for is over."""
        self.run_until(self._objection, CHANGE_TIMEOUTS * self.short_ms, "without faults it does not converge")


class MovingWorld(GrowingWorld):
    """A world in which slots follow the nodes that come and go, so that founders are removed, too."""

    def __init__(
        self, seed: str, show: Callable[[str], None] | None = None, adjust: Callable[[Knobs], Knobs] | None = None
    ) -> None:
        super().__init__(seed, show, adjust)
        self.growing.moves = MoveSettings(timeout_s=max(1, 15 * self.short_ms // 1_000))
        for node in self.nodes:
            node.moves = self.growing.moves

    def _objection(self) -> str | None:
        return super()._objection() or self.growing.objection_to_slots()


def _nothing() -> None:
    """A change goes on by itself."""
