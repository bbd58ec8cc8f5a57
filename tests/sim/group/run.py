"""One seed from its knobs to its verdict, in four phases."""

import gc
from collections.abc import Callable
from dataclasses import dataclass

from iotdb_cluster.errors import LogDiverged
from iotdb_cluster.raft.core import Raft
from iotdb_cluster.types.identity import NodeId
from tests.sim.group.clients import Clients, Operator, write
from tests.sim.group.nemesis import Nemesis
from tests.sim.group.node import Batch
from tests.sim.group.world import GroupWorld, MakeRaft, Violated
from tests.sim.invariants.view import Violation

CONVERGE_TIMEOUTS = 20
"""Within so many maximum election time-outs after all faults a group must be whole again."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a seed; `fault` is None when everything held."""

    seed: int
    fault: str | None
    trace_hash: str
    steps: int
    actions: int
    operations: int
    faults: int
    acked: int
    reads: int
    terms: int


class GroupRun:
    """Faults -> quiet -> all faults off, must converge and serve -> cold restart of all, durability scan."""

    def __init__(self, seed: int, *, make_raft: MakeRaft = Raft, show: Callable[[str], None] | None = None) -> None:
        self.world = GroupWorld(seed, make_raft=make_raft, show=show)
        self._clients = Clients(self.world)
        self._operator = Operator(self.world)
        self._nemesis = Nemesis(self.world)
        self._dead: frozenset[NodeId] = frozenset()

    def run(self) -> Outcome:
        """Run all phases; what does not hold is told, not raised."""
        fault: str | None = None
        was_enabled = gc.isenabled()
        gc.disable()  # a fifth of the time would go into looking for garbage of which there is next to none
        try:
            self._phases()
        except (Violated, LogDiverged) as error:
            fault = f"{type(error).__name__}: {error}"
        finally:
            if was_enabled:
                gc.enable()
        world = self.world
        return Outcome(
            seed=world.seed,
            fault=fault,
            trace_hash=world.trace_hash,
            steps=world.steps,
            actions=world.clock.actions,
            operations=self._clients.operations,
            faults=self._nemesis.faults,
            acked=sum(attempt.is_acked for attempt in world.oracle.attempts),
            reads=world.oracle.reads,
            terms=len(world.ledger.leaders),
        )

    def _phases(self) -> None:
        world = self.world
        election_ms = world.knobs.settings.election_timeout_max_ms
        world.clock.run_until(world.knobs.faulty_ms)
        self._enter("quiet")
        self._clients.is_on = self._operator.is_on = self._nemesis.is_on = False
        world.clock.run_until(world.clock.now_ms + 2 * election_ms)
        self._dead = dead = self._minority()
        self._enter(f"faults off, dead for good: {sorted(dead)}" if dead else "faults off")
        self._nemesis.heal(dead)
        self._operator.settle()
        self._must_converge()
        self._restart_a_follower()
        self._dead = frozenset()
        self._enter("cold restart")
        for node in world.alive:
            world.crash(node.node)
        for number, node in sorted(world.nodes.items()):
            if not node.has_left:
                world.start(number)
        self._must_converge()
        lost = world.oracle.lost()
        if lost:
            world.violated(Violation(25, f"acknowledged, but not in the log: {lost}"))

    def _enter(self, phase: str) -> None:
        self.world.note("--", phase)

    def _minority(self) -> frozenset[NodeId]:
        """In a third of the seeds: nodes without which the group must go on.

        The living hold a majority of the committed membership and of every membership in a log, committed or not: more
        Raft does not promise.
        """
        world, random = self.world, self.world.random_for("dead")
        committed = world.ledger.membership
        if committed is None or random.random() < 2 / 3:
            return frozenset()
        in_logs = {committed}
        for node in world.nodes.values():
            log = node.disk.read_log() if node.raft is None else node.raft.log
            in_logs |= {membership for index, membership in log.memberships if index >= world.ledger.memberships[-1][0]}
        dead: set[NodeId] = set()
        numbers = sorted(world.nodes)
        random.shuffle(numbers)
        if random.random() < 0.5:
            numbers.sort(key=lambda number: world.nodes[number].machine.applied, reverse=True)
        for number in numbers:
            alive = set(world.knobs.nodes) - dead - {number}
            if all(membership.has_quorum(alive) for membership in in_logs):
                dead.add(number)
        return frozenset(dead)

    def _restart_a_follower(self) -> None:
        """In a group in which nothing is written any more, too, a restarted follower learns what is committed."""
        world = self.world
        leader = world.leader()
        followers = [node for node in world.alive if node is not leader]
        if followers:
            follower = world.random_for("restart").choice(followers)
            self._enter(f"restart of {follower.node} alone")
            world.crash(follower.node)
            world.start(follower.node)
            self._must_converge(writes=False)

    def _must_converge(self, *, writes: bool = True) -> None:
        """A leader, equal logs, everything committed, and a new write that gets through (invariant 30).

        The time counts from the last progress: a log that is fetched entry by entry takes as long as it takes.
        """
        world = self.world
        limit_ms = CONVERGE_TIMEOUTS * world.knobs.settings.election_timeout_max_ms
        deadline_ms, reached = world.clock.now_ms + limit_ms, self._reached()
        attempts: list[Batch] = []
        while world.clock.now_ms < deadline_ms:
            world.clock.run_until(world.clock.now_ms + world.knobs.settings.heartbeat_interval_ms)
            self._operator.settle()
            if self._reached() > reached:
                deadline_ms, reached = world.clock.now_ms + limit_ms, self._reached()
            leader = world.leader()
            if leader is None or leader.raft is None or not leader.raft.has_committed_own_term:
                continue
            if not writes or any(batch.attempts[0].is_acked for batch in attempts):
                if self._is_level(leader.raft):
                    return
            elif not attempts or attempts[-1].leader != leader.node or attempts[-1].is_refused:
                attempts.append(write(world, leader))
        world.violated(Violation(30, f"not whole after {limit_ms} ms: {self._positions()}"))

    def _reached(self) -> int:
        """Grows as logs are fetched and memberships committed."""
        members = self.world.ledger.membership
        nodes = [node for node in self.world.alive if members is None or node.node in members.members]
        return sum(node.machine.applied.index for node in nodes)

    def _is_level(self, leader: Raft) -> bool:
        membership = leader.membership
        if membership is None or membership.is_joint or membership != leader.committed_membership:
            return False
        for number in membership.members - self._dead:
            raft = self.world.nodes[number].raft if number in self.world.nodes else None
            if raft is None or raft.last_id != leader.last_id or raft.commit_index != leader.commit_index:
                return False
        return leader.commit_index == leader.last_id.index

    def _positions(self) -> str:
        from tests.sim.words import of_member, of_membership

        committed = of_membership(self.world.ledger.membership)
        return f"[{committed}] " + "; ".join(
            f"{number}: {of_member(node.raft) if node.raft is not None else 'down'}"
            for number, node in sorted(self.world.nodes.items())
        )
