"""The scene of `make run`: load two stations' years, lose a node half way, get it back, and compare every point."""

import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from iotdb_cluster.cli.local_cluster import LocalCluster, LocalNode
from iotdb_cluster.client.operators import MetaClient, ask_report, header_of
from iotdb_cluster.demo.comparing import compare_all
from iotdb_cluster.demo.connections import TabletWriter, create_storage_groups, reader_of
from iotdb_cluster.demo.loading import Loader
from iotdb_cluster.demo.plot import draw_temperatures
from iotdb_cluster.demo.showing import ask_in_sql
from iotdb_cluster.demo.stations import STATIONS, Site, load_station, sites_of
from iotdb_cluster.demo.verdict import comparison_table, tell_verdict
from iotdb_cluster.errors import CommandRefused
from iotdb_cluster.partition.slots import slot_of
from iotdb_cluster.types.report import Report

NODE_COUNT = 3
LOSE_AT, RETURN_AT = 0.5, 0.75
"""Shares of the tablets that are acknowledged when the node is lost, and when it is started again."""


@dataclass(frozen=True, slots=True)
class Loss:
    """Which node was lost, when (monotonic seconds), and how many data groups it led."""

    node: LocalNode
    at_s: float
    led: int


def load_and_lose(cluster: LocalCluster, data: Path, plot: Path, console: Console) -> bool:
    """Run the scene on a cluster that is not started yet; True when nothing is missing or different."""
    begun = time.monotonic()
    sites = sites_of([load_station(data / f"{name}.csv") for name in STATIONS])
    cluster.start()
    cluster.wait_until_ready()
    console.print(f"[bold]{NODE_COUNT} nodes[/] ready after {time.monotonic() - begun:.1f} s, in {cluster.folder}")
    _spread(cluster, sites, console)

    loader = Loader(sites, lambda: TabletWriter(cluster.nodes))
    loss = _load(cluster, loader, console)
    loader.join()
    cluster.wait_until_ready()
    _tell_outage(loader, loss, console)

    comparisons = compare_all(sites, NODE_COUNT, reader_of(cluster.nodes))
    console.print(comparison_table(sites, comparisons, [node.name for node in cluster.nodes]))
    draw_temperatures({each.site.station.name: each.temperature for each in comparisons if each.node == 0}, plot)
    console.print(f"temperatures, as read back: {plot}")
    is_equal = tell_verdict(comparisons, console)
    return ask_in_sql(cluster, sites, console) and is_equal


def _spread(cluster: LocalCluster, sites: list[Site], console: Console) -> None:
    """Make the storage groups; raises `CommandRefused` when a data group holds none."""
    create_storage_groups(cluster.nodes, [site.storage_group for site in sites])
    first = cluster.nodes[0]
    # The table says who owns the slot of a storage group; which groups a node has heard of yet does not matter.
    with MetaClient((first.ip, first.meta_port)) as meta:
        table = meta.partition_table()
    headers = [node.identifier for node, _ in table.nodes]
    held = Counter(header_of(table, slot_of(site.storage_group)).identifier for site in sites)
    empty = [header for header in headers if not held[header]]
    if empty:
        raise CommandRefused(f"data group {empty[0]} holds no site, so this run would prove nothing about it")
    spread = ", ".join(f"{held[header]} in group {header}" for header in headers)
    console.print(f"{len(sites)} sites: {spread}")


def _load(cluster: LocalCluster, loader: Loader, console: Console) -> Loss:
    """Load everything, lose the busiest leader half way and bring it back."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("loading tablets", total=loader.total)

        def until(share: float) -> None:
            for done in loader.wait_for(share):
                progress.update(task, completed=done)

        loader.start()
        until(LOSE_AT)
        node, led = _busiest_leader(cluster)
        loss = Loss(node, time.monotonic(), led)
        cluster.kill(node)
        progress.update(task, description=f"[red]{node.name} lost[/], loading goes on")
        until(RETURN_AT)
        cluster.start_node(node)
        progress.update(task, description=f"[green]{node.name} started again[/]")
        until(1.0)
    return loss


def _busiest_leader(cluster: LocalCluster) -> tuple[LocalNode, int]:
    """The node that leads the most data groups, and how many those are."""
    led: Counter[int] = Counter()
    for node in cluster.nodes:
        report = _report_of(node)
        led[report.node.identifier] = sum(group.role == "leader" for group in report.groups if group.header is not None)
    identifier, count = max(led.items(), key=lambda item: (item[1], item[0]))
    return next(node for node in cluster.nodes if node.identifier == identifier), count


def _report_of(node: LocalNode) -> Report:
    report = ask_report((node.ip, node.meta_port))
    if report is None:
        raise CommandRefused(f"{node.name} does not answer")
    return report


def _tell_outage(loader: Loader, loss: Loss, console: Console) -> None:
    report = loader.report
    longest, site = report.longest_wait_s(loss.at_s)
    silence = report.longest_silence_s(loss.at_s, max(end for _, end, _ in report.acknowledged))
    console.print(
        f"{loss.node.name}, leader of {loss.led} of {NODE_COUNT} data groups, was ended with SIGKILL half way and "
        f"started again from its folder"
    )
    console.print(
        f"the cluster could not write for [bold]{longest:.2f} s[/] where that node led (the longest wait, {site}); "
        f"no site at all was written for {silence:.2f} s"
    )
