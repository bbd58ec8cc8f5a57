"""The simulated `Transport`: lanes that keep their order, each a connection that begins with `hello`."""

from collections import deque
from collections.abc import Callable
from typing import Any

from iotdb_cluster.errors import Unreachable
from iotdb_cluster.members.life.introductions import Introductions
from iotdb_cluster.members.pending import Pending
from iotdb_cluster.members.transport import Invocation, Lane, Port
from iotdb_cluster.types.identity import Node
from tests.sim.cluster.calls import Caller, Connection, OnDone

SERVICES = {Port.META: "MetaExtension", Port.DATA: "DataExtension"}

_Build = Callable[[], Invocation]
_Job = tuple[_Build, int, OnDone]


class SimTransport:
    """Calls of one node to others."""

    def __init__(self, caller: Caller, introductions: Callable[[], Introductions]) -> None:
        self._caller = caller
        self._introductions = introductions
        self._lanes: dict[tuple[Node, Port, tuple[Lane, int]], _LaneQueue] = {}
        self._free: dict[tuple[Node, Port], list[Connection]] = {}
        self.refusals = 0

    def send(
        self,
        to: Node,
        port: Port,
        lane: tuple[Lane, int],
        build: _Build,
        timeout_ms: int,
        on_done: OnDone,
    ) -> None:
        """Queue a call on its lane."""
        key = (to, port, lane)
        queue = self._lanes.get(key)
        if queue is None:
            queue = self._lanes[key] = _LaneQueue(self, to, port)
        queue.add((build, timeout_ms, on_done))

    def call(self, to: Node, port: Port, method: str, arguments: tuple[Any, ...], timeout_ms: int) -> Pending[Any]:
        """Call over a connection of its own, kept for the next one when all went well."""
        pending: Pending[Any] = Pending()
        free = self._free.setdefault((to, port), [])
        connection = free.pop() if free else self.connect(to, port)

        def done(result: Any) -> None:
            if not connection.is_broken:
                free.append(connection)
            if isinstance(result, Exception):
                pending.fail(result)
            else:
                pending.resolve(result)

        self.introduced(connection, to, lambda: (method, arguments), timeout_ms, done)
        return pending

    def introduce(self, ip: str, meta_port: int, timeout_ms: int) -> Pending[Any]:
        """Say `hello` to whoever answers on a meta port."""
        pending: Pending[Any] = Pending()
        connection = self._caller.connect(ip, meta_port, SERVICES[Port.META])

        def done(answer: Any) -> None:
            connection.close()
            if isinstance(answer, Exception):
                pending.fail(Unreachable(f"{ip}:{meta_port} did not answer hello: {answer}"))
            else:
                pending.resolve(answer)

        connection.call("hello", (self._introductions().request(),), timeout_ms, done)
        return pending

    @property
    def backlog(self) -> int:
        """Calls that wait in some lane."""
        return sum(len(queue.waiting) for queue in self._lanes.values())

    def connect(self, to: Node, port: Port) -> Connection:
        """A fresh connection to a node's port."""
        number = to.meta_port if port is Port.META else to.data_port
        return self._caller.connect(to.ip, number, SERVICES[port])

    def introduced(self, connection: Connection, to: Node, build: _Build, timeout_ms: int, on_done: OnDone) -> None:
        """Call over a connection; `hello` first, where that was not said on it yet."""

        def go_on() -> None:
            method, arguments = build()
            connection.call(method, arguments, timeout_ms, on_done)

        def greeted(answer: Any) -> None:
            if isinstance(answer, Exception):
                on_done(Unreachable(f"{to} did not answer hello: {answer}"))
                return
            fault = self._introductions().fault_of_answer(to.identifier, answer)
            if fault is not None:
                self.refusals += 1
                connection.close()
                on_done(Unreachable(fault))
                return
            connection.was_introduced = True
            go_on()

        if connection.was_introduced:
            go_on()
        else:
            connection.call("hello", (self._introductions().request(),), timeout_ms, greeted)


class _LaneQueue:
    """One call at a time; a connection that broke is replaced for the next one."""

    def __init__(self, transport: SimTransport, to: Node, port: Port) -> None:
        self._transport = transport
        self._to = to
        self._port = port
        self._connection: Connection | None = None
        self._is_busy = False
        self.waiting: deque[_Job] = deque()

    def add(self, job: _Job) -> None:
        self.waiting.append(job)
        self._next()

    def _next(self) -> None:
        if self._is_busy or not self.waiting:
            return
        self._is_busy = True
        build, timeout_ms, on_done = self.waiting.popleft()
        if self._connection is None or self._connection.is_broken:
            self._connection = self._transport.connect(self._to, self._port)

        def done(result: Any) -> None:
            self._is_busy = False
            on_done(result)
            self._next()

        self._transport.introduced(self._connection, self._to, build, timeout_ms, done)
