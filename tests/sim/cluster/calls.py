"""Calls over the simulated network: connections, real frames in both directions, and handlers on virtual time.

What a call meets on its way is what it meets between real nodes: it is encoded, lost or delayed, walked and decoded by
the codec of the node, served by the node's own handlers, and its answer comes back the same way or not at all.
"""

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from types import CoroutineType
from typing import Any, Protocol

from iotdb_cluster.errors import (
    ClusterError,
    Fault,
    MalformedInput,
    OutcomeUnknown,
    RemoteError,
    RequestError,
    Unreachable,
)
from iotdb_cluster.wire.codec import ApplicationError, Codec
from tests.sim.cluster.network import Network, Place
from tests.sim.cluster.scheduler import Act

OnDone = Callable[[Any], None]
"""Gets the result, or an exception."""

REPEATABLE = frozenset(
    {
        "sendHeartBeat", "startElection", "vote", "timeoutNow", "appendEntries", "appendEntry", "sendSnapshot",
        "requestCommitIndex", "readIndex", "hello", "readFile",
    }
)  # fmt: skip
"""Calls that the network may bring twice; two arrivals of a write would be two writes, which TCP does not do."""


class Actor(Protocol):
    """Who acts in virtual time: a node that may be paused or dead by then, or a client."""

    place: Place

    def soon(self, act: Act) -> None:
        """Run `act` now, but not inside of what is running."""

    def now(self, act: Act) -> None:
        """Run `act` at once, unless it is paused or gone."""

    def at_ms(self, at_ms: int, act: Act) -> None:
        """Run `act` at a time on its own clock."""

    def in_ms(self, delay_ms: int, act: Act) -> None:
        """Run `act` in so many milliseconds on its own clock."""

    def run(self, coroutine: Coroutine[Any, None, Any], on_done: Callable[[Any, Exception | None], None]) -> None:
        """Drive a coroutine; `on_done` gets its value or its error."""


@dataclass(eq=False)
class SimConnection:
    """The server's side of a connection, as handlers see it."""

    id: int
    peer: str
    peer_identity: Any = None
    closing: bool = False
    _on_close: list[Callable[[Any], None]] = field(default_factory=list)

    def add_close_callback(self, callback: Callable[[Any], None]) -> None:
        """Call `callback(connection)` when it ends."""
        self._on_close.append(callback)

    def closed(self) -> None:
        """The other side ended it."""
        self.closing = True
        for callback in self._on_close:
            callback(self)


class Endpoint:
    """One service of a node: from a frame to its answer, as the node's own dispatcher does it."""

    def __init__(
        self,
        actor: Actor,
        service: str,
        table: Mapping[str, Callable[..., Any]],
        codec: Codec,
        stop: Callable[[Fault], None],
    ) -> None:
        self.actor = actor
        self.service = service
        self._table = table
        self._codec = codec
        self._stop = stop
        self.served = 0

    def serve(self, frame: bytes, connection: SimConnection, reply: Callable[[bytes], None]) -> None:
        """Serve one call; `reply` gets the answer's frame, at once or later."""
        self.served += 1
        try:
            call = self._codec.decode_call(frame, self.service)
        except RequestError as error:
            refusal = self._codec.encode_refusal(frame, error)
            if refusal is not None:
                reply(refusal)
            return

        def done(result: Any, error: Exception | None) -> None:
            if error is None:
                reply(self._codec.encode_reply(call, result))
            elif isinstance(error, Fault):
                self._stop(error)
            else:
                reply(self._codec.encode_exception(call, ApplicationError.INTERNAL_ERROR, str(error)))

        try:
            result = self._table[call.method](*call.args, connection)
        except ClusterError as error:
            done(None, error)
            return
        if type(result) is CoroutineType:
            self.actor.run(result, done)
        else:
            done(result, None)


class Target(Protocol):
    """A node as a connection finds it at an address."""

    place: Place
    incarnation: int

    @property
    def is_alive(self) -> bool:
        """False between a crash and the next start."""

    @property
    def is_dark(self) -> bool:
        """True while the machine has no power; a machine whose process died refuses connections."""

    def now(self, act: Act) -> None:
        """Run on the node at once, or when it goes on."""

    def soon(self, act: Act) -> None:
        """Run on the node, when it runs."""

    def endpoint(self, port: int) -> Endpoint | None:
        """What listens on a port."""


class Caller:
    """Makes connections for one actor and keeps those that are free."""

    def __init__(self, actor: Actor, network: Network, codec: Codec, find: Callable[[str], Target | None]) -> None:
        self.actor = actor
        self.network = network
        self.codec = codec
        self.find = find
        self.connections = 0

    def connect(self, host: str, port: int, service: str) -> "Connection":
        """A connection that is opened by its first call."""
        self.connections += 1
        return Connection(self, host, port, service, self.connections)


class Connection:
    """A client's side: one call after the other, answers by sequence number; broken by the first error."""

    def __init__(self, caller: Caller, host: str, port: int, service: str, number: int) -> None:
        self._caller = caller
        self._host = host
        self._port = port
        self._service = service
        self._number = number
        self._seqid = 0
        self._waiting: dict[int, tuple[str, OnDone]] = {}
        self._opened: tuple[int, SimConnection] | None = None
        self.is_broken = False
        self.was_introduced = False
        """For whoever says `hello` first."""

    def call(self, method: str, args: tuple[Any, ...], timeout_ms: int, on_done: OnDone) -> None:
        """Call; `on_done` gets the result, `Unreachable`, `OutcomeUnknown` or `RemoteError`, exactly once."""
        caller, actor = self._caller, self._caller.actor
        self._seqid += 1
        seqid = self._seqid
        self._waiting[seqid] = method, on_done
        frame = caller.codec.encode_call(self._service, method, args, seqid=seqid)
        target = caller.find(self._host)
        if target is None:
            actor.soon(lambda: self._fail(seqid, Unreachable(f"no route to {self._host}")))
            return
        place = target.place

        def arrive() -> None:
            self._arrive(target, frame, seqid)

        caller.network.trace.message(actor.place, place, method, len(frame))
        caller.network.send(actor.place, place, arrive, can_repeat=method in REPEATABLE)
        actor.in_ms(timeout_ms, lambda: self._overdue(seqid, timeout_ms))

    def _overdue(self, seqid: int, timeout_ms: int) -> None:
        if seqid not in self._waiting:
            return  # most calls are answered
        if self._opened is None:
            self._fail(seqid, Unreachable(f"no connection to {self._host} within {timeout_ms} ms"))
        else:
            self._fail(seqid, OutcomeUnknown(f"no answer from {self._host} within {timeout_ms} ms"))

    def close(self) -> None:
        """End it; the other side learns of it when it can."""
        self._break(OutcomeUnknown("the connection was closed"))

    # -- at the target -------------------------------------------------------------------------------------------------

    def _arrive(self, target: Target, frame: bytes, seqid: int) -> None:
        place = target.place
        network, actor = self._caller.network, self._caller.actor
        if target.is_dark:
            return  # no power: nobody says anything
        endpoint = target.endpoint(self._port) if target.is_alive else None
        is_stale = self._opened is not None and self._opened[0] != target.incarnation
        if endpoint is None or is_stale:
            # Nobody listens, or the process that did is gone: the operating system says so.
            error = OutcomeUnknown("the connection was lost") if is_stale else Unreachable(f"{self._host} refused")
            network.send(place, actor.place, lambda: actor.now(lambda: self._fail(seqid, error)), is_answer=True)
            return
        if self._opened is None:
            if seqid not in self._waiting:
                return  # the caller gave up before there was a connection: nothing was ever sent over it
            peer = f"{actor.place}/{self._number}"
            self._opened = target.incarnation, SimConnection(network.next_number(), peer)
        connection = self._opened[1]

        def reply(answer: bytes) -> None:
            network.trace.message(place, actor.place, "answer", len(answer))
            network.send(place, actor.place, lambda: actor.now(lambda: self._answered(seqid, answer)), is_answer=True)

        target.now(lambda: endpoint.serve(frame, connection, reply))

    # -- back at the caller --------------------------------------------------------------------------------------------

    def _answered(self, seqid: int, frame: bytes) -> None:
        if seqid not in self._waiting:
            return  # late or repeated
        method, on_done = self._waiting.pop(seqid)
        try:
            result = self._caller.codec.decode_reply(frame, self._service, method, seqid)
        except RemoteError as error:
            on_done(error)
        except MalformedInput as error:
            self._break(OutcomeUnknown(f"an answer that is none: {error}"))
            on_done(OutcomeUnknown(f"an answer that is none: {error}"))
        else:
            on_done(result)

    def _fail(self, seqid: int, error: RequestError) -> None:
        if seqid not in self._waiting:
            return
        _, on_done = self._waiting.pop(seqid)
        self._break(error)
        on_done(error)

    def _break(self, error: RequestError) -> None:
        self.is_broken = True
        waiting, self._waiting = self._waiting, {}
        for _, on_done in waiting.values():
            on_done(error)
        if self._opened is not None:
            connection = self._opened[1]
            target = self._caller.find(self._host)
            if (
                target is not None
                and target.is_alive
                and target.incarnation == self._opened[0]
                and not connection.closing
            ):
                target.soon(connection.closed)
