"""A store over a disk in memory, and what fills it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from iotdb_cluster.timeseries.settings import StoreSettings
from iotdb_cluster.timeseries.snapshots import StoreSnapshot
from iotdb_cluster.timeseries.store import GroupStore
from iotdb_cluster.types.identity import EntryId
from iotdb_cluster.types.plans import SetStorageGroupPlan
from iotdb_cluster.types.schema import DataType
from tests.timeseries.timeseries_disk import MemoryDisk
from tests.timeseries.timeseries_model import create

FOLDER = "data/7"


class Bench:
    """A store with its disk; `write` logs one plan after the other."""

    def __init__(self, disk: Any, settings: StoreSettings) -> None:
        self.disk = disk
        self.settings = settings
        self.index = 0
        self.store = self.opened()

    def opened(self) -> GroupStore:
        return GroupStore.open(self.disk, FOLDER, self.settings, lambda action: action())

    def reopen(self) -> None:
        self.store = self.opened()

    def write(self, *plans: Any) -> None:
        for plan in plans:
            self.index += 1
            self.store.apply(EntryId(1, self.index), plan)

    def device(self, path: str, **types: DataType) -> None:
        """A device in storage group `root.sg`."""
        self.write(SetStorageGroupPlan("root.sg"), *(create(f"{path}.{name}", of) for name, of in types.items()))

    def seal(self) -> None:
        job = self.store.begin_seal(EntryId(1, self.index), b"")
        job.run()
        job.finish()

    @contextmanager
    def store_snapshot(self) -> Iterator[StoreSnapshot]:
        snapshot = self.store.snapshot()
        yield snapshot
        self.store.release(snapshot)

    def compact(self) -> bool:
        job = self.store.begin_compaction()
        if job is None:
            return False
        job.run()
        job.finish()
        return True


@pytest.fixture
def bench() -> Bench:
    return Bench(MemoryDisk(), StoreSettings(rows_per_row_group=100))


@pytest.fixture
def bench_over() -> Callable[..., Bench]:
    """A bench over a given disk, or with other settings."""

    def make(disk: Any = None, **settings: Any) -> Bench:
        return Bench(disk or MemoryDisk(), StoreSettings(**settings))

    return make
