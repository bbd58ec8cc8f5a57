"""Rows that another node reads page by page from a data group here."""

import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

from iotdb_cluster.errors import RequestError
from iotdb_cluster.members.clock import Deadline
from iotdb_cluster.members.data.readers import Reading
from iotdb_cluster.members.query.running import Running
from iotdb_cluster.query.rows import DataTypes, Rows
from iotdb_cluster.query.streams import Pages, RowStream
from iotdb_cluster.types.identity import GroupId, NodeId

T = TypeVar("T")


class OpenRows(Reading):
    """Rows that `openRows` opened, for one call at a time; `running` is theirs alone."""

    def __init__(
        self, group: GroupId, requester: NodeId, query_id: int, running: Running, stream: RowStream, limit: int | None
    ) -> None:
        super().__init__(group, requester, query_id)
        self._running = running
        self._pages = Pages(stream)
        self._left = limit
        self._using = threading.Lock()
        self._closing = False
        self.data_types: DataTypes = stream.data_types

    def next_page(self, max_rows: int, max_bytes: int, deadline: Deadline) -> tuple[Rows, bool]:
        """The next rows, and whether they are the last; raises when they are closed or take too long."""
        with self._using:
            if self._closing:
                raise RequestError("the rows were closed")
            self._running.deadline = deadline
            count = max_rows if self._left is None else min(max_rows, self._left)
            rows = _finished(self._pages.page(count, max_bytes))
            if self._left is not None:
                self._left -= len(rows)
            # A full page has one behind it, mostly; whether one that is not full has is known by reading on.
            is_last = self._left == 0 or (len(rows) < max_rows and _finished(self._pages.are_over()))
        if self._closing:
            self.close()
        return rows, is_last

    def close(self) -> None:
        """Let go of files and memory: at once, or as soon as the call that uses them ends; never waits."""
        self._closing = True
        self._running.end("the other node has ended the query")
        if self._using.acquire(blocking=False):
            try:
                self._pages.close()
            finally:
                self._using.release()


def _finished(coroutine: Coroutine[Any, Any, T]) -> T:
    """What a coroutine gives that waits for nothing: everything that it reads is on this node."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        value: T = end.value
        return value
    coroutine.close()
    raise AssertionError("rows of this node are there without waiting")
