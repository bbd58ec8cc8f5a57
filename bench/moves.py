"""`python -m bench.moves`: what it costs to add a fourth node to three that hold ten million points.

The points lie in 64 storage groups, and clients write small rows into all of them before and meanwhile. Once with the
rate of copies limited as by default, once without a limit. Writes JSON to a file and to standard output.
"""

import argparse
import json
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from bench.about import about
from bench.page import as_page
from bench.steady import SteadyLoad
from iotdb_cluster.cli.local_cluster import LocalCluster, LocalNode
from iotdb_cluster.client.operators import ask_report
from iotdb_cluster.client.session import Session
from iotdb_cluster.types.report import Report
from iotdb_cluster.types.schema import DataType

STORAGE_GROUPS = 64
TABLET_ROWS = 625
COLUMNS = 10
BASE_MS = 1_500_000_000_000
LOADERS = 4
CLIENTS = 16
CLIENT_PROCESSES = 2
LIMIT_MB = 64
NO_LIMIT_MB = 1_000_000
ADD_TIMEOUT_S = 120.0
LOOK_S = 0.2
MB = 1_000_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and write the figures."""
    parser = argparse.ArgumentParser(prog="python -m bench.moves", description=__doc__)
    parser.add_argument("--points", type=int, default=10_000_000, help="points before the node is added")
    parser.add_argument("--seconds", type=float, default=5.0, help="how long is measured before the node is added")
    parser.add_argument("--out", type=Path, default=Path("bench/moves.json"))
    parser.add_argument("--page", type=Path, help="also write this page anew, with the other figures of its folder")
    parser.add_argument("--dir", type=Path, help="folder for the data (default: temporary)")
    options = parser.parse_args(arguments)
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir=options.dir))
    try:
        results: dict[str, Any] = {"about": about(folder), "points": options.points}
        for name, limit_mb in (("limited", LIMIT_MB), ("unlimited", NO_LIMIT_MB)):
            results[name] = _measured(folder / name, limit_mb, options.points, options.seconds)
    finally:
        shutil.rmtree(folder)
    text = json.dumps(results, indent=2)
    options.out.write_text(text + "\n", encoding="utf-8")
    if options.page is not None:
        others = json.loads((options.page.parent / "results.json").read_text(encoding="utf-8"))
        options.page.write_text(as_page(others, results), encoding="utf-8")
    print(text)
    return 0


def _measured(folder: Path, limit_mb: int, points: int, seconds: float) -> dict[str, Any]:
    settings: dict[str, object] = {"slot_move_mb_per_second": limit_mb}
    cluster = LocalCluster.open(folder, node_count=3, ask=ask_report, settings=settings)
    try:
        cluster.start()
        cluster.wait_until_ready()
        names = [f"root.b{number:02}" for number in range(STORAGE_GROUPS)]
        _say(f"{points:,} points are loaded")
        _load(cluster, names, points)
        leaders = _settled_leaders(cluster, names)
        orders = [
            {"kind": "insert", "port": leaders[name].client_port, "device": f"{name}.live"}
            for name in names[:: STORAGE_GROUPS // CLIENTS]
        ]
        _say(f"a node is added, copies limited to {limit_mb:,} MB/s")
        with SteadyLoad(orders, CLIENT_PROCESSES) as load:
            begun = time.monotonic()
            time.sleep(seconds)
            added = time.monotonic()
            node = cluster.add_node()
            _wait_until_spread(cluster, node)
            over = time.monotonic()
        moves = moves_in_logs(cluster)
        return _figures(load, (begun, added, over), moves)
    finally:
        cluster.stop()


def _load(cluster: LocalCluster, names: Sequence[str], points: int) -> None:
    """Write DOUBLE columns into one device of each storage group, from several connections."""
    addresses = [(node.ip, node.client_port) for node in cluster.nodes]
    columns = [f"s{number}" for number in range(COLUMNS)]
    types = [DataType.DOUBLE] * COLUMNS
    tablets = points // (len(names) * COLUMNS * TABLET_ROWS)

    def load(part: Sequence[str]) -> None:
        draw = np.random.default_rng(13)
        with Session(addresses, repeatable=True, direct=True) as session:
            for number in range(tablets):
                first = BASE_MS + 1000 * number * TABLET_ROWS
                times = first + 1000 * np.arange(TABLET_ROWS, dtype=np.int64)
                for name in part:
                    # Each value is new: repeated ones would take next to no room in the files that are copied.
                    values = list(draw.normal(20, 5, (COLUMNS, TABLET_ROWS)))
                    session.insert_tablet(f"{name}.bulk", columns, types, times, values)

    with ThreadPoolExecutor(LOADERS) as pool:
        for done in [pool.submit(load, names[number::LOADERS]) for number in range(LOADERS)]:
            done.result()


def _settled_leaders(cluster: LocalCluster, names: Sequence[str]) -> dict[str, LocalNode]:
    """For each storage group the node that leads its data group, once every group is led by its header."""
    nodes = {node.identifier: node for node in cluster.nodes}
    ends_at = time.monotonic() + ADD_TIMEOUT_S
    while time.monotonic() < ends_at:
        report = _report(cluster.nodes[0])
        leaders = {group.header: group.leader for group in report.groups if group.header is not None}
        if all(header == leader for header, leader in leaders.items()) and set(names) <= report.storage_groups.keys():
            return {name: nodes[report.storage_groups[name]] for name in names}
        time.sleep(LOOK_S)
    raise RuntimeError("the groups are not led by their headers")


def _wait_until_spread(cluster: LocalCluster, added: LocalNode) -> None:
    ends_at = time.monotonic() + ADD_TIMEOUT_S
    while time.monotonic() < ends_at:
        if not added.is_running:
            raise RuntimeError("the new node has ended")
        report = _report(cluster.nodes[0])
        counts = sorted(report.slots.values())
        if len(counts) == len(cluster.nodes) and counts[-1] - counts[0] <= 1 and report.change is None:
            return
        time.sleep(LOOK_S)
    raise RuntimeError(f"after {ADD_TIMEOUT_S:.0f} s the slots are not spread")


def _report(node: LocalNode) -> Report:
    report = ask_report((node.ip, node.meta_port))
    if report is None:
        raise RuntimeError(f"{node.name} does not answer")
    return report


@dataclass(frozen=True, slots=True)
class Copy:
    """What one node has pulled for one move without a break."""

    size: int
    begun_at_s: float
    ended_at_s: float


@dataclass(frozen=True, slots=True)
class Moves:
    """What the logs of the nodes say: seconds from fence to open of each move, and what was copied."""

    pauses_s: tuple[float, ...]
    copies: tuple[Copy, ...]

    @property
    def copied_bytes(self) -> int:
        """By all nodes of the new group together."""
        return sum(copy.size for copy in self.copies)

    @property
    def copying_s(self) -> float:
        """How long anything was being copied: several nodes copy at once."""
        total = end = 0.0
        for copy in sorted(self.copies, key=lambda each: each.begun_at_s):
            total += max(0.0, copy.ended_at_s - max(end, copy.begun_at_s))
            end = max(end, copy.ended_at_s)
        return total


def moves_in_logs(cluster: LocalCluster) -> Moves:
    """Read the logs of all nodes. A deed counts from when the first member applied it, which is its leader."""
    steps: dict[tuple[int, str], float] = {}
    copies = []
    for node in cluster.nodes:
        for line in (node.folder / "log" / "node.log").read_text(encoding="utf-8").splitlines():
            entry = json.loads(line)
            at_s = datetime.fromisoformat(entry["timestamp"]).timestamp()
            if entry["event"] == "move_step":
                key = entry["move"], entry["deed"]
                steps[key] = min(at_s, steps.get(key, at_s))
            elif entry["event"] == "move_copied":
                copies.append(Copy(entry["bytes"], at_s - entry["ms"] / 1000, at_s))
    pauses = tuple(at - steps[move, "fence"] for (move, deed), at in sorted(steps.items()) if deed == "open")
    return Moves(pauses, tuple(copies))


def _figures(load: SteadyLoad, times: tuple[float, float, float], moves: Moves) -> dict[str, Any]:
    begun, added, over = times
    before, during = load.calls.per_s(begun + 1, added), load.calls.per_s(added, over)
    return {
        "seconds": round(over - added, 2),
        "moves": len(moves.pauses_s),
        "copied_mb": round(moves.copied_bytes / MB, 1),
        "copied_mb_per_s": round(moves.copied_bytes / MB / moves.copying_s, 1),
        "copied_mb_per_s_by_one_node": round(
            moves.copied_bytes / MB / sum(copy.ended_at_s - copy.begun_at_s for copy in moves.copies), 1
        ),
        "longest_client_wait_s": round(load.calls.longest(added, over), 3),
        "longest_client_wait_before_s": round(load.calls.longest(begun, added), 3),
        "slot_pause_s": {
            "median": round(statistics.median(moves.pauses_s), 3),
            "longest": round(max(moves.pauses_s), 3),
        },
        "calls_per_s": {"before": round(before), "during": round(during), "ratio": round(during / before, 2)},
    }


def _say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
