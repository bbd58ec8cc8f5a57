"""Pulling the files of a snapshot: checked, resumed, and durable before anybody counts on them."""

import hashlib
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest

from iotdb_cluster.errors import OutcomeUnknown, RequestError
from iotdb_cluster.members.clock import MonotonicClock
from iotdb_cluster.members.data.snapshots import FilePuller
from iotdb_cluster.members.pending import Pending, drive
from iotdb_cluster.types.identity import Node, NodeId
from iotdb_cluster.types.snapshots import DataSnapshot, FileSnapshot, RemoteFile
from tests.sim.disk import SimDisk

SOURCE = Node("10.0.0.2", 9003, NodeId(2), 40010)
CONTENT = bytes(range(200)) * 5
FILE = RemoteFile(SOURCE, hashlib.md5(CONTENT).digest(), "data/2/root.a/0000000001.parquet")
FOLDER = "data/2/staged/1-1"
STAGED = f"{FOLDER}/0"


class Source:
    """A peer that gives 300 bytes a call and fails at the calls named."""

    def __init__(self, fails_at: set[int], content: bytes = CONTENT) -> None:
        self.calls = 0
        self._fails_at = fails_at
        self._content = content

    def call(self, to: Node, port: object, method: str, arguments: tuple[Any, ...], timeout_ms: int) -> Pending[Any]:
        self.calls += 1
        pending: Pending[Any] = Pending()
        if self.calls in self._fails_at:
            pending.fail(OutcomeUnknown("no answer"))
        else:
            offset = arguments[1]
            pending.resolve(self._content[offset : offset + 300])
        return pending


def pull(disk: SimDisk, source: Source) -> str:
    context: Any = SimpleNamespace(disk=disk, transport=source, settings=SimpleNamespace(connection_time_out_ms=1_000))
    image = DataSnapshot(slots=((0, FileSnapshot(files=(FILE,))),), last_index=1, last_term=1)
    staged = drive(FilePuller(context, SOURCE).pull(image, FOLDER), MonotonicClock())
    return staged["root.a/0000000001.parquet"]


@pytest.mark.parametrize("cut_off_at", [1, 2, 4, 5])
def test_a_pulled_file_survives_a_power_cut_however_often_the_pull_was_cut_off(cut_off_at: int) -> None:
    # The fifth call only says that there is no more: then everything is written and nothing synced.
    for seed in range(10):
        disk = SimDisk(Random(seed))
        with pytest.raises(OutcomeUnknown):
            pull(disk, Source({cut_off_at}))
        assert STAGED == pull(disk, Source(set()))
        disk.crash()
        assert CONTENT == disk.read(STAGED)


def test_a_file_that_is_there_already_is_not_pulled_again() -> None:
    disk = SimDisk(Random(1))
    pull(disk, Source(set()))
    again = Source(set())
    pull(disk, again)
    assert 0 == again.calls


def test_a_file_that_came_otherwise_is_refused() -> None:
    with pytest.raises(RequestError, match="MD5"):
        pull(SimDisk(Random(1)), Source(set(), CONTENT[:-1] + b"!"))
