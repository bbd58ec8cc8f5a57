"""Calls to one service of one node over one connection."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from iotdb_cluster.client.channel import Channel
from iotdb_cluster.errors import MalformedInput, OutcomeUnknown, RequestError
from iotdb_cluster.wire.codec import Codec
from iotdb_cluster.wire.header import Protocol

CONNECT_TIMEOUT_MS = 5_000


@cache
def shared_codec() -> Codec:
    """The codec with the default limits; making one takes a fifth of a second, and all threads may share it."""
    return Codec()


class Ahead:
    """A call whose answer is taken later: by `result`, or when the connection is needed for another call."""

    __slots__ = ("_error", "_receive", "_result")

    def __init__(self, receive: Callable[[], Any]) -> None:
        self._receive: Callable[[], Any] | None = receive
        self._result: Any = None
        self._error: RequestError | None = None

    def settle(self) -> None:
        """Take the answer in, or the error; a second time does nothing."""
        receive, self._receive = self._receive, None
        if receive is not None:
            try:
                self._result = receive()
            except RequestError as error:
                self._error = error

    def result(self) -> Any:
        """The answer; raises what a `call` would have raised."""
        self.settle()
        if self._error is not None:
            raise self._error
        return self._result


class ThriftClient:
    """A connection that carries one call at a time, each with a sequence number that its answer must repeat.

    After any error but a `RemoteError` it is closed: a late answer could otherwise be taken for the next one's. Used
    by one thread at a time. Raises `Unreachable` (nothing took effect), `OutcomeUnknown`, or `RemoteError` for what
    the other side answered.
    """

    __slots__ = ("_ahead", "_channel", "_codec", "_seqid", "_service", "protocol")

    def __init__(
        self,
        address: tuple[str, int],
        service: str,
        codec: Codec | None = None,
        *,
        connect_timeout_ms: int = CONNECT_TIMEOUT_MS,
        protocol: Protocol = Protocol.BINARY,
    ) -> None:
        self._codec = shared_codec() if codec is None else codec
        self._channel = Channel(address, connect_timeout_ms, frame_max_bytes=self._codec.limits.frame_bytes)
        self._service = service
        self._seqid = 0
        self._ahead: Ahead | None = None
        self.protocol = protocol

    @property
    def name(self) -> str:
        """Host and port of the other side."""
        return self._channel.name

    @property
    def is_usable(self) -> bool:
        """False when it was closed here or, as far as one can see without asking, there."""
        return not self._channel.is_stale()

    def call(self, method: str, args: Sequence[Any], timeout_ms: int) -> Any:
        """Send a call and wait for its result, `timeout_ms` each at most."""
        if self._ahead is not None:
            self._ahead.settle()
            self._ahead = None
        return self.receive(method, self.send(method, args, timeout_ms), timeout_ms)

    def call_ahead(self, method: str, args: Sequence[Any], timeout_ms: int) -> Ahead:
        """Send a call whose answer is wanted later, so that the other side works meanwhile."""
        if self._ahead is not None:
            self._ahead.settle()
        seqid = self.send(method, args, timeout_ms)
        self._ahead = Ahead(lambda: self.receive(method, seqid, timeout_ms))
        return self._ahead

    def send(self, method: str, args: Sequence[Any], timeout_ms: int) -> int:
        """Send a call; returns the number by which its answer is known. Raises `Unreachable`."""
        self._seqid = seqid = self._seqid % 0x7FFFFFFF + 1
        message = self._codec.encode_call(self._service, method, args, seqid=seqid, protocol=self.protocol)
        self._channel.send(message, timeout_ms)
        return seqid

    def receive(self, method: str, seqid: int, timeout_ms: int) -> Any:
        """The result of a call that was sent."""
        message = self._channel.receive(timeout_ms)
        try:
            return self._codec.decode_reply(message, self._service, method, seqid)
        except MalformedInput as error:
            self.close()
            raise OutcomeUnknown(f"{self.name} gave no sensible answer to {method}: {error.message}") from error

    def interrupt(self) -> None:
        """Let whoever waits on it fail at once; from any thread."""
        self._channel.interrupt()

    def close(self) -> None:
        """Close the connection; a second time does nothing."""
        self._channel.close()
