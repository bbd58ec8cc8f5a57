"""`python -m bench`: figures of a cluster of three processes on this machine, beside those of a bare replicated log.

Both are measured in the same run, with the same load processes and frames of the same size, since absolute figures
depend on the machine and its disk. Writes JSON to a file and to standard output.
"""

import argparse
import json
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from bench.about import about
from bench.failover import fail_over_times_s, header_of_group
from bench.load import TABLET_COLUMNS, TABLET_ROWS
from bench.measure import Rate, bare_log, rate_of
from bench.page import as_page
from bench.reading import bare_bytes_per_s, points_per_s
from iotdb_cluster.cli.local_cluster import LocalCluster, LocalNode
from iotdb_cluster.client.operators import ask_report
from iotdb_cluster.client.session import Session

GROUP_COUNT = 16
CLIENT_COUNTS = (1, 32)
SETTLE_S = 60
POINTS = {"insert": 0, "tablet": TABLET_ROWS * TABLET_COLUMNS}
FIGURES = tuple(f"{kind}_{count}" for kind in POINTS for count in CLIENT_COUNTS)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and write the figures."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="length of each burst")
    parser.add_argument("--fail-overs", type=int, default=7, help="how often a leader is ended; 0: not at all")
    parser.add_argument("--read-points", type=int, default=1_000_000, help="length of the series that is read")
    parser.add_argument(
        "--only",
        type=_figure_names,
        default=FIGURES,
        help=f"measure only these writes, none of the rest: names of {', '.join(FIGURES)}, with commas between them",
    )
    parser.add_argument("--out", type=Path, default=Path("bench/results.json"))
    parser.add_argument("--page", type=Path, help="also write the figures as Markdown")
    parser.add_argument(
        "--dir", type=Path, help="folder for the data; its disk is what is measured (default: temporary)"
    )
    options = parser.parse_args(arguments)
    if options.page is not None and options.only != FIGURES:
        parser.error("--page shows all figures: without --only")
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir=options.dir))
    try:
        results = {"about": about(folder), "options": {"seconds": options.seconds}, **_measure(options, folder)}
    finally:
        shutil.rmtree(folder)
    text = json.dumps(results, indent=2)
    options.out.write_text(text + "\n", encoding="utf-8")
    if options.page is not None:
        moves = options.page.parent / "moves.json"
        known = json.loads(moves.read_text(encoding="utf-8")) if moves.exists() else None
        options.page.write_text(as_page(results, known), encoding="utf-8")
    print(text)
    return 0


def _measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    cluster = LocalCluster.open(folder / "cluster", node_count=3, ask=ask_report)
    try:
        cluster.start()
        cluster.wait_until_ready()
        results: dict[str, Any] = {"writes": _writes(cluster, folder, options.seconds, options.only)}
        if options.only != FIGURES:
            return results
        results["read"] = _read(cluster, options.read_points)
        if options.fail_overs:
            times = fail_over_times_s(cluster, options.fail_overs)
            results["fail_over_s"] = {
                "median": round(statistics.median(times), 3),
                "all": [round(each, 3) for each in times],
            }
        return results
    finally:
        cluster.stop()


def _figure_names(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    if unknown := set(names) - set(FIGURES):
        raise argparse.ArgumentTypeError(f"unknown: {', '.join(sorted(unknown))}")
    return names


def _writes(cluster: LocalCluster, folder: Path, seconds: float, names: Sequence[str]) -> dict[str, Any]:
    results: dict[str, Any] = {}
    processes = [psutil.Process(node.pid) for node in cluster.nodes]
    for name in names:
        kind, count = name.split("_")[0], int(name.split("_")[1])
        _say(f"{kind}s, {count} clients")
        cpu_s = _cpu_s(processes)
        mine = rate_of(_clients(kind, count, settled_leaders(cluster)), seconds)
        cpu_s = _cpu_s(processes) - cpu_s
        with bare_log(folder / f"bare-{name}") as port:
            bare = rate_of([{"kind": "bare", "port": port, "size": mine.frame_bytes}] * count, seconds)
        shutil.rmtree(folder / f"bare-{name}")
        results[name] = _beside(mine, bare, POINTS[kind])
        results[name]["node_cpu_us_per_call"] = round(1e6 * cpu_s / (mine.calls_per_s * seconds))
    return results


def _cpu_s(processes: Sequence[psutil.Process]) -> float:
    """Processor seconds that these have used so far, in all."""
    return sum(sum(process.cpu_times()[:2]) for process in processes)


def _beside(mine: Rate, bare: Rate, points: int) -> dict[str, Any]:
    return {
        "cluster": mine.as_json(points),
        "bare_log": bare.as_json(points),
        "ratio": round(mine.calls_per_s / bare.calls_per_s, 3),
    }


def _read(cluster: LocalCluster, count: int) -> dict[str, Any]:
    _say(f"reading {count} points")
    rate, batch_bytes = points_per_s(cluster, count)
    return {
        "points": count,
        "points_per_s": round(rate),
        "bare_socket_points_per_s": round(bare_bytes_per_s(batch_bytes, count) / 16),
    }


def settled_leaders(cluster: LocalCluster) -> list[tuple[str, LocalNode]]:
    """Storage groups, and for each the node that leads its data group, to which a knowing client would connect.

    Some seconds after a start each group goes to its header (`iotdb_cluster.members.life.balance`): that is waited for,
    or the clients would be left at nodes that only pass their calls on.
    """
    nodes = {node.identifier: node for node in cluster.nodes}
    names = [f"root.g{number}" for number in range(GROUP_COUNT)]
    with Session([(node.ip, node.client_port) for node in cluster.nodes]) as session:
        for name in names:
            session.set_storage_group(name)
    headers = {name: header_of_group(cluster, name) for name in names}
    ends_at_s = time.monotonic() + SETTLE_S
    while True:
        leader_of = _leader_of(cluster)
        if all(leader_of.get(header) == header for header in nodes):
            return [(name, nodes[header]) for name, header in headers.items()]
        if time.monotonic() > ends_at_s:
            raise RuntimeError(f"after {SETTLE_S} s the groups are not led by their headers yet: {leader_of}")
        time.sleep(0.1)


def _leader_of(cluster: LocalCluster) -> dict[int | None, int | None]:
    report = ask_report((cluster.nodes[0].ip, cluster.nodes[0].meta_port))
    if report is None:
        raise RuntimeError(f"{cluster.nodes[0].name} does not answer")
    return {group.header: group.leader for group in report.groups}


def _clients(kind: str, count: int, leaders: list[tuple[str, LocalNode]]) -> list[dict[str, Any]]:
    return [
        {"kind": kind, "port": node.client_port, "device": f"{group}.{kind}_{count}_{number}"}
        for number in range(count)
        for group, node in [leaders[number % len(leaders)]]
    ]


def _say(what: str) -> None:
    print(f"measuring {what}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
