"""EXPLAIN (own): which groups a SELECT asks, where, and how much there is to read (a row for each group)."""

from collections.abc import Sequence

from iotdb_cluster.errors import NoLeader
from iotdb_cluster.members.node_view import NodeView
from iotdb_cluster.members.query.asking import Elsewhere
from iotdb_cluster.members.query.listing import SHOW, Cell, listed
from iotdb_cluster.members.query.selecting import Answer
from iotdb_cluster.query.binding import BoundSelect, Selection
from iotdb_cluster.query.conditions import both, pushed, within
from iotdb_cluster.timeseries.extent import Extent
from iotdb_cluster.timeseries.filters import time_bounds
from iotdb_cluster.types.identity import GroupId
from iotdb_cluster.types.schema import DataType

COLUMNS = (
    ("group", DataType.TEXT),
    ("read at", DataType.TEXT),
    ("series", DataType.INT32),
    ("files", DataType.INT32),
    ("rows in files", DataType.INT64),
    ("rows in memory", DataType.INT64),
)
"""`read at` is the data address of the member that is asked first; of groups elsewhere no more is known than that."""


class Explaining:
    """Explains one SELECT."""

    def __init__(self, node: NodeView) -> None:
        self._node = node

    def answer(self, bound: BoundSelect) -> Answer:
        """A row for each group with series of the statement, by header."""
        paths: dict[GroupId, set[str]] = {}
        extents: dict[GroupId, Extent] = {}
        for selection in bound.selections:
            for position, series in enumerate(selection.series):
                paths.setdefault(series.group, set()).add(series.path)
                found = self._extent(bound, selection, position)
                if found is not None:
                    extents[series.group] = extents.get(series.group, Extent()).with_more(found)
        rows = [self._row(group, len(paths[group]), extents.get(group)) for group in sorted(paths)]
        return listed(SHOW, COLUMNS, rows)

    def _extent(self, bound: BoundSelect, selection: Selection, position: int) -> Extent | None:
        """What is read of one series, as far as times say; None for one that is not here."""
        series, windows = selection.series[position], bound.select.windows
        member = self._node.data(series.group)
        if member is None:
            return None
        between = within(windows.start_ms, windows.end_ms) if windows else None
        first, last = time_bounds(both(between, pushed(selection.condition, position)))
        return member.store.extent(series.path, first, last)

    def _row(self, group: GroupId, count: int, extent: Extent | None) -> Sequence[Cell]:
        if extent is not None:
            me = self._node.me
            place = f"{me.ip}:{me.data_port}"
            return str(group), place, count, len(extent.files), extent.rows_in_files, extent.rows_in_memory
        members = Elsewhere(self._node, group).members
        if not members:
            raise NoLeader(f"the data group of header {group} has no members")
        return str(group), f"{members[0].ip}:{members[0].data_port}", count, None, None, None
