"""The data groups of a node, made and dropped by the meta log that it has applied (docs/life-cycle.md, "Group").

Never because a call asks for it: whoever calls may know an older or a newer meta log than this node.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

import structlog

from iotdb_cluster.members.context import Context
from iotdb_cluster.members.data.member import DataGroupMember
from iotdb_cluster.members.data.readers import Readers
from iotdb_cluster.members.life.groups import GroupMaker
from iotdb_cluster.members.meta.member import MetaGroupMember
from iotdb_cluster.partition.roster import GroupRecord, Roster
from iotdb_cluster.raft.core import Raft
from iotdb_cluster.raft.events import ContextChanged
from iotdb_cluster.types.identity import EntryId, GroupId, NodeId
from iotdb_cluster.types.membership import Membership

log = structlog.get_logger()


class ReplicaHolder(Protocol):
    """The node, as far as its replicas go."""

    meta: MetaGroupMember | None
    readers: Readers

    @property
    def context(self) -> Context:
        """Runtime, disk and clock."""

    @property
    def data_members(self) -> Sequence[DataGroupMember]:
        """The data groups this node is in, by header."""

    def data(self, group: GroupId) -> DataGroupMember | None:
        """The member of a data group, where this node has one."""

    def is_repaired(self, group: GroupId) -> bool:
        """True while a group's files are being pulled again."""

    def add_data_member(self, member: DataGroupMember) -> None:
        """The node is in one more group."""

    def forget_data_member(self, group: GroupId) -> None:
        """The node is in one group less."""


def belongs(roster: Roster, record: GroupRecord, node: NodeId) -> bool:
    """True when a node should have a replica of a group, as far as the meta log has come."""
    wanted = roster.wanted_members(record.header.identifier)
    return node in (record.members if wanted is None else wanted)


def is_missing(roster: Roster, record: GroupRecord, node: NodeId, *, had_one: bool) -> bool:
    """True when a node that has no replica of a group is to make one; `had_one`: it had one before.

    Also a founder that the ring does not want any more, until others are reported in its place: the group is counted
    on it, and may have no majority without it.
    """
    is_counted_on = node in record.founders and node in record.members and not had_one
    return is_counted_on or belongs(roster, record, node)


def may_drop(roster: Roster, header: NodeId, raft: Raft) -> bool:
    """True when nobody can count on this node's replica of a group any more.

    The group has ended; or the ring does not want the node there, the members that were reported last do not include
    it, and its own log has no later membership that does (a voter's log has the membership that made it one).
    """
    record = roster.group(header)
    if record is None:
        return header in roster.tombstones
    if belongs(roster, record, raft.me) or raft.me in record.members:
        return False
    membership = raft.membership
    is_in_later_one = membership is not None and raft.me in membership.members
    return not (is_in_later_one and raft.log.membership_index > record.index)


class Replicas:
    """Looks at the applied meta log, and makes and drops. Runtime's thread."""

    def __init__(self, node: ReplicaHolder, maker: Callable[[], GroupMaker]) -> None:
        self._node = node
        self._maker = maker
        self._reviewed: Roster | None = None
        self._ending: set[GroupId] = set()
        """Groups whose files are still being removed: one is not made again before that is over."""

    def review(self) -> None:
        """Do what the meta log says, once it is known to be level with what its leader has committed."""
        meta = self._node.meta
        roster = None if meta is None else meta.state.roster
        if meta is None or roster is None or roster is self._reviewed or not meta.is_level:
            return
        me = self._node.context.me.identifier
        journal = self._node.context.runtime.journal
        is_done = True
        for record in roster.groups:
            group = GroupId(record.header.identifier)
            had_one = journal.mark_of(group) is not None
            if self._node.data(group) is None and is_missing(roster, record, me, had_one=had_one):
                must_wait = group in self._ending or self._node.is_repaired(group)
                is_done = is_done and not must_wait
                if not must_wait:
                    self._make(record)
        for member in self._node.data_members:
            is_done = self._is_as_it_should_be(roster, member) and is_done
        self._reviewed = roster if is_done else None

    def tell_context(self) -> None:
        """Tell the groups how far the meta log is, and who was removed (rules 3.5 and 3.7)."""
        context = self._context_changed()
        if context is not None:
            for member in self._node.data_members:
                self._node.context.runtime.post(member.group, context)

    def _context_changed(self) -> ContextChanged | None:
        meta = self._node.meta
        if meta is None:
            return None
        applied = EntryId(meta.applied.term, meta.applied.index)
        return ContextChanged(meta.raft.last_id, applied, meta.state.tombstones)

    def _make(self, record: GroupRecord) -> None:
        """Make a replica: with the founding entry where this node is a founder and never had one, else empty."""
        context = self._node.context
        group = GroupId(record.header.identifier)
        is_founder = context.me.identifier in record.founders and context.runtime.journal.mark_of(group) is None
        maker = self._maker()
        if is_founder:
            member = maker.founded_data_group(record.header, Membership(record.founders))
        else:
            member = maker.joined_data_group(record.header)
        self._node.add_data_member(member)
        meta_context = self._context_changed()
        if meta_context is not None:
            member.step(meta_context)
        log.info("replica_made", group=group, as_founder=is_founder)

    def _is_as_it_should_be(self, roster: Roster, member: DataGroupMember) -> bool:
        """Drop the replica if it is to go; False when it is not known yet, or not possible at this moment."""
        record = roster.group(NodeId(member.group))
        if record is not None and belongs(roster, record, self._node.context.me.identifier):
            return True
        # A group that has ended needs no leader; one of a single member has nobody who could take over.
        is_needed = member.raft.is_leader and record is not None
        if member.sealing.is_busy or is_needed or not may_drop(roster, NodeId(member.group), member.raft):
            return False
        self._drop(member)
        return True

    def _drop(self, member: DataGroupMember) -> None:
        """First the log forgets the replica, then its files go; what a crash leaves of them is swept at the start."""
        group = member.group
        context = self._node.context
        runtime = context.runtime

        def remove_files() -> None:
            member.store.drop()
            runtime.call_soon(lambda: self._ending.discard(group))

        runtime.remove(group)
        self._node.forget_data_member(group)
        self._node.readers.drop_group(group)
        runtime.journal.drop_group(group, member.raft.left_mark)
        member.close()
        self._ending.add(group)
        runtime.after_sync(lambda: context.submit(remove_files))
        log.info("replica_dropped", group=group, last=str(member.raft.last_id))
