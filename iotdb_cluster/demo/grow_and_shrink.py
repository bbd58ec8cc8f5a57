"""The scene `grow-shrink`: nodes are added while sites are loaded, others leave and die, and every point is compared.

Three nodes hold the first eight sites. A fourth and a fifth join while the other eight are loaded; then the leader of
the meta group is removed, another node is ended with SIGKILL and removed dead, and the rest are restarted one after
the other. Besides, one small write after the other goes to every site from the beginning to the end.
"""

import signal
import time
from pathlib import Path

from rich.console import Console

from iotdb_cluster.cli.local_cluster import STOP_TIMEOUT_S, LocalCluster, LocalNode
from iotdb_cluster.client.arrival import Arrival
from iotdb_cluster.client.operators import ask_report
from iotdb_cluster.client.removal import Removal, Removed
from iotdb_cluster.demo.beats import Beats
from iotdb_cluster.demo.comparing import compare_all
from iotdb_cluster.demo.connections import TabletWriter, create_storage_groups, reader_of
from iotdb_cluster.demo.loading import Loader
from iotdb_cluster.demo.plot import draw_temperatures
from iotdb_cluster.demo.slot_watch import SlotWatch
from iotdb_cluster.demo.stations import SITE_COUNT, STATIONS, load_station, sites_of
from iotdb_cluster.demo.time_line import TimeLine
from iotdb_cluster.demo.verdict import comparison_table, tell_verdict
from iotdb_cluster.errors import CommandRefused
from iotdb_cluster.types.report import Report

FIRST_SITES = 8
LEAST_MOVES = 8
"""So many slots that hold data must have moved, or the run has proved too little."""

PAUSE_S = 0.25
"""Between two tablets of a writer while nodes join, so that the load lasts longer than that."""

JOIN_TIMEOUT_S = 90.0
LEAVE_TIMEOUT_S = 90.0
POLL_S = 0.05


def grow_and_shrink(cluster: LocalCluster, data: Path, plot: Path, console: Console) -> bool:
    """Run the scene on a cluster that is not started yet; True when nothing is missing, doubled or different."""
    sites = sites_of([load_station(data / f"{name}.csv") for name in STATIONS])
    early, late = (
        Loader(part, lambda: TabletWriter(cluster.nodes), pause_s)
        for part, pause_s in ((sites[:FIRST_SITES], 0.0), (sites[FIRST_SITES:], PAUSE_S))
    )
    line = TimeLine(console)
    beats = Beats(sites, lambda: tuple(cluster.nodes))
    watch = SlotWatch(lambda: tuple(cluster.nodes), lambda: early.begun | late.begun)

    with line.step(f"{len(cluster.nodes)} nodes are started"):
        cluster.start()
        cluster.wait_until_ready()
    create_storage_groups(cluster.nodes, [site.storage_group for site in sites])
    beats.start()
    watch.start()
    with line.step(f"{FIRST_SITES} of {len(sites)} sites are loaded"):
        early.start()
        early.join()
    _grow(cluster, line, late)
    _shrink(cluster, line)
    _restart(cluster, line)
    watch.stop()
    beats.stop()

    nodes = list(cluster.nodes)
    with line.step("every point is compared"):
        comparisons = compare_all(sites, len(nodes), reader_of(nodes))
        faults = beats.faults(len(nodes), reader_of(nodes))
    console.print(comparison_table(sites, comparisons, [node.name for node in nodes]))
    draw_temperatures({each.site.station.name: each.temperature for each in comparisons if each.node == 0}, plot)
    console.print(f"temperatures, as read back: {plot}")
    console.print(line.table(watch, (early.report, late.report, beats.report)))
    return _tell_moves(watch, console) & _tell_beats(beats, faults, console) & tell_verdict(comparisons, console)


def _grow(cluster: LocalCluster, line: TimeLine, loader: Loader) -> None:
    """Two nodes join while sites are loaded; raises `CommandRefused` when the load was over before they were in."""
    with line.step(f"meanwhile the other {SITE_COUNT - FIRST_SITES} are loaded"):
        loader.start()
        for _ in loader.wait_for(0.02):
            pass
        for _ in range(2):
            _add(cluster, line)
        if loader.done == loader.total:
            raise CommandRefused("the sites were loaded before the nodes were in, so this run would prove too little")
        loader.pause_s = 0.0
        loader.join()


def _add(cluster: LocalCluster, line: TimeLine) -> None:
    with line.step("a node joins") as step:
        node = cluster.add_node()
        step.what = f"{node.name} joins"
        Arrival((node.ip, node.meta_port), lambda: node.is_running, line.say).wait(JOIN_TIMEOUT_S)
        _wait_until_spread(cluster, JOIN_TIMEOUT_S)


def _shrink(cluster: LocalCluster, line: TimeLine) -> None:
    """The leader of the meta group leaves; then a node dies, and is removed dead."""
    leader = _meta_leader(cluster)
    with line.step(f"{leader.name}, the meta leader, is removed"):
        _remove(cluster, leader, line)
        if leader.process is None or leader.process.wait(STOP_TIMEOUT_S) != 0:
            raise CommandRefused(f"{leader.name} was removed, and did not end in good order")
        cluster.nodes.remove(leader)
        _wait_until_spread(cluster, LEAVE_TIMEOUT_S)
    lost = cluster.nodes[0]
    with line.step(f"{lost.name} is ended with SIGKILL"):
        cluster.nodes.remove(lost)
        cluster.kill(lost)
        cluster.wait_until_ready()
    with line.step(f"{lost.name} is removed dead"):
        _remove(cluster, lost, line)
        _wait_until_spread(cluster, LEAVE_TIMEOUT_S)


def _remove(cluster: LocalCluster, node: LocalNode, line: TimeLine) -> None:
    others = [(each.ip, each.meta_port) for each in cluster.nodes if each is not node]
    outcome = Removal((node.ip, node.meta_port), others, line.say).run(LEAVE_TIMEOUT_S, wait=True)
    if outcome is not Removed.GONE:
        raise CommandRefused(f"{node.name} was not removed: {outcome.name.lower()}")


def _restart(cluster: LocalCluster, line: TimeLine) -> None:
    """Stop and start each node, when the one before is back."""
    for node in cluster.nodes:
        with line.step(f"{node.name} is restarted"):
            if node.process is not None:
                node.process.send_signal(signal.SIGTERM)
                node.process.wait(STOP_TIMEOUT_S)
            cluster.start_node(node)
            cluster.wait_until_ready()


def _meta_leader(cluster: LocalCluster) -> LocalNode:
    report = _report(cluster)
    leader = None if report is None or report.meta is None else report.meta.leader
    found = next((node for node in cluster.nodes if node.identifier == leader), None)
    if found is None:
        raise CommandRefused("nobody says who leads the meta group")
    return found


def _wait_until_spread(cluster: LocalCluster, timeout_s: float) -> None:
    """Wait until all nodes own slots in equal parts and nothing changes; raises `CommandRefused`."""
    ends_at = time.monotonic() + timeout_s
    while True:
        report = _report(cluster)
        if report is not None and report.change is None and _is_spread(report, len(cluster.nodes)):
            break
        if time.monotonic() > ends_at:
            slots = "unknown" if report is None else report.slots
            raise CommandRefused(f"after {timeout_s:.0f} s the slots are not spread: {slots}")
        time.sleep(POLL_S)
    cluster.wait_until_ready()


def _is_spread(report: Report, node_count: int) -> bool:
    counts = sorted(report.slots.values())
    return len(counts) == len(report.members) == node_count and counts[-1] - counts[0] <= 1


def _report(cluster: LocalCluster) -> Report | None:
    reports = (ask_report((node.ip, node.meta_port)) for node in cluster.nodes)
    return next((report for report in reports if report is not None), None)


def _tell_moves(watch: SlotWatch, console: Console) -> bool:
    slots = sum(count for _, count in watch.moved)
    with_data = len(watch.moved_with_data)
    colour = "green" if with_data >= LEAST_MOVES else "red"
    console.print(
        f"[bold {colour}]{slots:,} slots moved; {with_data} times one that held data[/] (at least {LEAST_MOVES} wanted)"
    )
    return with_data >= LEAST_MOVES


def _tell_beats(beats: Beats, faults: list[str], console: Console) -> bool:
    for fault in faults:
        console.print(f"[bold red]{fault} is not what was written[/]")
    if not faults:
        console.print(f"[bold green]{beats.count:,} small writes meanwhile, each of them on every node[/]")
    return not faults
