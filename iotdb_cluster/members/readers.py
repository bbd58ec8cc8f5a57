"""Readers that `querySingleSeries` opened: they live until `endQuery`, the end of data, or an idle limit (DESIGN 7)."""

import itertools
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from iotdb_cluster.errors import Busy, RequestError
from iotdb_cluster.members.clock import Clock
from iotdb_cluster.timeseries.series_reader import SeriesReader
from iotdb_cluster.types.identity import GroupId, NodeId
from iotdb_cluster.types.schema import DataType


@dataclass(slots=True)
class OpenReader:
    """One reader of one series. Its lock lets one call at a time use it."""

    group: GroupId
    requester: NodeId
    query_id: int
    path: str
    data_type: DataType
    source: SeriesReader
    last_used_ms: int
    lock: threading.Lock = field(default_factory=threading.Lock)


class Readers:
    """The open readers of a node, limited in number and in idle time. May be used from any thread."""

    def __init__(self, clock: Clock, *, max_count: int, idle_ms: Callable[[], int]) -> None:
        self._clock = clock
        self._max_count = max_count
        self._idle_ms = idle_ms
        self._guard = threading.Lock()
        self._ids = itertools.count(1)
        self._readers: dict[int, OpenReader] = {}

    def __len__(self) -> int:
        return len(self._readers)

    def open(
        self,
        group: GroupId,
        requester: NodeId,
        query_id: int,
        path: str,
        data_type: DataType,
        source: SeriesReader,
    ) -> int:
        """A new reader's id, greater than 0; raises `Busy` at the limit."""
        now_ms = self._clock.now_ms()
        with self._guard:
            self._expire(now_ms)
            if len(self._readers) >= self._max_count:
                raise Busy(f"{len(self._readers)} readers are open, read_open_max_count allows no more: end a query")
            reader_id = next(self._ids)
            self._readers[reader_id] = OpenReader(group, requester, query_id, path, data_type, source, now_ms)
        return reader_id

    def find(self, group: GroupId, reader_id: int) -> OpenReader:
        """The reader; raises for one that never was, was ended, or was idle for too long."""
        now_ms = self._clock.now_ms()
        with self._guard:
            self._expire(now_ms)
            reader = self._readers.get(reader_id)
            if reader is None or reader.group != group:
                raise RequestError(f"no reader {reader_id} is open in group {group}: it ended or was idle for too long")
            reader.last_used_ms = now_ms
            return reader

    def close(self, reader_id: int) -> None:
        """Forget one reader."""
        with self._guard:
            self._readers.pop(reader_id, None)

    def end_query(self, requester: NodeId, query_id: int) -> None:
        """Forget all readers of a query."""
        with self._guard:
            ended = [
                reader_id
                for reader_id, reader in self._readers.items()
                if (reader.requester, reader.query_id) == (requester, query_id)
            ]
            for reader_id in ended:
                del self._readers[reader_id]

    def drop_group(self, group: GroupId) -> None:
        """Forget all readers of a group whose store was replaced or is gone."""
        with self._guard:
            for reader_id in [i for i, reader in self._readers.items() if reader.group == group]:
                del self._readers[reader_id]

    def _expire(self, now_ms: int) -> None:
        oldest_ms = now_ms - self._idle_ms()
        for reader_id in [i for i, reader in self._readers.items() if reader.last_used_ms < oldest_ms]:
            del self._readers[reader_id]
