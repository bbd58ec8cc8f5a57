"""Random logs with seals, compactions, installs, crashes and restarts: a store always holds what the model holds."""

import contextlib
import math
import struct
from collections import Counter
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from iotdb_cluster.errors import RequestError
from iotdb_cluster.timeseries.settings import StoreSettings
from iotdb_cluster.timeseries.store import GroupStore
from iotdb_cluster.types.filters import And, Compare, CompareOp, FilterKind, GroupByWindows, Not, Or, Scalar, ValueClass
from iotdb_cluster.types.identity import EntryId
from iotdb_cluster.types.plans import (
    DeletePlan,
    DeleteStorageGroupPlan,
    DeleteTimeseriesPlan,
    ExpirePlan,
    InsertPlan,
    SetStorageGroupPlan,
)
from iotdb_cluster.types.schema import DataType
from tests.timeseries.timeseries_disk import Crash, MemoryDisk
from tests.timeseries.timeseries_model import Model, apply_both, as_text, comparable, create, fulfils, read_all, tablet

SETTINGS = StoreSettings(rows_per_row_group=4, compact_at_tiers=2, compact_at_deletions=2, column_cache_bytes=2000)
GROUPS = ("root.a", "root.b.c")
DEVICES = ("root.a.d", "root.a.e", "root.a.d.x", "root.b.c.d")
NAMES = ("s", "t", "S", "time")
PATTERNS = ("root", "root.a", "root.a.d", "root.*.d", "root.a.*.s", "root.a.d.s", "root.b.c.d.t", "root.*.*.*.s")
TIMES = (*range(25), -(1 << 63), -1, 10**12, (1 << 63) - 1)
SPECIAL: dict[DataType, tuple[Any, ...]] = {
    DataType.BOOLEAN: (True, False),
    DataType.INT32: (0, 1, -7, 2**31 - 1, -(2**31)),
    DataType.INT64: (0, -3, 2**53 + 1, 2**63 - 1, -(2**63)),
    DataType.FLOAT: (0.0, -0.0, 1.5, math.nan, math.inf, -math.inf, struct.unpack("<f", b"\x01\0\0\0")[0]),
    DataType.DOUBLE: (0.0, -0.0, 0.1, math.nan, math.inf, -math.inf, 5e-324, 1e308),
    DataType.TEXT: (b"", b"a", b"a\0", "é".encode(), b"\xff", b"long" * 20),
}
WEIGHTS = {
    "tablet": 12,
    "row": 12,
    "delete": 4,
    "begin_seal": 8,
    "begin_compaction": 6,
    "go_on": 20,
    "filtered": 4,
    "create": 3,
    "delete_series": 1,
    "expire": 1,
    "delete_storage_group": 1,
    "set_storage_group": 1,
    "crash": 2,
    "install_elsewhere": 1,
}


class World:
    """A store, its log, and the model of everything that was logged."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.disk = MemoryDisk()
        self.log: list[Any] = []
        self.model = Model()
        self.job: Any = None
        self.ran = False
        self.happened: Counter[str] = Counter()
        self.store = self.opened()
        for path in GROUPS:
            self.write(SetStorageGroupPlan(path))
        for device in DEVICES[:2]:
            for name in NAMES[:3]:
                self.write(create(f"{device}.{name}", random.choice(list(DataType))))

    def run(self, steps: int) -> None:
        names, weights = zip(*WEIGHTS.items(), strict=True)
        for name in self.random.choices(names, weights, k=steps):
            getattr(self, name)()
            if name not in ("tablet", "row", "create") or self.random.random() < 0.2:
                self.check()
        self.check()

    def opened(self) -> GroupStore:
        return GroupStore.open(self.disk, "data/7", SETTINGS, lambda action: action())

    def write(self, plan: Any) -> None:
        self.log.append(plan)
        apply_both(self.store, self.model, EntryId(1, len(self.log)), plan)

    def values(self, data_type: DataType, count: int) -> list[Any]:
        return self.random.choices(SPECIAL[data_type], k=count)

    def known(self, device: str) -> list[str]:
        return [path for path in sorted(self.model.types) if path.rpartition(".")[0] == device]

    def pattern(self) -> str:
        return self.random.choice([*PATTERNS, *(sorted(self.model.types) * 2)])

    def set_storage_group(self) -> None:
        self.write(SetStorageGroupPlan(self.random.choice(GROUPS)))

    def create(self) -> None:
        path = f"{self.random.choice(DEVICES)}.{self.random.choice(NAMES)}"
        self.write(create(path, self.random.choice(list(DataType))))

    def tablet(self) -> None:
        device = self.random.choice(DEVICES)
        times = self.random.choices(TIMES, k=self.random.randint(1, 9))
        paths = [path for path in self.known(device) if self.random.random() < 0.8]
        types = {path.rpartition(".")[2]: self.model.types[path] for path in paths}
        if types:
            self.write(tablet(device, {name: (t, self.values(t, len(times))) for name, t in types.items()}, times))

    def row(self) -> None:
        device = self.random.choice(DEVICES)
        known = self.known(device)
        if known:
            paths = self.random.choices(known, k=self.random.randint(1, 3))
            texts = [as_text(self.values(self.model.types[p], 1)[0], self.model.types[p]) for p in paths]
            if self.random.random() < 0.1:
                texts[-1] = "nothing that converts"
            names = tuple(path.rpartition(".")[2] for path in paths)
            self.write(InsertPlan(self.random.choice(TIMES), device, names, tuple(texts)))

    def delete(self) -> None:
        self.write(DeletePlan(self.random.choice(TIMES), self.pattern()))

    def expire(self) -> None:
        self.write(ExpirePlan(self.random.choice(GROUPS), self.random.choice((-2, 3, 5, 9, 14))))

    def delete_series(self) -> None:
        self.write(DeleteTimeseriesPlan(self.pattern()))

    def delete_storage_group(self) -> None:
        self.write(DeleteStorageGroupPlan(self.random.choice(GROUPS)))

    def begin_seal(self) -> None:
        if self.job is None:
            self.job, self.ran = self.store.begin_seal(EntryId(1, len(self.log)), b"context %d" % len(self.log)), False

    def begin_compaction(self) -> None:
        if self.job is None:
            self.job, self.ran = self.store.begin_compaction(), False
            self.happened["compaction" if self.job else "nothing to compact"] += 1

    def go_on(self) -> None:
        if self.job is None:
            return
        if not self.ran:
            self.job.run()
            self.ran = True
        else:
            self.job.finish()
            self.happened[type(self.job).__name__] += 1
            self.job = None

    def crash(self) -> None:
        if self.job is not None and not self.ran:
            self.disk.crash_in = self.random.randint(0, 12)
            with contextlib.suppress(Crash):
                self.job.run()
        self.disk = self.disk.after_crash()
        self.job = None
        self.store = self.opened()
        self.happened["crash"] += 1
        if self.store.covered.index:
            assert b"context %d" % self.store.covered.index == self.store.context
        for number, plan in enumerate(self.log[self.store.covered.index :], self.store.covered.index + 1):
            with contextlib.suppress(RequestError):
                self.store.apply(EntryId(1, number), plan)

    def install_elsewhere(self) -> None:
        """Go on with another member, which was sent a snapshot and the log behind it."""
        snapshot = self.store.snapshot()
        disk = MemoryDisk()
        other = GroupStore.open(disk, "data/7", SETTINGS, lambda action: action())
        staged = {}
        for file in snapshot.files:
            staged[file.folder_path] = f"{other.stage_folder('s')}/{len(staged)}"
            disk.write_durably(staged[file.folder_path], self.disk.read(file.path))
        self.store.release(snapshot)
        other.install(snapshot, staged)
        assert snapshot.covered == other.covered == other.applied
        for number, plan in enumerate(self.log[other.covered.index :], other.covered.index + 1):
            with contextlib.suppress(RequestError):
                other.apply(EntryId(1, number), plan)
        assert self.store.content_hash() == other.content_hash()
        self.disk, self.store, self.job = disk, other, None
        self.happened["install"] += 1

    def filtered(self) -> None:
        condition, together = self.time_filter(3), self.random.randint(1, 7)
        for path, points in self.model.points.items():
            expected = [(t, v) for t, v in sorted(points.items()) if fulfils(condition, t, v)]
            assert comparable(expected) == comparable(read_all(self.store, path, condition, together)), condition

    def time_filter(self, depth: int) -> Any:
        kind = self.random.randint(0, 5 if depth else 2)
        match kind:
            case 0:
                start, end = self.random.choices(TIMES, k=2)
                return GroupByWindows(self.random.randint(1, 5), self.random.randint(1, 9), start, end)
            case 3:
                return Not(self.time_filter(depth - 1))
            case 4:
                return And(self.time_filter(depth - 1), self.time_filter(depth - 1))
            case 5:
                return Or(self.time_filter(depth - 1), self.time_filter(depth - 1))
        constant = Scalar(ValueClass.LONG, self.random.choice(TIMES))
        return Compare(self.random.choice(list(CompareOp)), FilterKind.TIME, constant)

    def check(self) -> None:
        assert sorted(self.model.groups) == self.store.storage_groups()
        assert self.model.types == {schema.path: schema.data_type for schema in self.store.series("root")}
        for path, points in self.model.points.items():
            assert comparable(sorted(points.items())) == comparable(read_all(self.store, path)), path
            for time in [*list(points)[:2], 5]:
                assert repr(points.get(time)) == repr(self.store.value_at(path, time)), (path, time)
        if self.job is None:
            snapshot = self.store.snapshot()
            named = {file.path for file in snapshot.files}
            self.store.release(snapshot)
            assert named | {"data/7/manifest"} >= set(self.disk.files)


@settings(max_examples=16, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_a_store_holds_what_the_model_holds(seed: int) -> None:
    World(Random(seed)).run(steps=80)


def test_the_random_logs_reach_every_corner() -> None:
    happened: Counter[str] = Counter()
    for seed in range(5):
        world = World(Random(seed))
        world.run(steps=80)
        happened += world.happened
    assert {"SealJob", "CompactionJob", "crash", "install"} <= set(happened), happened
