"""From a message to its answer: decode, call the handler, encode; and what is answered when one of them fails."""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import CoroutineType
from typing import Any

import structlog

from iotdb_cluster.errors import Fault, RequestError
from iotdb_cluster.members.clock import Clock
from iotdb_cluster.members.pending import drive
from iotdb_cluster.server.transport.messages import MessageRefused
from iotdb_cluster.wire.codec import ApplicationError, Call, Codec
from iotdb_cluster.wire.header import Header, MessageKind, Protocol

log = structlog.get_logger()

ServiceTable = Mapping[str, Callable[..., Any]]
"""What serves each method of a service, by its name in the IDL.

A handler gets the arguments in the order of the IDL and then the `Connection`. It is a plain function, or an
`async def` whose coroutine is driven in the connection's thread.
"""


@dataclass(frozen=True, slots=True)
class Answer:
    """A message to send back, None for a call that wants none; without `go_on` the connection is closed after it."""

    message: bytes | None
    go_on: bool = True


NOBODY = Header(Protocol.BINARY, MessageKind.CALL, "", 0)
"""Who is answered when not even the head of a message can be read; every client understands that it is refused."""


class Dispatcher:
    """One service behind one port. Holds no state of a call, so all connections share it."""

    def __init__(
        self,
        service: str,
        table: ServiceTable,
        codec: Codec,
        clock: Clock,
        answer_max_bytes: int,
        on_fault: Callable[[Fault], None],
    ) -> None:
        self._service = service
        self._table = table
        self._codec = codec
        self._clock = clock
        self._answer_max_bytes = answer_max_bytes
        self._on_fault = on_fault

    def answer(self, message: bytes, connection: Any) -> Answer:
        """Serve one call; whatever goes wrong is an answer, too."""
        try:
            call = self._codec.decode_call(message, self._service)
        except RequestError as error:
            return self._refuse_call(message, error)
        except Exception as error:  # noqa: BLE001 - an error of ours, answered and logged as such
            return self._refuse_call(message, self._internal(error, "decode"))
        handler = self._table.get(call.method)
        if handler is None:
            return self._unknown_method(call, call.method)
        try:
            result = handler(*call.args, connection)
            if type(result) is CoroutineType:
                result = drive(result, self._clock)
            reply = self._codec.encode_reply(call, result)
        except RequestError as error:
            return self._exception(call, ApplicationError.INTERNAL_ERROR, str(error))
        except Fault as fault:
            log.error("fault", method=call.method, error=str(fault), exc_info=fault)
            self._on_fault(fault)
            return self._exception(call, ApplicationError.INTERNAL_ERROR, f"this node stops: {fault}", go_on=False)
        except Exception as error:  # noqa: BLE001 - an error of ours, answered and logged as such
            return self._exception(call, ApplicationError.INTERNAL_ERROR, self._internal(error, call.method))
        if call.oneway:
            return Answer(None)
        if len(reply) > self._answer_max_bytes:
            text = f"the answer has {len(reply)} bytes, at most {self._answer_max_bytes} are sent; ask for less"
            return self._exception(call, ApplicationError.INTERNAL_ERROR, text)
        return Answer(reply)

    def refuse(self, refusal: MessageRefused) -> Answer:
        """The answer to bytes that are no message; the connection ends after it."""
        head = self._codec.header_of(refusal.head)
        return self._exception(head or NOBODY, ApplicationError.PROTOCOL_ERROR, refusal.message, go_on=False)

    def refuse_connection(self, message: bytes, why: str, *, is_all: bool) -> bytes | None:
        """The answer to the first call of a connection that is not served.

        None when more of the message is needed to see whom to answer, unless it `is_all` that is waited for.
        """
        head = self._codec.header_of(message)
        if head is None and not is_all:
            return None
        return self._codec.encode_exception(head or NOBODY, ApplicationError.INTERNAL_ERROR, why)

    def _refuse_call(self, message: bytes, error: RequestError | str) -> Answer:
        """A message whose content is no call. Its end is known, so the connection may go on when its head is, too."""
        text = error if isinstance(error, str) else error.message
        head = self._codec.header_of(message)
        if head is None:
            return self._exception(NOBODY, ApplicationError.PROTOCOL_ERROR, text, go_on=False)
        if head.kind is MessageKind.CALL and head.method not in self._table:
            return self._unknown_method(head, head.method)
        kind = ApplicationError.INTERNAL_ERROR if isinstance(error, str) else ApplicationError.PROTOCOL_ERROR
        return self._exception(head, kind, text)

    def _unknown_method(self, call: Call | Header, method: str) -> Answer:
        return self._exception(call, ApplicationError.UNKNOWN_METHOD, f"{self._service} has no method {method!r}")

    def _exception(self, call: Call | Header, kind: ApplicationError, text: str, *, go_on: bool = True) -> Answer:
        return Answer(self._codec.encode_exception(call, kind, text), go_on)

    @staticmethod
    def _internal(error: Exception, where: str) -> str:
        """Log an error of ours; the caller gets a reference to the log, not our inner life."""
        reference = secrets.token_hex(4)
        log.error("unexpected_error", reference=reference, where=where, exc_info=error)
        return f"500 INTERNAL_SERVER_ERROR: unexpected {type(error).__name__}, see {reference} in the node's log"
