"""Clients that write and read, and an operator that changes members, hands over, and lets replicas be dropped."""

from random import Random

from iotdb_cluster.raft.core import Raft
from iotdb_cluster.raft.events import ChangeMembership, ContextChanged, Propose, ReadIndex, TransferLeadership
from iotdb_cluster.types.entries import EntryKind, Payload
from iotdb_cluster.types.identity import EntryId, NodeId
from iotdb_cluster.types.membership import Membership
from tests.sim.group.node import Batch, SimulatedNode
from tests.sim.group.world import GroupWorld

BURSTS_MAX = 150
"""How often in a seed clients hurry because two leaders are there at once."""


class Clients:
    """Each client asks some node, mostly the one it takes for the leader, for a write or a strong read."""

    def __init__(self, world: GroupWorld) -> None:
        self._world = world
        self._random = world.random_for("clients")
        self.is_on = True
        self.operations = 0
        self._bursts = 0
        for client in range(world.knobs.clients):
            world.clock.after(self._gap_ms(), self._act, client)

    def _gap_ms(self) -> int:
        return self._random.randint(0, 2 * self._world.knobs.client_gap_ms)

    def _act(self, client: int) -> None:
        if not self.is_on:
            return
        world, random = self._world, self._random
        leaders = [(node.raft.term, node) for node in world.alive if node.raft is not None and node.raft.is_leader]
        if len(leaders) > 1 and self._bursts < BURSTS_MAX:
            # The deposed one does not know it yet: nothing is more telling than what it still says.
            self._bursts += 1
            world.clock.after(random.randint(1, 5), self._act, client)
            leaders.sort(key=lambda pair: pair[0])
            self._ask(client, leaders[0][1], read_chance=0.9)
            self._ask(client, leaders[-1][1], read_chance=0.3)
            return
        world.clock.after(self._gap_ms(), self._act, client)
        alive = world.alive
        hinted = world.nodes.get(world.leader_hint) if world.leader_hint is not None else None
        if hinted is not None and hinted.raft is not None and random.random() < 0.7:
            self._ask(client, hinted, read_chance=0.3)
        elif alive:
            self._ask(client, random.choice(alive), read_chance=0.3)

    def _ask(self, client: int, node: SimulatedNode, *, read_chance: float) -> None:
        world, random = self._world, self._random
        self.operations += 1
        if random.random() < read_chance:
            node.deliver(ReadIndex(world.oracle.ask(client)))
        else:
            write(world, node, random.randint(1, world.knobs.client_batch_max))


def write(world: GroupWorld, node: SimulatedNode, count: int = 1) -> Batch:
    """Propose new attempts at a node."""
    batch = Batch([world.oracle.attempt() for _ in range(count)], node.node)
    payloads = tuple(Payload(EntryKind.PHYSICAL_PLAN, attempt.body) for attempt in batch.attempts)
    node.deliver(Propose(batch, payloads))
    return batch


class Operator:
    """Changes the membership through the log, and makes and drops replicas when the log says so."""

    def __init__(self, world: GroupWorld) -> None:
        self._world = world
        self._random = world.random_for("operator")
        self.is_on = True
        self._tombstones: set[NodeId] = set()
        knobs = world.knobs
        if knobs.changes_gap_ms:
            world.clock.after(knobs.changes_gap_ms, self._change)
        if knobs.transfer_gap_ms:
            world.clock.after(knobs.transfer_gap_ms, self._transfer)
        if knobs.knows_meta:
            world.clock.after(1, self._meta_moves)

    # ---- what the log is asked for ----

    def _change(self) -> None:
        world = self._world
        world.clock.after(self._random.randint(1, 2 * world.knobs.changes_gap_ms), self._change)
        self._keep_replicas()
        if not self.is_on:
            return
        leaders = [node.raft for node in world.alive if node.raft is not None and node.raft.is_leader]
        if not leaders:
            return
        raft = self._random.choice(leaders)
        wanted = self._wanted(raft, self._random)
        if wanted is not None:
            world.nodes[raft.me].deliver(ChangeMembership(Batch([]), wanted))

    def _wanted(self, raft: Raft, random: Random) -> Membership | None:
        """Some membership that may follow the leader's: add, promote, demote, remove, replace."""
        current = raft.membership
        if current is None or current.is_joint:
            return None
        outside = sorted(set(self._world.knobs.nodes) - current.members - self._tombstones)
        learners, voters = sorted(current.learners), sorted(current.voters)
        kinds = ["add"] * bool(outside) + ["promote", "promote", "replace", "drop"] * bool(learners)
        kinds += ["remove", "demote"] * (len(voters) > 1) + ["shrink"] * (len(voters) > 3)
        kind = random.choice(kinds) if kinds else None
        if kind == "add":
            # Those who were here before are the ones who could contradict themselves.
            returning = [number for number in outside if number in self._world.nodes]
            chosen = {random.choice(returning if returning and random.random() < 0.7 else outside)}
            return Membership(current.voters, current.learners | chosen)
        if kind == "drop":
            return Membership(current.voters, current.learners - {random.choice(learners)})
        if kind == "promote":
            chosen = {random.choice(learners)}
            return Membership(current.voters | chosen, current.learners - chosen)
        if kind == "replace":
            chosen, gone = {random.choice(learners)}, {random.choice(voters)}
            return Membership((current.voters | chosen) - gone, current.learners - chosen)
        if kind in ("remove", "demote"):
            gone = {random.choice(voters)}
            return Membership(current.voters - gone, current.learners | (gone if kind == "demote" else set()))
        if kind == "shrink":
            return Membership(current.voters - set(random.sample(voters, 2)), current.learners)
        return None

    def _transfer(self) -> None:
        world = self._world
        world.clock.after(self._random.randint(1, 2 * world.knobs.transfer_gap_ms), self._transfer)
        leader = world.leader() if self.is_on else None
        if leader is not None:
            chosen = self._random.choice([None, *sorted(world.nodes)])
            leader.deliver(TransferLeadership(chosen))

    # ---- what follows from the log ----

    def _keep_replicas(self) -> None:
        """A node has a replica once a committed membership names it, and may drop it once one does not."""
        world, committed = self._world, self._world.ledger.membership
        if committed is None:
            return
        for number in sorted(set(world.knobs.nodes) | set(world.nodes)):
            node = world.nodes.get(number)
            if number in committed.members:
                has_left = node is not None and node.raft is None and node.has_left
                if (node is None or has_left) and number not in self._tombstones:
                    world.note(number, "gets a replica")
                    world.make_replica(number)
            elif node is not None and node.raft is not None and self._random.random() < world.knobs.drop_chance:
                world.note(number, "drops its replica")
                node.leave()

    def settle(self) -> None:
        """Everybody whom the log names has a replica."""
        self._keep_replicas()

    def _meta_moves(self) -> None:
        """Members apply the meta log at different times (rule 3.7)."""
        world, random = self._world, self._random
        world.clock.after(random.randint(1, world.knobs.settings.election_timeout_max_ms), self._meta_moves)
        if not self.is_on or not world.nodes:
            return
        node = world.nodes[random.choice(sorted(world.nodes))]
        before = node.context.meta_last.index if node.context is not None else 0
        last = EntryId(1, before + random.randint(0, 5))
        applied = EntryId(1, random.randint(before, last.index))
        node.context = ContextChanged(last, applied, frozenset(self._tombstones))
        node.deliver(node.context)
