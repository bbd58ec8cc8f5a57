"""A cluster of node processes on this machine, in one folder.

The folder remembers how many nodes there are and their ports (`cluster.json`), so that the same folder, opened again,
is the same cluster. Nothing here restarts a node that dies; whoever wants that calls `start_node`.
"""

import fcntl
import itertools
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from iotdb_cluster.cli.status import Ask
from iotdb_cluster.errors import StartRefused
from iotdb_cluster.types.report import Report

LOOPBACK = "127.0.0.1"
REMEMBERED = "cluster.json"
PORTS = range(15_000, 32_000)
"""Below what the system hands out for outgoing connections, so that nobody takes a port while its node is down."""

READY_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 10.0
POLL_S = 0.05
ANSWER_TIMEOUT_MS = 1_000


@dataclass(slots=True)
class LocalNode:
    """One node: its addresses, its folder, and its process while it has one."""

    meta_port: int
    data_port: int
    client_port: int
    folder: Path
    ip: str = LOOPBACK
    process: subprocess.Popen[bytes] | None = None
    identifier: int | None = None

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def pid(self) -> int | None:
        """Its process, also when that has ended."""
        return None if self.process is None else self.process.pid

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def described(self) -> dict[str, Any]:
        """The node in the line that `iotdb-cluster local` prints."""
        return {
            "ip": self.ip,
            "meta_port": self.meta_port,
            "data_port": self.data_port,
            "client_port": self.client_port,
            "pid": self.pid,
            "identifier": self.identifier,
            "dir": str(self.folder),
        }


@dataclass(slots=True)
class LocalCluster:
    """Node processes that belong together. `settings` are written into each node's configuration."""

    folder: Path
    nodes: list[LocalNode]
    settings: dict[str, object]
    ask: Ask
    detached: bool = False
    """True: the nodes survive this process and what is typed at its terminal."""
    _held: ExitStack = field(default_factory=ExitStack)

    @classmethod
    def open(
        cls,
        folder: Path,
        *,
        node_count: int,
        ask: Ask,
        client_port: int | None = None,
        settings: dict[str, object] | None = None,
        detached: bool = False,
    ) -> "LocalCluster":
        """The cluster in `folder`, made if it is new; no process is started. Raises `StartRefused`.

        Client ports are `client_port`, `client_port + 1`, ..., or free ones.
        """
        if node_count < 1:
            raise StartRefused(f"nodes = {node_count}: must be 1 or more")
        folder = folder.resolve()
        folder.mkdir(parents=True, exist_ok=True)
        held = ExitStack()
        try:
            _lock(folder, held)
            ports = _remembered_ports(folder, node_count, client_port)
            if ports is None:
                ports = choose_ports(node_count, client_port)
                _remember(folder, ports)
        except BaseException:
            held.close()
            raise
        nodes = [LocalNode(*three, folder / f"node{number}") for number, three in enumerate(ports, start=1)]
        cluster = cls(folder, nodes, {"replica_num": min(3, node_count), **(settings or {})}, ask, detached, held)
        for node in nodes:
            cluster._write_configuration(node)
        return cluster

    def start(self) -> None:
        """Start every node that does not run."""
        for node in self.nodes:
            if not node.is_running:
                self.start_node(node)

    def add_node(self, **settings: object) -> LocalNode:
        """One node more: it is started, asks to be added, and is in when `wait_until_ready` says so.

        `settings` are its own, beside or instead of the cluster's.
        """
        node = self.prepare_node(**settings)
        self.nodes.append(node)
        _remember(self.folder, [(each.meta_port, each.data_port, each.client_port) for each in self.nodes])
        self.start_node(node, mode="-a")
        return node

    def prepare_node(self, **settings: object) -> LocalNode:
        """The folder and configuration of a node that is not one of the cluster yet."""
        taken = {port for node in self.nodes for port in (node.meta_port, node.data_port, node.client_port)}
        free = _free_ports(taken)
        # The folder of a node that was removed stays, and is nobody else's.
        numbers = itertools.count(len(self.nodes) + 1)
        folder = next(path for path in (self.folder / f"node{number}" for number in numbers) if not path.exists())
        node = LocalNode(next(free), next(free), next(free), folder)
        self._write_configuration(node, settings)
        return node

    def start_node(self, node: LocalNode, *, mode: str = "-s") -> None:
        """Start a node's process from its folder; what it prints goes to `output.txt` there."""
        with (node.folder / "output.txt").open("ab") as output:
            node.process = subprocess.Popen(
                [sys.executable, "-m", "iotdb_cluster", mode, "-c", str(node.folder / "conf")],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=self.detached,
            )

    def wait_until_ready(
        self, timeout_s: float = READY_TIMEOUT_S, *, give_up: Callable[[], bool] = lambda: False
    ) -> None:
        """Wait until every node knows the table and agrees on a leader for every group; raises `StartRefused`.

        Returns early, ready or not, when `give_up` says so.
        """
        ends_at = time.monotonic() + timeout_s
        missing = "no node has answered"
        while time.monotonic() < ends_at:
            if give_up():
                return
            for node in self.nodes:
                if not node.is_running:
                    raise StartRefused(f"{node.name} ended: {last_words(node)}")
            reports = [self.ask((node.ip, node.meta_port), timeout_ms=ANSWER_TIMEOUT_MS) for node in self.nodes]
            missing = what_is_missing(reports)
            if not missing:
                for node, report in zip(self.nodes, reports, strict=True):
                    node.identifier = None if report is None else report.node.identifier
                return
            time.sleep(POLL_S)
        raise StartRefused(f"not ready after {timeout_s:.0f} s: {missing}; see output.txt in {self.folder}/node*")

    def kill(self, node: LocalNode) -> None:
        """End a node's process at once (SIGKILL), as a crash would."""
        if node.process is not None:
            node.process.kill()
            node.process.wait()

    def stop(self) -> None:
        """Ask every node to stop (SIGTERM), and end those that do not within ten seconds."""
        running = [node.process for node in self.nodes if node.process is not None and node.is_running]
        for process in running:
            process.send_signal(signal.SIGTERM)
        ends_at = time.monotonic() + STOP_TIMEOUT_S
        for process in running:
            try:
                process.wait(max(0.0, ends_at - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._held.close()

    def _write_configuration(self, node: LocalNode, own: Mapping[str, object] | None = None) -> None:
        seeds = ",".join(f"{each.ip}:{each.meta_port}:{each.data_port}" for each in self.nodes)
        values = {
            "local_ip": node.ip,
            "local_meta_port": node.meta_port,
            "local_data_port": node.data_port,
            "local_client_port": node.client_port,
            "seed_nodes": seeds,
            "data_dir": ".",
            "log_file": "log/node.log",
            **self.settings,
            **(own or {}),
        }
        (node.folder / "conf").mkdir(parents=True, exist_ok=True)
        text = yaml.safe_dump(values, sort_keys=False)
        (node.folder / "conf" / "iotdb-cluster.yaml").write_text(text, encoding="utf-8")


def what_is_missing(reports: Sequence[Report | None]) -> str:
    """Why the cluster of these nodes is not ready, in words; empty when it is.

    Ready: all nodes know the same partition table, and for each group its members name the same leader, who agrees.
    """
    known = [report for report in reports if report is not None]
    if len(known) < len(reports):
        return f"{len(reports) - len(known)} of {len(reports)} nodes do not answer"
    if blind := [str(report.node) for report in known if report.blind or report.table_version is None]:
        return f"{', '.join(blind)} knows no partition table"
    if len({report.table_version for report in known}) > 1 or len({report.members for report in known}) > 1:
        return "nodes know different partition tables"
    if changes := {report.change for report in known if report.change}:
        return min(changes)
    headers = [None, *(member.identifier for member in known[0].members)]
    for header in headers:
        views = [(report, group) for report in known for group in report.groups if group.header == header]
        leaders = {group.leader for _, group in views}
        name = "the meta group" if header is None else f"data group {header}"
        if len(leaders) != 1 or None in leaders:
            return f"{name} has no leader"
        if not any(group.role == "leader" and report.node.identifier in leaders for report, group in views):
            return f"the leader of {name} does not lead yet"
    return ""


def last_words(node: LocalNode) -> str:
    """The last line that a node's process printed, or else logged, for a message."""
    for name in ("output.txt", "log/node.log"):
        path = node.folder / name
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n") if path.exists() else []
        if said := [line for line in lines if line.strip()]:
            return said[-1]
    return f"exit status {None if node.process is None else node.process.poll()}"


def _lock(folder: Path, held: ExitStack) -> None:
    """Hold `folder` for this process, so that two never run the same cluster."""
    file = held.enter_context((folder / "lock").open("a+"))
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        raise StartRefused(f"{folder}: in use by process {file.read().strip() or '(unknown)'}") from None
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()


def _remembered_ports(folder: Path, node_count: int, client_port: int | None) -> list[tuple[int, int, int]] | None:
    path = folder / REMEMBERED
    if not path.exists():
        return None
    try:
        nodes = json.loads(path.read_text(encoding="utf-8"))["nodes"]
        ports = [(node["meta_port"], node["data_port"], node["client_port"]) for node in nodes]
    except (ValueError, KeyError, TypeError) as error:
        raise StartRefused(f"{path}: is not a remembered cluster: {error!r}") from error
    if len(ports) != node_count:
        raise StartRefused(
            f"{folder}: holds a cluster of {len(ports)} nodes, not {node_count}; "
            f"say --nodes {len(ports)}, or another folder"
        )
    if client_port is not None and client_port != ports[0][2]:
        raise StartRefused(f"{folder}: its first client port is {ports[0][2]}, not {client_port}")
    return ports


def _remember(folder: Path, ports: list[tuple[int, int, int]]) -> None:
    nodes = [{"meta_port": meta, "data_port": data, "client_port": client} for meta, data, client in ports]
    temporary = folder / (REMEMBERED + ".new")
    temporary.write_text(json.dumps({"nodes": nodes}, indent=1) + "\n", encoding="utf-8")
    temporary.replace(folder / REMEMBERED)


def choose_ports(node_count: int, client_port: int | None) -> list[tuple[int, int, int]]:
    """Meta, data and client port of each node, all of them free just now."""
    wanted = [] if client_port is None else list(range(client_port, client_port + node_count))
    for port in wanted:
        if not 0 < port < 65_536:
            raise StartRefused(f"client_port = {client_port}: must be from 1 to {65_536 - node_count}")
        if not _is_free(port):
            raise StartRefused(f"client port {port}: is in use; name others by --client-port, or none for free ones")
    free = _free_ports(taken=set(wanted))
    return [
        (next(free), next(free), wanted[number] if client_port is not None else next(free))
        for number in range(node_count)
    ]


def _free_ports(taken: set[int]) -> Iterator[int]:
    candidates = list(PORTS)
    # Not seeded: two clusters that start at the same moment must not try the same ports.
    random.SystemRandom().shuffle(candidates)
    for port in candidates:
        if port not in taken and _is_free(port):
            yield port
    raise StartRefused(f"no free port from {PORTS.start} to {PORTS.stop}")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True
