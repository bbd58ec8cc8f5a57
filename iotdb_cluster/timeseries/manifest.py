"""The manifest: what a group's folder holds, as one file that is replaced at once.

Layout: one line of JSON with format, version, CRC-32 and length of what follows; then one JSON object.
"""

import base64
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from iotdb_cluster.errors import Corruption, MalformedInput, RequestError
from iotdb_cluster.timeseries.deletions import NOTHING_DELETED, Deletion
from iotdb_cluster.timeseries.schema_tree import Series
from iotdb_cluster.types.disk import Disk
from iotdb_cluster.types.identity import BEFORE_FIRST, EntryId
from iotdb_cluster.types.paths import (
    check_pattern,
    check_series,
    check_storage_group,
    is_prefix,
    series_path,
    split_series,
)
from iotdb_cluster.types.schema import Compression, DataType, Encoding, TimeseriesSchema

MANIFEST_FILE = "manifest"
MANIFEST_FORMAT = "iotdb-cluster manifest"
MANIFEST_VERSION = 1
CHECK_BLOCK_BYTES = 1 << 20
"""A file's checksums count for so many bytes each, so that damage has a place."""
_HEAD_MAX_BYTES = 256


@dataclass(frozen=True, slots=True)
class SealedFile:
    """A sealed file as the manifest names it.

    `version` orders the files of a storage group: at equal times the greater one counts. `clean` is the number of the
    last deletion that it was written without the victims of.
    """

    name: str
    storage_group: str
    version: int
    clean: int
    rows: int
    min_time: int
    max_time: int
    size: int
    md5: bytes
    block_checks: tuple[int, ...]

    @property
    def folder_path(self) -> str:
        """Path inside the group's folder."""
        return f"{self.storage_group}/{self.name}"


@dataclass(frozen=True, slots=True)
class StorageGroupContent:
    """One storage group: series sorted by path, files sorted by version and name.

    `expired`: nothing up to this time is taken any more; what was there is gone.
    """

    path: str
    series: tuple[Series, ...] = ()
    files: tuple[SealedFile, ...] = ()
    expired: int = NOTHING_DELETED


@dataclass(frozen=True, slots=True)
class Manifest:
    """Everything of a data group up to the log entry `covered`; storage groups sorted, deletions by number.

    `context` are the owner's bytes (membership, slot states) at the same entry. The `next_` numbers were never used.
    `ended_moves`: what was pulled for these and is not named here is not wanted any more.
    """

    covered: EntryId = BEFORE_FIRST
    context: bytes = b""
    storage_groups: tuple[StorageGroupContent, ...] = ()
    deletions: tuple[Deletion, ...] = ()
    next_file: int = 1
    next_version: int = 1
    next_deletion: int = 1
    next_created: int = 1
    ended_moves: tuple[int, ...] = ()

    @property
    def files(self) -> tuple[SealedFile, ...]:
        return tuple(file for group in self.storage_groups for file in group.files)

    def encode(self) -> bytes:
        """The manifest as bytes; equal manifests are equal bytes."""
        body = "".join(self._body()).encode("ascii")
        head = {
            "format": MANIFEST_FORMAT,
            "version": MANIFEST_VERSION,
            "crc32": zlib.crc32(body),
            "bytes": len(body),
        }
        return json.dumps(head).encode("ascii") + b"\n" + body

    @classmethod
    def decode(cls, data: bytes) -> "Manifest":
        """The manifest that `encode` wrote; raises `MalformedInput` saying at which byte it is damaged."""
        line, newline, body = data[: _HEAD_MAX_BYTES + 1].partition(b"\n")
        if not newline:
            raise MalformedInput("offset 0: not a manifest")
        body = data[len(line) + 1 :]
        try:
            head = json.loads(line)
            stated = (head["format"], head["version"], head["crc32"], head["bytes"])
        except (ValueError, KeyError, TypeError) as error:
            raise MalformedInput("offset 0: not a manifest") from error
        if stated[:2] != (MANIFEST_FORMAT, MANIFEST_VERSION):
            raise MalformedInput(f"offset 0: format {stated[0]!r} version {stated[1]!r} is not known here")
        if stated[2:] != (zlib.crc32(body), len(body)):
            raise MalformedInput(f"offset {len(line) + 1}: the checksum or length is wrong")
        try:
            return _manifest(json.loads(body))
        except (ValueError, KeyError, TypeError, IndexError, RecursionError, RequestError) as error:
            raise MalformedInput(f"offset {len(line) + 1}: {error}") from error

    def _body(self) -> Iterator[str]:
        """JSON in pieces, one a storage group, so that no piece holds up other threads for long."""
        fixed = {
            "covered": [self.covered.term, self.covered.index],
            "context": base64.b64encode(self.context).decode("ascii"),
            "next": [self.next_file, self.next_version, self.next_deletion, self.next_created],
            "deletions": [[d.number, d.path, d.until] for d in self.deletions],
            "ended_moves": list(self.ended_moves),
        }
        yield json.dumps(fixed)[:-1] + ', "storage_groups": ['
        for number, group in enumerate(self.storage_groups):
            yield (",\n" if number else "\n") + json.dumps(_group_json(group))
        yield "]}\n"


def load_manifest(disk: Disk, folder: str) -> Manifest | None:
    """The manifest of a group's folder, None where there is none; raises `Corruption`."""
    path = f"{folder}/{MANIFEST_FILE}"
    if not disk.exists(path):
        return None
    try:
        return Manifest.decode(disk.read(path))
    except MalformedInput as error:
        raise Corruption(path, 0, error.message) from error


def save_manifest(disk: Disk, folder: str, manifest: Manifest) -> None:
    """Replace the manifest of a group's folder durably."""
    disk.write_durably(f"{folder}/{MANIFEST_FILE}", manifest.encode())


def _group_json(group: StorageGroupContent) -> dict[str, Any]:
    # The device is written once for its series, which stand behind one another.
    devices: dict[str, list[list[Any]]] = {}
    for series in group.series:
        schema = series.schema
        device, measurement = split_series(schema.path)
        entry: list[Any] = [
            measurement,
            int(schema.data_type),
            int(schema.encoding),
            int(schema.compression),
            series.created,
        ]
        if schema.props:
            entry.append([list(pair) for pair in schema.props])
        devices.setdefault(device, []).append(entry)
    files = [
        [f.name, f.version, f.clean, f.rows, f.min_time, f.max_time, f.size, f.md5.hex(), list(f.block_checks)]
        for f in group.files
    ]
    found: dict[str, Any] = {"path": group.path, "devices": devices, "files": files}
    if group.expired != NOTHING_DELETED:
        found["expired"] = group.expired
    return found


def _manifest(found: dict[str, Any]) -> Manifest:
    term, index = found["covered"]
    numbers = [_number(number) for number in found["next"]]
    groups = tuple(_group(group) for group in found["storage_groups"])
    if [group.path for group in groups] != sorted({group.path for group in groups}):
        raise ValueError("storage groups that are not in ascending order")
    return Manifest(
        covered=EntryId(_number(term), _number(index)),
        context=base64.b64decode(found["context"], validate=True),
        storage_groups=groups,
        deletions=tuple(_deletion(entry) for entry in found["deletions"]),
        next_file=numbers[0],
        next_version=numbers[1],
        next_deletion=numbers[2],
        next_created=numbers[3],
        ended_moves=tuple(_number(move) for move in found.get("ended_moves", ())),
    )


def _group(found: dict[str, Any]) -> StorageGroupContent:
    path = _text(found["path"])
    check_storage_group(path)
    if not all(is_prefix(path, device) for device in found["devices"]):
        raise ValueError(f"a device that does not lie in {path}")
    series = tuple(_series(device, entry) for device, entries in found["devices"].items() for entry in entries)
    files = tuple(_file(path, entry) for entry in found["files"])
    return StorageGroupContent(path, series, files, _number(found.get("expired", NOTHING_DELETED)))


def _series(device: str, entry: list[Any]) -> Series:
    measurement, data_type, encoding, compression, created, *props = entry
    path = series_path(device, _text(measurement))
    check_series(path)
    schema = TimeseriesSchema(
        path,
        DataType(data_type),
        Encoding(encoding),
        Compression(compression),
        tuple((_text(key), _text(value)) for key, value in props[0]) if props else (),
    )
    return Series(schema, _number(created))


def _deletion(entry: list[Any]) -> Deletion:
    number, path, until = entry
    check_pattern(_text(path))
    return Deletion(_number(number), path, _number(until))


def _file(group: str, entry: list[Any]) -> SealedFile:
    name, version, clean, rows, min_time, max_time, size, md5, checks = entry
    if "/" in name or name.startswith("."):
        raise ValueError(f"{name!r} is no name of a sealed file")
    return SealedFile(
        name=_text(name),
        storage_group=group,
        version=_number(version),
        clean=_number(clean),
        rows=_number(rows),
        min_time=_number(min_time),
        max_time=_number(max_time),
        size=_number(size),
        md5=bytes.fromhex(md5),
        block_checks=tuple(_number(check) for check in checks),
    )


def _number(value: object) -> int:
    if type(value) is not int:
        raise ValueError(f"{value!r} is not a whole number")
    return value


def _text(value: object) -> str:
    if type(value) is not str:
        raise ValueError(f"{value!r} is not a text")
    return value
