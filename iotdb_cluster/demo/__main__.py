"""Runs the main job: `python -m iotdb_cluster.demo [--scene NAME] [--keep] [--dir DIR] [--data DIR]`."""

import argparse
import shutil
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from rich.console import Console

from iotdb_cluster.cli.local_cluster import LocalCluster
from iotdb_cluster.client.operators import ask_report
from iotdb_cluster.demo.grow_and_shrink import grow_and_shrink
from iotdb_cluster.demo.load_and_lose import NODE_COUNT, load_and_lose
from iotdb_cluster.errors import ClusterError

SCENES = {"load-and-lose": load_and_lose, "grow-shrink": grow_and_shrink}


def main(arguments: Sequence[str] | None = None) -> int:
    """Play a scene; the exit status is 0 only when nothing is missing or different."""
    parser = argparse.ArgumentParser(prog="python -m iotdb_cluster.demo", description=__doc__)
    parser.add_argument("--scene", choices=sorted(SCENES), default="load-and-lose")
    parser.add_argument("--keep", action="store_true", help="leave the cluster running")
    parser.add_argument("--dir", type=Path, default=Path("run"), help="where the cluster and the plot go")
    parser.add_argument("--data", type=Path, default=Path("data"), help="the stations' CSV files")
    options = parser.parse_args(arguments)
    console = Console(highlight=False)
    begun = datetime.now().astimezone()
    folder = (options.dir / f"demo-{begun:%Y%m%d-%H%M%S}").resolve()
    try:
        cluster = LocalCluster.open(folder / "cluster", node_count=NODE_COUNT, ask=ask_report, detached=options.keep)
    except ClusterError as error:
        console.print(f"[bold red]{error}[/]")
        return 1
    good = False
    try:
        good = SCENES[options.scene](cluster, options.data, folder / "temperatures.png", console)
    except ClusterError as error:
        console.print(f"[bold red]{error}[/]")
    finally:
        if options.keep and any(node.is_running for node in cluster.nodes):
            _tell_how_to_reach(cluster, console)
        else:
            cluster.stop()
            # What went wrong is in the nodes' logs.
            if good:
                shutil.rmtree(folder / "cluster")
    console.print(f"{(datetime.now().astimezone() - begun).total_seconds():.0f} s in all")
    return 0 if good else 1


def _tell_how_to_reach(cluster: LocalCluster, console: Console) -> None:
    node = cluster.nodes[0]
    pids = " ".join(str(each.pid) for each in cluster.nodes if each.is_running)
    console.print("\nthe cluster goes on running:")
    command = Path(sys.executable).parent / "iotdb-cluster"
    console.print(f"  {command} status --meta {node.ip}:{node.meta_port}", soft_wrap=True)
    address = f"{node.ip}:{node.client_port}"
    console.print(f"  {command} read root.site00.greensboro.temperature --node {address}", soft_wrap=True)
    console.print(f"  to stop it: kill {pids}; its folder: {cluster.folder}", soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
