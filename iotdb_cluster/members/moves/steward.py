"""Starts moves of slots, ends those that stand still, and enters what is due of them (docs/life-cycle.md, "Move").

Intent and decision by whoever leads the meta group, deeds by whoever leads a data group: each looks at what it has
applied, and at nothing else, so a new leader goes on where the last one was.
"""

from typing import Protocol

import structlog

from iotdb_cluster.members.context import Context
from iotdb_cluster.members.data.member import DataGroupMember
from iotdb_cluster.members.meta.member import MetaGroupMember
from iotdb_cluster.members.meta.reports import MetaReports
from iotdb_cluster.members.moves.codec import GroupDeed, MetaStep, deed_payload, intend_payload, progress_payload
from iotdb_cluster.members.moves.mover import Mover
from iotdb_cluster.members.moves.settings import MoveSettings
from iotdb_cluster.members.waiting import Proposal
from iotdb_cluster.partition.demands import demanded, next_moves
from iotdb_cluster.partition.moves import Deed, Move, MoveBook, Report, Role, due_deeds, due_reports
from iotdb_cluster.partition.roster import Roster
from iotdb_cluster.partition.table import PartitionTable, SlotTransfer
from iotdb_cluster.types.entries import Payload
from iotdb_cluster.types.identity import META_GROUP, GroupId, NodeId

log = structlog.get_logger()


class _Node(Protocol):
    @property
    def context(self) -> Context:
        """Runtime, clock and settings."""


class MoveSteward:
    """Looked after by the steward, in the runtime's thread. Without settings no move is ever begun."""

    def __init__(self, node: _Node, mover: Mover, reports: MetaReports, settings: MoveSettings | None) -> None:
        self._node = node
        self._mover = mover
        self._reports = reports
        self._settings = settings
        self._again_ms = node.context.settings.election_timeout_max_ms
        self._again_at_ms: dict[object, int] = {}
        self._since: dict[int, tuple[bool, int]] = {}
        """Of moves that are not decided: whether they were copied, and when this leader saw that first."""
        self._reckoned: tuple[PartitionTable, frozenset[NodeId], MoveBook] | None = None
        self._planned: tuple[tuple[SlotTransfer, ...], frozenset[NodeId]] = (), frozenset()

    def headers(self, meta: MetaGroupMember, roster: Roster) -> frozenset[NodeId]:
        """The headers of groups that take part in a move, or will."""
        found = {NodeId(group) for each in meta.state.moves.records for group in (each.move.source, each.move.target)}
        return frozenset(found) | self._plan(roster, meta.state.moves)[1]

    def _plan(self, roster: Roster, book: MoveBook) -> tuple[tuple[SlotTransfer, ...], frozenset[NodeId]]:
        """The moves to intend next, and the headers that have something to give or to get.

        Reckoned anew only when something it follows from has changed: it looks at every slot.
        """
        if self._settings is None:
            return (), frozenset()
        known = self._reckoned
        if known is None or known[0] is not roster.table or known[1] != roster.leaving or known[2] is not book:
            self._reckoned = (roster.table, roster.leaving, book)
            transfers = demanded(roster.table, roster.staying, book)
            headers = frozenset(header for each in transfers for header in (each.source, each.target))
            self._planned = next_moves(transfers, book), headers
        return self._planned

    def look_after_meta(self, meta: MetaGroupMember, roster: Roster, now_ms: int) -> None:
        """Begin the moves that the ring wants, and abort those that stand still."""
        book = meta.state.moves
        undecided = {record.move.number: record for record in book.records if record.decision is None}
        self._since = {number: known for number, known in self._since.items() if number in undecided}
        for number, record in undecided.items():
            known = self._since.get(number)
            if known is None or known[0] != record.copied:
                self._since[number] = (record.copied, now_ms)
            elif now_ms - known[1] >= 1_000 * (self._settings or MoveSettings()).timeout_s:
                log.warning("move_stands_still", move=number)
                self._enter(META_GROUP, ("abort", number), progress_payload(MetaStep.ABORT, number), now_ms)
        if not all(map(roster.is_settled_group, roster.groups)):
            return
        for transfer in self._plan(roster, book)[0]:
            source, target = GroupId(transfer.source), GroupId(transfer.target)
            payload = intend_payload(source, target, transfer.slots)
            self._enter(META_GROUP, ("intend", book.newest, transfer), payload, now_ms)

    def look_after_group(self, meta: MetaGroupMember, member: DataGroupMember, now_ms: int) -> None:
        """Enter the next deed of each move of a group that this node leads, and report what is applied there."""
        group, book = member.group, meta.state.moves
        if not book.records or not member.raft.is_leader or not member.raft.has_committed_own_term:
            return
        for deed, move in due_deeds(member.slots.states, book, group):
            payload = self._payload_of(deed, move)
            if payload is not None:
                self._enter(group, (group, deed, move.number), payload, now_ms)
        for report, move in due_reports(member.slots.states, book, group):
            step = MetaStep.FLIP if report is Report.FLIP else MetaStep.ENDED
            payload = progress_payload(step, move.number, group)
            self._reports.report((group, step, move.number), payload, now_ms)
        for record in book.records:
            is_mine = record.move.role_of(group) is Role.TARGET and record.decision is None
            if is_mine and not record.copied and self._mover.is_copied(member, record.move.number):
                payload = progress_payload(MetaStep.COPIED, record.move.number)
                self._reports.report((group, MetaStep.COPIED, record.move.number), payload, now_ms)

    def _payload_of(self, deed: Deed, move: Move) -> Payload | None:
        """The entry of a deed; None for an install whose files are not durable here yet."""
        if deed is not Deed.INSTALL:
            return deed_payload(GroupDeed(deed, move.number, move.slots))
        content = self._mover.ready(move.number)
        if content is None:
            return None
        return deed_payload(GroupDeed(deed, move.number, move.slots, content.covered.index, content.encode()))

    def _enter(self, group: GroupId, key: object, payload: Payload, now_ms: int) -> None:
        """Propose, unless the same was proposed a moment ago: what has no effect the second time may be repeated."""
        if now_ms < self._again_at_ms.get(key, 0):
            return
        if len(self._again_at_ms) > 1_000:
            self._again_at_ms = {each: at for each, at in self._again_at_ms.items() if at > now_ms}
        self._again_at_ms[key] = now_ms + self._again_ms
        self._node.context.runtime.propose(group, Proposal((payload,), (None,)))
