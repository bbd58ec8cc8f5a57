"""SHOW and COUNT: what there is, as rows whose times mean nothing (interface page "Statements")."""

from collections.abc import Iterable, Sequence

import numpy as np

from iotdb_cluster.errors import RequestError, StatusCode, Unsupported
from iotdb_cluster.members.node_view import NodeView
from iotdb_cluster.members.query.finding import Finder
from iotdb_cluster.members.query.running import Running
from iotdb_cluster.members.query.selecting import Answer
from iotdb_cluster.query.binding import KnownSeries, OutputColumn
from iotdb_cluster.query.rows import Rows
from iotdb_cluster.query.streams import Listed, Pages
from iotdb_cluster.sql import statements as sql
from iotdb_cluster.timeseries.frames import Column
from iotdb_cluster.timeseries.values import NATIVE, TIME, array_of
from iotdb_cluster.types.identity import GroupId
from iotdb_cluster.types.paths import ROOT, WILDCARD, Pattern, nodes_of, split_series
from iotdb_cluster.types.schema import DataType
from iotdb_cluster.version import INTERFACE_VERSION

TEXT, INT32, INT64 = DataType.TEXT, DataType.INT32, DataType.INT64
Cell = str | int | None

SHOW = "SHOW"
_VERSION_COLUMN = " " * 8 + "version"
_ITEM_COLUMN = " " * 29 + "item"
_PARAMETER_COLUMN = " " * 42 + "parameter"
"""The original pads these three, and clients show them as they are."""


def listed(operation: str, columns: Sequence[tuple[str, DataType]], rows: Iterable[Sequence[Cell]]) -> Answer:
    """An answer of rows that are known already; TEXT cells are given as str."""
    known = list(rows)
    data_types = tuple([data_type for _, data_type in columns])
    made = Rows(
        np.zeros(len(known), TIME),
        tuple([_column([row[at] for row in known], data_type) for at, data_type in enumerate(data_types)]),
    )
    output = tuple([OutputColumn(label, data_type) for label, data_type in columns])
    return Answer(output, operation, (Pages(Listed(made, data_types)),), has_time=False)


def _column(cells: Sequence[Cell], data_type: DataType) -> Column:
    valid = np.array([cell is not None for cell in cells], np.bool_)
    if data_type is TEXT:
        texts = [b"" if cell is None else str(cell).encode("utf-8", "surrogateescape") for cell in cells]
        values = array_of(texts, TEXT)
    else:
        values = np.array([0 if cell is None else cell for cell in cells], NATIVE[data_type])
    return Column(values, None if valid.all() else valid)


class Listing:
    """Answers one SHOW or COUNT."""

    def __init__(self, node: NodeView, running: Running) -> None:
        self._node = node
        self._finder = Finder(node, running)

    async def answer(self, statement: sql.Statement) -> Answer:
        """The answer; raises `Unsupported` for a statement that is none of these."""
        match statement:
            case sql.ShowStorageGroups():
                state = await self._finder.level_with_meta()
                return listed(SHOW, [("storage group", TEXT)], [(path,) for path in state.storage_groups])
            case sql.ShowTtl(storage_groups):
                return await self._ttls(storage_groups)
            case sql.ShowTimeseries(pattern):
                return await self._timeseries(pattern or ROOT)
            case sql.ShowDevices(pattern):
                return await self._devices(pattern or ROOT)
            case sql.ShowChildPaths(path):
                return await self._child_paths(path or ROOT)
            case sql.CountTimeseries(pattern, None):
                found = await self._series(pattern)
                return listed(SHOW, [("count", INT32)], [(len(found),)])
            case sql.CountTimeseries(pattern, int(level)):
                return await self._count_by_level(pattern, level)
            case sql.CountNodes(pattern, level):
                return await self._count_nodes(pattern, level)
            case sql.ShowVersion():
                return listed(SHOW, [(_VERSION_COLUMN, TEXT)], [(INTERFACE_VERSION,)])
            case sql.ShowFlushTaskInfo():
                return self._flush_tasks()
            case sql.ShowDynamicParameter():
                return self._parameters()
        raise Unsupported(f"{type(statement).__name__} is not supported")

    async def _ttls(self, wanted: Sequence[str] | None) -> Answer:
        """Of each storage group that there is how long its points live, null for ever."""
        state = await self._finder.level_with_meta()
        ttls = dict(state.ttls)
        shown = [path for path in state.storage_groups if wanted is None or path in wanted]
        return listed(SHOW, [("storage group", TEXT), ("ttl", INT64)], [(path, ttls.get(path)) for path in shown])

    # -- series ------------------------------------------------------------------------------------------------------

    async def _series(self, pattern: str) -> Sequence[KnownSeries]:
        return (await self._finder.find([pattern]))[pattern]

    async def _timeseries(self, pattern: str) -> Answer:
        series = await self._series(pattern)
        state = self._node.router.ready_state()
        columns = ("timeseries", "storage group", "dataType", "encoding", "compression")
        rows = [
            (
                each.path,
                state.storage_group_of(each.path) or "",
                each.schema.data_type.name,
                each.schema.encoding.name,
                each.schema.compression.name,
            )
            for each in series
        ]
        return listed(SHOW, [(column, TEXT) for column in columns], rows)

    async def _devices(self, pattern: str) -> Answer:
        series = await self._series(pattern)
        parsed = Pattern.parse(pattern)
        devices = dict.fromkeys(split_series(each.path)[0] for each in series)
        return listed(SHOW, [("devices", TEXT)], [(device,) for device in devices if parsed.matches(device)])

    # -- nodes of the tree -------------------------------------------------------------------------------------------

    async def _nodes_below(self, path: str) -> set[tuple[str, ...]]:
        """The series and storage groups at or below a node, as nodes; raises 500 when the node does not exist."""
        if WILDCARD in nodes_of(path):
            raise _no_such_path(path)
        series = await self._series(path)
        state = await self._finder.level_with_meta()
        found = {nodes_of(each.path) for each in series}
        found |= {nodes_of(group) for group in state.storage_groups_below(path)}
        if path in state.storage_groups:
            found.add(nodes_of(path))
        if not found and path != ROOT:
            raise _no_such_path(path)
        return found

    async def _child_paths(self, path: str) -> Answer:
        below = await self._nodes_below(path)
        nodes = nodes_of(path)
        children = {found[: len(nodes) + 1] for found in below if len(found) > len(nodes)}
        is_series = nodes in below and path not in self._node.router.ready_state().storage_groups
        if is_series:
            raise _no_such_path(path)
        return listed(SHOW, [("child paths", TEXT)], [(".".join(child),) for child in sorted(children)])

    async def _count_nodes(self, path: str, level: int) -> Answer:
        below = await self._nodes_below(path)
        is_above = level < len(nodes_of(path)) - 1
        count = 0 if is_above else len({nodes[: level + 1] for nodes in below if len(nodes) > level})
        return listed(SHOW, [("count", INT32)], [(count,)])

    async def _count_by_level(self, pattern: str, level: int) -> Answer:
        counts: dict[str, int] = {}
        for each in await self._series(pattern):
            nodes = nodes_of(each.path)
            if len(nodes) > level:
                name = ".".join(nodes[: level + 1])
                counts[name] = counts.get(name, 0) + 1
        rows = [(name, str(count)) for name, count in counts.items()]
        return listed(SHOW, [("column", TEXT), ("count", TEXT)], rows)

    # -- this node ---------------------------------------------------------------------------------------------------

    def _flush_tasks(self) -> Answer:
        table = self._node.router.ready_state().table
        groups = [self._node.data(GroupId(header)) for header in table.identifiers] if table else []
        working = sum(member.store.is_busy for member in groups if member is not None)
        rows = [
            ("total number of flush tasks", str(working)),
            ("number of working flush tasks", str(working)),
            ("number of waiting flush tasks", "0"),
        ]
        return listed(SHOW, [(_ITEM_COLUMN, TEXT), ("value", TEXT)], rows)

    def _parameters(self) -> Answer:
        settings = self._node.context.settings
        names = ("memtable_limit_mb", "log_keep_mb", "query_memory_limit_mb", "query_timeout_ms", "fetch_size")
        rows = [(name, str(getattr(settings, name))) for name in names]
        return listed(SHOW, [(_PARAMETER_COLUMN, TEXT), ("value", TEXT)], rows)


def _no_such_path(path: str) -> RequestError:
    return RequestError(f"{path} is no node of the tree of series", code=StatusCode.INTERNAL_SERVER_ERROR)
