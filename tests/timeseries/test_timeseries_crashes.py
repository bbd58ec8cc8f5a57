"""A power cut at every durable step of a seal, a compaction and an install, on the simulator's disk."""

import contextlib
from random import Random
from typing import Any

from iotdb_cluster.errors import RequestError
from iotdb_cluster.timeseries.settings import StoreSettings
from iotdb_cluster.timeseries.store import GroupStore
from iotdb_cluster.types.identity import EntryId
from iotdb_cluster.types.plans import DeletePlan, DeleteTimeseriesPlan, InsertPlan, SetStorageGroupPlan
from iotdb_cluster.types.schema import DataType
from tests.sim.disk import SimDisk, SimulatedCrash
from tests.timeseries.timeseries_model import Model, apply_both, comparable, create, read_all, tablet

I, D = DataType.INT32, DataType.DOUBLE  # noqa: E741
FOLDER = "data/7"
SETTINGS = StoreSettings(compact_at_tiers=2, rows_per_row_group=3)

LOG: list[Any] = [
    SetStorageGroupPlan("root.a"),
    SetStorageGroupPlan("root.b"),
    *(create(f"root.a.d.s{n}", I) for n in range(3)),
    create("root.b.d.s", D),
    tablet("root.a.d", {f"s{n}": (I, list(range(9))) for n in range(3)}, list(range(9))),
    InsertPlan(5, "root.b.d", ("s",), ("0.5",)),
    "seal",
    DeletePlan(4, "root.a.d.s1"),
    tablet("root.a.d", {"s1": (I, [-1, -2])}, [3, 20]),
    DeleteTimeseriesPlan("root.a.d.s2"),
    "seal",
    InsertPlan(6, "root.b.d", ("s",), ("NaN",)),
    "compact",
    create("root.a.d.s2", D),
    InsertPlan(1, "root.a.d", ("s0", "s2"), ("77", "7.5")),
    "seal",
    DeletePlan(2, "root"),
    "compact",
    "seal",
]


class Player:
    """Plays the log on a disk that loses its power at one step, and goes on from what is left."""

    def __init__(self, seed: int, crash_at: int) -> None:
        self.disk = SimDisk(Random(seed))
        self.disk.crash_at(crash_at)
        self.has_crashed = False
        self.plans: list[Any] = []
        self.model = Model()
        self.store = self.opened()

    def opened(self) -> GroupStore:
        return GroupStore.open(self.disk, FOLDER, SETTINGS, lambda action: action())

    def play(self) -> None:
        for action in LOG:
            if isinstance(action, str):
                self.survive(action)
            else:
                self.plans.append(action)
                apply_both(self.store, self.model, EntryId(1, len(self.plans)), action)
        self.compare()

    def survive(self, action: str) -> None:
        try:
            self.do(action)
        except SimulatedCrash:
            self.has_crashed = True
            self.disk.crash()
            self.store = self.opened()
            for index in range(self.store.covered.index + 1, len(self.plans) + 1):
                with contextlib.suppress(RequestError):
                    self.store.apply(EntryId(1, index), self.plans[index - 1])
            self.compare()

    def do(self, action: str) -> None:
        job: Any
        if action == "seal":
            job = self.store.begin_seal(EntryId(1, len(self.plans)), b"")
        else:
            job = self.store.begin_compaction()
        if job is not None:
            job.run()
            job.finish()

    def compare(self) -> None:
        assert sorted(self.model.types) == [schema.path for schema in self.store.series("root")]
        for path, points in self.model.points.items():
            assert comparable(sorted(points.items())) == comparable(read_all(self.store, path))


def test_a_power_cut_at_any_step_loses_nothing_and_leaves_nothing_over() -> None:
    step, has_crashed = 0, True
    while has_crashed:
        step += 1
        player = Player(seed=step, crash_at=step)
        player.play()
        has_crashed = player.has_crashed
        player.disk.crash()
        store = player.opened()
        snapshot = store.snapshot()
        found = {name for group in ("root.a", "root.b") for name in player.disk.list_folder(f"{FOLDER}/{group}")}
        assert {file.file.name for file in snapshot.files} == found
    assert step > 60
