"""Reads everything that this package writes and says what is wrong with it, without changing anything."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from iotdb_cluster.errors import Corruption, StartRefused
from iotdb_cluster.storage.identity import IDENTITY_FILE, IdentityStore
from iotdb_cluster.storage.journal_reader import Recovered, read_journal, segment_sequences
from iotdb_cluster.storage.segment import read_segment, segment_name
from iotdb_cluster.storage.snapshots import META_SNAPSHOT_FILE, MetaSnapshotFile, StoredSnapshot
from iotdb_cluster.types.disk import Disk
from iotdb_cluster.types.identity import META_GROUP

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """Something worth telling about a file. Where `is_damage` is False the next start deals with it by itself."""

    path: str
    offset: int
    what: str
    is_damage: bool = True


def check_folder(disk: Disk, folder: str = "raft") -> list[Finding]:
    """Everything that is wrong with identity, log and meta snapshot of a node's folder, sorted; empty when all is well.

    The node must not run meanwhile. Raises `StorageFailure` where the disk cannot be read.
    """
    findings: list[Finding] = []
    found_identity = _attempt(findings, IdentityStore(disk).load)
    found_snapshot = _attempt(findings, MetaSnapshotFile(disk).load)
    found_journal = _attempt(findings, lambda: read_journal(disk, folder))
    has_log = bool(segment_sequences(disk, folder))
    if has_log and not disk.exists(IDENTITY_FILE):
        findings.append(Finding(IDENTITY_FILE, 0, "the identity is missing beside a log"))
    if found_identity is not None and found_identity.cluster_id is not None and not has_log:
        findings.append(Finding(folder, 0, f"node {found_identity.identifier} belongs to a cluster and has no log"))
    if found_identity is not None and found_identity.tombstone is not None:
        why = found_identity.tombstone.why
        findings.append(
            Finding(IDENTITY_FILE, 0, f"node {found_identity.identifier} was removed: {why}", is_damage=False)
        )
    if found_journal is None:
        findings += _damaged_segments(disk, folder)
    else:
        findings += _tail(found_journal, folder)
        findings += _meta_log_behind(found_journal, found_snapshot, disk)
    return sorted(set(findings))


def _attempt(findings: list[Finding], read: Callable[[], _T]) -> _T | None:
    """What `read` returns, or None with a finding."""
    try:
        return read()
    except Corruption as error:
        findings.append(Finding(error.path, error.offset, error.what))
    except StartRefused as error:
        findings.append(Finding("", 0, str(error)))
    return None


def _damaged_segments(disk: Disk, folder: str) -> list[Finding]:
    """Each segment by itself: reading the log as a whole ends at the first that is damaged."""
    findings: list[Finding] = []
    sequences = segment_sequences(disk, folder)
    for sequence in sequences:
        path = f"{folder}/{segment_name(sequence)}"
        try:
            scan = read_segment(path, disk.read(path), sequence)
        except Corruption as error:
            findings.append(Finding(path, error.offset, error.what))
        except StartRefused as error:
            findings.append(Finding(path, 0, str(error)))
        else:
            if scan.torn is not None and sequence != sequences[-1]:
                findings.append(Finding(path, scan.end.length, f"{scan.torn}, although a later segment follows"))
    return findings


def _tail(journal: Recovered, folder: str) -> list[Finding]:
    newest = journal.newest
    if newest is None or newest.torn is None:
        return []
    path = f"{folder}/{segment_name(newest.header.sequence)}"
    what = f"{newest.torn}: a write that nobody was told about, the next start cuts it off"
    return [Finding(path, newest.end.length, what, is_damage=False)]


def _meta_log_behind(journal: Recovered, snapshot: StoredSnapshot | None, disk: Disk) -> list[Finding]:
    """The meta log may have forgotten only what the snapshot holds."""
    log = journal.groups.get(META_GROUP)
    if log is None or not log.base.present or log.base.snapshot.index == 0:
        return []
    if snapshot is None and disk.exists(META_SNAPSHOT_FILE):
        return []
    reaches = 0 if snapshot is None else snapshot.last.index
    if reaches >= log.base.snapshot.index:
        return []
    what = f"the snapshot reaches to {reaches}, the meta log begins behind {log.base.snapshot.index}"
    return [Finding(META_SNAPSHOT_FILE, 0, what)]
