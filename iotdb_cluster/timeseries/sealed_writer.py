"""Writing a sealed file: frames of devices in, one Parquet file that is durable under its name out."""

import hashlib
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from iotdb_cluster.timeseries.arrow_arrays import (
    NotUtf8,
    column_to_arrow,
    devices_to_arrow,
    times_to_arrow,
)
from iotdb_cluster.timeseries.frames import Frame, stacked
from iotdb_cluster.timeseries.manifest import CHECK_BLOCK_BYTES, SealedFile
from iotdb_cluster.timeseries.parquet_schema import (
    FileIndex,
    Signature,
    arrow_schema,
    footer_texts,
    make_index,
    parquet_writer,
)
from iotdb_cluster.timeseries.values import TIME
from iotdb_cluster.types.disk import Disk
from iotdb_cluster.types.schema import DataType

TEMPORARY_SUFFIX = ".tmp"
_GROUP_MAX_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class FilePlan:
    """What a file will be: its name, place in the order of versions, and columns."""

    folder: str
    storage_group: str
    name: str
    version: int
    clean: int
    signature: Signature
    origin: Mapping[str, object]

    @property
    def path(self) -> str:
        return f"{self.folder}/{self.storage_group}/{self.name}"


Frames = Callable[[], Iterable[tuple[str, Frame]]]
"""Devices, ascending, with their rows; a device may come in several frames, ascending in time. May be asked twice."""


class _BinaryNeeded(Exception):
    def __init__(self, measurement: str) -> None:
        super().__init__(measurement)
        self.measurement = measurement


class Checksums:
    """MD5 of a whole file and CRC-32 of each of its blocks, while its bytes pass."""

    def __init__(self) -> None:
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._blocks: list[int] = []
        self.size = 0

    def add(self, data: bytes | memoryview) -> None:
        """Take the next bytes."""
        self._md5.update(data)
        view = memoryview(data)
        while view:
            filled = self.size % CHECK_BLOCK_BYTES
            piece = view[: CHECK_BLOCK_BYTES - filled]
            if filled:
                self._blocks[-1] = zlib.crc32(piece, self._blocks[-1])
            else:
                self._blocks.append(zlib.crc32(piece))
            self.size += len(piece)
            view = view[len(piece) :]

    @property
    def md5(self) -> bytes:
        return self._md5.digest()

    @property
    def blocks(self) -> tuple[int, ...]:
        return tuple(self._blocks)


def write_sealed(disk: Disk, plan: FilePlan, frames: Frames, row_target: int) -> tuple[SealedFile, FileIndex] | None:
    """Write a file from frames and make it durable; None when the frames hold no rows (then there is no file).

    Raises `StorageFailure`; a file that was begun stays under its temporary name.
    """
    binary: frozenset[str] = frozenset()
    while True:
        try:
            return _Writer(disk, plan, binary, row_target).run(frames())
        except _BinaryNeeded as error:
            binary |= {error.measurement}


class _Sink:
    """The file object that Parquet is written to; its bytes are taken away after each row group."""

    closed = False

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._written = 0

    def write(self, data: bytes) -> int:
        self._pieces.append(bytes(data))
        self._written += len(data)
        return len(data)

    def tell(self) -> int:
        return self._written

    def flush(self) -> None:
        """Everything is where `taken` finds it."""

    def close(self) -> None:
        """The bytes stay until they are taken."""

    def taken(self) -> bytes:
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)


class _Writer:
    """One attempt at a file. Rows wait until they fill a row group; small devices share one, large ones are divided."""

    def __init__(self, disk: Disk, plan: FilePlan, binary: frozenset[str], row_target: int) -> None:
        self._disk = disk
        self._plan = plan
        self._binary = binary
        self._row_target = row_target
        self._schema = arrow_schema(plan.signature, binary)
        self._sink = _Sink()
        self._parquet: Any = None
        self._file: Any = None
        self._checks = Checksums()
        self._devices: list[str] = []
        self._parts: list[tuple[int, int, int, int, int]] = []
        self._groups: list[int] = []
        self._waiting: list[tuple[int, Frame]] = []
        self._waiting_rows = 0

    def run(self, frames: Iterable[tuple[str, Frame]]) -> tuple[SealedFile, FileIndex] | None:
        try:
            for device, frame in frames:
                self._add(device, frame)
            self._flush()
            if self._parquet is None:
                return None
            return self._finish()
        finally:
            if self._file is not None:
                self._file.close()

    def _add(self, device: str, frame: Frame) -> None:
        if not len(frame):
            return
        if not self._devices or self._devices[-1] != device:
            self._devices.append(device)
        # A device that would cross into the next row group begins there, unless that left this one nearly empty.
        too_many = self._waiting_rows + len(frame) > self._row_target
        if too_many and len(frame) <= self._row_target and self._waiting_rows >= self._row_target // 4:
            self._flush()
        limit = self._row_limit(frame)
        low = 0
        while low < len(frame):
            high = min(len(frame), low + max(1, limit - self._waiting_rows))
            self._waiting.append((len(self._devices) - 1, frame.slice(low, high)))
            self._waiting_rows += high - low
            low = high
            if self._waiting_rows >= limit:
                self._flush()

    def _row_limit(self, frame: Frame) -> int:
        """Rows of a row group: the target, or fewer where long texts would make it too large."""
        widest = 0
        for name, data_type in self._plan.signature:
            if data_type is DataType.TEXT and name in frame.columns:
                lengths = [len(value) for value in frame.columns[name].values]
                widest += max(lengths, default=0)
        return min(self._row_target, max(1, _GROUP_MAX_BYTES // max(1, widest)))

    def _flush(self) -> None:
        if not self._waiting:
            return
        waiting, self._waiting, self._waiting_rows = self._waiting, [], 0
        if self._parquet is None:
            path = self._plan.path + TEMPORARY_SUFFIX
            self._file = self._disk.append(path, truncate_to=0) if self._disk.exists(path) else self._disk.append(path)
            self._parquet = parquet_writer(self._sink, self._schema, self._plan.signature)
        for device, frame in waiting:
            times = frame.times
            self._parts.append((len(self._groups), device, len(frame), int(times[0]), int(times[-1])))
        rows = sum(len(frame) for _, frame in waiting)
        self._groups.append(rows)
        self._parquet.write_table(self._table(waiting), row_group_size=rows)
        self._drain()

    def _table(self, waiting: list[tuple[int, Frame]]) -> Any:
        first = waiting[0][0]
        counts = [len(frame) for _, frame in waiting]
        at = np.repeat(np.array([device - first for device, _ in waiting], dtype=np.int32), counts)
        arrays = [
            devices_to_arrow(self._devices[first : waiting[-1][0] + 1], at),
            times_to_arrow(np.concatenate([frame.times for _, frame in waiting])),
        ]
        for measurement, data_type in self._plan.signature:
            arrays.append(self._array(measurement, data_type, [frame for _, frame in waiting]))
        return pa.Table.from_arrays(arrays, schema=self._schema)

    def _array(self, measurement: str, data_type: DataType, frames: list[Frame]) -> Any:
        columns = [(len(frame), frame.columns.get(measurement)) for frame in frames]
        try:
            return column_to_arrow(stacked(columns, data_type), data_type, binary=measurement in self._binary)
        except NotUtf8:
            raise _BinaryNeeded(measurement) from None

    def _drain(self) -> None:
        data = self._sink.taken()
        self._checks.add(data)
        self._file.write(data)

    def _finish(self) -> tuple[SealedFile, FileIndex]:
        plan = self._plan
        self._parquet.add_key_value_metadata(footer_texts(plan.signature, self._devices, self._parts, plan.origin))
        self._parquet.close()
        self._drain()
        self._file.sync()
        self._file.close()
        self._disk.rename(plan.path + TEMPORARY_SUFFIX, plan.path)
        parts = np.array(self._parts, dtype=TIME)
        sealed = SealedFile(
            name=plan.name,
            storage_group=plan.storage_group,
            version=plan.version,
            clean=plan.clean,
            rows=sum(self._groups),
            min_time=int(parts[:, 3].min()),
            max_time=int(parts[:, 4].max()),
            size=self._checks.size,
            md5=self._checks.md5,
            block_checks=self._checks.blocks,
        )
        return sealed, make_index(self._devices, plan.signature, parts, self._groups)
