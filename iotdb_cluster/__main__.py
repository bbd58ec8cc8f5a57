"""Starts a node, with the options of the original's entry: `python -m iotdb_cluster -s [-c CONF_DIR]`.

Nothing here imports the commands for people, so that a node's process stays small.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import structlog

from iotdb_cluster.errors import ClusterError
from iotdb_cluster.server.config import load
from iotdb_cluster.server.logging import set_up_logging

PID_FILE = "node.pid"
"""In the node's folder while it serves, for `sbin/stop-node.sh`."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a node until it is told to stop; returns the exit status, 2 for a start that was refused."""
    parser = argparse.ArgumentParser(prog="python -m iotdb_cluster", description="A node of the cluster.")
    mode = parser.add_mutually_exclusive_group(required=True)
    mode.add_argument("-s", "--start", action="store_true", help="start a node; the first start founds the cluster")
    mode.add_argument(
        "-a", "--add", action="store_true", help="start a node and add it to the cluster of its seed nodes"
    )
    mode.add_argument("--folder", action="store_true", help="only print the node's folder")
    parser.add_argument(
        "-c", "--conf", type=Path, default=Path("conf"), metavar="CONF_DIR", help="configuration folder (default: conf)"
    )
    options = parser.parse_args(arguments)
    try:
        if options.folder:
            print(load(options.conf).settings.data_dir)
            return 0
        return start(options.conf, joins=options.add)
    except ClusterError as error:
        print(f"iotdb-cluster: {error}", file=sys.stderr)
        return 2


def start(conf: Path, *, joins: bool = False) -> int:
    """Run the node that `conf` describes; returns its exit status, raises `ClusterError` when it cannot start."""
    # A wrong setting is told before the node's libraries are loaded, which takes a second.
    configuration = load(conf)
    set_up_logging(configuration.settings)
    from iotdb_cluster.server.node import run_node

    log = structlog.get_logger()
    for notice in configuration.notices:
        log.warning("configuration_notice", file=str(configuration.file), notice=notice)
    pid_file = Path(configuration.settings.data_dir, PID_FILE)
    try:
        return run_node(configuration.settings, lambda: _write_pid(pid_file), joins=joins)
    finally:
        _remove_own(pid_file)


def _write_pid(path: Path) -> None:
    path.write_text(f"{os.getpid()}\n", encoding="ascii")


def _remove_own(path: Path) -> None:
    # The folder may be another node's, whose presence was why this start was refused.
    if path.exists() and path.read_text(encoding="ascii").strip() == str(os.getpid()):
        path.unlink()


if __name__ == "__main__":
    sys.exit(main())
