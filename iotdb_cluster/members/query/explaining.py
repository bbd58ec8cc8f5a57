"""EXPLAIN (own): which groups a SELECT asks, where, and how much there is to read (a row for each group)."""

from collections.abc import Sequence

from iotdb_cluster.errors import RequestError
from iotdb_cluster.members import structs
from iotdb_cluster.members.node_view import NodeView
from iotdb_cluster.members.query.asking import Elsewhere, is_unknown_call
from iotdb_cluster.members.query.listing import SHOW, Cell, listed
from iotdb_cluster.members.query.running import Running
from iotdb_cluster.members.query.selecting import Answer
from iotdb_cluster.members.query.together import together
from iotdb_cluster.query.binding import BoundSelect, Selection
from iotdb_cluster.query.conditions import both, pushed, within
from iotdb_cluster.timeseries.extent import Extent
from iotdb_cluster.timeseries.filters import time_bounds
from iotdb_cluster.types.identity import GroupId, Node
from iotdb_cluster.types.schema import DataType

COLUMNS = (
    ("group", DataType.TEXT),
    ("read at", DataType.TEXT),
    ("series", DataType.INT32),
    ("files", DataType.INT32),
    ("rows in files", DataType.INT64),
    ("rows in memory", DataType.INT64),
)
"""`read at` is the data address of the member that is asked; one without `extent` leaves the numbers open."""

Read = tuple[str, int, int]
"""A series, and the times of it that are read, both included."""


class Explaining:
    """Explains one SELECT."""

    def __init__(self, node: NodeView, running: Running) -> None:
        self._node = node
        self._running = running

    async def answer(self, bound: BoundSelect) -> Answer:
        """A row for each group with series of the statement, by header."""
        reads: dict[GroupId, set[Read]] = {}
        for selection in bound.selections:
            for position, series in enumerate(selection.series):
                reads.setdefault(series.group, set()).add(_read(bound, selection, position))
        groups = sorted(reads)
        rows = await together([self._row(group, sorted(reads[group])) for group in groups])
        return listed(SHOW, COLUMNS, rows)

    async def _row(self, group: GroupId, reads: Sequence[Read]) -> Sequence[Cell]:
        count = len({path for path, _, _ in reads})
        member = self._node.data(group)
        if member is not None:
            found = Extent()
            for path, first, last in reads:
                found = found.with_more(member.store.extent(path, first, last))
            return str(group), _place(self._node.me), count, len(found.files), found.rows_in_files, found.rows_in_memory
        there = Elsewhere(self._node, group)
        request = structs.ExtentRequest(
            header=there.header,
            paths=[path for path, _, _ in reads],
            firsts=[first for _, first, _ in reads],
            lasts=[last for _, _, last in reads],
            consistency=self._running.consistency,
            deadline_ms=self._running.left_ms,
        )
        try:
            asked, answer = await there.ask_any("extent", (request,), self._running)
        except RequestError as error:
            if not is_unknown_call(error):
                raise
            return str(group), _place(there.members[0]), count, None, None, None
        return str(group), _place(asked), count, answer.files, answer.rows_in_files, answer.rows_in_memory


def _read(bound: BoundSelect, selection: Selection, position: int) -> Read:
    """What is read of one series, as far as times say."""
    windows = bound.select.windows
    between = within(windows.start_ms, windows.end_ms) if windows else None
    return selection.series[position].path, *time_bounds(both(between, pushed(selection.condition, position)))


def _place(node: Node) -> str:
    return f"{node.ip}:{node.data_port}"
