"""Pulls the files of a move from a node that has them, as fast as it should."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

import structlog

from iotdb_cluster.errors import DiskNearlyFull
from iotdb_cluster.members.clock import Deadline
from iotdb_cluster.members.context import Context
from iotdb_cluster.members.convert import node_struct
from iotdb_cluster.members.data.member import DataGroupMember
from iotdb_cluster.members.data.offered_files import OfferedFiles
from iotdb_cluster.members.meta.member import MetaGroupMember
from iotdb_cluster.members.meta.state import MetaState
from iotdb_cluster.members.moves.settings import MoveSettings
from iotdb_cluster.members.pending import pause
from iotdb_cluster.members.transport import Port
from iotdb_cluster.settings import MIB
from iotdb_cluster.timeseries.manifest import SealedFile
from iotdb_cluster.timeseries.move_content import MoveContent
from iotdb_cluster.timeseries.move_staging import MoveStaging
from iotdb_cluster.types.identity import GroupId, Node, NodeId

log = structlog.get_logger()

PULL_BYTES = 1024 * 1024
"""Asked for by one `readFile`; small enough that a heartbeat never waits long behind it."""


class Pace(Enum):
    """How files are pulled."""

    BULK = "bulk"
    """No faster than the settings say, and what is urgent goes in between."""
    LATE = "late"
    """The same, for all that an install entry names: it goes on where a bulk would begin anew behind its fence."""
    AT_ONCE = "at once"
    """What came behind the bulk: writers wait for it."""


class MoverNode(Protocol):
    """The node, as far as its moves go."""

    meta: MetaGroupMember | None
    offered_files: OfferedFiles

    @property
    def context(self) -> Context:
        """Peers, clock and settings."""

    @property
    def data_members(self) -> Sequence[DataGroupMember]:
        """The data groups this node is in."""

    @property
    def state(self) -> MetaState:
        """The meta group's state as applied here."""

    @property
    def is_ending(self) -> bool:
        """The node stops."""

    def data(self, group: GroupId) -> DataGroupMember | None:
        """The member of a data group, where this node has one."""


@dataclass(slots=True)
class Copying:
    """How far a move has come here; `ready` is the content behind the fence, once all of it is durable here."""

    total_bytes: int | None = None
    """Of what the source offered last; None before it has."""
    pulled_bytes: int = 0
    is_copied: bool = False
    source: Node | None = None
    """Who gave the bulk."""
    fence_at_ms: int | None = None
    """When what lies behind the fence was asked for first."""
    copied_at: set[NodeId] = field(default_factory=set)
    """Other members of the target that have the bulk, too, as far as this one asked while it led."""
    ready: MoveContent | None = None
    began_ms: int = 0
    began_bytes: int = 0
    """When the pulling that goes on began, and how much was here by then."""
    is_pulling: bool = False
    waits_for_room: bool = False

    def bytes_per_second(self, now_ms: int) -> int:
        """How fast it goes on; 0 while nothing is pulled."""
        if not self.is_pulling:
            return 0
        return 1_000 * (self.pulled_bytes - self.began_bytes) // max(1, now_ms - self.began_ms)


@dataclass(frozen=True, slots=True)
class Source:
    """Who gives the files of a move, and where they lie there, in the order of the content's files."""

    node: Node
    group: GroupId
    content: MoveContent
    paths: tuple[str, ...]


class Puller:
    """`give_way(move, is_wanted)` is awaited between two pieces that nobody waits for, and may end the pulling."""

    def __init__(
        self, node: MoverNode, settings: MoveSettings, give_way: Callable[[int, bool], Awaitable[None]]
    ) -> None:
        self._node = node
        self._settings = settings
        self._give_way = give_way

    @property
    def call_timeout_ms(self) -> int:
        """How long a source has time for one answer."""
        return min(self._settings.call_timeout_ms, self._node.context.settings.connection_time_out_ms)

    async def pull_missing(self, member: DataGroupMember, move: int, what: tuple[Source, Copying], pace: Pace) -> None:
        """Pull the files that are not here yet, and note how far that has come."""
        source, known = what
        staging = member.store.staging(move)
        if staging.content() != source.content:
            staging.begin(source.content)
        missing = set(staging.missing(source.content))
        needed = sum(file.size - staging.pulled_bytes(file) for file in missing)
        spare = member.room.spare_bytes()
        if needed > spare:
            full = DiskNearlyFull(
                f"move {move} takes {needed // MIB} MB, {max(0, spare) // MIB} MB may be used: make room"
            )
            if not known.waits_for_room:
                log.warning("move_waits_for_room", move=move, group=member.group, reason=str(full))
            known.waits_for_room = True
            raise full
        known.waits_for_room = False
        known.total_bytes = source.content.size_bytes
        known.pulled_bytes = sum(file.size for file in source.content.files if file not in missing)
        known.began_ms, known.began_bytes = self._node.context.clock.now_ms(), known.pulled_bytes
        known.is_pulling = True
        try:
            for file, path in zip(source.content.files, source.paths, strict=True):
                if file in missing:
                    await self._pull_file(staging, (source, file, path), known, pace)
        finally:
            known.is_pulling = False
        if missing:
            took_ms = self._node.context.clock.now_ms() - known.began_ms
            count = known.pulled_bytes - known.began_bytes
            log.info("move_copied", group=member.group, move=move, bytes=count, ms=took_ms, source=str(source.node))

    async def _pull_file(
        self, staging: MoveStaging, what: tuple[Source, SealedFile, str], known: Copying, pace: Pace
    ) -> None:
        source, file, path = what
        offset = staging.pulled_bytes(file)
        part = staging.open_part(file)
        try:
            while offset < file.size:
                begun_ms = self._node.context.clock.now_ms()
                chunk = await self._chunk(source, path, offset)
                if not chunk:
                    break
                part.write(chunk)
                offset += len(chunk)
                known.pulled_bytes += len(chunk)
                if pace is not Pace.AT_ONCE:
                    await self._slowly(len(chunk), begun_ms)
                    await self._give_way(staging.move, pace is Pace.LATE)
        finally:
            part.close()
        staging.complete(file)

    async def _chunk(self, source: Source, path: str, offset: int) -> bytes:
        context = self._node.context
        if source.node.identifier == context.me.identifier:
            return self._node.offered_files.read(path, offset, PULL_BYTES)
        header = self._node.state.node(NodeId(source.group))
        assert header is not None, "it was found a moment ago, and stays until its moves are over"
        arguments = (path, offset, PULL_BYTES, node_struct(header))
        call = context.transport.call(source.node, Port.DATA, "readFile", arguments, self.call_timeout_ms)
        chunk: bytes = await call
        return chunk

    async def _slowly(self, count: int, begun_ms: int) -> None:
        """Wait until so many bytes have taken as long as they should."""
        clock = self._node.context.clock
        ends_at_ms = begun_ms + 1_000 * count // (self._settings.mb_per_second * MIB)
        if ends_at_ms > clock.now_ms():
            await pause(Deadline(ends_at_ms))
