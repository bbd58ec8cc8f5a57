"""What `readFile` may read, and for how long."""

import threading

import pytest

from iotdb_cluster.errors import PathNotFound
from iotdb_cluster.members.data.offered_files import OFFER_MAX_COUNT, OfferedFiles
from iotdb_cluster.storage.disk import RealDisk
from tests.services.clocks import HandClock

IDLE_MS = 1_000
CONTENT = bytes(range(200))


class Released:
    """Counts how often an offer was let go of."""

    def __init__(self):
        self.count = 0

    def __call__(self):
        self.count += 1


class SlowDisk:
    """Lets a test do something while a file is read."""

    def __init__(self, disk):
        self._disk = disk
        self.entered, self.leave = threading.Event(), threading.Event()

    def size(self, path):
        return self._disk.size(path)

    def read(self, path, offset, length):
        self.entered.set()
        assert self.leave.wait(10)
        return self._disk.read(path, offset, length)


@pytest.fixture
def disk(tmp_path):
    opened = RealDisk(tmp_path)
    opened.write_durably("data/1/f", CONTENT)
    opened.write_durably("identity", b"secret")
    yield opened
    opened.close()


@pytest.fixture
def clock():
    return HandClock()


@pytest.fixture
def files(disk, clock):
    return OfferedFiles(disk, clock, IDLE_MS)


@pytest.mark.parametrize(
    ("offset", "length", "expected"),
    [
        (0, 10, CONTENT[:10]),
        (190, 100, CONTENT[190:]),
        (200, 1, b""),
        (2**62, 1, b""),
        (2**63 - 1, 4 << 20, b""),
        (5, 0, b""),
    ],
)
def test_a_part_of_an_offered_file_is_read(files, offset, length, expected):
    files.offer(["data/1/f"], Released())
    assert expected == files.read("data/1/f", offset, length)


@pytest.mark.parametrize("path", ["identity", "data/1/../../identity", "/etc/passwd", "", "data/1/f/", "./data/1/f"])
def test_what_no_snapshot_offered_is_not_read(files, path):
    files.offer(["data/1/f"], Released())
    with pytest.raises(PathNotFound):
        files.read(path, 0, 10)


def test_an_offer_ends_once_when_it_is_withdrawn(files):
    released = Released()
    offer = files.offer(["data/1/f"], released)
    files.withdraw(offer)
    files.withdraw(offer)
    assert 1 == released.count
    with pytest.raises(PathNotFound):
        files.read("data/1/f", 0, 1)


def test_an_offer_that_nobody_reads_from_ends(files, clock):
    released, read = Released(), Released()
    files.offer(["data/1/other"], released)
    files.offer(["data/1/f"], read)
    for _ in range(3):
        clock.advance(IDLE_MS // 2)
        files.read("data/1/f", 0, 1)
    assert (1, 0) == (released.count, read.count)


def test_one_offer_too_many_ends_the_one_unread_for_longest(files, clock):
    released = [Released() for _ in range(OFFER_MAX_COUNT + 1)]
    for number, each in enumerate(released):
        clock.advance(1)
        files.offer([f"data/1/{number}"], each)
    assert [1] + [0] * OFFER_MAX_COUNT == [each.count for each in released]
    assert OFFER_MAX_COUNT == len(files)


def test_files_are_not_let_go_of_under_a_read(disk, clock):
    slow = SlowDisk(disk)
    files = OfferedFiles(slow, clock, IDLE_MS)
    released = Released()
    offer = files.offer(["data/1/f"], released)
    found = []
    reading = threading.Thread(target=lambda: found.append(files.read("data/1/f", 0, 3)))
    reading.start()
    assert slow.entered.wait(10)
    files.withdraw(offer)
    assert 0 == released.count
    slow.leave.set()
    reading.join(10)
    assert ([CONTENT[:3]], 1) == (found, released.count)
