"""Connections to other nodes: who answers is proved by `hello` before anything else is said."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from iotdb_cluster.client.connection import ThriftClient
from iotdb_cluster.errors import ClusterError, OutcomeUnknown, RemoteError, Unreachable
from iotdb_cluster.members.transport import Port
from iotdb_cluster.types.identity import Node, NodeId
from iotdb_cluster.wire import header
from iotdb_cluster.wire.codec import ApplicationError, Codec

SERVICES = {Port.META: "MetaExtension", Port.DATA: "DataExtension"}
"""What our own nodes serve on their ports; they extend the mirrored services, so strangers understand the rest."""


class Greeting(Protocol):
    """How this node introduces itself, and whom it believes."""

    def request(self) -> Any:
        """The `HelloRequest`."""

    def fault_of_answer(self, expected: NodeId | None, answer: Any) -> str | None:
        """Why a connection whose `hello` was answered so must not be used, or None."""


@dataclass(slots=True)
class PeerConnection:
    """An open connection to a node. `answer` is its `HelloAnswer`, None for a stranger that knows no `hello`."""

    client: ThriftClient
    answer: Any
    idle_since_ms: int = 0

    @property
    def is_identified(self) -> bool:
        """Whether the other side has proved who it is."""
        return self.answer is not None


class Connector:
    """Opens connections to nodes."""

    def __init__(
        self,
        codec: Codec,
        greeting: Greeting,
        now_ms: Callable[[], int],
        *,
        connect_timeout_ms: int,
        compact_to_strangers: bool,
    ) -> None:
        self._codec = codec
        self._greeting = greeting
        self._now_ms = now_ms
        self._connect_timeout_ms = connect_timeout_ms
        self._compact_to_strangers = compact_to_strangers

    def open(self, to: Node, port: Port, ends_at_ms: int) -> PeerConnection:
        """A connection to exactly this node, or to a stranger at its address; raises `Unreachable`."""
        address = to.meta_address if port is Port.META else to.data_address
        made = self.introduce(address, port, ends_at_ms)
        if made.is_identified:
            fault = self._greeting.fault_of_answer(to.identifier, made.answer)
            if fault is not None:
                made.client.close()
                raise Unreachable(f"{made.client.name} is not used: {fault}")
        return made

    def introduce(self, address: tuple[str, int], port: Port, ends_at_ms: int) -> PeerConnection:
        """A connection to whoever answers there, who may be nobody of this cluster; raises `Unreachable`.

        A node of the original that is set to the compact protocol does not even refuse a binary `hello`: it ends the
        connection. So where compact is spoken to strangers, it is tried then.
        """
        try:
            return self._greet(address, port, header.Protocol.BINARY, ends_at_ms)
        except OutcomeUnknown as error:
            if not self._compact_to_strangers or self._left_ms(ends_at_ms) == 0:
                raise Unreachable(f"no hello: {error.message}") from error
        try:
            return self._greet(address, port, header.Protocol.COMPACT, ends_at_ms)
        except OutcomeUnknown as error:
            raise Unreachable(f"no hello: {error.message}") from error

    def _greet(
        self, address: tuple[str, int], port: Port, protocol: header.Protocol, ends_at_ms: int
    ) -> PeerConnection:
        connect_ms = min(self._connect_timeout_ms, self._left_ms(ends_at_ms))
        client = ThriftClient(address, SERVICES[port], self._codec, connect_timeout_ms=connect_ms, protocol=protocol)
        try:
            answer = client.call("hello", (self._greeting.request(),), self._left_ms(ends_at_ms))
        except RemoteError as error:
            if error.type == ApplicationError.UNKNOWN_METHOD:
                client.protocol = header.Protocol.COMPACT if self._compact_to_strangers else header.Protocol.BINARY
                return PeerConnection(client, None)
            client.close()
            raise Unreachable(f"{client.name} refuses hello: {error.message}") from error
        except ClusterError:
            client.close()
            raise
        return PeerConnection(client, answer)

    def _left_ms(self, ends_at_ms: int) -> int:
        return max(0, ends_at_ms - self._now_ms())
