"""The snapshot of the meta group: one file, replaced at once, never changed in place."""

import struct
import zlib
from dataclasses import dataclass

from iotdb_cluster.errors import Corruption, StartRefused
from iotdb_cluster.types.disk import Disk
from iotdb_cluster.types.identity import EntryId

FORMAT_VERSION = 1
META_SNAPSHOT_FILE = "raft/meta-snapshot"
_MAGIC = b"METASNAP"
_HEADER = struct.Struct(">8sIqqQI")
_WAY_OUT = "'iotdb-cluster check DIR' shows the damage, 'iotdb-cluster rejoin' brings the node back as a new one"


@dataclass(frozen=True, slots=True)
class StoredSnapshot:
    """The state of the meta group up to `last`."""

    last: EntryId
    data: bytes


class MetaSnapshotFile:
    """Holds the newest snapshot; it is durable when `save` returns, and only then may the log forget."""

    def __init__(self, disk: Disk, path: str = META_SNAPSHOT_FILE) -> None:
        self._disk = disk
        self._path = path

    def save(self, last: EntryId, data: bytes) -> None:
        """Replace the snapshot."""
        fields = _HEADER.pack(_MAGIC, FORMAT_VERSION, last.term, last.index, len(data), 0)[:-4]
        checksum = zlib.crc32(data, zlib.crc32(fields))
        self._disk.write_durably(self._path, b"".join((fields, checksum.to_bytes(4, "big"), data)))

    def load(self) -> StoredSnapshot | None:
        """The snapshot, or None when none was ever saved; raises `Corruption`."""
        if not self._disk.exists(self._path):
            return None
        content = self._disk.read(self._path)
        if len(content) < _HEADER.size:
            raise Corruption(self._path, len(content), "the snapshot's header is cut off", _WAY_OUT)
        magic, version, term, index, length, checksum = _HEADER.unpack_from(content)
        if magic != _MAGIC:
            raise Corruption(self._path, 0, "this is not a snapshot of the meta group", _WAY_OUT)
        data = content[_HEADER.size :]
        if checksum != zlib.crc32(data, zlib.crc32(content[: _HEADER.size - 4])):
            raise Corruption(self._path, 0, "the snapshot's checksum is wrong", _WAY_OUT)
        if length != len(data):
            raise Corruption(self._path, len(content), f"the snapshot has {len(data)} bytes of {length}", _WAY_OUT)
        if version != FORMAT_VERSION:
            raise StartRefused(f"{self._path} has format {version}, this program reads format {FORMAT_VERSION}")
        return StoredSnapshot(EntryId(term, index), data)
