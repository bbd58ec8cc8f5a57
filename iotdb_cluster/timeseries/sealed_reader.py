"""Reading sealed files: checks, the index, and the points of a series in one part."""

import errno
import zlib
from collections import OrderedDict
from threading import Lock
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from iotdb_cluster.errors import Corruption, MalformedInput, StorageFailure
from iotdb_cluster.timeseries.arrow_arrays import column_from_arrow
from iotdb_cluster.timeseries.frames import Column, Points
from iotdb_cluster.timeseries.manifest import CHECK_BLOCK_BYTES, SealedFile
from iotdb_cluster.timeseries.parquet_schema import FileIndex, Part, read_index
from iotdb_cluster.timeseries.values import Times
from iotdb_cluster.types.disk import Disk
from iotdb_cluster.types.schema import DataType

WAY_OUT = "the next start pulls it from another member, if there is one; 'iotdb-cluster check DIR' shows the damage"


def verify_file(disk: Disk, folder: str, file: SealedFile) -> None:
    """Compare a file with its checksums; raises `Corruption` naming the file and the first block that differs.

    It is read, not mapped: a bad sector under a mapping would end the process without a word.
    """
    path = f"{folder}/{file.folder_path}"
    try:
        size = disk.size(path)
        for number, expected in enumerate(file.block_checks):
            start = number * CHECK_BLOCK_BYTES
            if zlib.crc32(_block(disk, path, start)) != expected:
                end = min(start + CHECK_BLOCK_BYTES, file.size)
                raise Corruption(path, start, f"the checksum of bytes {start} to {end} is wrong", WAY_OUT)
    except FileNotFoundError as error:
        raise Corruption(path, 0, "the file is missing", WAY_OUT) from error
    if size != file.size:
        raise Corruption(path, min(size, file.size), f"{size} bytes instead of {file.size}", WAY_OUT)


def _block(disk: Disk, path: str, start: int) -> bytes:
    """A block of a file; a bad sector in it is damage to the file like any other."""
    try:
        return disk.read(path, start, CHECK_BLOCK_BYTES)
    except StorageFailure as failure:
        if isinstance(failure.__cause__, OSError) and failure.__cause__.errno == errno.EIO:
            raise Corruption(path, start, f"it cannot be read: {failure}", WAY_OUT) from failure
        raise


def load_index(disk: Disk, folder: str, file: SealedFile) -> FileIndex:
    """The index of a file that was verified; raises `Corruption` when the file is not what the manifest says."""
    path = f"{folder}/{file.folder_path}"
    try:
        index = read_index(pq.read_metadata(pa.BufferReader(pa.py_buffer(disk.view(path)))))
        if sum(index.row_groups) != file.rows or int(index.parts[:, 2].sum()) != file.rows:
            raise MalformedInput(f"its parts are not the {file.rows} rows of the manifest")
    except FileNotFoundError as error:
        raise Corruption(path, 0, "the file is missing", WAY_OUT) from error
    except (pa.ArrowException, MalformedInput) as error:
        raise Corruption(path, max(0, file.size - 8), str(error), WAY_OUT) from error
    return index


_INTEGERS = frozenset({DataType.INT32, DataType.INT64})


_FOOTER = (-1, -1)
"""In the place of row group and column."""

_FOOTER_FACTOR = 10
"""A footer in memory takes about so many times what it takes in its file."""


class ColumnCache:
    """Decoded columns of row groups and footers, the longest unused forgotten first.

    Any thread; no lock is held while decoding.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._lock = Lock()
        self._kept: OrderedDict[tuple[str, int, int], tuple[Any, int]] = OrderedDict()
        self._bytes = 0

    def get(self, key: tuple[str, int, int]) -> Column | None:
        """A column that is kept, or None."""
        found: Column | None = self._get(key)
        return found

    def footer(self, path: str) -> Any:
        """The footer of a file that is kept, or None."""
        return self._get((path, *_FOOTER))

    def _get(self, key: tuple[str, int, int]) -> Any:
        with self._lock:
            found = self._kept.get(key)
            if found is None:
                return None
            self._kept.move_to_end(key)
            return found[0]

    def put(self, key: tuple[str, int, int], column: Column) -> None:
        """Keep a column, unless it alone is beyond the limit."""
        self._put(key, column, _size_of(column))

    def put_footer(self, path: str, footer: Any) -> None:
        """Keep the footer of a file: where there are many columns, reading it takes longer than reading one of them."""
        self._put((path, *_FOOTER), footer, _FOOTER_FACTOR * footer.serialized_size)

    def _put(self, key: tuple[str, int, int], what: Any, size: int) -> None:
        if size > self._limit:
            return
        with self._lock:
            if key in self._kept:
                return
            self._kept[key] = (what, size)
            self._bytes += size
            while self._bytes > self._limit:
                self._bytes -= self._kept.popitem(last=False)[1][1]


def _size_of(column: Column) -> int:
    size = column.values.nbytes + (0 if column.valid is None else column.valid.nbytes)
    if column.values.dtype == object:
        size += sum(map(len, column.values)) + 40 * len(column.values)
    return size


class _ByPosition(pq.ParquetFile):  # type: ignore[misc]
    """A file whose columns are asked for by position: by name, every opening would prepare all of them."""

    def _build_nested_paths(self) -> dict[str, list[int]]:
        return {}


class FileReader:
    """One sealed file, opened when first asked. For one thread at a time; the cache may be shared."""

    def __init__(self, disk: Disk, folder: str, file: SealedFile, index: FileIndex, cache: ColumnCache) -> None:
        self.file = file
        self.index = index
        self._disk = disk
        self._path = f"{folder}/{file.folder_path}"
        self._cache = cache
        self._parquet: Any = None
        self._last_group = -1
        self._last: dict[int, Column] = {}

    def times(self, part: Part, *, keep: bool = False) -> Times:
        """The times of a part; with `keep` the whole column is kept for the next reader."""
        return self._sliced(part, 1, None, keep=keep).values

    def column(self, part: Part, measurement: str, *, keep: bool = False) -> Column:
        """The values of a part's measurement, and where there are any."""
        position, data_type = self.index.columns[measurement]
        return self._sliced(part, position, data_type, keep=keep)

    def is_filled(self, part: Part, measurement: str) -> bool:
        """True when the series is known to have a value at every row of a part."""
        position, _ = self.index.columns[measurement]
        filled = self.index.filled.get(position)
        if filled is None:
            filled = self.index.filled[position] = self._filled(position)
        return filled[part.row_group]

    def _filled(self, position: int) -> tuple[bool, ...]:
        """For each row group whether a column has a value at every row, as its statistics say."""
        metadata = self._opened().metadata
        found: list[bool] = []
        for row_group in range(metadata.num_row_groups):
            statistics = metadata.row_group(row_group).column(position).statistics
            found.append(statistics is not None and statistics.has_null_count and statistics.null_count == 0)
        return tuple(found)

    def bounds(self, part: Part, measurement: str) -> tuple[int, int] | None:
        """The least and the greatest value as the file's statistics say; None where they say more, or nothing, of them.

        Statistics are of a whole row group; those of other types than integers leave NaN out, or are shortened.
        """
        position, data_type = self.index.columns[measurement]
        if data_type not in _INTEGERS or part.rows != self.index.row_groups[part.row_group]:
            return None
        statistics = self._opened().metadata.row_group(part.row_group).column(position).statistics
        return (statistics.min, statistics.max) if statistics is not None and statistics.has_min_max else None

    def points(self, part: Part, measurement: str) -> Points:
        """A part of a series."""
        if _is_small(part, self.index):
            return self.column(part, measurement).present(self.times(part))
        times, columns = self.columns(part, [measurement])
        return columns[measurement].present(times)

    def columns(self, part: Part, measurements: list[str]) -> tuple[Times, dict[str, Column]]:
        """Times and several measurements of a part, read together; the last row group is remembered."""
        low, high = part.first_row, part.first_row + part.rows
        chosen = [(1, None), *(self.index.columns[name] for name in measurements)]
        times, *columns = [column.slice(low, high) for column in self._row_group(part.row_group, chosen)]
        return times.values, dict(zip(measurements, columns, strict=True))

    def _row_group(self, row_group: int, chosen: list[tuple[int, DataType | None]]) -> list[Column]:
        if self._last_group != row_group:
            self._last_group, self._last = row_group, {}
        missing = sorted((position, data_type) for position, data_type in chosen if position not in self._last)
        if missing:
            # The table has its columns in the order of the file.
            table = self._read(row_group, [position for position, _ in missing])
            for place, (position, data_type) in enumerate(missing):
                self._last[position] = column_from_arrow(table.column(place), data_type)
        return [self._last[position] for position, _ in chosen]

    def _sliced(self, part: Part, position: int, data_type: DataType | None, *, keep: bool) -> Column:
        low, high = part.first_row, part.first_row + part.rows
        key = (self._path, part.row_group, position)
        column = self._cache.get(key)
        if column is None:
            column = column_from_arrow(self._read(part.row_group, [position]).column(0), data_type)
            if keep or _is_small(part, self.index):
                self._cache.put(key, column)
        return column.slice(low, high)

    def _read(self, row_group: int, positions: list[int]) -> Any:
        parquet = self._opened()
        try:
            return parquet.reader.read_row_group(row_group, column_indices=positions, use_threads=False)
        except (pa.ArrowException, OSError) as error:
            offset = parquet.metadata.row_group(row_group).column(positions[0]).data_page_offset
            raise Corruption(self._path, offset, f"row group {row_group}: {error}", WAY_OUT) from error

    def _opened(self) -> Any:
        if self._parquet is None:
            source = pa.BufferReader(pa.py_buffer(self._disk.view(self._path)))
            footer = self._cache.footer(self._path)
            self._parquet = _ByPosition(source, metadata=footer, page_checksum_verification=True)
            if footer is None:
                self._cache.put_footer(self._path, self._parquet.metadata)
        return self._parquet


def _is_small(part: Part, index: FileIndex) -> bool:
    """Who takes a small part of a row group is likely to come back for another part of it: its columns are kept."""
    return 4 * part.rows < index.row_groups[part.row_group]
