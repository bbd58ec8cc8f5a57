"""Snapshots (interface page "Snapshots"): of the meta group, of a data group, and of one slot's files."""

from iotdb_cluster.errors import MalformedInput
from iotdb_cluster.types.entries import EntryKind
from iotdb_cluster.types.snapshots import DataSnapshot, FileSnapshot, MetaSnapshot, RemoteFile
from iotdb_cluster.wire import entries
from iotdb_cluster.wire.nodes import LEAST_BYTES as LEAST_NODE_BYTES
from iotdb_cluster.wire.nodes import encode_node, read_node
from iotdb_cluster.wire.payload import PayloadReader, blob, i32, i64, text
from iotdb_cluster.wire.plans import read_plan
from iotdb_cluster.wire.schemas import encode_schemas, read_schemas

_LEAST_FILE_BYTES = LEAST_NODE_BYTES + 21


def encode_meta_snapshot(snapshot: MetaSnapshot) -> bytes:
    """`i32 n | logEntry[n] | i32 g | str[g] storageGroups`, then the extension."""
    return b"".join(
        (
            i32(len(snapshot.entries)),
            *snapshot.entries,
            i32(len(snapshot.storage_groups)),
            *map(text, snapshot.storage_groups),
            snapshot.extension,
        )
    )


def decode_meta_snapshot(data: bytes) -> MetaSnapshot:
    """The meta group's snapshot; raises `MalformedInput`."""
    reader = PayloadReader(data, "meta snapshot")
    found = tuple(_read_entry(reader) for _ in range(reader.count(entries.HEADER.size)))
    groups = tuple(reader.text() for _ in range(reader.count(4)))
    return MetaSnapshot(found, groups, reader.rest())


def encode_data_snapshot(snapshot: DataSnapshot) -> bytes:
    """`i32 s | s x (i32 slot | fileSnapshot) | i64 lastLogIndex | i64 lastLogTerm`, then the extension."""
    parts = [i32(len(snapshot.slots))]
    for slot, files in snapshot.slots:
        parts += (i32(slot), encode_file_snapshot(files))
    parts += (i64(snapshot.last_index), i64(snapshot.last_term), snapshot.extension)
    return b"".join(parts)


def decode_data_snapshot(data: bytes) -> DataSnapshot:
    """A data group's snapshot; raises `MalformedInput`."""
    reader = PayloadReader(data, "data snapshot")
    slots = tuple((reader.i32(), _read_file_snapshot(reader)) for _ in range(reader.count(12)))
    return DataSnapshot(slots, reader.i64(), reader.i64(), reader.rest())


def encode_file_snapshot(snapshot: FileSnapshot) -> bytes:
    """`i32 n | schema[n] | i32 f | remoteFile[f]`: one slot."""
    files = map(encode_remote_file, snapshot.files)
    return encode_schemas(snapshot.schemas) + i32(len(snapshot.files)) + b"".join(files)


def decode_file_snapshot(data: bytes) -> FileSnapshot:
    """One slot of `pullSnapshot`; raises `MalformedInput`."""
    reader = PayloadReader(data, "file snapshot")
    snapshot = _read_file_snapshot(reader)
    reader.expect_end()
    return snapshot


def encode_remote_file(file: RemoteFile) -> bytes:
    """A file that is to be pulled."""
    parts = [encode_node(file.source), blob(file.md5), text(file.path)]
    for times in (file.start_times, file.end_times):
        parts.append(i32(len(times)))
        for device, time in times:
            parts += (text(device), i64(time))
    parts += (bytes((file.with_modification,)), i32(len(file.historical_versions)))
    parts += map(i64, file.historical_versions)
    return b"".join(parts)


def decode_remote_file(data: bytes) -> RemoteFile:
    """A file that is to be pulled; raises `MalformedInput`."""
    reader = PayloadReader(data, "remote file")
    file = _read_remote_file(reader)
    reader.expect_end()
    return file


def _read_entry(reader: PayloadReader) -> bytes:
    """A log entry whose end only its body tells; the bytes, header included."""
    start = reader.at
    kind = reader.u8()
    reader.take(entries.HEADER.size - 1)
    match kind:
        case EntryKind.ADD_NODE | EntryKind.REMOVE_NODE:
            read_node(reader)
        case EntryKind.PHYSICAL_PLAN:
            read_plan(reader)
        case EntryKind.CLOSE_FILE:
            entries.read_close_file(reader)
        case EntryKind.EMPTY_CONTENT:
            pass
        case _:
            raise MalformedInput(f"{reader.what}: log type {kind} cannot stand here")
    return reader.data[start : reader.at]


def _read_file_snapshot(reader: PayloadReader) -> FileSnapshot:
    schemas = read_schemas(reader)
    return FileSnapshot(schemas, tuple(_read_remote_file(reader) for _ in range(reader.count(_LEAST_FILE_BYTES))))


def _read_remote_file(reader: PayloadReader) -> RemoteFile:
    return RemoteFile(
        source=read_node(reader),
        md5=reader.blob(),
        path=reader.text(),
        start_times=_read_times(reader),
        end_times=_read_times(reader),
        with_modification=reader.boolean(),
        historical_versions=reader.i64s(reader.count(8)),
    )


def _read_times(reader: PayloadReader) -> tuple[tuple[str, int], ...]:
    return tuple((reader.text(), reader.i64()) for _ in range(reader.count(12)))
