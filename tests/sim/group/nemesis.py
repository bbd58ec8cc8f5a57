"""What goes wrong: crashes, cuts, pauses and slow disks, aimed at leaders more often than chance would."""

from collections.abc import Callable, Sequence

from iotdb_cluster.raft.messages import VoteRequest
from iotdb_cluster.types.identity import BEFORE_FIRST, NodeId
from tests.sim.group.network import Call
from tests.sim.group.node import SimulatedNode
from tests.sim.group.world import GroupWorld


class Nemesis:
    """Begins a fault now and then; each ends by itself after a while."""

    def __init__(self, world: GroupWorld) -> None:
        self._world = world
        self._random = world.random_for("nemesis")
        self.is_on = True
        self.faults = 0
        self._usual_sync_ms = dict(world.knobs.sync_ms)
        self._dancing = 0
        self._dead: frozenset[NodeId] = frozenset()
        world.on_leader = self.leader_elected
        world.clock.after(self._random.randint(1, world.knobs.fault_gap_ms), self._act)

    def _act(self) -> None:
        if not self.is_on:
            return
        world, random = self._world, self._random
        world.clock.after(random.randint(1, 2 * world.knobs.fault_gap_ms), self._act)
        kind = random.choice(world.knobs.faults)
        fault: Callable[[], None] = getattr(self, f"_{kind}")
        self.faults += 1
        fault()

    def _length_ms(self) -> int:
        election_ms = self._world.knobs.settings.election_timeout_max_ms
        return self._random.choice([1, election_ms // 4, election_ms, 2 * election_ms, 4 * election_ms])

    def _some(self) -> SimulatedNode | None:
        alive = self._world.alive
        return self._random.choice(alive) if alive else None

    def _leader_or_some(self) -> SimulatedNode | None:
        return self._world.leader() or self._some()

    # ---- processes ----

    def _down(self, numbers: Sequence[NodeId]) -> None:
        for number in numbers:
            self._world.crash(number)
            self._world.clock.after(self._length_ms(), self._up, number)

    def _up(self, number: NodeId) -> None:
        node = self._world.nodes[number]
        if node.raft is None and not node.has_left and number not in self._dead:
            self._world.start(number)

    def _crash(self) -> None:
        node = self._some()
        if node is not None:
            self._down([node.node])

    def _crash_leader(self) -> None:
        node = self._leader_or_some()
        if node is not None:
            self._down([node.node])

    def _crash_in_sync(self) -> None:
        node = self._leader_or_some() if self._random.random() < 0.5 else self._some()
        if node is not None:
            node.crashes_in_sync = True
            # It goes down at its next sync and comes back later, whenever that was.
            self._world.clock.after(self._length_ms() + self._length_ms(), self._up_again, node.node)

    def _up_again(self, number: NodeId) -> None:
        self._world.nodes[number].crashes_in_sync = False
        self._up(number)

    def _crash_quorum(self) -> None:
        alive = self._world.alive
        self._down([node.node for node in self._random.sample(alive, len(alive) // 2 + 1)] if alive else [])

    def _crash_all(self) -> None:
        self._down([node.node for node in self._world.alive])

    def _storm(self) -> None:
        for node in self._world.alive:
            self._world.crash(node.node)
            self._world.clock.after(self._random.randint(1, 5), self._up, node.node)

    def _pause(self, node: SimulatedNode | None = None) -> None:
        node = node or self._some()
        if node is not None:
            self._world.note(node.node, "stands still")
            node.pause()
            self._world.clock.after(self._length_ms(), self._resume, node.node)

    def _pause_leader(self) -> None:
        self._pause(self._leader_or_some())

    def _resume(self, number: NodeId) -> None:
        node = self._world.nodes[number]
        if node.raft is not None and node.is_paused:
            self._world.note(number, "goes on")
            node.resume()

    def _dance(self) -> None:
        """Figure 8: some leaders in a row go down soon after they are elected, and come back."""
        self._dancing = self._random.randint(2, 6)

    def leader_elected(self, number: NodeId) -> None:
        """The world says that this node leads now."""
        if self._dancing and self.is_on:
            self._dancing -= 1
            self._world.clock.after(self._random.randint(0, 8), self._down, [number])

    def _intrude(self) -> None:
        """A node that is no member any more campaigns without asking first, in ever higher terms."""
        world = self._world
        committed = world.ledger.membership
        outside = sorted(set(world.nodes) - (committed.members if committed is not None else frozenset(world.nodes)))
        if not outside:
            return
        intruder = self._random.choice(outside)
        node = world.nodes[intruder]
        last = node.raft.last_id if node.raft is not None else BEFORE_FIRST
        term = max((other.raft.term for other in world.alive if other.raft is not None), default=0) + 1
        world.note(intruder, f"intrudes with term {term}")
        for number in sorted(world.nodes):
            if number != intruder:
                request = VoteRequest(term, intruder, last, handover=self._random.random() < 0.5)
                world.network.send(Call(intruder, -1, number, request, world.clock.now_ms))

    # ---- links ----

    def _cut(self, pairs: set[tuple[NodeId, NodeId]], length_ms: int | None = None) -> None:
        self._world.note("net", f"cut {sorted(pairs)}")
        self._world.network.cut |= pairs
        self._world.clock.after(length_ms or self._length_ms(), self._mend, pairs)

    def _mend(self, pairs: set[tuple[NodeId, NodeId]]) -> None:
        self._world.network.cut -= pairs

    def _between(self, left: Sequence[NodeId], right: Sequence[NodeId]) -> set[tuple[NodeId, NodeId]]:
        return {(a, b) for a in left for b in right} | {(b, a) for a in left for b in right}

    def _sides(self) -> tuple[list[NodeId], list[NodeId]]:
        numbers = sorted(self._world.nodes)
        self._random.shuffle(numbers)
        middle = self._random.randint(0, len(numbers))
        return numbers[:middle], numbers[middle:]

    def _split(self) -> None:
        left, right = self._sides()
        self._cut(self._between(left, right))

    def _isolate_leader(self) -> None:
        node = self._leader_or_some()
        if node is not None:
            self._cut(
                self._between([node.node], [number for number in sorted(self._world.nodes) if number != node.node])
            )

    def _one_way(self) -> None:
        left, right = self._sides()
        self._cut({(a, b) for a in left for b in right})

    def _ring(self) -> None:
        """Each node reaches its two neighbours only: majorities that overlap in a ring."""
        numbers = sorted(self._world.nodes)
        self._random.shuffle(numbers)
        count = len(numbers)
        near = {(numbers[k], numbers[(k + d) % count]) for k in range(count) for d in (-1, 0, 1)}
        self._cut({(a, b) for a in numbers for b in numbers} - near)

    def _bridge(self) -> None:
        """Two halves that only one node can reach both of."""
        left, right = self._sides()
        self._cut(self._between(left[1:], right) if left else set())

    def _flap(self) -> None:
        left, right = self._sides()
        pairs = self._between(left, right)
        gap_ms = self._world.knobs.settings.heartbeat_interval_ms
        for k in range(6):
            self._world.clock.after(2 * k * gap_ms, self._cut, pairs, gap_ms)

    # ---- disks ----

    def _slow_disk(self) -> None:
        node = self._leader_or_some()
        if node is not None:
            self._world.knobs.sync_ms[node.node] = self._random.choice([10, 50, 200])
            self._world.clock.after(self._length_ms(), self._usual_disk, node.node)

    def _usual_disk(self, number: NodeId) -> None:
        self._world.knobs.sync_ms[number] = self._usual_sync_ms[number]

    def _hang_disk(self) -> None:
        node = self._leader_or_some()
        if node is not None:
            self._world.note(node.node, "has a hanging disk")
            node.hang()
            self._world.clock.after(self._length_ms(), self._unhang, node.node)

    def _unhang(self, number: NodeId) -> None:
        node = self._world.nodes[number]
        if node.is_hanging:
            node.unhang()

    # ---- the end ----

    def heal(self, dead: frozenset[NodeId] = frozenset()) -> None:
        """All faults off: links, processes, disks; only `dead` stay as if they had burnt down."""
        self.is_on = False
        self._dead = dead
        world = self._world
        world.network.heal()
        for number, node in sorted(world.nodes.items()):
            self._usual_sync_ms[number] = min(self._usual_sync_ms[number], 1)
            self._usual_disk(number)
            node.crashes_in_sync = False
            if node.is_hanging:
                node.unhang()
            if node.is_paused:
                node.resume()
            if number in dead:
                world.crash(number)
            else:
                self._up(number)
