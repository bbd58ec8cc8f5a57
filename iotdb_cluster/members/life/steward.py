"""What a node looks after by itself, without being asked (docs/life-cycle.md).

That groups have the members the meta log wants, as far as this node leads them; that it has the replicas it should
have; that leadership is spread, and given up before a stop. Everything runs in the runtime's thread, after its turns,
and looks at what the groups have come to by then.
"""

from collections.abc import Sequence
from typing import Protocol

import structlog

from iotdb_cluster.errors import OutcomeUnknown
from iotdb_cluster.members.clock import Deadline
from iotdb_cluster.members.context import Context
from iotdb_cluster.members.data.member import DataGroupMember
from iotdb_cluster.members.life.balance import Balance
from iotdb_cluster.members.life.membership_plan import next_group_membership, next_meta_membership
from iotdb_cluster.members.life.replicas import Replicas
from iotdb_cluster.members.meta.member import MetaGroupMember
from iotdb_cluster.members.meta.reports import Exiles, MetaReports
from iotdb_cluster.members.meta.roster_codec import report_payload
from iotdb_cluster.members.moves.mover import Mover
from iotdb_cluster.members.moves.settings import MoveSettings
from iotdb_cluster.members.moves.steward import MoveSteward
from iotdb_cluster.members.pending import Pending, pause
from iotdb_cluster.members.raft_member import RaftMember
from iotdb_cluster.members.waiting import ProposalBatch
from iotdb_cluster.partition.roster import Roster
from iotdb_cluster.raft.core import Raft
from iotdb_cluster.raft.events import ChangeMembership, TransferLeadership
from iotdb_cluster.types.identity import NodeId
from iotdb_cluster.types.membership import Membership

log = structlog.get_logger()

LOOK_MS = 50
"""How often it looks, at most."""

MOVING_LOOK_MS = 10
"""... while slots move: each step behind a fence is one that writers wait for."""

HAND_OVER_MS = 500
"""A stop waits no longer than this for others to lead."""

HAND_OVER_POLL_MS = 5


class Groups(Protocol):
    """The node, as far as its groups go."""

    meta: MetaGroupMember | None

    @property
    def context(self) -> Context:
        """Runtime, clock and settings."""

    @property
    def data_members(self) -> Sequence[DataGroupMember]:
        """The data groups it is in."""


class Steward:
    """Called after every turn of the runtime."""

    def __init__(self, node: Groups, replicas: Replicas, mover: Mover, moves: MoveSettings | None) -> None:
        self._node = node
        self._replicas = replicas
        settings = node.context.settings
        self._contact_ms = settings.election_timeout_max_ms
        self._balance = Balance(2 * settings.election_timeout_max_ms, settings.election_timeout_min_ms)
        self._reports = MetaReports(node, settings.election_timeout_max_ms)
        self._moves = MoveSteward(node, mover, self._reports, moves)
        self.exiles = Exiles(node, settings.election_timeout_max_ms)
        self._look_at_ms = 0
        self.is_stopping = False
        """The node hands its groups over, and takes none any more."""

    def after_turn(self, now_ms: int) -> None:
        """Look after everything, unless that was done a moment ago."""
        if now_ms < self._look_at_ms or self.is_stopping:
            return
        meta = self._node.meta
        self._look_at_ms = now_ms + (MOVING_LOOK_MS if meta is not None and meta.state.moves.records else LOOK_MS)
        self._replicas.review()
        self.exiles.tell(now_ms)
        if meta is None or meta.state.roster is None or not meta.is_level:
            return
        self._look_after_meta(meta, meta.state.roster, now_ms)
        for member in self._node.data_members:
            self._look_after_group(member, meta.state.roster, now_ms)
            self._moves.look_after_group(meta, member, now_ms)
        self._reports.send()

    # -- members -----------------------------------------------------------------------------------------------------

    def _look_after_meta(self, meta: MetaGroupMember, roster: Roster, now_ms: int) -> None:
        membership = _changeable(meta.raft)
        if membership is None or membership != roster.membership:
            return
        level, moving = self._level(meta.raft, now_ms), self._moves.headers(meta, roster)
        due = next_meta_membership(roster, membership, level, moving)
        if due is not None:
            self._change(meta, due)
        else:
            self._moves.look_after_meta(meta, roster, now_ms)

    def _look_after_group(self, member: DataGroupMember, roster: Roster, now_ms: int) -> None:
        membership = _changeable(member.raft)
        header = NodeId(member.group)
        record = roster.group(header)
        if membership is None or record is None:
            return
        due = next_group_membership(membership, roster.wanted_members(header), self._level(member.raft, now_ms))
        index = member.raft.log.membership_index
        if due is not None:
            self._change(member, due)
        elif membership.voters != record.members and not membership.learners and index > record.index:
            self._reports.report(member.group, report_payload(header, index, membership.voters), now_ms)
        else:
            self._spread(member, now_ms)

    def _spread(self, member: DataGroupMember, now_ms: int) -> None:
        relief = member.room.relief(member.raft, self._level(member.raft, now_ms), now_ms)
        if relief is not None:
            log.warning("leadership_goes_to_who_has_room", group=member.group, node=relief)
            member.step(TransferLeadership(relief))
            return
        successor = self._balance.successor(member.group, member.raft, now_ms)
        if successor is not None and not member.room.is_full(successor):
            log.info("leadership_goes_to_header", group=member.group)
            member.step(TransferLeadership(successor))

    def _level(self, raft: Raft, now_ms: int) -> frozenset[NodeId]:
        """Who has caught up with this leader and answered it lately."""
        heard_after_ms = now_ms - self._contact_ms
        return frozenset(
            peer for peer, seen in raft.progress.items() if seen.is_caught_up and seen.last_contact_ms > heard_after_ms
        )

    @staticmethod
    def _change(member: RaftMember, membership: Membership) -> None:
        log.info(
            "membership_changes",
            group=member.group,
            voters=sorted(membership.voters),
            learners=sorted(membership.learners),
        )
        member.step(ChangeMembership(ProposalBatch(), membership))

    # -- the end -----------------------------------------------------------------------------------------------------

    async def hand_over(self) -> None:
        """Let others lead what this node leads, before it stops; returns when they do, or after `HAND_OVER_MS`."""
        clock = self._node.context.clock
        deadline = Deadline.after(clock, HAND_OVER_MS)
        while not deadline.has_passed(clock.now_ms()):
            try:
                if await self._transferring().within(deadline) == 0:
                    return
            except OutcomeUnknown:
                return  # the runtime has stopped already, or hangs: there is nobody to hand over
            await pause(Deadline.after(clock, HAND_OVER_POLL_MS))

    def _transferring(self) -> Pending[int]:
        count: Pending[int] = Pending()
        self._node.context.runtime.call_soon(lambda: _resolve(count, self._transfer_all()))
        return count

    def _transfer_all(self) -> int:
        """Begin to hand over what this node leads; how many groups are on their way to somebody."""
        self.is_stopping = True
        members: list[RaftMember] = [*self._node.data_members]
        if self._node.meta is not None:
            members.append(self._node.meta)
        for member in members:
            if member.raft.is_leader and not member.raft.is_handing_over:
                member.step(TransferLeadership())
        return sum(member.raft.is_leader and member.raft.is_handing_over for member in members)


def _changeable(raft: Raft) -> Membership | None:
    """The membership of a group that this member leads and whose next one it may propose now, else None."""
    membership = raft.membership
    if not raft.has_committed_own_term or raft.is_handing_over or membership is None or membership.is_joint:
        return None
    return membership if raft.log.membership_index <= raft.commit_index else None


def _resolve(count: Pending[int], value: int) -> None:
    count.resolve(value)
