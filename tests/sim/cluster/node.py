"""A simulated node: the production node in a process that can be killed, paused and started again from its disk."""

import heapq
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from iotdb_cluster.errors import ClusterError, Fault
from iotdb_cluster.members.client.service import ClientService
from iotdb_cluster.members.data.member import DataGroupMember
from iotdb_cluster.members.data.service import DataService
from iotdb_cluster.members.endpoint import client_handlers, data_handlers, meta_handlers
from iotdb_cluster.members.life.groups import GroupMaker
from iotdb_cluster.members.meta.member import MetaGroupMember
from iotdb_cluster.members.meta.service import MetaService
from iotdb_cluster.members.moves.settings import MoveSettings
from iotdb_cluster.members.node import ClusterNode
from iotdb_cluster.members.raft_member import RaftMember
from iotdb_cluster.settings import Settings
from iotdb_cluster.storage.settings import JournalSettings
from iotdb_cluster.timeseries.settings import StoreSettings
from iotdb_cluster.types.identity import NodeId
from iotdb_cluster.wire.codec import Codec
from tests.sim.cluster.calls import Caller, Endpoint
from tests.sim.cluster.knobs import Knobs
from tests.sim.cluster.network import Network, Place
from tests.sim.cluster.peers import SimTransport
from tests.sim.cluster.scheduler import MS, Act, Scheduler, Task
from tests.sim.cluster.trace import Trace
from tests.sim.cluster.watch import Watch, WatchedJournal
from tests.sim.disk import SimDisk, SimulatedCrash

TURN_US = 20
"""What a turn takes at least."""


@dataclass(slots=True)
class NodeClock:
    """The node's clock: it drifts, and stands still while the node is frozen together with its clock."""

    scheduler: Scheduler
    drift_ppm: int
    offset_us: int
    ahead_us: int = 0
    """How far the running turn has come since it began."""
    wall_offset_ms: int = 1_600_000_000_000

    def now_us(self) -> int:
        """The node's monotonic time."""
        us = self.scheduler.now_us + self.ahead_us
        return us + us * self.drift_ppm // 1_000_000 + self.offset_us

    def now_ms(self) -> int:
        """The node's monotonic time."""
        us = self.scheduler.now_us + self.ahead_us  # as above: this is asked more often than anything else
        return (us + us * self.drift_ppm // 1_000_000 + self.offset_us) // MS

    def wall_ms(self) -> int:
        """The time of day as the node sees it."""
        return self.scheduler.now_us // MS + self.wall_offset_ms

    def delay_us(self, until_ms: int) -> int:
        """Virtual microseconds until this clock shows a time; at least one, so that it then does."""
        left_us = until_ms * MS - self.now_us()
        return max(1, left_us - left_us * self.drift_ppm // 1_000_000 + 1)


@dataclass(slots=True)
class Hardware:
    """What all nodes of a world share."""

    scheduler: Scheduler
    network: Network
    trace: Trace
    codec: Codec
    watch: Watch
    knobs: Knobs
    seed: str
    fault: Callable[[str], None]
    find: Callable[[str], "SimNode | None"]
    nodes: list["SimNode"] = field(default_factory=list)


class SimClusterNode(ClusterNode):
    """The production node, with memory tables so small that they fill up within a seed."""

    memtable_limit_bytes = 1 << 20
    attach: Callable[[RaftMember], None]

    def _become(self, identifier: NodeId) -> None:
        super()._become(identifier)
        journal = self.context.runtime.journal
        assert isinstance(journal, WatchedJournal)
        journal.become(identifier)

    def _set_meta(self, member: MetaGroupMember) -> None:
        self.attach(member)
        super()._set_meta(member)

    def _add(self, member: DataGroupMember) -> None:
        self.attach(member)
        super()._add(member)

    def _maker(self) -> GroupMaker:
        made = super()._maker()
        limit = self.memtable_limit_bytes

        class SmallGroups(GroupMaker):
            def _store_settings(self) -> StoreSettings:
                return replace(super()._store_settings(), memtable_limit_bytes=limit)

        return SmallGroups(**{name: getattr(made, name) for name in GroupMaker.__dataclass_fields__})


class _Greeted:
    """Lets the transport introduce the node, which is made after it."""

    node: ClusterNode


class Process:
    """One incarnation of a node."""

    def __init__(self, owner: "SimNode", settings: Settings) -> None:
        hardware = owner.hardware
        greeted = _Greeted()
        self.caller = Caller(owner, hardware.network, hardware.codec, hardware.find)
        self.transport = SimTransport(self.caller, lambda: greeted.node.introductions)
        self.node = SimClusterNode(
            settings=settings,
            disk=owner.disk,
            clock=owner.clock,
            transport=self.transport,
            draw=owner.draws.randint,
            submit=owner.submit,
            wake=owner.wake,
            removed=owner.was_removed,
            moves=owner.moves,
        )
        self.node.memtable_limit_bytes = hardware.knobs.memtable_limit_bytes
        greeted.node = self.node
        runtime = self.node.context.runtime
        journal = WatchedJournal(
            owner.disk, settings=JournalSettings(segment_max_bytes=hardware.knobs.segment_max_bytes)
        )
        journal.watch = hardware.watch
        journal.same_disk, owner.has_other_disk = not owner.has_other_disk, False
        runtime.journal = journal
        incarnation = owner.incarnation
        self.node.attach = lambda member: hardware.watch.attach(member, incarnation)
        self.endpoints = {
            settings.local_meta_port: Endpoint(
                owner, "MetaExtension", meta_handlers(MetaService(self.node)), hardware.codec, owner.failed
            ),
            settings.local_data_port: Endpoint(
                owner, "DataExtension", data_handlers(DataService(self.node)), hardware.codec, owner.failed
            ),
            settings.local_client_port: Endpoint(
                owner, "TSIService", client_handlers(ClientService(self.node)), hardware.codec, owner.failed
            ),
        }


class SimNode:
    """A machine with one node on it: a place on the network, a disk that outlives the process, a clock."""

    def __init__(self, number: int, settings: Settings, hardware: Hardware) -> None:
        self.number = number
        self.place: Place = f"n{number}"
        self.host = settings.local_ip
        self.hardware = hardware
        self.settings = settings
        knobs = hardware.knobs
        index = number - 1
        self.disk = SimDisk(Random(f"{hardware.seed}/disk/{number}"))
        self.disk.on_sync = self.syncing
        self.draws = Random(f"{hardware.seed}/draw/{number}")
        self._pace = Random(f"{hardware.seed}/pace/{number}")
        offset_us = Random(f"{hardware.seed}/clock/{number}").randint(0, 10**9) * MS
        self.clock = NodeClock(hardware.scheduler, knobs.drift_ppm[index], offset_us)
        self.sync_us = knobs.sync_us[index]
        self.disk_factor = 1
        self.incarnation = 0
        self.process: Process | None = None
        self.is_dark = False
        self.is_paused = False
        self.starts = 0
        self.stops_by_fault = 0
        self.has_other_disk = False
        self.may_be_refused = False
        """The cluster has reasons not to take this node back."""
        self.refusal: str | None = None
        self.joins = False
        self.moves: MoveSettings | None = None
        """Its next start asks to be added to the cluster."""
        self.may_be_removed = False
        self.is_removed = False
        """It knows that it was removed: its folder is never started again."""
        self._starts_again = False
        self.may_fail = 0
        """Faults of its own disk that were ordered and not met yet."""
        self._deferred: list[Act] = []
        self._tasks: dict[Task, None] = {}
        self._background: deque[Act] = deque()
        self._busy_until_us = 0
        self._turn_at_us: int | None = None
        self._armed: list[int] = []
        self._in_turn = False
        self._frozen_at_us: int | None = None

    # -- an actor, and a target of calls -------------------------------------------------------------------------------

    @property
    def is_alive(self) -> bool:
        return self.process is not None

    @property
    def tasks(self) -> frozenset[Task]:
        """Coroutines under way: calls that are being served, and what the node does of its own."""
        return frozenset(self._tasks)

    @property
    def node(self) -> ClusterNode:
        """The production node; only of one that is alive."""
        assert self.process is not None
        return self.process.node

    def endpoint(self, port: int) -> Endpoint | None:
        return self.process.endpoints.get(port) if self.process is not None else None

    def soon(self, act: Act) -> None:
        self.in_us(0, act)

    def now(self, act: Act) -> None:
        """Run at once; for what comes from outside and stands in nothing else of this node."""
        self._run(self.incarnation, act)

    def in_us(self, delay_us: int, act: Act) -> None:
        """Run in so many microseconds, unless the process is another one by then."""
        incarnation = self.incarnation
        self.hardware.scheduler.after(delay_us, lambda: self._run(incarnation, act))

    def in_ms(self, delay_ms: int, act: Act) -> None:
        self.at_ms(self.clock.now_ms() + delay_ms, act)

    def at_ms(self, at_ms: int, act: Act) -> None:
        self.in_us(self.clock.delay_us(at_ms), act)

    def run(self, coroutine: Coroutine[Any, None, Any], on_done: Callable[[Any, Exception | None], None]) -> None:
        def done(value: Any, error: Exception | None) -> None:
            self._tasks.pop(task, None)
            on_done(value, error)

        task = Task(coroutine, self.soon, self.at_ms, done)
        self._tasks[task] = None
        task.start()

    def _run(self, incarnation: int, act: Act) -> None:
        """Everything that happens in the process happens in here."""
        if incarnation != self.incarnation or self.process is None:
            return
        if self.is_paused:
            self._deferred.append(act)
            return
        try:
            act()
        except SimulatedCrash as point:
            self.hardware.trace.note(self.place, "loses its power at", point)
            self.crash(power_loss=True)
        except Fault as fault:
            self.failed(fault)

    # -- the runtime's thread and the background -----------------------------------------------------------------------

    def wake(self) -> None:
        """Something waits for the runtime."""
        if self.process is not None:
            self._turn_in(self.hardware.knobs.turn_us)

    def _turn_in(self, delay_us: int) -> None:
        """Take a turn in so many microseconds, or earlier where that is due already."""
        at_us = max(self.hardware.scheduler.now_us + delay_us, self._busy_until_us)
        if self._turn_at_us is None or at_us < self._turn_at_us:
            self._turn_at_us = at_us
            self._arm(at_us)

    def _arm(self, at_us: int) -> None:
        """Make sure that something happens at this time at the latest; what happens earlier arms anew."""
        if not self._armed or at_us < self._armed[0]:
            heapq.heappush(self._armed, at_us)
            self.in_us(at_us - self.hardware.scheduler.now_us, self._alarm)

    def _alarm(self) -> None:
        now_us = self.hardware.scheduler.now_us
        while self._armed and self._armed[0] <= now_us:
            heapq.heappop(self._armed)
        if self._turn_at_us is None:
            return
        if self._turn_at_us <= now_us:
            self._turn()
        else:
            self._arm(self._turn_at_us)

    def _turn(self) -> None:
        self._turn_at_us = None
        self._in_turn = True
        due_ms = self.node.turn()
        self._in_turn = False
        if len(self.node.readers) > self.settings.read_open_max_count:
            self.hardware.fault(f"31: {len(self.node.readers)} readers are open on {self.place}")
        self._busy_until_us = self.hardware.scheduler.now_us + self.clock.ahead_us + TURN_US
        self._set_ahead(0)
        if due_ms <= 0:
            self._turn_in(0)
        else:
            self._turn_in(self.clock.delay_us(self.clock.now_ms() + min(due_ms, 1_000)))

    def syncing(self, path: str, size: int) -> None:
        """A sync takes time: in the runtime's thread everything behind it comes later."""
        if self._in_turn:
            cost_us = self.sync_us * self.disk_factor
            self._set_ahead(self.clock.ahead_us + self._pace.randint(cost_us // 2, cost_us + size // 100))

    def _set_ahead(self, us: int) -> None:
        self.clock.ahead_us = us
        self.hardware.network.busy_us[self.place] = us

    def submit(self, work: Act, *, is_urgent: bool = False) -> None:
        """Run work in the background, some time later, one piece after the other."""
        self._background.append(work)
        if len(self._background) == 1:
            self._next_in_background()

    def _next_in_background(self) -> None:
        def next_one() -> None:
            self._background[0]()
            self._background.popleft()
            if self._background:
                self._next_in_background()

        self.in_us(self._pace.randint(100, 50 * MS), next_one)

    # -- life ----------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        if self.process is not None or self.is_removed:
            self._starts_again = self.process is not None and self.node.is_stopping
            return
        self._starts_again = False
        self.is_dark = False
        self.starts += 1
        self.hardware.trace.note(self.place, "starts")
        process = Process(self, self.settings)
        self.process = process
        self._busy_until_us = 0
        try:
            process.node.open(joins=self.joins)
        except SimulatedCrash as point:
            self.hardware.trace.note(self.place, "loses its power at", point)
            self.crash(power_loss=True)
            return
        except ClusterError as error:
            self._end(is_dark=False)
            self.refusal = str(error)
            if not self.may_be_refused:
                self._after_fault(f"{self.place} does not start: {error}")
            return
        self.run(process.node.live(), self._live_ended)
        if self.moves is not None:
            self.run(process.node.move_slots(), self._moves_ended)
        self.wake()

    def _moves_ended(self, _: Any, error: Exception | None) -> None:
        if isinstance(error, Fault):
            self.failed(error)
        elif error is not None:
            raise error

    def _live_ended(self, _: Any, error: Exception | None) -> None:
        if error is None:
            return
        self.refusal = str(error)
        self.hardware.trace.note(self.place, "ends:", error)
        self._end(is_dark=False)
        if not self.may_be_refused:
            self.hardware.fault(f"{self.place} has no place in the cluster: {error}")

    def crash(self, *, power_loss: bool) -> None:
        if self.process is None:
            if power_loss:
                self.disk.crash(power_loss=True)
            return
        self.hardware.trace.note(self.place, "crashes", "without power" if power_loss else "")
        self._end(is_dark=power_loss)
        self.disk.crash(power_loss=power_loss)

    def stop_politely(self) -> None:
        """What SIGTERM comes to: others lead, then the log is synced and closed."""
        if self.process is None or self.is_paused or self.node.is_stopping:
            return
        self.hardware.trace.note(self.place, "hands over")
        self.run(self.node.hand_over(), lambda *_: self._stop())

    def was_removed(self, why: str) -> None:
        """The cluster told the node to go; its process ends."""
        if not self.may_be_removed:
            self.hardware.fault(f"{self.place} was told to go: {why}")
        self.is_removed = True
        self.soon(self._stop)

    def _stop(self) -> None:
        self.hardware.trace.note(self.place, "stops")
        try:
            self.node.close()
        except SimulatedCrash:
            self.crash(power_loss=True)
            return
        except Fault as fault:
            self.failed(fault)
            return
        self._end(is_dark=False)
        self.disk.crash(power_loss=False)
        if self._starts_again:
            self.start()

    def failed(self, fault: Fault) -> None:
        """The node stops itself."""
        self.hardware.trace.note(self.place, "stops itself:", fault)
        self._end(is_dark=False)
        # The file system is left as a failing disk leaves it: what was not synced may be gone.
        self.disk.crash(power_loss=True)
        self._after_fault(f"{self.place} stopped itself: {fault}")

    def _after_fault(self, text: str) -> None:
        self.stops_by_fault += 1
        if self.may_fail <= 0:
            self.hardware.fault(text)
        self.may_fail -= 1

    def _end(self, *, is_dark: bool) -> None:
        self.process = None
        self.incarnation += 1
        self.is_dark = is_dark
        self.is_paused = False
        self._deferred.clear()
        self._background.clear()
        self._armed.clear()
        self._turn_at_us = None
        self._in_turn = False
        self.hardware.network.crashed_us[self.place] = self.hardware.scheduler.now_us + self.clock.ahead_us
        self._set_ahead(0)
        tasks, self._tasks = self._tasks, {}
        for task in tasks:
            task.close()

    def pause(self) -> None:
        if self.process is None or self.is_paused:
            return
        self.hardware.trace.note(self.place, "stands still")
        self.is_paused = True
        self._frozen_at_us = self.hardware.scheduler.now_us if self._pace.random() < 0.3 else None

    def resume(self) -> None:
        if not self.is_paused:
            return
        self.hardware.trace.note(self.place, "goes on")
        self.is_paused = False
        if self._frozen_at_us is not None:  # the machine stood still, its clock included
            self.clock.offset_us -= self.hardware.scheduler.now_us - self._frozen_at_us
        deferred, self._deferred = self._deferred, []
        for act in deferred:
            self.soon(act)

    def set_time_of_day(self, by_ms: int) -> None:
        self.clock.wall_offset_ms += by_ms

    # -- its disk ------------------------------------------------------------------------------------------------------

    def crash_at_step(self, steps: int) -> None:
        if self.process is not None:
            self.disk.crash_at(steps)

    def refuse_next_sync(self) -> None:
        if self.process is not None:
            self.may_fail += 1
            self.disk.refuse_next("sync")

    def slow_disk(self, factor: int) -> None:
        self.disk_factor = factor

    def fill_disk(self) -> None:
        self.disk.capacity_bytes = self.disk.used_bytes + (1 << 20)

    def empty_disk(self) -> None:
        self.disk.capacity_bytes = 1 << 40
