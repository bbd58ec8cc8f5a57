"""A node as a process: real disk, clock, threads and sockets around a `ClusterNode`."""

import gc
import random
import signal
import threading
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import structlog

from iotdb_cluster.errors import StartRefused
from iotdb_cluster.members.client.service import ClientService
from iotdb_cluster.members.clock import MonotonicClock
from iotdb_cluster.members.data.service import DataService
from iotdb_cluster.members.endpoint import client_handlers, data_handlers, meta_handlers
from iotdb_cluster.members.meta.service import MetaService
from iotdb_cluster.members.moves.settings import MoveSettings
from iotdb_cluster.members.node import ClusterNode
from iotdb_cluster.members.pending import drive
from iotdb_cluster.server.loop import Background, End, Turns
from iotdb_cluster.server.memory import keep_freed_memory
from iotdb_cluster.server.peers import PeerTransport
from iotdb_cluster.server.transport.limits import TransportLimits
from iotdb_cluster.server.transport.server import ThriftServer
from iotdb_cluster.settings import MIB, Settings
from iotdb_cluster.storage.disk import RealDisk
from iotdb_cluster.types.identity import NodeId
from iotdb_cluster.wire.codec import Codec
from iotdb_cluster.wire.limits import Limits

log = structlog.get_logger()

CALLS_TIMEOUT_S = 1.5
"""So long what was called on a port before the stop may still take. Who is cut off does not know what became of it."""

STOP_TIMEOUT_S = 1.0
"""For each other part of the node, when it is told to stop."""

STOP_ALL_S = 4.0
"""For everything behind the hand-over, so that the whole stop stays below 5 s."""

STOP_LEAST_S = 0.2
"""For a part that comes when this time is over."""


class _Greeting:
    """Lets the transport introduce the node, which is made after it."""

    node: ClusterNode

    def request(self) -> Any:
        return self.node.introductions.request()

    def fault_of_answer(self, expected: NodeId | None, answer: Any) -> str | None:
        return self.node.introductions.fault_of_answer(expected, answer)


class NodeProcess:
    """One node with its threads; `run` blocks until it is told to end."""

    def __init__(self, settings: Settings, *, joins: bool = False) -> None:
        self._settings = settings
        self._joins = joins
        self._end = End()
        self._clock = MonotonicClock()
        self._disk = RealDisk(Path(settings.data_dir))
        codec = Codec(Limits(frame_bytes=settings.frame_max_mb * MIB, elements=settings.element_max_count))
        draw = random.Random().randint  # seeded by the system, so no two nodes draw alike
        self._turns = Turns(lambda: self._node.turn(), lambda: self._node.context.runtime.backlog, self._end.fault)
        greeting = _Greeting()
        self._transport = PeerTransport(
            codec, greeting, self._clock, draw, compact_to_strangers=settings.enable_thrift_compression
        )
        self._background = Background(self._end.fault)
        self._node = ClusterNode(
            settings=settings,
            disk=self._disk,
            clock=self._clock,
            transport=self._transport,
            draw=draw,
            submit=self._background.submit,
            wake=self._turns.wake,
            removed=self._end.stop,
            moves=MoveSettings(
                settings.slot_move_mb_per_second, settings.slot_move_timeout_s, settings.slot_move_call_timeout_ms
            ),
        )
        greeting.node = self._node
        self._servers = self._bind(codec)
        self._lives = [
            threading.Thread(target=self._live, args=(each,), name=name, daemon=True)
            for name, each in (("life", self._node.live), ("moves", self._node.move_slots))
        ]

    def _bind(self, codec: Codec) -> list[ThriftServer]:
        """Take the three ports before anything is written, so that a port in use leaves no trace."""
        settings, node = self._settings, self._node
        tables = (
            (settings.local_meta_port, "MetaExtension", meta_handlers(MetaService(node))),
            (settings.local_data_port, "DataExtension", data_handlers(DataService(node))),
            (settings.local_client_port, "ClientExtension", client_handlers(ClientService(node))),
        )
        servers: list[ThriftServer] = []
        try:
            for port, service, table in tables:
                servers.append(
                    ThriftServer(
                        (settings.bind_address, port),
                        service,
                        table,
                        codec,
                        limits=TransportLimits.of(settings),
                        clock=self._clock,
                        on_fault=self._end.fault,
                        takes_plain=service == "ClientExtension",
                    )
                )
        except StartRefused:
            for server in servers:
                server.close()
            self._disk.close()
            raise
        return servers

    def run(self, ready: Callable[[], None] | None) -> int:
        """Open the folder, serve, and end when a signal, a fault or the cluster says so; the exit status."""
        self._node.open(joins=self._joins)
        # What exists now lives as long as the process: the collector need not walk it again and again.
        gc.freeze()
        self._background.start()
        self._turns.start()
        for server in self._servers:
            server.start()
        for life in self._lives:
            life.start()
        log.info("node_serves", node=str(self._node.me), client_port=self._settings.local_client_port)
        if ready is not None:
            ready()
        status = self._end.wait()
        self._stop(in_good_order=status == 0)
        return status

    def stop(self, reason: str) -> None:
        """End in good order; from any thread, also from a signal handler."""
        self._end.stop(reason)

    def _live(self, what: Callable[[], Coroutine[Any, None, None]]) -> None:
        """What the node does by itself. Whatever ends it ends the node, too: who is not watched over is not told."""
        try:
            drive(what(), self._clock)
        except BaseException as error:  # noqa: BLE001 - told, and the node ends
            if not self._end.is_near:
                self._end.fault(error)

    def _stop(self, *, in_good_order: bool) -> None:
        self._node.end()
        if in_good_order:
            drive(self._node.hand_over(), self._clock)
        ends_at_s = time.monotonic() + STOP_ALL_S

        def at_most(timeout_s: float) -> float:
            return max(STOP_LEAST_S, min(timeout_s, ends_at_s - time.monotonic()))

        # Clients first: what they have under way needs the other two ports.
        for server in reversed(self._servers):
            server.close(at_most(CALLS_TIMEOUT_S))
        stopped = self._turns.stop(at_most(STOP_TIMEOUT_S))
        self._background.stop(at_most(STOP_TIMEOUT_S))
        self._transport.close(at_most(STOP_TIMEOUT_S))
        for life in self._lives:
            life.join(STOP_LEAST_S)
        if in_good_order and stopped:
            self._node.close()
        self._disk.close()


def run_node(settings: Settings, ready: Callable[[], None] | None = None, *, joins: bool = False) -> int:
    """Run a node until SIGTERM or SIGINT; exit status 0, or 1 after a fault. Raises `StartRefused`, `Corruption`.

    With `joins` a node without a cluster asks to be added to that of its seed nodes.
    """
    keep_freed_memory()
    process = NodeProcess(settings, joins=joins)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _: process.stop(signal.Signals(received).name))
    return process.run(ready)
