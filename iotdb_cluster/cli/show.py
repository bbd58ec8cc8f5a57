"""Shows the state of a cluster as tables for a terminal."""

from datetime import datetime, timedelta

from rich import box
from rich.console import Console
from rich.table import Table

from iotdb_cluster.cli.status import ClusterStatus, GroupStatus, NodeStatus
from iotdb_cluster.client.moving import MB
from iotdb_cluster.types.counting import counted
from iotdb_cluster.types.identity import NodeId

STORAGE_GROUPS_SHOWN = 2


def show_status(status: ClusterStatus, console: Console) -> None:
    """Two tables, nodes and groups, under a line about the cluster."""
    alive = sum(node.alive for node in status.nodes)
    version = "no partition table yet" if status.table_version is None else f"table version {status.table_version}"
    console.print(f"cluster [bold]{status.cluster_name}[/]: {alive} of {len(status.nodes)} nodes alive, {version}")
    if status.change is not None:
        console.print(f"[yellow]under way[/]: {status.change}")
    console.print(_nodes(status))
    console.print(_groups(status))
    if status.moves:
        console.print(_moves(status))


def _nodes(status: ClusterStatus) -> Table:
    table = Table(title="nodes", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    # What is typed into other commands is never shortened.
    identifiers = [str(node.identifier) for node in status.nodes]
    addresses = [f"{node.ip}:{node.meta_port}:{node.data_port}:{node.client_port or '?'}" for node in status.nodes]
    for name, cells in (("identifier", identifiers), ("ip:meta:data:client", addresses)):
        table.add_column(name, no_wrap=True, min_width=max(map(len, [name, *cells])))
    table.add_column("state")
    for name in ("table", "slots"):
        table.add_column(name, justify="right", no_wrap=True, min_width=len(name))
    table.add_column("storage groups", min_width=len("storage"))
    for node, identifier, address in zip(status.nodes, identifiers, addresses, strict=True):
        table.add_row(
            identifier,
            address,
            _state(node),
            "-" if node.table_version is None else str(node.table_version),
            str(node.slots),
            _some(node.storage_groups),
        )
    return table


def _state(node: NodeStatus) -> str:
    """Alive or not, since when not, and what it is to the meta group unless it is a voter as usual."""
    part = "" if node.state == "voter" else f", {node.state}"
    if node.alive:
        return f"[green]alive[/]{part}"
    since = "" if node.silent_s is None else f" since {_clock_time(node.silent_s)}"
    return f"[red]no answer[/]{since}{part}"


def _clock_time(seconds_ago: float) -> str:
    when = datetime.now().astimezone() - timedelta(seconds=seconds_ago)
    return when.strftime("%H:%M:%S" if seconds_ago < 86_400 else "%Y-%m-%d %H:%M")


def _groups(status: ClusterStatus) -> Table:
    table = Table(title="groups", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for name in ("group", "leader", "term", "commit"):
        table.add_column(name, justify="left" if name == "group" else "right", no_wrap=True)
    table.add_column("applied")
    for group in status.groups:
        leader = "[red]none[/]" if group.leader is None else str(group.leader)
        table.add_row(group.group, leader, str(group.term), str(group.commit), _applied(group))
    return table


def _moves(status: ClusterStatus) -> Table:
    title = f"moves ({counted(status.slots_to_move, 'slot')} still to move)"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for name in ("move", "from", "to", "slots", "state"):
        table.add_column(name, justify="left" if name == "state" else "right", no_wrap=True)
    table.add_column("copied")
    for move in status.moves:
        copies = [
            f"{each.copied_bytes / MB:.1f} of {each.total_bytes / MB:.1f} MB on {each.node} "
            f"({each.bytes_per_second / MB:.1f} MB/s, {each.left_bytes / MB:.1f} MB left)"
            for each in move.copies
        ]
        table.add_row(*map(str, (move.number, move.source, move.target, move.slots)), move.state, "\n".join(copies))
    return table


def _applied(group: GroupStatus) -> str:
    behind: dict[NodeId, int] = {each.node: group.commit - each.applied for each in group.members}
    if not any(behind.values()):
        return f"{group.commit} on all {len(behind)}"
    return ", ".join(f"{each.applied} on {each.node}" for each in group.members)


def _some(names: tuple[str, ...]) -> str:
    shown = ", ".join(names[:STORAGE_GROUPS_SHOWN])
    left = len(names) - STORAGE_GROUPS_SHOWN
    return f"{shown} and {left} more" if left > 0 else shown
