"""What other nodes have open here: it lives until `endQuery`, the end of data, or an idle limit (DESIGN 7)."""

import itertools
import threading
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator

from iotdb_cluster.errors import Busy, RequestError
from iotdb_cluster.members.clock import Clock
from iotdb_cluster.timeseries.series_reader import SeriesReader
from iotdb_cluster.timeseries.values import Times, Values
from iotdb_cluster.types.identity import GroupId, NodeId
from iotdb_cluster.types.schema import DataType

PAIR_BYTES = 12
"""What a TEXT value takes in a batch beside its bytes."""


class Reading(ABC):
    """Something that a query of another node reads from."""

    def __init__(self, group: GroupId, requester: NodeId, query_id: int) -> None:
        self.group = group
        self.requester = requester
        self.query_id = query_id
        self.last_used_ms = 0

    @abstractmethod
    def close(self) -> None:
        """Let go of files and memory: at once, or as soon as the call that uses them ends; never waits."""


class OpenReader(Reading):
    """A reader of one series that `querySingleSeries` opened, for one call at a time.

    `source` is None where single values are read.
    """

    def __init__(
        self,
        group: GroupId,
        requester: NodeId,
        query_id: int,
        path: str,
        data_type: DataType,
        source: SeriesReader | None,
    ) -> None:
        super().__init__(group, requester, query_id)
        self.path = path
        self.data_type = data_type
        self._source = source
        self._rest: tuple[Times, Values] | None = None
        self._using = threading.Lock()
        self._closing = False

    @property
    def is_for_batches(self) -> bool:
        """False where single values are read."""
        return self._source is not None

    def next_batch(self, max_pairs: int, max_bytes: int) -> tuple[Times, Values]:
        """The next points: at most `max_pairs`, and of TEXT at most `max_bytes` unless the first alone has more."""
        assert self._source is not None
        with self._using:
            times, values = self._rest or self._source.next_batch(max_pairs)
            self._rest = None
            if self.data_type is DataType.TEXT:
                count = _fitting(values, max_bytes)
                if count < len(times):
                    self._rest = times[count:], values[count:]
                    times, values = times[:count], values[:count]
        if self._closing:
            self.close()
        return times, values

    def close(self) -> None:
        """Let go of files and memory: at once, or as soon as the call that uses them ends; never waits."""
        self._closing = True
        if self._source is not None and self._using.acquire(blocking=False):
            try:
                self._rest = None
                self._source.close()
            finally:
                self._using.release()


class Readers:
    """The open readers of a node, limited in number and in idle time. May be used from any thread.

    One that has come to its end holds nothing and does not count any more; the last ones of them are still known, so
    that asking again gives the end again.
    """

    def __init__(self, clock: Clock, *, max_count: int, idle_ms: Callable[[], int]) -> None:
        self._clock = clock
        self._max_count = max_count
        self._idle_ms = idle_ms
        self._guard = threading.Lock()
        self._ids = itertools.count(1)
        self._readers: dict[int, Reading] = {}
        self._ended: OrderedDict[int, Reading] = OrderedDict()

    def __len__(self) -> int:
        return len(self._readers)

    def open(self, reader: Reading) -> int:
        """The id of a new reader, greater than 0; at the limit the reader is closed and `Busy` raised."""
        self.expire()
        reader.last_used_ms = self._clock.now_ms()
        with self._guard:
            count = len(self._readers)
            if count < self._max_count:
                reader_id = next(self._ids)
                self._readers[reader_id] = reader
                return reader_id
        reader.close()
        raise Busy(f"{count} readers are open, read_open_max_count allows no more: end a query")

    def find(self, group: GroupId, reader_id: int) -> Reading:
        """The reader; raises for one that never was, was ended, or was idle for too long."""
        self.expire()
        with self._guard:
            reader = self._readers.get(reader_id) or self._ended.get(reader_id)
            if reader is None or reader.group != group:
                raise RequestError(f"no reader {reader_id} is open in group {group}: it ended or was idle for too long")
            reader.last_used_ms = self._clock.now_ms()
            return reader

    def came_to_end(self, reader_id: int) -> None:
        """There is nothing more to read for this one."""
        with self._guard:
            reader = self._readers.pop(reader_id, None)
            if reader is None:
                return
            self._ended[reader_id] = reader
            if len(self._ended) > self._max_count:
                self._ended.popitem(last=False)
        reader.close()

    def end_query(self, requester: NodeId, query_id: int) -> None:
        """Forget all readers of a query."""
        self._forget(lambda reader: (reader.requester, reader.query_id) == (requester, query_id))

    def drop_group(self, group: GroupId) -> None:
        """Forget all readers of a group whose store was replaced or is gone; never waits."""
        self._forget(lambda reader: reader.group == group)

    def expire(self) -> None:
        """Forget the readers that nobody has used for too long."""
        oldest_ms = self._clock.now_ms() - self._idle_ms()
        self._forget(lambda reader: reader.last_used_ms < oldest_ms)

    def _forget(self, unwanted: Callable[[Reading], bool]) -> None:
        with self._guard:
            gone = list(_taken_out(self._readers, unwanted))
            gone += _taken_out(self._ended, unwanted)
        for reader in gone:
            reader.close()


def _taken_out(readers: dict[int, Reading], unwanted: Callable[[Reading], bool]) -> Iterator[Reading]:
    for reader_id in [reader_id for reader_id, reader in readers.items() if unwanted(reader)]:
        yield readers.pop(reader_id)


def _fitting(values: Iterable[bytes], max_bytes: int) -> int:
    """How many of these values go into one batch; one at least, where there is one."""
    left = max_bytes
    count = 0
    for value in values:
        left -= PAIR_BYTES + len(value)
        if left < 0 and count:
            break
        count += 1
    return count
