"""From a SELECT and the series that there are to columns, series and conditions; nothing is read yet.

The catalog is asked for patterns: every select path behind every FROM path, and the paths of conditions likewise.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from iotdb_cluster.errors import RequestError, StatusCode
from iotdb_cluster.query.aggregates import result_type
from iotdb_cluster.query.conditions import AllOf, AnyOf, Bound, Never, time_test, value_test
from iotdb_cluster.query.rows import DataTypes
from iotdb_cluster.sql import conditions as sql
from iotdb_cluster.sql.conditions import without_not
from iotdb_cluster.sql.statements import Function, Select, SelectItem
from iotdb_cluster.types.identity import GroupId
from iotdb_cluster.types.paths import ROOT, series_path, split_series
from iotdb_cluster.types.schema import DataType, TimeseriesSchema

Cut = TypeVar("Cut")

DEVICE = "Device"
"""The first column of GROUP BY DEVICE."""


@dataclass(frozen=True, slots=True)
class KnownSeries:
    """A series and the data group that holds it."""

    schema: TimeseriesSchema
    group: GroupId

    @property
    def path(self) -> str:
        return self.schema.path

    @property
    def data_type(self) -> DataType:
        return self.schema.data_type


Catalog = Mapping[str, Sequence[KnownSeries]]
"""For each pattern that was asked for, the series that it matches, in the order of creation."""


@dataclass(frozen=True, slots=True)
class OutputColumn:
    """A column as the client sees it."""

    label: str
    data_type: DataType


@dataclass(frozen=True, slots=True)
class Target:
    """What one column is made of: a series by its position in a selection, plain or in a function."""

    position: int
    function: Function | None


@dataclass(frozen=True, slots=True)
class Selection:
    """One set of rows: `targets` are its columns, `condition` looks at the positions of `series`.

    The series of targets come first, each series once. `places` says for each target which of the answer's distinct
    columns it is; `device` names the rows in GROUP BY DEVICE.
    """

    series: tuple[KnownSeries, ...]
    targets: tuple[Target, ...]
    places: tuple[int, ...]
    condition: Bound | None = None
    device: str | None = None


@dataclass(frozen=True, slots=True)
class BoundSelect:
    """`columns` as the reply lists them, repeats included; the data holds each of `distinct` once, in this order."""

    select: Select
    columns: tuple[OutputColumn, ...]
    distinct: tuple[OutputColumn, ...]
    selections: tuple[Selection, ...]

    @property
    def data_types(self) -> DataTypes:
        """Those of the distinct columns."""
        return tuple([column.data_type for column in self.distinct])

    @property
    def series(self) -> list[KnownSeries]:
        """Everything that is read, each once."""
        found = {series.path: series for selection in self.selections for series in selection.series}
        return list(found.values())


def selected_patterns(select: Select) -> list[str]:
    """What the catalog must know of the SELECT and FROM paths."""
    return [_behind(prefix, item.path) for item in select.items for prefix in select.prefixes]


def condition_patterns(select: Select, prefixes: Iterable[str]) -> list[str]:
    """What the catalog must know of the paths in WHERE, standing behind `prefixes`."""
    known = list(prefixes)
    return [pattern for path in _compared(select.where) for pattern in _patterns(path, known)]


def devices_of(select: Select, catalog: Catalog) -> list[str]:
    """The devices of GROUP BY DEVICE, in the order of FROM."""
    found: dict[str, None] = {}
    for prefix in select.prefixes:
        for item in select.items:
            for series in catalog[_behind(prefix, item.path)]:
                found.setdefault(split_series(series.path)[0])
    return list(found)


def bind(select: Select, catalog: Catalog) -> BoundSelect:
    """Columns and series of a SELECT; raises 401 for what matches no series, and what the functions refuse."""
    return _by_device(select, catalog) if select.by_device else _by_series(select, catalog)


# ---- one row for each time


def _by_series(select: Select, catalog: Catalog) -> BoundSelect:
    found: list[tuple[OutputColumn, KnownSeries, Function | None]] = []
    for item in _items(select):
        for prefix in select.prefixes:
            pattern = _behind(prefix, item.path)
            for series in _matched(pattern, catalog):
                found.append((_column(item, series.path, series), series, item.function))
    found = _cut(found, select)
    parts = _Parts()
    distinct: dict[str, OutputColumn] = {}
    for column, series, function in found:
        if column.label not in distinct:
            parts.add(series, function, len(distinct))
            distinct[column.label] = column
    condition = _condition(select, select.prefixes, catalog, parts, lacking=None)
    return BoundSelect(
        select, tuple([column for column, _, _ in found]), tuple(distinct.values()), (parts.selection(condition, None),)
    )


# ---- GROUP BY DEVICE


def _by_device(select: Select, catalog: Catalog) -> BoundSelect:
    of_device: dict[str, dict[str, tuple[KnownSeries, Function | None]]] = {}
    columns: list[OutputColumn] = []
    for item in _items(select):
        of_item: dict[str, OutputColumn] = {}
        for prefix in select.prefixes:
            for series in catalog[_behind(prefix, item.path)]:
                device, measurement = split_series(series.path)
                column = _column(item, measurement, series)
                known = of_item.setdefault(column.label, column)
                if known.data_type is not column.data_type:
                    raise _refused(
                        f"{column.label} is {known.data_type.name} in one device and {column.data_type.name} in another"
                    )
                of_device.setdefault(device, {})[column.label] = series, item.function
        columns.extend(of_item.values())
    if not columns:
        raise _refused("none of the selected measurements exists in any of the devices")
    columns = _cut(columns, select)
    distinct = {column.label: column for column in columns}
    places = {label: place for place, label in enumerate(distinct, 1)}
    devices = [device for device in devices_of(select, catalog) if not distinct.keys().isdisjoint(of_device[device])]
    lacking = _lacking(select, devices, catalog)
    selections: list[Selection] = []
    for device in devices:
        parts = _Parts()
        for label, (series, function) in of_device[device].items():
            if label in places:
                parts.add(series, function, places[label])
        selections.append(parts.selection(_condition(select, [device], catalog, parts, lacking), device))
    head = OutputColumn(DEVICE, DataType.TEXT)
    return BoundSelect(select, (head, *columns), (head, *distinct.values()), tuple(selections))


def _lacking(select: Select, devices: Sequence[str], catalog: Catalog) -> frozenset[str]:
    """The compared paths that some devices may lack, since another one has them."""
    return frozenset(
        path
        for path in _compared(select.where)
        if not _is_full(path) and any(catalog[_behind(device, path)] for device in devices)
    )


# ---- shared


@dataclass(slots=True)
class _Parts:
    """A selection under construction."""

    series: dict[str, tuple[int, KnownSeries]] = field(default_factory=dict)
    targets: list[Target] = field(default_factory=list)
    places: list[int] = field(default_factory=list)

    def position_of(self, series: KnownSeries) -> int:
        """The position of a series, which is added where it is new."""
        return self.series.setdefault(series.path, (len(self.series), series))[0]

    def add(self, series: KnownSeries, function: Function | None, place: int) -> None:
        self.targets.append(Target(self.position_of(series), function))
        self.places.append(place)

    def selection(self, condition: Bound | None, device: str | None) -> Selection:
        series = tuple([series for _, series in self.series.values()])
        return Selection(series, tuple(self.targets), tuple(self.places), condition, device)


def _items(select: Select) -> tuple[SelectItem, ...]:
    """What is selected; FILL drops functions, as the original does."""
    return select.items if select.fill is None else tuple([SelectItem(item.path) for item in select.items])


def _column(item: SelectItem, name: str, series: KnownSeries) -> OutputColumn:
    if item.function is None:
        return OutputColumn(name, series.data_type)
    return OutputColumn(item.label(name), result_type(item.function, series.data_type))


def _condition(
    select: Select, prefixes: Sequence[str], catalog: Catalog, parts: _Parts, lacking: frozenset[str] | None
) -> Bound | None:
    if select.where is None:
        return None
    return _bound(without_not(select.where), prefixes, catalog, parts, lacking)


def _bound(
    condition: sql.Condition,
    prefixes: Sequence[str],
    catalog: Catalog,
    parts: _Parts,
    lacking: frozenset[str] | None,
) -> Bound:
    match condition:
        case sql.TimeComparison(op, time_ms):
            return time_test(op, time_ms)
        case sql.And(terms):
            return AllOf(tuple([_bound(term, prefixes, catalog, parts, lacking) for term in terms]))
        case sql.Or(terms):
            return AnyOf(tuple([_bound(term, prefixes, catalog, parts, lacking) for term in terms]))
        case sql.Comparison(path, op, literal):
            # A path that meets several series must hold for all of them (interface page "SQL", "WHERE").
            tests: dict[str, Bound] = {}
            for pattern in _patterns(path, prefixes):
                if lacking is not None and path in lacking and not catalog[pattern]:
                    return Never()
                for series in _matched(pattern, catalog):
                    position = parts.position_of(series)
                    tests[series.path] = value_test(position, series.path, series.data_type, op, literal)
            return next(iter(tests.values())) if len(tests) == 1 else AllOf(tuple(tests.values()))
        case sql.Not():
            raise AssertionError("without_not leaves none")


def _compared(condition: sql.Condition | None) -> list[str]:
    """The paths that a condition names, each once."""
    match condition:
        case sql.Comparison(path):
            return [path]
        case sql.Not(term):
            return _compared(term)
        case sql.And(terms) | sql.Or(terms):
            return list(dict.fromkeys(path for term in terms for path in _compared(term)))
    return []


def _patterns(path: str, prefixes: Sequence[str]) -> list[str]:
    return [path] if _is_full(path) else list(dict.fromkeys(_behind(prefix, path) for prefix in prefixes))


def _is_full(path: str) -> bool:
    return path == ROOT or path.startswith(ROOT + ".")


def _behind(prefix: str, path: str) -> str:
    return series_path(prefix, path)


def _matched(pattern: str, catalog: Catalog) -> Sequence[KnownSeries]:
    found = catalog[pattern]
    if not found:
        raise _refused(f"{pattern} matches no time series")
    return found


def _cut(columns: list[Cut], select: Select) -> list[Cut]:
    """The columns that SLIMIT and SOFFSET leave."""
    if select.series_offset >= len(columns) and select.series_offset:
        raise _refused(f"SOFFSET {select.series_offset}: there are {len(columns)} columns")
    end = len(columns) if select.series_limit is None else select.series_offset + select.series_limit
    return columns[select.series_offset : end]


def _refused(message: str) -> RequestError:
    return RequestError(message, code=StatusCode.SQL_PARSE_ERROR)
