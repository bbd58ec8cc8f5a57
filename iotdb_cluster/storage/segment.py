"""The layout of one log segment: a header, then batches, each the writes of one sync.

A batch is there whole or not at all. Its header says where it stands (segment, position), continues the checksum chain
of the batch before it, so that nothing stale is taken for new, and says up to where the segment was *durable* when it
was written. That makes every batch the durable mark of those before it: damage at or behind the last mark is a torn
tail, which nobody was told about; damage before it is corruption (DESIGN 3.11). A mark is also written alone, as a
batch without records.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from iotdb_cluster.errors import Corruption, StartRefused

FORMAT_VERSION = 1
_SEGMENT_MAGIC = b"CLUSTLOG"
_BATCH_MAGIC = b"\xf5BAT"
_SEGMENT = struct.Struct(">8sIQQIQI")
_BATCH = struct.Struct(">4sQQQQQIII")
SEGMENT_HEADER_BYTES = _SEGMENT.size
BATCH_HEADER_BYTES = _BATCH.size
_SUFFIX = ".log"


def segment_name(sequence: int) -> str:
    """The file name of a segment; names sort as segments do."""
    return f"{sequence:016d}{_SUFFIX}"


def sequence_of(name: str) -> int | None:
    """The number in a segment's name, or None for any other name."""
    digits = name.removesuffix(_SUFFIX)
    if digits.isascii() and digits.isdigit() and segment_name(int(digits)) == name:
        return int(digits)
    return None


@dataclass(frozen=True, slots=True)
class SegmentEnd:
    """Where a segment ends: its length, and the checksum of the last header in it, which the next one continues."""

    length: int = 0
    chain: int = 0


@dataclass(frozen=True)
class SegmentHeader:
    """The head of a segment, durable before the segment has its name.

    `previous` is the durable end of the segment before it. `needed_from` is the oldest segment that still counts.
    """

    sequence: int
    previous: SegmentEnd
    needed_from: int

    def encode(self) -> bytes:
        """`SEGMENT_HEADER_BYTES` bytes; the last four are the checksum of the others."""
        fields = _SEGMENT.pack(
            _SEGMENT_MAGIC,
            FORMAT_VERSION,
            self.sequence,
            self.previous.length,
            self.previous.chain,
            self.needed_from,
            0,
        )[:-4]
        return fields + zlib.crc32(fields).to_bytes(4, "big")

    @cached_property
    def checksum(self) -> int:
        """Where the chain of this segment begins; every batch asks for it."""
        return int.from_bytes(self.encode()[-4:], "big")


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch that was found good: its records are `data[start:end]` of its segment."""

    position: int
    start: int
    end: int
    durable_to: int
    needed_from: int
    checksum: int


@dataclass(frozen=True, slots=True)
class SegmentScan:
    """The good batches of a segment from its begin on, and what is wrong behind them (None: nothing is there)."""

    header: SegmentHeader
    batches: tuple[Batch, ...]
    end: SegmentEnd
    torn: str | None

    @property
    def needed_from(self) -> int:
        """The oldest segment that still counted when the last batch was written."""
        return self.batches[-1].needed_from if self.batches else self.header.needed_from


def batch_room() -> bytes:
    """Bytes that hold the place of a batch's header until `seal_batch`."""
    return bytes(BATCH_HEADER_BYTES)


def seal_batch(data: bytearray, header: SegmentHeader, end: SegmentEnd, *, durable_to: int, needed_from: int) -> int:
    """Write the header of the batch in `data` (room, then records), which goes to `end`; returns its checksum."""
    body_checksum = zlib.crc32(memoryview(data)[BATCH_HEADER_BYTES:])
    _BATCH.pack_into(
        data,
        0,
        _BATCH_MAGIC,
        header.sequence,
        end.length,
        len(data) - BATCH_HEADER_BYTES,
        durable_to,
        needed_from,
        end.chain,
        body_checksum,
        0,
    )
    checksum = zlib.crc32(memoryview(data)[: BATCH_HEADER_BYTES - 4], header.checksum)
    data[BATCH_HEADER_BYTES - 4 : BATCH_HEADER_BYTES] = checksum.to_bytes(4, "big")
    return checksum


def read_segment(path: str, data: bytes, sequence: int) -> SegmentScan:
    """Find the batches of a segment.

    Raises `Corruption` for a damaged header and for damage that a later mark proves to be in front of it; damage
    without a later mark is reported as `torn`, and the caller judges it by where the segment stands.
    """
    header = _read_header(path, data, sequence)
    batches: list[Batch] = []
    end = SegmentEnd(SEGMENT_HEADER_BYTES, header.checksum)
    torn: str | None = None
    while end.length < len(data):
        found = _read_batch(data, header, end)
        if isinstance(found, str):
            torn = found
            break
        batches.append(found)
        end = SegmentEnd(found.end, found.checksum)
    if torn is not None:
        for mark in _later_marks(data, header, end.length + 1):
            if mark.durable_to > end.length:
                raise Corruption(path, end.length, f"{torn}, before a durable mark at {mark.position}")
    return SegmentScan(header, tuple(batches), end, torn)


def _read_header(path: str, data: bytes, sequence: int) -> SegmentHeader:
    if len(data) < SEGMENT_HEADER_BYTES:
        raise Corruption(path, len(data), "the segment's header is cut off")
    magic, version, found, length, chain, needed_from, checksum = _SEGMENT.unpack_from(data)
    if magic != _SEGMENT_MAGIC or checksum != zlib.crc32(data[: SEGMENT_HEADER_BYTES - 4]):
        raise Corruption(path, 0, "the segment's header is damaged")
    if version != FORMAT_VERSION:
        raise StartRefused(f"{path} has log format {version}, this program reads format {FORMAT_VERSION}")
    if found != sequence:
        raise Corruption(path, 0, f"this is segment {found} under another's name")
    return SegmentHeader(sequence, SegmentEnd(length, chain), needed_from)


def _read_batch(data: bytes, header: SegmentHeader, end: SegmentEnd) -> Batch | str:
    """The batch at `end`, or what is wrong with it."""
    batch = _read_batch_header(data, header, end.length)
    if batch is None:
        return "the header of a batch is damaged or cut off"
    _, _, _, _, _, _, chain, body_checksum, _ = _BATCH.unpack_from(data, batch.position)
    if chain != end.chain:
        return "a batch does not continue the one before it"
    if batch.end > len(data):
        return "a batch is cut off"
    if zlib.crc32(memoryview(data)[batch.start : batch.end]) != body_checksum:
        return "the checksum of a batch is wrong"
    return batch


def _read_batch_header(data: bytes, header: SegmentHeader, position: int) -> Batch | None:
    """The header at `position` if it was written there, into this segment."""
    start = position + BATCH_HEADER_BYTES
    if start > len(data):
        return None
    magic, sequence, own_position, length, durable_to, needed_from, _, _, checksum = _BATCH.unpack_from(data, position)
    if (magic, sequence, own_position) != (_BATCH_MAGIC, header.sequence, position):
        return None
    if checksum != zlib.crc32(memoryview(data)[position : start - 4], header.checksum):
        return None
    return Batch(position, start, start + length, durable_to, needed_from, checksum)


def _later_marks(data: bytes, header: SegmentHeader, position: int) -> Iterator[Batch]:
    """Batch headers at or behind `position`, found by their magic; those between them may be damaged."""
    while (position := data.find(_BATCH_MAGIC, position)) >= 0:
        mark = _read_batch_header(data, header, position)
        if mark is not None:
            yield mark
        position += 1
