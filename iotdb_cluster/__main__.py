"""Starts a node, or removes one, with the options of the original's entry: `python -m iotdb_cluster -s [-c CONF_DIR]`.

Nothing here imports the commands for people, so that a node's process stays small.
"""

import argparse
import faulthandler
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import structlog

from iotdb_cluster.errors import ClusterError, Corruption, StartRefused, StorageFailure
from iotdb_cluster.server.config import load
from iotdb_cluster.server.logging import set_up_logging

PID_FILE = "node.pid"
"""In the node's folder while it serves, for `sbin/stop-node.sh`."""

REMOVAL_TIMEOUT_S = 3_600.0
"""How long a removal is watched; its data may take a while to move."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a node until it is told to stop, or do what else is asked.

    Returns the exit status: 2 for a refused start, 1 when the disk fails.
    """
    parser = argparse.ArgumentParser(prog="python -m iotdb_cluster", description="A node of the cluster.")
    mode = parser.add_mutually_exclusive_group(required=True)
    mode.add_argument("-s", "--start", action="store_true", help="start a node; the first start founds the cluster")
    mode.add_argument(
        "-a", "--add", action="store_true", help="start a node and add it to the cluster of its seed nodes"
    )
    mode.add_argument(
        "-r",
        "--remove",
        nargs=2,
        metavar=("IP", "META_PORT"),
        help="remove a node, by asking the seed nodes in turn; exit status 0 when it is gone",
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
        if options.remove is not None:
            return remove(options.conf, *options.remove)
        return start(options.conf, joins=options.add)
    except ClusterError as error:
        place = f"{load(options.conf).settings.data_dir}: " if isinstance(error, Corruption) else ""
        print(f"iotdb-cluster: {place}{error}", file=sys.stderr)
        # What the disk refuses now it may take later, when it has room again; all else needs a person.
        return 1 if isinstance(error, StorageFailure) else 2


def remove(conf: Path, ip: str, meta_port: str) -> int:
    """Remove the node at an address, and wait until it is gone; 0 only when it is (`client.removal.Removed`)."""
    from iotdb_cluster.client.failover import parse_address
    from iotdb_cluster.client.removal import Removal

    host = f"[{ip}]" if ":" in ip else ip
    try:
        target = parse_address(f"{host}:{meta_port}")
    except ValueError as error:
        raise StartRefused(str(error)) from None
    seeds = [(seed.ip, seed.meta_port) for seed in load(conf).settings.seeds]
    removal = Removal(target, seeds, lambda what: print(what, flush=True))
    return removal.run(REMOVAL_TIMEOUT_S, wait=True)


def start(conf: Path, *, joins: bool = False) -> int:
    """Run the node that `conf` describes; returns its exit status, raises `ClusterError` when it cannot start."""
    # A wrong setting is told before the node's libraries are loaded, which takes a second.
    configuration = load(conf)
    # What ends the process at once, as a bad sector under a mapped file does, leaves at least its place behind.
    faulthandler.enable()
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
    # In one step: whoever waits for the file reads it as soon as it is there.
    new = path.with_name(f"{path.name}.new")
    new.write_text(f"{os.getpid()}\n", encoding="ascii")
    new.replace(path)


def _remove_own(path: Path) -> None:
    # The folder may be another node's, whose presence was why this start was refused.
    if path.exists() and path.read_text(encoding="ascii").strip() == str(os.getpid()):
        path.unlink()


if __name__ == "__main__":
    sys.exit(main())
