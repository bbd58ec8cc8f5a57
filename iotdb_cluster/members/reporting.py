"""What a node says of itself for `iotdb-cluster status`."""

import os
from collections.abc import Sequence
from typing import Protocol

from iotdb_cluster.members.context import Context
from iotdb_cluster.members.data.member import DataGroupMember
from iotdb_cluster.members.meta.member import MetaGroupMember
from iotdb_cluster.members.meta.state import MetaState
from iotdb_cluster.members.moves.mover import Mover
from iotdb_cluster.members.moves.pulling import Copying
from iotdb_cluster.members.raft_member import RaftMember
from iotdb_cluster.partition.demands import slots_to_move
from iotdb_cluster.partition.moves import Decision, MoveRecord
from iotdb_cluster.partition.roster import Roster
from iotdb_cluster.partition.slots import slot_of
from iotdb_cluster.storage.identity import Identity
from iotdb_cluster.types.counting import counted
from iotdb_cluster.types.identity import META_GROUP, Node, NodeId
from iotdb_cluster.types.report import GroupReport, MoveReport, Report
from iotdb_cluster.version import VERSION


class Reported(Protocol):
    """The node as far as its report goes."""

    context: Context
    meta: MetaGroupMember | None
    mover: Mover

    @property
    def me(self) -> Node:
        """This node."""

    @property
    def identity(self) -> Identity:
        """What its folder says."""

    @property
    def state(self) -> MetaState:
        """The meta group's state as applied here."""

    @property
    def data_members(self) -> Sequence[DataGroupMember]:
        """The data groups it is in."""


def node_report(node: Reported) -> Report:
    """What this node knows; a snapshot of values that go on changing."""
    state = node.state
    roster, table = state.roster, state.table
    to_move = 0 if roster is None else slots_to_move(roster.table, roster.staying, state.moves)
    now_ms = node.context.clock.now_ms()
    members: list[RaftMember] = ([node.meta] if node.meta else []) + list(node.data_members)
    storage_groups: dict[str, NodeId] = {}
    if table is not None:
        storage_groups = {path: table.header_of(slot_of(path, table.slot_count)) for path in state.storage_groups}
    return Report(
        node=node.me,
        client_port=node.context.settings.local_client_port,
        pid=os.getpid(),
        blind=table is None,
        version=VERSION,
        cluster_name=node.context.settings.cluster_name,
        cluster_id=None if table is None else state.cluster_id.hex(),
        table_version=None if table is None else table.meta_index,
        members=state.nodes,
        groups=tuple(_group_report(member) for member in members),
        slots={} if table is None else {header: len(table.slots_of(header)) for header in table.headers},
        storage_groups=storage_groups,
        states={} if roster is None else {each.identifier: _state_of(roster, each.identifier) for each in roster.nodes},
        group_members=(
            {} if roster is None else {r.header.identifier: tuple(sorted(r.members)) for r in roster.groups}
        ),
        change=None if roster is None else roster.change_under_way or _moving(state, to_move),
        silent_ms={} if node.meta is None else _silent_ms(node.meta, now_ms),
        moves=tuple(
            _move_report(each, node.mover.copying.get(each.move.number), now_ms) for each in state.moves.records
        ),
        slots_to_move=to_move,
    )


def _moving(state: MetaState, to_move: int) -> str | None:
    """What is to be moved, in words; None when nothing is."""
    if to_move:
        return f"{counted(to_move, 'slot')} still to move"
    return f"move {state.moves.records[0].move.number} of slots is being tidied up" if state.moves.records else None


def _move_report(record: MoveRecord, here: Copying | None, now_ms: int) -> MoveReport:
    undecided = "fenced" if record.copied else "copying"
    states = {None: undecided, Decision.FLIPPED: "moved", Decision.ABORTED: "given up"}
    here = here or Copying()
    return MoveReport(
        number=record.move.number,
        source=NodeId(record.move.source),
        target=NodeId(record.move.target),
        slots=len(record.move.slots),
        state=states[record.decision],
        total_bytes=here.total_bytes,
        copied_bytes=here.pulled_bytes,
        bytes_per_second=here.bytes_per_second(now_ms),
    )


def _state_of(roster: Roster, identifier: NodeId) -> str:
    """What a node is to the meta group, in a word."""
    if identifier in roster.leaving:
        return "leaving"
    if identifier in roster.membership.voters:
        return "voter"
    return "learner" if identifier in roster.membership.learners else "joining"


def _silent_ms(meta: MetaGroupMember, now_ms: int) -> dict[NodeId, int]:
    """How long ago each peer answered the leader that this node is, if it is."""
    return {peer: max(0, now_ms - seen.last_contact_ms) for peer, seen in list(meta.raft.progress.items())}


def _group_report(member: RaftMember) -> GroupReport:
    raft = member.raft
    membership = raft.membership
    voters = tuple(sorted(membership.voters)) if membership else ()
    is_learner = membership is not None and raft.me not in membership.all_voters
    return GroupReport(
        header=None if member.group == META_GROUP else NodeId(member.group),
        role="learner" if is_learner else raft.role.value,
        leader=raft.leader,
        term=raft.term,
        commit_index=raft.commit_index,
        last_applied=member.applied.index,
        last_index=raft.last_id.index,
        members=voters,
        learners=tuple(sorted(membership.learners)) if membership else (),
    )
