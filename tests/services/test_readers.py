"""The books that a node keeps of its readers: their number, their ends, and what they let go of."""

import threading

import numpy as np
import pytest

from iotdb_cluster.errors import Busy, RequestError
from iotdb_cluster.members.data.readers import OpenReader, Readers
from iotdb_cluster.timeseries.values import object_array
from iotdb_cluster.types.schema import DataType
from tests.services.clocks import HandClock

GROUP, REQUESTER = 7, 11
IDLE_MS = 1_000


class Source:
    """Points as a store's reader gives them; counts how often it was closed."""

    def __init__(self, values=(), entered=None, leave=None):
        self.values = list(values)
        self.closed = 0
        self._entered, self._leave = entered, leave

    def next_batch(self, max_pairs):
        if self._entered is not None:
            self._entered.set()
            assert self._leave.wait(10)
        taken, self.values = self.values[:max_pairs], self.values[max_pairs:]
        return np.arange(len(taken)), object_array(taken)

    def close(self):
        self.closed += 1


def reader(source=None, *, group=GROUP, query_id=1, data_type=DataType.TEXT):
    return OpenReader(group, REQUESTER, query_id, "root.a.d.s", data_type, source or Source())


@pytest.fixture
def clock():
    return HandClock()


@pytest.fixture
def readers(clock):
    return Readers(clock, max_count=3, idle_ms=lambda: IDLE_MS)


def test_ids_are_above_zero_and_never_used_again(readers):
    first = readers.open(reader())
    readers.end_query(REQUESTER, 1)
    assert 0 < first < readers.open(reader())


def test_above_the_limit_a_reader_is_refused_and_closed(readers):
    for _ in range(3):
        readers.open(reader())
    source = Source()
    with pytest.raises(Busy, match="read_open_max_count"):
        readers.open(reader(source))
    assert (1, 3) == (source.closed, len(readers))


def test_the_end_of_a_query_lets_go_of_its_readers_alone(readers):
    mine, others = Source(), Source()
    readers.open(reader(mine, query_id=1))
    other = readers.open(reader(others, query_id=2))
    readers.end_query(REQUESTER, 1)
    readers.end_query(REQUESTER + 1, 2)
    assert (1, 0) == (mine.closed, others.closed)
    assert readers.find(GROUP, other)


def test_a_reader_that_nobody_uses_is_closed(readers, clock):
    idle, used = Source(), Source()
    idle_id, used_id = readers.open(reader(idle)), readers.open(reader(used))
    for _ in range(3):
        clock.advance(IDLE_MS // 2)
        readers.find(GROUP, used_id)
    assert (1, 0) == (idle.closed, used.closed)
    with pytest.raises(RequestError, match=f"no reader {idle_id}"):
        readers.find(GROUP, idle_id)


def test_a_reader_at_its_end_counts_no_more_but_is_still_known(readers):
    for _ in range(10):
        source = Source()
        reader_id = readers.open(reader(source))
        readers.came_to_end(reader_id)
        assert (1, 0) == (source.closed, len(readers))
        assert 0 == len(readers.find(GROUP, reader_id).next_batch(10, 10)[0])
    readers.end_query(REQUESTER, 1)
    with pytest.raises(RequestError):
        readers.find(GROUP, reader_id)


def test_of_readers_at_their_end_only_the_last_are_known(readers):
    ids = [readers.open(reader()) for _ in range(3)]
    for reader_id in ids:
        readers.came_to_end(reader_id)
    readers.came_to_end(readers.open(reader()))
    with pytest.raises(RequestError):
        readers.find(GROUP, ids[0])
    assert readers.find(GROUP, ids[1])


def test_a_reader_belongs_to_its_group(readers):
    reader_id = readers.open(reader(group=GROUP))
    with pytest.raises(RequestError, match=f"group {GROUP + 1}"):
        readers.find(GROUP + 1, reader_id)
    readers.drop_group(GROUP + 1)
    assert readers.find(GROUP, reader_id)
    readers.drop_group(GROUP)
    with pytest.raises(RequestError):
        readers.find(GROUP, reader_id)


def test_closing_never_waits_for_a_fetch_which_then_closes(readers):
    entered, leave = threading.Event(), threading.Event()
    source = Source([b"x"], entered, leave)
    used = reader(source)
    readers.open(used)
    fetch = threading.Thread(target=used.next_batch, args=(10, 100))
    fetch.start()
    assert entered.wait(10)
    readers.drop_group(GROUP)
    assert 0 == source.closed
    leave.set()
    fetch.join(10)
    assert source.closed >= 1


def test_a_batch_of_texts_is_bounded_in_bytes_and_loses_nothing():
    values = [b"a" * 40, b"b" * 40, b"c" * 500, b"d", b"e"]
    used = reader(Source(values))
    batches = []
    while len(times_and_values := used.next_batch(10, 110)[1]):
        batches.append([value[:1] for value in times_and_values])
    assert [[b"a", b"b"], [b"c"], [b"d", b"e"]] == batches
