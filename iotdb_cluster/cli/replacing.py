"""`iotdb-cluster add -d`, `replace` and `rejoin`: a node in the background that takes a place in a running cluster."""

import fcntl
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from iotdb_cluster.cli.check import is_in_use
from iotdb_cluster.client.arrival import Arrival
from iotdb_cluster.client.failover import Address
from iotdb_cluster.client.operators import ask_report
from iotdb_cluster.client.removal import Removal, Removed
from iotdb_cluster.errors import CommandRefused, Corruption, StartRefused
from iotdb_cluster.server.config import load
from iotdb_cluster.settings import Settings
from iotdb_cluster.storage.disk import LOCK_FILE, RealDisk
from iotdb_cluster.storage.identity import IDENTITY_FILE, IdentityStore
from iotdb_cluster.types.identity import Node, NodeId
from iotdb_cluster.types.report import Report

OF_THE_NODE = (IDENTITY_FILE, "raft", "data", "repair", "damaged")
"""What in a folder belongs to one identifier; configuration and logs stay."""

OUTPUT_FILE = "log/output.txt"
"""In the folder of a node that runs in the background: what it prints."""

Say = Callable[[str], None]


class Place:
    """The place for a node that a configuration folder describes, and the cluster it is to join."""

    def __init__(self, conf: Path, say: Say) -> None:
        self.conf = conf
        self.settings: Settings = load(conf).settings
        self.folder = Path(self.settings.data_dir)
        self.address: Address = (self.settings.local_ip, self.settings.local_meta_port)
        self._say = say

    def cluster(self) -> Report:
        """What a seed node of the running cluster says; raises `CommandRefused`."""
        for seed in self.settings.seeds:
            report = ask_report((seed.ip, seed.meta_port), timeout_ms=2_000)
            if report is not None and not report.blind:
                return report
        raise CommandRefused(f"none of the seed nodes answers that it is in a cluster ({self.settings.seed_nodes})")

    def add(self, timeout_s: float) -> Report:
        """Start the node in the background, unless it runs, and wait until it is in; raises `CommandRefused`."""
        process = None if self._runs() else self._start()
        is_running = self._runs if process is None else lambda: process.poll() is None
        return Arrival(self.address, is_running, self._say, self._last_words).wait(timeout_s)

    def _last_words(self) -> str:
        """What the node printed last, or else logged, and where."""
        for path in (self.folder / OUTPUT_FILE, Path(self.settings.log_file or self.folder / OUTPUT_FILE)):
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []
            if said := [line.strip() for line in lines if line.strip()]:
                return f"{_reason(said[-1])} (the last line of {path})"
        return "it said nothing"

    def _runs(self) -> bool:
        return is_in_use(self.folder / LOCK_FILE)

    def _start(self) -> subprocess.Popen[bytes]:
        (self.folder / "log").mkdir(parents=True, exist_ok=True)
        with (self.folder / OUTPUT_FILE).open("ab") as output:
            return subprocess.Popen(
                [sys.executable, "-m", "iotdb_cluster", "-a", "-c", str(self.conf.resolve())],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    # -- taking another's place --------------------------------------------------------------------------------------

    def replace(self, old: NodeId, timeout_s: float) -> Removed:
        """Add the node of this place, then remove `old`; raises `CommandRefused` when there is nothing to replace."""
        report = self.cluster()
        gone = next((node for node in report.members if node.identifier == old), None)
        if gone is None:
            known = ", ".join(map(str, report.members))
            raise CommandRefused(f"the cluster has no node {old}; it has {known}")
        self._check_new(gone)
        self.add(timeout_s)
        return self._remove(gone, report, timeout_s)

    def _check_new(self, gone: Node) -> None:
        identity = self._identifier()
        if identity == gone.identifier:
            raise CommandRefused(
                f"{self.folder} is the folder of node {gone.identifier} itself: start it again with -s, or, if it is "
                "damaged, use 'iotdb-cluster rejoin'"
            )

    def _remove(self, gone: Node, report: Report, timeout_s: float) -> Removed:
        others = [node.meta_address for node in report.members if node != gone]
        asked = [*others, self.address]
        return Removal(gone.meta_address, asked, self._say, gone.identifier).run(timeout_s, wait=True)

    def rejoin(self, timeout_s: float) -> Removed:
        """Put what the folder holds aside, and come back as a new node in the place of the old one.

        Raises `CommandRefused` before anything was changed where the node runs or the cluster does not answer.
        """
        if self._runs():
            raise CommandRefused(f"{self.folder}: the node runs; stop it first")
        report = self.cluster()
        at_address = [node for node in report.members if node.meta_address == self.address]
        identifier = self._identifier()
        old = next((node for node in report.members if node.identifier == identifier), None)
        if old is None and len(at_address) == 1:
            old = at_address[0]
        aside = self._put_aside(identifier)
        self._say(f"what the folder held is in {aside} now")
        self.add(timeout_s)
        if old is None:
            self._say("the cluster knows no earlier node of this place, so there is none to remove")
            return Removed.GONE
        return self._remove(old, report, timeout_s)

    def _identifier(self) -> NodeId | None:
        """Whose folder it is; None for a new one, and where nobody can tell any more."""
        if not (self.folder / IDENTITY_FILE).exists():
            return None
        try:
            identity = IdentityStore(RealDisk(self.folder, read_only=True)).load()
        except (Corruption, StartRefused):
            return None
        return None if identity is None else identity.identifier

    def _put_aside(self, identifier: NodeId | None) -> Path:
        names = [name for name in OF_THE_NODE if (self.folder / name).exists()]
        if not names:
            raise CommandRefused(
                f"{self.folder}: holds nothing of a node; 'iotdb-cluster replace OLD_IDENTIFIER' puts a new one there"
            )
        name = f"left-{identifier if identifier is not None else 'unknown'}"
        taken = len([path for path in self.folder.iterdir() if path.name.startswith(name)])
        aside = self.folder / (f"{name}-{taken}" if taken else name)
        with (self.folder / LOCK_FILE).open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            aside.mkdir()
            for each in names:
                (self.folder / each).rename(aside / each)
        return aside


def _reason(line: str) -> str:
    """Why a node ended, of the line of its log that says so; any other line as it is."""
    try:
        return str(json.loads(line)["reason"])
    except (ValueError, KeyError, TypeError):
        return line


def asked_nodes(meta: Address) -> Sequence[Address]:
    """A node, and all members that it knows."""
    report = ask_report(meta)
    others = () if report is None else report.members
    return [meta, *(each.meta_address for each in others if each.meta_address != meta)]
