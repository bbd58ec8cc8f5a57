"""Brings the files of moved slots to this node, as a member of the groups that they move to (DESIGN 5.4).

Every member of a target copies for itself: the bulk while the source serves, the rest behind the fence, from a member
of the source that has applied it. Who was late pulls from its own group's leader what an install entry names.
"""

from collections.abc import Coroutine, Sequence
from functools import partial
from typing import Any

import structlog

from iotdb_cluster.errors import Busy, Corruption, MalformedInput, RequestError, UnknownGroup
from iotdb_cluster.members.clock import Deadline
from iotdb_cluster.members.convert import node_struct
from iotdb_cluster.members.data.member import DataGroupMember
from iotdb_cluster.members.moves.codec import GroupDeed
from iotdb_cluster.members.moves.offers import offer_of
from iotdb_cluster.members.moves.pulling import Copying, MoverNode, Pace, Puller, Source
from iotdb_cluster.members.moves.settings import MoveSettings
from iotdb_cluster.members.pending import pause
from iotdb_cluster.members.transport import Port
from iotdb_cluster.partition.moves import RANK, Deed, MoveRecord
from iotdb_cluster.timeseries.move_content import MoveContent
from iotdb_cluster.types.identity import GroupId, Node, NodeId

log = structlog.get_logger()

ASK_TIMEOUT_MS = 500
"""For the question whether another member has its copy, too; it is asked again."""

SAME_SOURCE_MS = 1_000
"""Behind a fence nobody but the source of the bulk is asked for so long: it may have yet to apply the fence."""

IDLE_POLL_MIN_MS = 10
BUSY_POLL_MS = 20
"""How often it looks while anything moves: writers wait behind a fence."""


class Mover:
    """`work` is a coroutine that runs beside the node's life; the rest may be asked in any thread."""

    def __init__(self, node: MoverNode, settings: MoveSettings) -> None:
        self._node = node
        self._wanted: dict[int, tuple[GroupId, GroupDeed]] = {}
        self.copying: dict[int, Copying] = {}
        """Moves into this node's groups, by number."""
        self._puller = Puller(node, settings, self._give_way)
        self._under_way: set[int] = set()
        """Moves whose files are being written just now: one, and what is urgent in between."""
        self._seen: set[DataGroupMember] = set()
        self._staged: set[tuple[GroupId, int]] = set()
        """Moves of which something may lie here, by the group that it was pulled for."""

    def is_copied(self, member: DataGroupMember, move: int) -> bool:
        """True once the bulk is here, and at so many others that an install behind the fence will not wait for it."""
        known, membership = self.copying.get(move), member.raft.membership
        if known is None or membership is None or not known.is_copied:
            return False
        count = len(membership.voters & {*known.copied_at, self._node.context.me.identifier})
        return 2 * count > len(membership.voters)

    def ready(self, move: int) -> MoveContent | None:
        """What the install of a move brings, once it is durable here."""
        known = self.copying.get(move)
        return None if known is None else known.ready

    def want(self, group: GroupId, deed: GroupDeed) -> None:
        """An install entry waits for its files."""
        self._wanted[deed.move] = (group, deed)

    async def work(self) -> None:
        """Copy what is due, one move after the other, until the node ends."""
        context = self._node.context
        idle_ms = max(IDLE_POLL_MIN_MS, 2 * context.settings.heartbeat_interval_ms)  # an idle node shall cost little
        while not self._node.is_ending:
            await self._look()
            poll_ms = min(BUSY_POLL_MS, idle_ms) if self._node.state.moves.records else idle_ms
            await pause(Deadline.after(context.clock, poll_ms))

    async def _look(self) -> None:
        undecided = {record.move.number for record in self._node.state.moves.records if record.decision is None}
        for number in self.copying.keys() - undecided:
            del self.copying[number]
        self._let_go_of_what_is_over()
        await self._copy_urgent()
        for record, member in self._mine():
            known = self.copying.setdefault(record.move.number, Copying())
            if not known.is_copied:
                await self._tried(record.move.number, self._copy(member, record, fenced=False))
            elif not record.copied and member.raft.is_leader and not self.is_copied(member, record.move.number):
                await self._ask_others(member, record)

    def _mine(self) -> list[tuple[MoveRecord, DataGroupMember]]:
        """The moves into this node's groups that are neither decided nor installed here."""
        found = []
        for record in self._node.state.moves.records:
            member = self._node.data(record.move.target)
            if member is None or member.raft.membership is None or record.decision is not None:
                continue
            install = (record.move.number, RANK[Deed.INSTALL])
            if member.slots.states.lowest_rank(record.move) < install:
                found.append((record, member))  # else it is over, too, maybe: after a start the meta log comes anew
        return found

    async def _copy_urgent(self) -> None:
        """What others wait for: the rest behind a fence, since writers do, and what an install entry names."""
        for group, deed in [self._wanted[number] for number in sorted(self._wanted)]:
            if deed.move not in self._under_way:
                await self._tried(deed.move, self._fetch(group, deed))
        for record, member in self._mine():
            known = self.copying.setdefault(record.move.number, Copying())
            if record.copied and known.ready is None and record.move.number not in self._under_way:
                await self._tried(record.move.number, self._copy(member, record, fenced=True))

    async def _give_way(self, move: int, is_wanted: bool) -> None:
        """Between two pieces: what is urgent first. Raises `Busy` where the rest of a bulk has become urgent itself."""
        await self._copy_urgent()
        record = self._node.state.moves.record(move)
        if record is None or (not is_wanted and (record.copied or move in self._wanted)):
            raise Busy(f"what is left of move {move} is wanted now, if anything is")

    async def _ask_others(self, member: DataGroupMember, record: MoveRecord) -> None:
        """Whether other members of the target have the bulk, too."""
        known, membership = self.copying[record.move.number], member.raft.membership
        assert membership is not None, "it leads"
        for identifier in sorted(membership.voters - known.copied_at - {self._node.context.me.identifier}):
            node = self._node.state.node(identifier)
            if node is not None and not self.is_copied(member, record.move.number):
                try:
                    # Who does not answer soon is not waited for: a fence may need this thread.
                    await self._source(member.group, [node], record, fenced=False, timeout_ms=ASK_TIMEOUT_MS)
                except RequestError as refusal:
                    log.debug("not_copied_there_yet", move=record.move.number, node=identifier, reason=str(refusal))
                else:
                    known.copied_at.add(identifier)

    def _let_go_of_what_is_over(self) -> None:
        """Have removed what was pulled for moves whose end this node has passed by: in a snapshot, or before a start.

        The end of a move that is applied does that by itself; what is pulled while it is, comes too late for it.
        """
        members = set(self._node.data_members)
        for member in members - self._seen:
            self._staged.update((member.group, move) for move in member.store.staged_moves())
        self._seen = members
        if self._node.meta is None or not self._node.meta.is_level:
            return
        book = self._node.state.moves
        for group, move in sorted(self._staged):
            if book.record(move) is not None:
                continue  # asking what lies here costs a look at the disk
            member_now = self._node.data(group)
            if member_now is None or move not in member_now.store.staged_moves():
                self._staged.discard((group, move))
            else:
                self._node.context.runtime.call_soon(partial(member_now.end_move_if_over, move))

    async def _tried(self, move: int, copying: Coroutine[Any, None, None]) -> None:
        try:
            await copying
        except RequestError as refusal:
            log.debug("copy_goes_on_later", move=move, reason=str(refusal))

    async def _copy(self, member: DataGroupMember, record: MoveRecord, *, fenced: bool) -> None:
        known = self.copying[record.move.number]
        asked: Sequence[Node] = self._node.state.members_of(NodeId(record.move.source))
        if fenced:
            asked = self._asked_behind_fence(known, asked)
        source = await self._source(record.move.source, asked, record, fenced=fenced)
        await self._pull(member, record.move.number, source, pace=Pace.AT_ONCE if fenced else Pace.BULK)
        if fenced:
            known.ready = source.content
        known.source = source.node
        known.is_copied = True

    def _asked_behind_fence(self, known: Copying, members: Sequence[Node]) -> Sequence[Node]:
        """Who gave the bulk, and for a while nobody else: others have the same points in files of their own.

        So only what came since the bulk is left to copy, while writers wait.
        """
        now_ms = self._node.context.clock.now_ms()
        if known.fence_at_ms is None:
            known.fence_at_ms = now_ms
        first = [node for node in members if node == known.source]
        if first and now_ms - known.fence_at_ms < SAME_SOURCE_MS:
            return first
        return (*first, *(node for node in members if node not in first))

    async def _fetch(self, group: GroupId, deed: GroupDeed) -> None:
        """Bring what an install entry names, from the leader that wants it entered.

        Who has the bulk lacks what came behind the fence, and may be waited for. Who was away lacks all of it, and is
        not waited for: most of the others have the bulk before there is a fence.
        """
        member = self._node.data(group)
        record = self._node.state.moves.record(deed.move)
        content = MoveContent.decode(deed.content)
        if member is None or record is None or member.store.staging(deed.move).is_complete(content):
            self._wanted.pop(deed.move, None)
            return
        leader = None if member.leader is None else self._node.state.node(member.leader)
        if leader is None or leader.identifier == self._node.context.me.identifier:
            return
        source = await self._source(group, [leader], record, fenced=False)
        if source.content.files != content.files:
            raise MalformedInput(f"the leader of group {group} has other files of move {deed.move}")
        has_bulk = self.copying.setdefault(deed.move, Copying()).is_copied
        there = Source(source.node, group, content, source.paths)
        await self._pull(member, deed.move, there, pace=Pace.AT_ONCE if has_bulk else Pace.LATE)

    async def _source(
        self,
        group: GroupId,
        asked: Sequence[Node],
        record: MoveRecord,
        *,
        fenced: bool,
        timeout_ms: int | None = None,
    ) -> Source:
        """The first member of a group that offers the files."""
        context = self._node.context
        timeout_ms = timeout_ms or self._puller.call_timeout_ms
        refusal: RequestError = RequestError(f"group {group} has no members")
        for node in asked:
            try:
                if node.identifier == context.me.identifier:
                    here = self._node.data(group)
                    if here is None:
                        continue
                    deadline = Deadline.after(context.clock, timeout_ms)
                    content, paths = await offer_of(here, record, deadline, fenced=fenced)
                    return Source(node, group, content, paths)
                header = self._node.state.node(NodeId(group))
                if header is None:
                    continue
                arguments = (node_struct(header), record.move.number, fenced)
                answer = await context.transport.call(node, Port.DATA, "pullMove", arguments, timeout_ms)
                content, paths = MoveContent.decode(answer.content), tuple(answer.paths)
                if len(paths) != len(content.files):
                    raise MalformedInput(f"{len(paths)} paths for {len(content.files)} files")
                return Source(node, group, content, paths)
            except RequestError as error:
                refusal = error
        raise refusal

    async def _pull(self, member: DataGroupMember, move: int, source: Source, *, pace: Pace) -> None:
        if member.is_closed:
            raise UnknownGroup(f"this node left group {member.group} meanwhile")
        self._staged.add((member.group, move))
        self._under_way.add(move)
        try:
            await self._puller.pull_missing(member, move, (source, self.copying[move]), pace)
            member.store.prepare_move(move, source.content)
        except (FileNotFoundError, Corruption) as error:
            # What is pulled is removed in the background when the move is over, and with the replica.
            record = self._node.state.moves.record(move)
            if member.is_closed or record is None or record.decision is not None:
                raise Busy(f"move {move} was over before all of it was here") from error
            if not any(each.move.number == move and here is member for each, here in self._mine()):
                raise
            # It is not installed here, so nothing counts on these files yet.
            member.store.staging(move).discard_damaged(source.content)
            raise Busy(f"{error}: what was damaged since it came is pulled again") from error
        finally:
            self._under_way.discard(move)
