"""Starts a node, with the options of the original's entry: `python -m iotdb_cluster -s [-c CONF_DIR]`.

Nothing here imports the commands for people, so that a node's process stays small.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import structlog

from iotdb_cluster.errors import ClusterError
from iotdb_cluster.server.config import load
from iotdb_cluster.server.logging import set_up_logging


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a node until it is told to stop; returns the exit status, 2 for a start that was refused."""
    parser = argparse.ArgumentParser(prog="python -m iotdb_cluster", description="A node of the cluster.")
    mode = parser.add_mutually_exclusive_group(required=True)
    mode.add_argument("-s", "--start", action="store_true", help="start a node; the first start founds the cluster")
    parser.add_argument(
        "-c", "--conf", type=Path, default=Path("conf"), metavar="CONF_DIR", help="configuration folder (default: conf)"
    )
    options = parser.parse_args(arguments)
    try:
        return start(options.conf)
    except ClusterError as error:
        print(f"iotdb-cluster: {error}", file=sys.stderr)
        return 2


def start(conf: Path) -> int:
    """Run the node that `conf` describes; returns its exit status, raises `ClusterError` when it cannot start."""
    # A wrong setting is told before the node's libraries are loaded, which takes a second.
    configuration = load(conf)
    set_up_logging(configuration.settings)
    from iotdb_cluster.server.node import run_node

    log = structlog.get_logger()
    for notice in configuration.notices:
        log.warning("configuration_notice", file=str(configuration.file), notice=notice)
    return run_node(configuration.settings)


if __name__ == "__main__":
    sys.exit(main())
