"""Finding the end of a message that comes without a frame around it.

Plain clients (Session, JDBC) write messages one behind the other. A scanner walks over what has arrived, stops where
the bytes end, and goes on there when more have come, so a long message costs one walk however it is cut up.
"""

from iotdb_cluster.errors import MalformedInput
from iotdb_cluster.wire.binary_walk import BinaryWalk
from iotdb_cluster.wire.compact_walk import CompactWalk
from iotdb_cluster.wire.header import Protocol, protocol_of
from iotdb_cluster.wire.idl import Kind
from iotdb_cluster.wire.limits import Limits
from iotdb_cluster.wire.walk import CutOff


class _OpenStruct:
    """A struct of which fields are still to come."""

    def __init__(self) -> None:
        self.previous_id = 0


class _OpenElements:
    """Elements of a list, set or map of which some are still to come; a map has keys and values in turn."""

    def __init__(self, kinds: tuple[Kind, ...], count: int) -> None:
        self.kinds = kinds
        self.total = count * len(kinds)
        self.done = 0


class MessageScanner:
    """Looks for the end of one message after the other; knows no methods, only the shape of messages."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._walk: BinaryWalk | CompactWalk | None = None
        self._open: list[_OpenStruct | _OpenElements] = []

    def scan(self, buffer: bytes | bytearray) -> int | None:
        """The length of the message with which `buffer` begins, None while its end has not come.

        Until then `buffer` must begin with what was shown before; afterwards the next message is looked for. Raises
        `MalformedInput` for what can be no message, or is above the limits, as soon as that is seen.
        """
        if not buffer:
            return None
        if self._walk is None:
            kind = BinaryWalk if protocol_of(buffer[0]) is Protocol.BINARY else CompactWalk
            self._walk = kind(b"", 0, self._limits)
        self._walk.data = buffer
        try:
            self._go_on(self._walk)
        except CutOff:
            if len(buffer) >= self._limits.frame_bytes:
                raise MalformedInput(f"a message above the limit of {self._limits.frame_bytes} bytes") from None
            return None
        length = self._walk.at
        self._walk = None
        return length

    def _go_on(self, walk: BinaryWalk | CompactWalk) -> None:
        """Take steps until the message ends; a step for which bytes are missing is not taken."""
        start = walk.at
        try:
            if not self._open:
                walk.message_header()
                self._open.append(_OpenStruct())
                start = walk.at
            while self._open:
                self._step(walk, self._open[-1])
                start = walk.at
        except CutOff:
            walk.at = start
            raise

    def _step(self, walk: BinaryWalk | CompactWalk, top: _OpenStruct | _OpenElements) -> None:
        """One field or one element."""
        if isinstance(top, _OpenElements):
            if top.done == top.total:
                self._open.pop()
                return
            self._begin(walk, top.kinds[top.done % len(top.kinds)])
            top.done += 1
            return
        header = walk.field_header(top.previous_id)
        if header is None:
            self._open.pop()
            return
        kind, number = header
        self._begin(walk, kind)
        walk.budget.spend(1)
        top.previous_id = number

    def _begin(self, walk: BinaryWalk | CompactWalk, kind: Kind) -> None:
        """Pass over a value, or open it where it consists of others."""
        match kind:
            case Kind.STRUCT:
                self._push(_OpenStruct())
            case Kind.LIST | Kind.SET:
                element, count = walk.list_header()
                self._begin_elements(walk, (element,), count)
            case Kind.MAP:
                key, value, count = walk.map_header()
                self._begin_elements(walk, (key, value), count)
            case Kind.STRING:
                self._pass_over(walk, walk.length())
            case _:
                walk.skip(kind, 1)

    def _begin_elements(self, walk: BinaryWalk | CompactWalk, kinds: tuple[Kind | None, ...], count: int) -> None:
        known = tuple(kind for kind in kinds if kind is not None)
        if count > self._limits.elements:
            raise MalformedInput(f"{count} elements")
        if count and all(kind in walk.fixed_bytes for kind in known):
            self._pass_over(walk, count * sum(walk.fixed_bytes[kind] for kind in known))
            walk.budget.spend(count)
            return
        walk.budget.spend(count)
        self._push(_OpenElements(known, count))

    def _push(self, opened: _OpenStruct | _OpenElements) -> None:
        if len(self._open) >= self._limits.depth:
            raise MalformedInput(f"nested deeper than {self._limits.depth}")
        self._open.append(opened)

    def _pass_over(self, walk: BinaryWalk | CompactWalk, length: int) -> None:
        if walk.at + length > self._limits.frame_bytes:
            raise MalformedInput(f"a message above the limit of {self._limits.frame_bytes} bytes")
        walk.pass_over(length)


def message_length(buffer: bytes | bytearray, limits: Limits) -> int | None:
    """The length of the message with which `buffer` begins, None when its end is not there; see `MessageScanner`."""
    return MessageScanner(limits).scan(buffer)
