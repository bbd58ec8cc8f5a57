"""One simulated group: members, network, clients and faults on virtual time, judged after every event."""

from collections.abc import Callable
from hashlib import blake2b
from random import Random

from iotdb_cluster.raft.core import Raft
from iotdb_cluster.raft.effects import Committed, Effect, PeerRegressed, Role, RoleChanged
from iotdb_cluster.raft.events import Event, Received, SnapshotSent
from iotdb_cluster.raft.log import RaftLog
from iotdb_cluster.types.entries import Entry
from iotdb_cluster.types.identity import BEFORE_FIRST, EntryId, LogIndex, NodeId
from iotdb_cluster.types.membership import Membership
from tests.sim import words
from tests.sim.group.clock import Clock
from tests.sim.group.disk import SimulatedDisk
from tests.sim.group.knobs import Knobs, draw_knobs
from tests.sim.group.machine import Image, Machine
from tests.sim.group.network import Call, Network
from tests.sim.group.node import SimulatedNode
from tests.sim.group.oracle import Oracle, Read
from tests.sim.invariants.ledger import Ledger
from tests.sim.invariants.registry import BEFORE_SPEECH, checks_after
from tests.sim.invariants.view import Speech, Step, Violation

MakeRaft = Callable[..., Raft]
FIRST = EntryId(0, 1)
"""Where a data group's founding membership stands (DESIGN 5.1)."""

WHOLE_LOG_EVERY = 64
"""How often the walk over a whole log is made, in steps."""


class Violated(AssertionError):
    """An invariant does not hold."""


class GroupWorld:
    """Everything of one seed. `make_raft` lets a test put a broken core in (`tests/sim/bugs/group`)."""

    def __init__(self, seed: int, *, make_raft: MakeRaft = Raft, show: Callable[[str], None] | None = None) -> None:
        self.seed = seed
        self.knobs: Knobs = draw_knobs(self.random_for("knobs"))
        self.clock = Clock()
        self._make_raft = make_raft
        self._show = show
        self._hash = blake2b(digest_size=16)
        self._randoms = {name: self.random_for(name) for name in ("disk", "raft")}
        self.oracle = Oracle()
        self.steps = 0
        self.digests: dict[LogIndex, int] = {}
        self.leader_hint: NodeId | None = None
        self.on_leader: Callable[[NodeId], None] = lambda number: None
        knobs = self.knobs
        self.membership = Membership(frozenset(knobs.voters), frozenset(knobs.learners))
        if knobs.is_founding:
            self.membership = Membership(frozenset(knobs.voters))
            self.empty_image = Image(BEFORE_FIRST, None, 0)
            self.ledger = Ledger()
        else:
            self.empty_image = Image(FIRST, self.membership, 0)
            self.ledger = Ledger(base=FIRST, founding=self.membership)
        self.network = Network(
            self.clock,
            self.random_for("network"),
            knobs.weather,
            knobs.call_timeout_ms,
            self._call_arrives,
            self._give_back,
        )
        self.nodes: dict[NodeId, SimulatedNode] = {}
        for node in sorted(self.membership.members):
            self.make_replica(node)
        self.step: Step
        self.speech: Speech

    # ---- chance and trace ----

    def random_for(self, concern: str) -> Random:
        """A generator of its own for each concern: a draw in one place does not change the others."""
        return Random(f"{self.seed}/{concern}")

    def random_of(self, concern: str) -> Random:
        """The shared generator of a concern."""
        return self._randoms[concern]

    def note(self, who: object, what: str) -> None:
        """A line of the trace that is no step."""
        line = f"{self.clock.now_ms} {who} {what}"
        self._hash.update(line.encode())
        if self._show is not None:
            self._show(f"{self.clock.now_ms:7d}  {who!s:>3} {what}")

    @property
    def trace_hash(self) -> str:
        """Equal for two runs in which the same happened."""
        return self._hash.hexdigest()

    # ---- members ----

    @property
    def disks(self) -> dict[NodeId, SimulatedDisk]:
        return {number: node.disk for number, node in self.nodes.items()}

    @property
    def alive(self) -> list[SimulatedNode]:
        """Members that run, in the order of their numbers."""
        return [node for _, node in sorted(self.nodes.items()) if node.raft is not None]

    def leader(self) -> SimulatedNode | None:
        """The leader of the highest term, if one runs."""
        leaders = [node for node in self.alive if node.raft is not None and node.raft.is_leader]
        return max(leaders, key=lambda node: node.raft.term if node.raft is not None else 0, default=None)

    def make_replica(self, number: NodeId) -> SimulatedNode:
        """Give a node a replica: the founding one, or an empty one that the leader will fill."""
        node = self.nodes.get(number)
        if node is None:
            is_founder = number in self.membership.members
            image = self.empty_image if is_founder else Image(BEFORE_FIRST, None, 0)
            disk = SimulatedDisk(snapshot=image.last, membership=image.membership)
            disk.is_founded = not (self.knobs.is_founding and is_founder)
            node = self.nodes[number] = SimulatedNode(self, number, disk, Machine(image))
        self.start(number)
        return node

    def start(self, number: NodeId) -> None:
        """Start a node from its disk."""
        node = self.nodes[number]
        disk = node.disk
        log = disk.read_log()
        image = node.machine.image
        if image.last.index > log.snapshot.index and not log.contains(image.last):
            # The snapshot was installed, its point in the log was lost with the power.
            disk.snapshot, disk.membership, disk.entries = image.last, image.membership, []
            log = RaftLog(snapshot=image.last, snapshot_membership=image.membership)
        founders = (
            self.membership.voters if self.knobs.is_founding and number in self.membership.voters else frozenset()
        )
        raft = self._make_raft(
            me=number,
            settings=self.knobs.settings,
            log=log,
            hard_state=disk.hard_state,
            draw=self._randoms["raft"].randint,
            founders=founders if disk.mark is None else frozenset(),
            founded=disk.is_founded,
            mark=disk.mark,
            now_ms=self.clock.now_ms,
        )
        self.note(number, f"starts: {words.of_member(raft)}")
        node.start(raft)

    def crash(self, number: NodeId) -> None:
        """Take a node's power away."""
        if self.nodes[number].raft is not None:
            self.note(number, "crashes")
            self.nodes[number].crash()

    # ---- the network's ends ----

    def _call_arrives(self, call: Call) -> bool:
        """A request reaches its target: False when nobody is there, or no replica."""
        node = self.nodes.get(call.target)
        if node is None or node.raft is None:
            return False
        if node.is_slow_to_answer:
            self.network.expect_failure(call)
        node.deliver(Received(call.message, call))
        return True

    def _give_back(self, call: Call, event: Event) -> None:
        node = self.nodes.get(call.source)
        if node is not None and node.incarnation == call.incarnation:
            node.deliver(event)

    def send_snapshot(self, source: SimulatedNode, to: NodeId, at_least: LogIndex) -> None:
        """Bring a snapshot over; it is large, so it takes its time."""
        image = source.machine.image
        if image.last.index < at_least:
            image = source.take_image()
        assert image.last.index >= at_least
        incarnation, network = source.incarnation, self.network
        delay_ms = network.delay_ms() + network.delay_ms() * 3

        def arrives() -> None:
            target = self.nodes.get(to)
            is_taken = (source.node, to) not in network.cut and target is not None and target.install(image)
            answer = SnapshotSent(to, image.last, ok=is_taken and not network.is_lost(to, source.node, 0.0))
            self.clock.after(network.delay_ms(), source.snapshot_sent, incarnation, answer)

        if network.is_lost(source.node, to, network.weather.loss):
            failed = SnapshotSent(to, image.last, ok=False)
            self.clock.after(network.timeout_ms, source.snapshot_sent, incarnation, failed)
        else:
            self.clock.after(delay_ms, arrives)

    # ---- judging ----

    def note_step(self, step: Step) -> None:
        """Judge what a member did, then remember it."""
        self.steps += 1
        raft = step.raft
        last, count = raft.last_id, len(step.effects)
        numbers = (self.clock.now_ms, step.node, raft.term, raft.commit_index, last.term, last.index, count)
        self._hash.update(b"%d %d %d %d %d %d %d" % numbers)
        if self._show is not None:
            self._show_step(step)
        self.step = step
        for check in checks_after(step):
            for violation in check(self):
                self.violated(violation)
        try:
            raft.check(whole_log=self.steps % WHOLE_LOG_EVERY == 0)
        except AssertionError as error:
            self.violated(Violation(12, f"node {step.node}: {error}"))
        for effect in step.effects:
            if type(effect) is Committed:
                new = [entry for entry in effect.entries if entry.index > self.ledger.committed_index]
                violation = self.oracle.committed(tuple(new)) if new else None
                if violation is not None:
                    self.violated(violation)
        self.ledger.note_step(step)

    def note_speech(self, speech: Speech) -> None:
        """Judge what a member says, then remember it."""
        self.speech = speech
        for check in BEFORE_SPEECH:
            for violation in check(self):
                self.violated(violation)
        self.ledger.note_speech(speech)

    def note_applied(self, node: NodeId, entry: Entry, digest: int) -> None:
        """All machines are in the same state behind the same entry (invariant 4)."""
        known = self.digests.setdefault(entry.index, digest)
        if known != digest:
            self.violated(Violation(4, f"node {node} is in another state behind {entry.id} than those before it"))

    def read_confirmed(self, node: NodeId, read: Read, index: LogIndex) -> None:
        """A strong read is answered."""
        self.note(node, f"answers a read at {index} for client {read.client}")
        violation = self.oracle.confirmed(read, index, self.ledger.committed_index)
        if violation is not None:
            self.violated(violation)

    def note_regression(self, node: NodeId, effect: Effect) -> None:
        """No disk here ever forgets what it acknowledged, so no leader may think so."""
        assert isinstance(effect, PeerRegressed)
        self.violated(Violation(11, f"leader {node} finds that {words.of_effect(effect)}"))

    def disk_synced(self, number: NodeId) -> None:
        """Nothing to do; nemeses may look."""

    def violated(self, violation: Violation) -> None:
        """Stop the run."""
        raise Violated(str(violation))

    def hint_leader(self, leader: NodeId) -> None:
        """Clients hear who leads."""
        self.leader_hint = leader

    def role_changed(self, node: NodeId, effect: RoleChanged) -> None:
        """Clients hear who leads."""
        if effect.leader is not None:
            self.leader_hint = effect.leader
        if effect.role is Role.LEADER:
            self.on_leader(node)

    def _show_step(self, step: Step) -> None:
        assert self._show is not None
        head = f"{self.clock.now_ms:7d}  {step.node:>3} {words.of_member(step.raft):<22}"
        for event in step.events:
            self._show(f"{head} {words.of_event(event)}")
        for effect in step.effects:
            self._show(f"{'':7}      {'':<22}     {words.of_effect(effect)}")
