"""Reads a Parquet file of time series: a column of times, every other one named by its full series path."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

import pyarrow as pa
import pyarrow.parquet

from iotdb_cluster.cli.csv_file import Rows, is_series_path, type_given
from iotdb_cluster.client.result import ARROW_TYPES
from iotdb_cluster.client.tables import TIME_NAMES, data_type_of, times_of, without_gaps
from iotdb_cluster.errors import MalformedInput, PathIllegal, ValueRefused
from iotdb_cluster.types.schema import DataType

READ_BYTES = 1024 * 1024
"""Columns are read in pieces of this size rather than whole row groups at once."""
BATCH_BYTES = 8 * 1024 * 1024
"""Where rows are so long that a batch would be larger, it has fewer of them."""

BadRow: TypeAlias = Callable[[int, list[str], str], None]

NO_TIME = "it has no time"


class ParquetFile:
    """A Parquet file with its columns and their types known; raises `MalformedInput`, `PathIllegal`, `ValueRefused`."""

    def __init__(self, path: Path, types: Mapping[str, DataType]) -> None:
        self.path = path
        self.lines_read = 0
        """Rows that were taken from the file so far, the skipped and the bad ones included."""
        try:
            self._file = pa.parquet.ParquetFile(path, buffer_size=READ_BYTES, pre_buffer=False)
        except pa.ArrowInvalid as error:
            raise MalformedInput(f"{path}: is no Parquet file: {error}") from error
        schema = self._file.schema_arrow
        time = next((name for name in TIME_NAMES if name in schema.names), None)
        if time is None:
            raise ValueRefused(f"{path}: no column {' or '.join(TIME_NAMES)} among {', '.join(schema.names[:10])}")
        self._time = time
        self._devices: dict[str, list[str]] = {}
        self._types: dict[str, DataType] = {}
        for name in schema.names:
            if name == time:
                continue
            if not is_series_path(name):
                raise PathIllegal(f"{path}: column '{name}' is not a series path (root....)")
            self._devices.setdefault(name.rpartition(".")[0], []).append(name)
            self._types[name] = type_given(name, types) or data_type_of(name, schema.field(name).type)

    @property
    def series(self) -> tuple[str, ...]:
        """The columns but for the time."""
        return tuple(self._types)

    def chunks(self, rows_max: int, *, skip: int = 0, on_bad: BadRow | None = None) -> Iterator[list[Rows]]:
        """The rows in file order without the first `skip`; one without a time goes to `on_bad`, or is refused."""
        about = self._file.metadata
        sizes = [about.row_group(number).total_byte_size for number in range(about.num_row_groups)]
        row_bytes = sum(sizes) // max(1, about.num_rows) + 1
        self.lines_read = 0
        for batch in self._file.iter_batches(max(1, min(rows_max, BATCH_BYTES // row_bytes))):
            first = self.lines_read
            self.lines_read += len(batch)
            if self.lines_read <= skip:
                continue
            yield self._tablets(self._with_times(first, pa.Table.from_batches([batch]), on_bad), first)

    def _with_times(self, first: int, table: pa.Table, on_bad: BadRow | None) -> pa.Table:
        times = table.column(self._time)
        if not times.null_count:
            return table
        without = times.is_null().to_numpy()
        for number in without.nonzero()[0].tolist():
            if on_bad is None:
                raise ValueRefused(f"{self.path}, row {first + number + 1}: {NO_TIME}")
            cells = ["" if value is None else str(value) for value in table.slice(number, 1).to_pylist()[0].values()]
            on_bad(first + number + 1, cells, NO_TIME)
        return table.filter(pa.array(~without))

    def _tablets(self, table: pa.Table, first: int) -> list[Rows]:
        times = times_of(self._time, table.column(self._time))
        for name, kind in self._types.items():
            at = table.column_names.index(name)
            if table.column(at).type != ARROW_TYPES[kind]:
                table = table.set_column(at, name, self._cast(name, table.column(at), kind, first))
        return [
            Rows(device, tuple(name.rpartition(".")[2] for name in found), tuple(types), at, tuple(columns))
            for device, series in self._devices.items()
            for found, types, at, columns in without_gaps(series, [self._types[name] for name in series], times, table)
        ]

    def _cast(self, name: str, column: pa.ChunkedArray, kind: DataType, first: int) -> pa.ChunkedArray:
        try:
            return column.cast(ARROW_TYPES[kind])
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            rows = f"rows {first + 1} to {first + len(column)}"
            raise ValueRefused(f"{self.path}, {rows}, column '{name}': no {kind.name}: {error}") from error
