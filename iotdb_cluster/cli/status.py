"""Puts the reports of the nodes together into one picture of the cluster."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from iotdb_cluster.client.failover import Address, address_text
from iotdb_cluster.errors import CommandRefused
from iotdb_cluster.types.identity import LogIndex, Node, NodeId, Term
from iotdb_cluster.types.report import GroupReport, MoveReport, Report, group_name

ANSWER_TIMEOUT_MS = 2_000


class Ask(Protocol):
    """Asks the node at a meta address for its report (`client.operators.ask_report`)."""

    def __call__(self, address: Address, *, timeout_ms: int) -> Report | None:
        """The report; None when the node does not answer, or not in time."""


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """One member of the cluster. What only it can say is None when it does not answer."""

    identifier: NodeId
    ip: str
    meta_port: int
    data_port: int
    client_port: int | None
    pid: int | None
    alive: bool
    table_version: LogIndex | None
    slots: int
    storage_groups: tuple[str, ...]
    """Those whose slot this node's own group owns, sorted."""
    state: str = "voter"
    """What it is to the meta group: joining, learner, voter or leaving."""
    silent_s: float | None = None
    """How long ago it answered the leader of the meta group last; None where nobody says."""


@dataclass(frozen=True, slots=True)
class MemberStatus:
    """How far one member of a group is."""

    node: NodeId
    role: str
    applied: LogIndex
    last_index: LogIndex


@dataclass(frozen=True, slots=True)
class GroupStatus:
    """One group, by what its members with the highest term say."""

    group: str
    header: NodeId | None
    leader: NodeId | None
    term: Term
    commit: LogIndex
    members: tuple[MemberStatus, ...]


@dataclass(frozen=True, slots=True)
class CopyStatus:
    """How far one member of a move's target has copied it."""

    node: NodeId
    total_bytes: int
    copied_bytes: int
    left_bytes: int
    bytes_per_second: int


@dataclass(frozen=True, slots=True)
class MoveStatus:
    """Slots on their way from the group of one header to that of another; each member of the target copies them."""

    number: int
    source: NodeId
    target: NodeId
    slots: int
    state: str
    copies: tuple[CopyStatus, ...]


@dataclass(frozen=True, slots=True)
class ClusterStatus:
    """The whole cluster; `nodes` and `groups` by identifier, the meta group first."""

    cluster_name: str
    cluster_id: str | None
    table_version: LogIndex | None
    nodes: tuple[NodeStatus, ...]
    groups: tuple[GroupStatus, ...]
    change: str | None = None
    """The change of nodes or groups that is under way, if any."""
    moves: tuple[MoveStatus, ...] = ()
    """Those that are not over, by number."""
    slots_to_move: int = 0
    """How many slots have yet to change their owner."""

    def as_json(self) -> dict[str, Any]:
        """For `status --json`."""
        return asdict(self)


def ask_cluster(ask: Ask, address: Address) -> ClusterStatus:
    """The cluster that the node at this address belongs to; raises `CommandRefused` when that one does not answer."""
    first = ask(address, timeout_ms=ANSWER_TIMEOUT_MS)
    if first is None:
        raise CommandRefused(
            f"{address_text(address)} does not answer as the meta port of a node: is one running there, and is this "
            "its local_meta_port (9003 by default)? --meta or IOTDB_META names another"
        )
    members = first.members or (first.node,)
    others = [member for member in members if member.identifier != first.node.identifier]
    with ThreadPoolExecutor(max_workers=max(1, len(others))) as pool:
        answers = list(pool.map(lambda member: ask(member.meta_address, timeout_ms=ANSWER_TIMEOUT_MS), others))
    return put_together([first, *(answer for answer in answers if answer is not None)])


def put_together(reports: Sequence[Report]) -> ClusterStatus:
    """One picture out of at least one report; who has applied most of the meta log says who is a member."""
    newest = max(reports, key=_age)
    by_identifier = {report.node.identifier: report for report in reports}
    members = newest.members or (newest.node,)
    silent_ms = next((report.silent_ms for report in reports if report.silent_ms), {})
    return ClusterStatus(
        cluster_name=newest.cluster_name,
        cluster_id=newest.cluster_id,
        table_version=newest.table_version,
        nodes=tuple(
            _node_status(member, by_identifier.get(member.identifier), newest, silent_ms.get(member.identifier))
            for member in members
        ),
        groups=tuple(_group_statuses(reports)),
        change=newest.change,
        moves=tuple(_move_status(move, reports) for move in newest.moves),
        slots_to_move=newest.slots_to_move,
    )


def _move_status(move: MoveReport, reports: Sequence[Report]) -> MoveStatus:
    copies = [
        CopyStatus(
            node=report.node.identifier,
            total_bytes=each.total_bytes,
            copied_bytes=each.copied_bytes,
            left_bytes=max(0, each.total_bytes - each.copied_bytes),
            bytes_per_second=each.bytes_per_second,
        )
        for report in sorted(reports, key=lambda report: report.node.identifier)
        for each in report.moves
        if each.number == move.number and each.total_bytes is not None
    ]
    return MoveStatus(move.number, move.source, move.target, move.slots, move.state, tuple(copies))


def _age(report: Report) -> tuple[LogIndex, LogIndex]:
    """How much of the meta log a report stands for."""
    return (
        -1 if report.table_version is None else report.table_version,
        -1 if report.meta is None else report.meta.last_applied,
    )


def _node_status(node: Node, report: Report | None, newest: Report, silent_ms: int | None) -> NodeStatus:
    owned = sorted(name for name, header in newest.storage_groups.items() if header == node.identifier)
    return NodeStatus(
        identifier=node.identifier,
        ip=node.ip,
        meta_port=node.meta_port,
        data_port=node.data_port,
        client_port=None if report is None else report.client_port,
        pid=None if report is None else report.pid,
        alive=report is not None,
        table_version=None if report is None else report.table_version,
        slots=newest.slots.get(node.identifier, 0),
        storage_groups=tuple(owned),
        state=newest.states.get(node.identifier, "voter"),
        silent_s=None if silent_ms is None else silent_ms / 1000,
    )


def _group_statuses(reports: Sequence[Report]) -> list[GroupStatus]:
    views: dict[NodeId | None, list[tuple[NodeId, GroupReport]]] = {}
    for report in reports:
        for group in report.groups:
            views.setdefault(group.header, []).append((report.node.identifier, group))
    statuses = []
    for header in sorted(views, key=lambda header: (header is not None, header or 0)):
        seen = views[header]
        term = max(group.term for _, group in seen)
        current = [group for _, group in seen if group.term == term]
        leader = next((group.leader for group in current if group.leader is not None), None)
        statuses.append(
            GroupStatus(
                group=group_name(header),
                header=header,
                leader=leader,
                term=term,
                commit=max(group.commit_index for _, group in seen),
                members=tuple(
                    MemberStatus(node, group.role, group.last_applied, group.last_index)
                    for node, group in sorted(seen, key=lambda view: view[0])
                ),
            )
        )
    return statuses
