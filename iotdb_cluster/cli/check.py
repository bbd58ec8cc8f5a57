"""Looks a node's folder over, without changing anything."""

import fcntl
from pathlib import Path

from iotdb_cluster.errors import CommandRefused
from iotdb_cluster.storage.check import Finding, check_folder
from iotdb_cluster.storage.disk import LOCK_FILE, RealDisk
from iotdb_cluster.storage.identity import IDENTITY_FILE
from iotdb_cluster.timeseries.check import damage_in


def check_node(folder: Path) -> list[Finding]:
    """Everything worth telling about log, identity, snapshots and data files; raises `CommandRefused`.

    The node must not run: what it is writing would look torn.
    """
    if not any((folder / name).exists() for name in (IDENTITY_FILE, "raft")):
        inside = sorted(str(path.parent) for path in folder.glob(f"*/{IDENTITY_FILE}"))
        hint = f"; {' and '.join(inside)} {'is' if len(inside) == 1 else 'are'}" if inside else ""
        raise CommandRefused(f"{folder}: is not the folder of a node{hint}")
    if is_in_use(folder / LOCK_FILE):
        raise CommandRefused(f"{folder}: the node runs; stop it first")
    disk = RealDisk(folder, read_only=True)
    findings = check_folder(disk)
    for header in disk.list_folder("data"):
        findings += [Finding(each.path, each.offset, each.what) for each in damage_in(disk, f"data/{header}")]
    return findings


def is_in_use(lock: Path) -> bool:
    """True while a process holds the lock of a node's folder."""
    if not lock.exists():
        return False
    with lock.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
