"""A cluster, its clients and its nemesis, made of one seed; every phase of a run is a method."""

import gc
import logging
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from random import Random

import structlog

from iotdb_cluster.members.data.member import DataGroupMember
from iotdb_cluster.members.meta.member import MetaGroupMember
from iotdb_cluster.members.tidying import LOOK_MS
from iotdb_cluster.partition.slots import slot_of
from iotdb_cluster.settings import MIB, Settings
from iotdb_cluster.types.identity import META_GROUP, GroupId, Node
from iotdb_cluster.wire.codec import Codec
from iotdb_cluster.wire.limits import Limits
from tests.sim.cluster.calls import Caller
from tests.sim.cluster.clients import TYPES, Client, Space, Surroundings
from tests.sim.cluster.knobs import FIGHT_TIMEOUTS, Knobs, draw_knobs
from tests.sim.cluster.move_watch import orphans
from tests.sim.cluster.nemesis import Battlefield, Nemesis, Victim, faults_for
from tests.sim.cluster.network import Network, Weather
from tests.sim.cluster.node import Hardware, SimNode
from tests.sim.cluster.oracle import Fate, Oracle
from tests.sim.cluster.scheduler import MS, Scheduler
from tests.sim.cluster.trace import Trace
from tests.sim.cluster.watch import Watch
from tests.sim.cluster.witness import Witness

READER_IDLE_TIMEOUTS = 3
"""A reader that is idle for so many election time-outs is closed."""

MOST_OPEN_FILES = 1
"""What a node has open for writing when nobody calls: the last segment of its log."""

MOST_IDLE_TASKS = 2
"""What a node does of its own when nobody calls: minding its life, and bringing slots here."""

CONVERGE_TIMEOUTS = 20
"""Within so many election time-outs a cluster without faults has to serve (invariant 30)."""


@cache
def shared_codec() -> Codec:
    """It holds no state, and takes long to make."""
    return Codec(Limits(frame_bytes=16 * MIB, elements=100_000))


class Violated(Exception):
    """Something happened that must never happen."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a seed came to."""

    seed: str
    digest: str
    fault: str | None
    virtual_ms: int
    elections: int
    faults: int
    operations: int
    acked: int
    unknown: int
    readings: int
    messages: int
    lines: tuple[str, ...] = ()

    def line(self) -> str:
        """For people."""
        return (
            f"seed {self.seed}: {self.virtual_ms / 1000:.0f} s, {self.elections} elections, {self.faults} faults, "
            f"{self.operations} operations ({self.acked} acknowledged, {self.unknown} unknown), "
            f"{self.readings} readings, {self.messages} messages, {self.digest[:8]}"
        )


class World:
    """Everything of one seed. `run` goes through all phases and raises `Violated`."""

    def __init__(
        self, seed: str, show: Callable[[str], None] | None = None, adjust: Callable[[Knobs], Knobs] | None = None
    ) -> None:
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
        self.seed = seed
        knobs = draw_knobs(Random(f"{seed}/knobs"))
        self.knobs = adjust(knobs) if adjust else knobs
        self.scheduler = Scheduler()
        self.trace = Trace(self.scheduler, show)
        self.network = Network(
            self.scheduler, Random(f"{seed}/network"), self.trace, weather=replace(self.knobs.weather)
        )
        self.watch = Watch(self.violated, lambda what: self.trace.note("group", what))
        self._violations: list[str] = []
        self.hosts = tuple(f"10.0.0.{number}" for number in range(1, self.knobs.nodes + 1))
        codec = shared_codec()
        self.hardware = Hardware(
            self.scheduler, self.network, self.trace, codec, self.watch, self.knobs, seed, self.violated, self.at
        )
        self.nodes = [
            SimNode(number, self._settings(number), self.hardware) for number in range(1, len(self.hosts) + 1)
        ]
        self.space = self._space(Random(f"{seed}/space"))
        self.oracle = Oracle()
        self.clients = self._clients(codec)
        self.nemesis = Nemesis(self._battlefield(), faults_for(self.knobs.nodes, Random(f"{seed}/mix")))
        self._pace = Random(f"{seed}/pace")
        self._operations = 0
        self._busy_clients = 0
        self._fight_began_ms = 0

    # -- making --------------------------------------------------------------------------------------------------------

    def _settings(self, number: int) -> Settings:
        knobs = self.knobs
        return Settings(
            local_ip=self.hosts[number - 1],
            seed_nodes=",".join(f"{host}:9003:40010" for host in self.hosts),
            replica_num=knobs.replica_num,
            heartbeat_interval_ms=knobs.heartbeat_interval_ms,
            election_timeout_min_ms=knobs.election_timeout_min_ms,
            election_timeout_max_ms=knobs.election_timeout_max_ms,
            leader_stall_timeout_ms=knobs.leader_stall_timeout_ms,
            transfer_timeout_ms=knobs.election_timeout_max_ms,
            raft_call_timeout_ms=knobs.election_timeout_max_ms,
            connection_time_out_ms=2 * knobs.election_timeout_max_ms,
            snapshot_timeout_ms=4 * knobs.election_timeout_max_ms,
            write_deadline_ms=knobs.write_deadline_ms,
            append_max_entries=knobs.append_max_entries,
            append_max_bytes=knobs.append_max_bytes,
            inflight_appends_max=knobs.inflight_appends_max,
            log_keep_entries=knobs.log_keep_entries,
            disk_reserve_mb=2,
            reader_idle_ms=READER_IDLE_TIMEOUTS * knobs.election_timeout_max_ms,
            fetch_size=3,
        )

    def _space(self, random: Random) -> Space:
        return Space(
            storage_groups=tuple(f"root.sg{number}" for number in random.sample(range(100), self.knobs.storage_groups)),
            measurements=tuple((f"s{number}", random.choice(TYPES)) for number in range(self.knobs.series)),
            times=tuple(sorted(random.sample(range(-5, 100), self.knobs.times))),
        )

    def _clients(self, codec: Codec) -> list[Client]:
        around = Surroundings(
            self.scheduler,
            self.trace,
            self.oracle,
            self.space,
            self.violated,
            lambda: self.hosts,
            self.members_of,
            call_timeout_ms=3 * self.knobs.write_deadline_ms,
        )

        def connect(client: Client) -> Caller:
            return Caller(client, self.network, codec, self.at)

        return [
            Client(f"c{number}", around, Random(f"{self.seed}/client/{number}"), connect)
            for number in range(1, self.knobs.clients + 1)
        ]

    def _battlefield(self) -> Battlefield:
        return Battlefield(
            self.scheduler,
            Random(f"{self.seed}/nemesis"),
            self.network,
            self.trace,
            self.nodes,
            self._leading_nodes,
            self.knobs.election_timeout_max_ms,
        )

    # -- looking -------------------------------------------------------------------------------------------------------

    def violated(self, what: str) -> None:
        """An invariant does not hold; the run ends after the present action."""
        self._violations.append(what)
        self.scheduler.is_halted = True
        self.trace.note("VIOLATED", what)

    def at(self, host: str) -> SimNode | None:
        """The node at an address."""
        number = int(host.rsplit(".", 1)[1])
        return self.nodes[number - 1] if number <= len(self.nodes) else None

    def members_of(self, storage_group: str) -> tuple[Node, Sequence[Node]] | None:
        """Header and members of a storage group's data group, as soon as any node knows the table."""
        for node in self.nodes:
            if node.is_alive and node.node.state.table is not None:
                table = node.node.state.table
                header = table.header_of(slot_of(storage_group, table.slot_count))
                return table.node(header), table.group_of(header)
        return None

    def members(self) -> list[tuple[SimNode, MetaGroupMember | DataGroupMember]]:
        """Every member of every group on a living node."""
        found: list[tuple[SimNode, MetaGroupMember | DataGroupMember]] = []
        for node in self.nodes:
            if node.is_alive:
                if node.node.meta is not None:
                    found.append((node, node.node.meta))
                found += [(node, member) for member in node.node.data_members]
        return found

    def _leading_nodes(self) -> Sequence[Victim]:
        return [node for node in self.nodes if any(n is node and m.raft.is_leader for n, m in self.members())]

    @property
    def short_ms(self) -> int:
        """The longest election time-out."""
        return self.knobs.election_timeout_max_ms

    # -- time ----------------------------------------------------------------------------------------------------------

    def run_ms(self, duration_ms: int) -> None:
        """Let time pass."""
        self._run(self.scheduler.now_us + duration_ms * MS)

    def run_until(self, holds: Callable[[], str | None], limit_ms: int, what: str) -> None:
        """Let time pass until `holds` has nothing to object to; its last objection is a violation at the limit."""
        ends_us = self.scheduler.now_us + limit_ms * MS
        step_us = max(1, self.knobs.heartbeat_interval_ms * MS // 2)
        while (objection := holds()) is not None:
            if self.scheduler.now_us >= ends_us:
                self.violated(f"{what} after {limit_ms} ms: {objection}")
                raise Violated(self._violations[0])
            self._run(self.scheduler.now_us + step_us)

    def _run(self, until_us: int, stop: Callable[[], bool] | None = None) -> None:
        self.scheduler.run_until(until_us, stop)
        if self._violations:
            raise Violated(self._violations[0])

    # -- phases --------------------------------------------------------------------------------------------------------

    def run(self) -> Result:
        """All phases; the result names the violation, if any."""
        was_enabled = gc.isenabled()
        gc.disable()
        fault: str | None = None
        try:
            for phase in self._phases:
                self.trace.note("world", phase.__name__)
                phase()
            if self._violations:
                raise Violated(self._violations[0])
        except Violated as violated:
            fault = str(violated)
        except Exception:  # noqa: BLE001 - whatever production code raises and nobody expects is a finding
            fault = "".join(traceback.format_exc().splitlines(keepends=True)[-7:])
        finally:
            if was_enabled:
                gc.enable()
        return self.result(fault)

    @property
    def _phases(self) -> Sequence[Callable[[], None]]:
        return (
            self.begin,
            self.fight,
            self.calm_down,
            self.converge,
            self.rest,
            self.serve,
            self.restart_cold,
            self.judge,
        )

    def result(self, fault: str | None) -> Result:
        """What it came to so far."""
        return Result(
            seed=self.seed,
            digest=self.trace.digest,
            fault=fault,
            virtual_ms=self.scheduler.now_us // MS,
            elections=self.watch.elections,
            faults=self.nemesis.begun,
            operations=self._operations,
            acked=self.oracle.count(Fate.ACKED),
            unknown=self.oracle.count(Fate.UNKNOWN),
            readings=len(self.oracle.readings),
            messages=self.network.carried,
            lines=tuple(self.trace.last),
        )

    def begin(self) -> None:
        """The first boot; sometimes not undisturbed."""
        self.trace.note("world", "begins", self.knobs)
        for node in self.nodes:
            self.scheduler.after(self._pace.randint(0, self.short_ms) * MS, node.start)
        if self._pace.random() < 0.3:
            victim = self._pace.choice(self.nodes)
            self.scheduler.after(
                self._pace.randint(0, 3 * self.short_ms) * MS, lambda: self._disturb(victim, self._pace.randint(1, 20))
            )
        self.run_until(self._objection_to_founding, 400 * self.short_ms, "the cluster is not founded")

    def _disturb(self, victim: SimNode, steps: int) -> None:
        victim.crash_at_step(steps)
        self.scheduler.after(2 * self.short_ms * MS, victim.start)

    def _objection_to_founding(self) -> str | None:
        for node in self.nodes:
            if not node.is_alive or node.node.state.table is None:
                return f"{node.place} does not know the table"
        return None

    def fight(self) -> None:
        """Clients at work and faults one after the other."""
        self._busy_clients = len(self.clients)
        is_over = [False]
        for client in self.clients:
            client.run(self._work(client, lambda: is_over[0]), self._client_done)
        began_us = self.scheduler.now_us
        self._fight_began_ms = began_us // MS
        least_us = FIGHT_TIMEOUTS * self.short_ms * MS

        def enough() -> bool:
            passed = self.scheduler.now_us - began_us >= least_us
            return passed and self._operations >= self.knobs.operations and self.nemesis.begun >= self.knobs.faults

        while not enough():
            gap_ms = self._pace.randint(1, 2 * self.knobs.fault_gap_ms)
            self._run(self.scheduler.now_us + gap_ms * MS, enough)
            if not enough() and self.nemesis.begun < self.knobs.faults:
                self.nemesis.strike()
        is_over[0] = True

    def calm_down(self) -> None:
        """Clients end what they are at while the faults go on; then all faults end."""
        self.run_until(
            lambda: f"{self._busy_clients} clients wait" if self._busy_clients else None,
            40 * self.short_ms + 10 * self.knobs.write_deadline_ms,
            "calls are not answered",
        )
        self.nemesis.give_up()
        self.network.weather = Weather()
        for node in self.nodes:
            node.resume()
            node.slow_disk(1)
            node.empty_disk()
            node.disk.forget_troubles()
            node.may_fail = 0
            node.start()

    def converge(self) -> None:
        """One leader in each group, all logs and tables equal, nothing waits (invariant 30)."""
        self.run_until(self._objection, CONVERGE_TIMEOUTS * self.short_ms, "without faults it does not converge")

    def rest(self) -> None:
        """Nothing but heartbeats goes round, and what was left behind is cleared away (invariant 31)."""
        beats = 10
        # Clocks drift, and a node looks for idle readers now and then only.
        self.run_ms(READER_IDLE_TIMEOUTS * self.short_ms * 21 // 20 + 2 * LOOK_MS)
        before = self.network.carried
        tasks = {node.place: node.tasks for node in self.nodes}
        self.run_ms(beats * self.knobs.heartbeat_interval_ms)
        links = sum(len(member.raft.progress) for _, member in self.members())
        carried = self.network.carried - before
        # A call and its answer for each heartbeat; a clock may go faster, and a beat more may fall into the time. Who
        # was removed and does not answer is told so a few times more.
        if carried > 2 * links * (beats + 2) + 2 * len(self.nodes):
            self.violated(f"31: {carried} messages in {beats} heartbeats over {links} links without anything to do")
        for node in self.nodes:
            # Those that have come since are heartbeats on their way.
            left = len(tasks[node.place] & node.tasks)
            if left > MOST_IDLE_TASKS:
                self.violated(f"31: {left} calls are still being served by {node.place} without any caller")
            if node.is_alive and len(node.node.readers) > 0:
                self.violated(f"31: {len(node.node.readers)} readers are open on {node.place}, all are idle for long")
            if node.is_alive and len(node.disk.open_files) > MOST_OPEN_FILES:
                self.violated(f"30: {node.place} has {sorted(node.disk.open_files.values())} open for writing")
            if node.is_alive and (left_behind := orphans(node.disk, node.node.data_members)):
                self.violated(f"23: {node.place} has files of nobody: {left_behind}")

    def serve(self) -> None:
        """New writes are accepted everywhere, and every member answers reads."""
        client = self.clients[0]
        problems: list[str] = []

        async def work() -> None:
            taken = 0
            for _ in range(5 + len(self.nodes) ** 2):
                attempt = await client.insert_row()
                # A connection to a machine that lost its power is found dead by its next use only: once each.
                taken += attempt is not None and attempt.fate is Fate.ACKED
                if taken == 5:
                    break
            else:
                problems.append(f"writes are not taken, the last one is {attempt}")
            await self._scan(client, problems)
            for node in self.nodes:
                if node.is_alive and len(node.node.readers) > 0:
                    problems.append(
                        f"31: {len(node.node.readers)} readers are open on {node.place}, all were ended or idle"
                    )

        self._finish(client, work, problems)

    def restart_cold(self) -> None:
        """The power goes everywhere; afterwards everything acknowledged is there (invariant 25)."""
        for node in self.nodes:
            node.crash(power_loss=True)
        for node in self.nodes:
            self.scheduler.after(self._pace.randint(0, self.short_ms) * MS, node.start)
        self.run_ms(self.short_ms)
        self.converge()
        client = self.clients[0]
        problems: list[str] = []
        self._finish(client, lambda: self._scan(client, problems), problems)

    def judge(self) -> None:
        """What only the whole history tells."""
        witness = self._witness()
        for fault in (*witness.faults, *self.oracle.faults_of_histories()):
            self.violated(fault)

    # -- parts of phases -----------------------------------------------------------------------------------------------

    async def _work(self, client: Client, is_over: Callable[[], bool]) -> None:
        operations = [
            (client.insert_row, 8), (client.insert_batch, 4), (client.delete, 2), (client.delete_by_pattern, 1),
            (client.read_series, 6), (client.read_from, 2), (client.read_at, 2), (client.insert_rows, 2),
        ]  # fmt: skip
        choices, weights = [op for op, _ in operations], [weight for _, weight in operations]
        while not is_over():
            await client.random.choices(choices, weights)[0]()
            self._operations += 1
            await client.sleep(client.random.randint(0, self._longest_pause_ms()))

    def _longest_pause_ms(self) -> int:
        """Spread the operations over the time that the faults take; who is behind hurries."""
        knobs = self.knobs
        expected_ms = FIGHT_TIMEOUTS * self.short_ms
        passed_ms = self.scheduler.now_us // MS - self._fight_began_ms
        if self._operations * expected_ms < knobs.operations * passed_ms:
            return min(knobs.client_pause_ms, 50)
        return 2 * expected_ms * knobs.clients // knobs.operations

    def _client_done(self, _: object, error: Exception | None) -> None:
        if error is not None:
            raise error
        self._busy_clients -= 1

    def _finish(self, client: Client, work: Callable[[], object], problems: list[str]) -> None:
        over: list[object] = []

        def done(value: object, error: Exception | None) -> None:
            if error is not None:
                raise error
            over.append(value)

        client.hang_up()
        client.run(work(), done)  # type: ignore[arg-type]
        self.run_until(lambda: None if over else "a call hangs", 100 * self.short_ms, "calls without faults")
        for problem in problems:
            self.violated(problem)
        if self._violations:
            raise Violated(self._violations[0])

    async def _scan(self, client: Client, problems: list[str]) -> None:
        """Read every series at every member of its group and compare with what the logs say."""
        witness = self._witness()
        for series, _ in self.space.series:
            expected = {
                time: witness.content[series, time] for time in self.space.times if (series, time) in witness.content
            }
            found = self.members_of(self.space.storage_group_of(series))
            assert found is not None
            for member in found[1]:
                reading = await client.read_series(member.ip, series)
                if reading is None:
                    problems.append(f"{series} can't be read at {member.ip}")
                elif reading.values != expected:
                    problems.append(f"{series} at {member.ip} reads {dict(reading.values)}, the logs say {expected}")

    def _witness(self) -> Witness:
        founding = next(node.node.state.founding for node in self.nodes if node.is_alive and node.node.state.founding)
        witness = Witness(self.space, self.oracle, founding.table)
        witness.hear(self.watch.groups)
        return witness

    def _objection(self) -> str | None:
        """Why the cluster is not yet as it should be without faults; None when it is."""
        by_group: dict[GroupId, list[tuple[SimNode, MetaGroupMember | DataGroupMember]]] = {}
        for node in self.nodes:
            if not node.is_alive:
                return f"{node.place} is not alive"
            assert node.process is not None
            if node.node.state.start_of(node.node.me.identifier) != node.node.identity.start:
                return f"the start of {node.place} is not known"
            if node.node.context.runtime.backlog or node.process.transport.backlog:
                return f"{node.place} has something waiting"
        for node, member in self.members():
            by_group.setdefault(member.group, []).append((node, member))
        table = self.nodes[0].node.state.table
        assert table is not None
        if set(by_group) != {META_GROUP, *map(GroupId, table.headers)}:
            return f"groups {sorted(by_group)}"
        for group in sorted(by_group):
            objection = self._objection_to_group(group, by_group[group])
            if objection is not None:
                return f"group {'meta' if group == META_GROUP else group}: {objection}"
        states = {node.node.state.to_snapshot() for node in self.nodes}
        return None if len(states) == 1 else "the meta states differ"

    def _objection_to_group(
        self, group: GroupId, members: list[tuple[SimNode, MetaGroupMember | DataGroupMember]]
    ) -> str | None:
        leaders = [node.place for node, member in members if member.raft.is_leader]
        if len(leaders) != 1:
            return f"leaders {leaders}"
        positions = {(m.raft.last_id, m.raft.commit_index, m.applied) for _, m in members}
        if len(positions) != 1:
            return f"positions {sorted(positions)}"
        ((last, commit, applied),) = positions
        if not last.index == commit == applied.index:
            return f"last {last}, committed {commit}, applied {applied}"
        wanted = self.knobs.nodes if group == META_GROUP else min(self.knobs.replica_num, self.knobs.nodes)
        return None if len(members) == wanted else f"{len(members)} members"


def run_seed(seed: str, show: Callable[[str], None] | None = None) -> Result:
    """Run one seed from its beginning to its judgement."""
    return World(seed, show).run()
