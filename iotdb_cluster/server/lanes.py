"""Calls to other nodes that nobody waits for: each lane has a thread, a connection and an order of its own."""

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import structlog

from iotdb_cluster.errors import Busy, ClusterError, Unreachable
from iotdb_cluster.members.transport import Invocation, Lane, Port
from iotdb_cluster.server.peer_connection import PeerConnection
from iotdb_cluster.types.identity import Node

log = structlog.get_logger()

WAITING_MAX_COUNT = 1_000
"""Calls that may wait in one lane; one more is refused at once."""

IDLE_S = 30.0
"""A lane without a call for so long ends its thread and its connection."""

LaneKey = tuple[Node, Port, tuple[Lane, int]]


@dataclass(frozen=True, slots=True)
class Sending:
    """One call: how it is made when its turn has come, until when it may take, and who is told."""

    build: Callable[[], Invocation]
    ends_at_ms: int
    on_done: Callable[[Any], None]

    def done(self, result: Any) -> None:
        """Tell the outcome; an error in whoever is told is logged, since the lane must go on."""
        try:
            self.on_done(result)
        except Exception as error:
            log.error("on_done_failed", exc_info=error)


class Connections(Protocol):
    """What a lane asks of the transport."""

    def connect(self, to: Node, port: Port, ends_at_ms: int) -> PeerConnection:
        """A new connection; raises `Unreachable`."""

    def call_on(self, connection: PeerConnection, method: str, arguments: tuple[Any, ...], ends_at_ms: int) -> Any:
        """One call; raises what it comes to."""

    def now_ms(self) -> int:
        """The time that `ends_at_ms` is measured in."""


class _LaneThread:
    """One lane. Its connection belongs to its thread; `put` is called under the lock of `Lanes`."""

    def __init__(self, lanes: "Lanes", connections: Connections, key: LaneKey) -> None:
        self._lanes = lanes
        self._connections = connections
        self.key = key
        self._waiting: queue.SimpleQueue[Sending | None] = queue.SimpleQueue()
        self._connection: PeerConnection | None = None
        to, port, (kind, number) = key
        name = f"lane-{to.identifier}-{port.value}-{kind.value}-{number}"
        self.thread = threading.Thread(target=self._run, name=name, daemon=True)

    def put(self, sending: Sending) -> bool:
        """Take a call; False when too many wait."""
        if self._waiting.qsize() >= WAITING_MAX_COUNT:
            return False
        self._waiting.put(sending)
        return True

    def end(self) -> None:
        """Let the thread end: what waits fails, the call that is under way loses its connection."""
        self._waiting.put(None)
        connection = self._connection
        if connection is not None:
            connection.client.interrupt()

    def is_empty(self) -> bool:
        return self._waiting.empty()

    def _run(self) -> None:
        while True:
            try:
                sending = self._waiting.get(timeout=self._lanes.idle_s)
            except queue.Empty:
                if self._lanes.retire(self):
                    break
                continue
            if sending is None:
                break
            sending.done(self._outcome(sending))
        self._drop()
        while not self._waiting.empty():
            left = self._waiting.get()
            if left is not None:
                left.done(Unreachable("this node stops"))

    def _outcome(self, sending: Sending) -> Any:
        try:
            connection = self._connected(sending.ends_at_ms)
            method, arguments = sending.build()
            return self._connections.call_on(connection, method, arguments, sending.ends_at_ms)
        except ClusterError as error:
            return error
        except Exception as error:
            log.error("call_not_built", lane=self.thread.name, exc_info=error)
            return error

    def _connected(self, ends_at_ms: int) -> PeerConnection:
        to, port, _ = self.key
        if self._connections.now_ms() >= ends_at_ms:
            raise Unreachable(f"the call waited for its turn until its time was over; {to} was not called")
        if self._connection is None or not self._connection.client.is_usable:
            self._drop()
            self._connection = self._connections.connect(to, port, ends_at_ms)
        return self._connection

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.client.close()


class Lanes:
    """All lanes of a node; made when they are first used, ended when nobody uses them."""

    def __init__(self, connections: Connections, idle_s: float = IDLE_S) -> None:
        self._connections = connections
        self.idle_s = idle_s
        self._guard = threading.Lock()
        self._lanes: dict[LaneKey, _LaneThread] = {}
        self._closed = False

    def __len__(self) -> int:
        return len(self._lanes)

    def put(self, key: LaneKey, sending: Sending) -> None:
        """Give a call to its lane; the outcome, a refusal included, is told by `sending.done`."""
        with self._guard:
            if self._closed:
                error: ClusterError = Unreachable("this node stops")
            else:
                refusal = self._put(key, sending)
                if refusal is None:
                    return
                error = refusal
        sending.done(error)

    def _put(self, key: LaneKey, sending: Sending) -> Busy | None:
        lane = self._lanes.get(key)
        if lane is None:
            lane = _LaneThread(self, self._connections, key)
            try:
                lane.thread.start()
            except RuntimeError as error:
                return Busy(f"no thread for {lane.thread.name}: {error}")
            self._lanes[key] = lane
        if lane.put(sending):
            return None
        return Busy(f"{WAITING_MAX_COUNT} calls wait in {lane.thread.name}")

    def retire(self, lane: _LaneThread) -> bool:
        """Whether an idle lane may end; false when a call came in the last moment."""
        with self._guard:
            if not lane.is_empty():
                return False
            if self._lanes.get(lane.key) is lane:
                del self._lanes[lane.key]
            return True

    def close(self, timeout_s: float) -> bool:
        """End all lanes; False when a thread still ran after the time, which is for all of them together."""
        ends_at_s = time.monotonic() + timeout_s
        with self._guard:
            self._closed = True
            lanes = list(self._lanes.values())
            self._lanes.clear()
        for lane in lanes:
            lane.end()
        for lane in lanes:
            lane.thread.join(max(0.0, ends_at_s - time.monotonic()))
        return not any(lane.thread.is_alive() for lane in lanes)
