"""Reading the journal's folder: which segments count, what they hold, and where they are damaged. Changes nothing."""

from dataclasses import dataclass, field

from iotdb_cluster.errors import Corruption, MalformedInput
from iotdb_cluster.storage.group_log import GroupLog, SegmentUse
from iotdb_cluster.storage.records import decode_records
from iotdb_cluster.storage.replay import Replay
from iotdb_cluster.storage.segment import SegmentScan, read_segment, segment_name, sequence_of
from iotdb_cluster.types.disk import Disk
from iotdb_cluster.types.identity import GroupId


@dataclass(slots=True)
class Recovered:
    """What the segments say, and where they end.

    `older` holds the bytes of every segment but the newest; those below `needed_from` are left over from a crash and
    count no more. `newest` is None for a folder without a log.
    """

    groups: dict[GroupId, GroupLog] = field(default_factory=dict)
    use: SegmentUse = field(default_factory=SegmentUse)
    older: dict[int, int] = field(default_factory=dict)
    needed_from: int = 1
    newest: SegmentScan | None = None


def read_journal(disk: Disk, folder: str) -> Recovered:
    """Read all segments that count.

    Raises `Corruption` with file and offset for a segment that is missing, damaged before its durable mark, or not the
    one that the next segment continues; a torn tail of the newest is left to the caller.
    """
    recovered = Recovered()
    sequences = segment_sequences(disk, folder)
    if not sequences:
        return recovered
    newest = sequences[-1]
    newest_data = disk.read(_path(folder, newest))
    newest_scan = read_segment(_path(folder, newest), newest_data, newest)
    recovered.newest = newest_scan
    recovered.needed_from = newest_scan.needed_from
    recovered.older = {sequence: disk.size(_path(folder, sequence)) for sequence in sequences[:-1]}
    replay = Replay.empty()
    previous: SegmentScan | None = None
    for sequence in range(recovered.needed_from, newest + 1):
        path = _path(folder, sequence)
        if sequence not in recovered.older and sequence != newest:
            raise Corruption(path, 0, f"the segment is missing: the log counts from {recovered.needed_from} on")
        data = newest_data if sequence == newest else disk.read(path)
        scan = newest_scan if sequence == newest else read_segment(path, data, sequence)
        if previous is not None:
            check_end(_path(folder, sequence - 1), previous, scan)
        replay_segment(path, data, scan, replay)
        previous = scan
    try:
        recovered.groups = replay.finish(recovered.use)
    except MalformedInput as error:
        raise Corruption(_path(folder, newest), newest_scan.end.length, error.message) from error
    return recovered


def segment_sequences(disk: Disk, folder: str) -> list[int]:
    """The numbers of all segments in the folder, ascending."""
    found = (sequence_of(name) for name in disk.list_folder(folder))
    return sorted(sequence for sequence in found if sequence is not None)


def check_end(path: str, scan: SegmentScan, following: SegmentScan) -> None:
    """A segment that is not the newest must end, undamaged, exactly where the next one says; raises `Corruption`."""
    if scan.torn is not None:
        raise Corruption(path, scan.end.length, f"{scan.torn}, although a later segment follows")
    if scan.end != following.header.previous:
        expected = following.header.previous.length
        raise Corruption(
            path,
            min(scan.end.length, expected),
            f"the segment ends at {scan.end.length} with checksum {scan.end.chain:08x}, the next one continues "
            f"{expected} with {following.header.previous.chain:08x}",
        )


def replay_segment(path: str, data: bytes, scan: SegmentScan, replay: Replay) -> None:
    """Take over the records of all good batches; raises `Corruption` with the offset of the batch."""
    for batch in scan.batches:
        try:
            replay.apply(decode_records(data, batch.start, batch.end), scan.header.sequence)
        except MalformedInput as error:
            raise Corruption(path, batch.position, error.message) from error


def _path(folder: str, sequence: int) -> str:
    return f"{folder}/{segment_name(sequence)}"
