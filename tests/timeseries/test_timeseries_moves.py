"""Storage groups move from one store to another that has others, over restarts, power cuts and repeated steps."""

import contextlib
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iotdb_cluster.errors import Corruption, MalformedInput, RequestError
from iotdb_cluster.timeseries.move_content import MoveContent, narrowed
from iotdb_cluster.timeseries.settings import StoreSettings
from iotdb_cluster.timeseries.store import GroupStore
from iotdb_cluster.types.identity import EntryId
from iotdb_cluster.types.plans import (
    DeletePlan,
    DeleteTimeseriesPlan,
    ExpirePlan,
    InsertPlan,
    SetStorageGroupPlan,
)
from iotdb_cluster.types.schema import DataType
from tests.sim.disk import SimDisk, SimulatedCrash
from tests.timeseries.timeseries_disk import MemoryDisk
from tests.timeseries.timeseries_model import Model, apply_both, comparable, create, read_all, tablet

I, D = DataType.INT32, DataType.DOUBLE  # noqa: E741
MOVE = 7
SETTINGS = StoreSettings(rows_per_row_group=4, compact_at_tiers=2, compact_at_deletions=2)


class Side:
    """One of the two stores: a log, a model of it, and a disk that may be asked to fail."""

    def __init__(self, folder: str, disk: Any = None) -> None:
        self.folder = folder
        self.disk = MemoryDisk() if disk is None else disk
        self.log: list[Any] = []
        self.model = Model()
        self.store = self.opened()

    def opened(self) -> GroupStore:
        return GroupStore.open(self.disk, self.folder, SETTINGS, lambda action: action())

    @property
    def last(self) -> EntryId:
        return EntryId(1, len(self.log))

    def write(self, *plans: Any) -> None:
        for plan in plans:
            self.log.append(plan)
            apply_both(self.store, self.model, self.last, plan)

    def enter(self, step: Any) -> None:
        """Log a step of a move: something that is called with the store and its own place in the log."""
        self.log.append(step)
        step(self.store, self.last)

    def seal(self) -> None:
        self.finish(self.store.begin_seal(self.last, b""))

    def compact(self) -> bool:
        job = self.store.begin_compaction()
        if job is not None:
            self.finish(job)
        return job is not None

    @staticmethod
    def finish(job: Any) -> None:
        job.run()
        job.finish()

    def restart(self) -> None:
        self.store = self.opened()
        for index in range(self.store.covered.index + 1, len(self.log) + 1):
            entry = self.log[index - 1]
            if callable(entry):
                entry(self.store, EntryId(1, index))
            else:
                with contextlib.suppress(RequestError):
                    self.store.apply(EntryId(1, index), entry)

    def check(self) -> None:
        assert sorted(self.model.groups) == self.store.storage_groups()
        assert sorted(self.model.types) == [schema.path for schema in self.store.series("root")]
        for path, points in self.model.points.items():
            assert comparable(sorted(points.items())) == comparable(read_all(self.store, path)), path

    def receive(self, model: Model, paths: tuple[str, ...]) -> None:
        """What the model of a target is behind an install."""
        self.model.groups |= set(paths)
        self.model.expired.update((path, until) for path, until in model.expired.items() if path in paths)
        for path, data_type in model.types.items():
            if any(path.startswith(f"{group}.") for group in paths):
                self.model.types[path], self.model.points[path] = data_type, dict(model.points[path])

    def lose(self, paths: tuple[str, ...]) -> None:
        """What the model is behind a release."""
        self.model.groups -= set(paths)
        self.model.expired = {path: until for path, until in self.model.expired.items() if path not in paths}
        for path in [p for p in self.model.types if any(p.startswith(f"{group}.") for group in paths)]:
            del self.model.types[path], self.model.points[path]

    def files(self) -> set[str]:
        groups = [name for name in self.disk.list_folder(self.folder) if name.startswith("root.")]
        return {f"{g}/{name}" for g in groups for name in self.disk.list_folder(f"{self.folder}/{g}")}

    def named(self) -> set[str]:
        snapshot = self.store.snapshot()
        self.store.release(snapshot)
        return {file.folder_path for file in snapshot.files}


def pull(source: Side, target: Side, content: MoveContent, piece: int = 1 << 20) -> int:
    """Bring the files of a content over, in pieces; returns how many bytes that took."""
    staging = target.store.staging(MOVE)
    staging.begin(content)
    pulled = 0
    while files := staging.missing(content):
        data = source.disk.read(f"{source.folder}/{files[0].folder_path}")
        part = staging.open_part(files[0])
        for at in range(staging.pulled_bytes(files[0]), len(data), piece):
            part.write(data[at : at + piece])
            pulled += len(data[at : at + piece])
        part.close()
        # What a power cut tore is pulled from its beginning.
        with contextlib.suppress(MalformedInput):
            staging.complete(files[0])
    assert staging.is_complete(content)
    return pulled


def installing(content: MoveContent) -> Any:
    return lambda store, entry_id: store.install_move(entry_id, MOVE, content)


def releasing(paths: tuple[str, ...]) -> Any:
    return lambda store, entry_id: store.release_storage_groups(entry_id, paths)


def ending(store: GroupStore, entry_id: EntryId) -> None:
    store.end_move(entry_id, MOVE)


def offered(source: Side, *paths: str) -> MoveContent:
    """What a source gives behind the fence; as it is read by the target, and let go of at once."""
    source.seal()
    offer = source.store.offer_move(paths, hashed=True)
    source.store.release(offer.snapshot)
    assert offer.content == MoveContent.decode(offer.content.encode())
    return offer.content


@pytest.fixture
def source() -> Side:
    """Three storage groups in several files, with deletions that reach over all of them, and points in memory."""
    side = Side("data/1")
    for group in ("root.a", "root.b", "root.stays"):
        side.write(SetStorageGroupPlan(group), create(f"{group}.d.t", D), create(f"{group}.d.s", I))
        side.write(tablet(f"{group}.d", {"s": (I, list(range(9)))}, list(range(9))))
    side.seal()
    side.write(DeletePlan(3, "root"), DeletePlan(5, "root.*.d.s"), DeleteTimeseriesPlan("root.b.d.t"))
    side.write(InsertPlan(2, "root.a.d", ("s",), ("22",)), InsertPlan(8, "root.a.d", ("s",), ("88",)))
    side.seal()
    side.write(DeletePlan(7, "root.b.d.s"), InsertPlan(1, "root.b.d", ("s",), ("11",)))
    return side


@pytest.fixture
def target() -> Side:
    """A store with a storage group of its own, in files whose numbers and deletions are others."""
    side = Side("data/2")
    side.write(SetStorageGroupPlan("root.own"), create("root.own.d.s", I))
    for time in range(4):
        side.write(tablet("root.own.d", {"s": (I, [time, time])}, [time, 4]))
        side.seal()
    side.write(DeletePlan(1, "root.own"), DeletePlan(0, "root"))
    side.seal()
    side.write(InsertPlan(-5, "root.own.d", ("s",), ("5",)))
    return side


def test_what_moves_is_at_the_target_as_it_was_behind_the_fence(source: Side, target: Side) -> None:
    content = offered(source, "root.a", "root.b")
    pull(source, target, content)
    target.store.prepare_move(MOVE, content)
    target.enter(installing(content))
    target.receive(source.model, content.paths)
    for _ in range(2):
        target.check()
        assert content.content_hash == target.store.content_hash(content.paths)
        target.restart()
    target.seal()
    target.restart()
    target.check()
    assert target.store.covered == target.last
    assert ["root.own.d.s", "root.a.d.t", "root.a.d.s", "root.b.d.s"] == [
        schema.path for schema in target.store.series("root", in_creation_order=True)
    ]


def test_later_writes_deletes_and_compactions_go_on_over_moved_files(source: Side, target: Side) -> None:
    content = offered(source, "root.a", "root.b")
    pull(source, target, content)
    target.enter(installing(content))
    target.receive(source.model, content.paths)
    target.write(InsertPlan(8, "root.a.d", ("s",), ("800",)), DeletePlan(6, "root.*.d.s"))
    assert not target.compact() or target.store.covered < target.last
    target.check()
    target.seal()
    target.write(DeletePlan(7, "root.a.d.s"), create("root.b.d.t", I), InsertPlan(3, "root.b.d", ("t",), ("3",)))
    target.seal()
    while target.compact():
        target.check()
    target.restart()
    target.check()


def test_deletions_of_a_source_touch_nothing_else_at_the_target(source: Side, target: Side) -> None:
    content = offered(source, "root.a")
    assert all(deletion.path.startswith("root.a") for deletion in content.deletions)
    pull(source, target, content)
    target.enter(installing(content))
    target.receive(source.model, content.paths)
    target.check()


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [("root", "root.a.b"), ("root.*", "root.a.b"), ("root.*.b.d.*", "root.a.b.d.*"), ("root.a.b.d.'x.y'", None)],
)
def test_a_pattern_is_narrowed_to_a_storage_group(pattern: str, expected: str | None) -> None:
    assert (expected or pattern) == narrowed(pattern, "root.a.b")


def test_what_was_pulled_before_the_fence_is_not_pulled_again(source: Side, target: Side) -> None:
    first = offered(source, "root.a", "root.b")
    everything = pull(source, target, first)
    assert first.size_bytes == everything
    source.write(InsertPlan(100, "root.a.d", ("s",), ("1",)))
    target.restart()
    rest = offered(source, "root.a", "root.b")
    assert 0 < pull(source, target, rest) < everything / 2
    target.enter(installing(rest))
    target.receive(source.model, rest.paths)
    target.check()


def test_a_file_is_pulled_further_behind_a_restart_and_a_damaged_part_from_its_beginning(
    source: Side, target: Side
) -> None:
    content = offered(source, "root.a")
    staging = target.store.staging(MOVE)
    staging.begin(content)
    file = content.files[0]
    data = source.disk.read(f"{source.folder}/{file.folder_path}")
    staging.open_part(file).write(data[:100])
    target.disk.durable = {path: bytes(found) for path, found in target.disk.files.items()}
    target.restart()
    staging = target.store.staging(MOVE)
    assert (100, content) == (staging.pulled_bytes(file), staging.content())
    staging.open_part(file).write(b"x" + data[101:])
    with pytest.raises(MalformedInput, match="MD5"):
        staging.complete(file)
    assert 0 == staging.pulled_bytes(file)
    assert file in staging.missing(content)
    pull(source, target, content, piece=50)


def test_the_files_on_offer_outlive_compactions_and_the_release_until_the_offer_ends(source: Side) -> None:
    source.seal()
    offer = source.store.offer_move(["root.a", "root.b"])
    reader = source.store.open_series("root.a.d.s")
    expected = comparable(sorted(source.model.points["root.a.d.s"].items()))
    source.enter(releasing(offer.content.paths))
    source.lose(offer.content.paths)
    assert source.store.wants_seal()
    source.seal()
    assert all(source.disk.exists(file.path) for file in offer.snapshot.files)
    source.store.release(offer.snapshot)
    times, values = reader.next_batch(1000)
    assert expected == comparable(list(zip(times.tolist(), values.tolist(), strict=True)))
    reader.close()
    source.store.release(source.store.snapshot())
    assert source.files() == source.named() == {path for path in source.files() if path.startswith("root.stays")}
    source.check()
    source.restart()
    source.check()


def test_a_move_that_is_aborted_leaves_nothing_behind(source: Side, target: Side) -> None:
    content = offered(source, "root.a", "root.b")
    pull(source, target, content)
    target.enter(installing(content))
    target.enter(releasing(content.paths))
    target.enter(ending)
    target.check()
    target.restart()
    target.check()
    assert target.store.wants_seal()
    target.seal()
    assert [] == target.store.staged_moves()
    assert target.files() == target.named()
    target.restart()
    target.check()


def test_the_end_of_a_move_removes_what_was_pulled_in_vain_and_nothing_else(source: Side, target: Side) -> None:
    first = offered(source, "root.a")
    pull(source, target, first)
    source.write(DeleteTimeseriesPlan("root.a.d.s"), InsertPlan(50, "root.a.d", ("t",), ("0.5",)))
    source.seal()
    while source.compact():
        pass
    content = offered(source, "root.a")
    assert set(first.files) - set(content.files)
    pull(source, target, content)
    target.enter(installing(content))
    target.receive(source.model, content.paths)
    target.enter(ending)
    target.seal()
    assert target.files() == target.named()
    assert len(content.files) == len([path for path in target.files() if path.startswith("root.a/")])
    target.restart()
    target.check()


def test_an_install_that_comes_twice_changes_nothing(source: Side, target: Side) -> None:
    content = offered(source, "root.a")
    pull(source, target, content)
    target.enter(installing(content))
    target.receive(source.model, content.paths)
    target.write(InsertPlan(8, "root.a.d", ("s",), ("1234",)))
    target.enter(installing(content))
    target.check()
    target.seal()
    target.enter(installing(content))
    target.restart()
    target.check()


def test_a_storage_group_may_come_back(source: Side, target: Side) -> None:
    content = offered(source, "root.a")
    pull(source, target, content)
    target.enter(installing(content))
    target.receive(source.model, content.paths)
    source.enter(releasing(content.paths))
    source.lose(content.paths)
    target.enter(ending)
    target.write(DeletePlan(4, "root.a"), InsertPlan(77, "root.a.d", ("s",), ("7",)))
    back = offered(target, "root.a")
    pull(target, source, back)
    source.enter(installing(back))
    source.receive(target.model, back.paths)
    source.check()
    source.seal()
    source.restart()
    source.check()


def test_what_is_not_what_the_source_held_is_refused(source: Side, target: Side) -> None:
    content = offered(source, "root.a")
    pull(source, target, content)
    kept = MoveContent(content.covered, content.storage_groups, (), content.content_hash)
    with pytest.raises(MalformedInput, match="not what the source held"):
        target.store.prepare_move(MOVE, kept)
    wide = DeletePlan(1, "root")
    broad = MoveContent(content.covered, content.storage_groups, (replaced_path(content, wide.path),))
    with pytest.raises(MalformedInput, match="a deletion of root in a move of root.a"):
        target.store.staging(MOVE).begin(broad)
    path = target.store.staging(MOVE).path_of(content.files[0])
    target.disk.files[path][20] ^= 1
    with pytest.raises(Corruption, match="move-7-"):
        target.store.prepare_move(MOVE, content)
    target.disk.remove(path)
    target.restart()
    with pytest.raises(Corruption, match="missing"):
        target.enter(installing(content))


def replaced_path(content: MoveContent, path: str) -> Any:
    deletion = content.deletions[0]
    return type(deletion)(deletion.number, path, deletion.until)


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_random_histories_on_both_sides_move_as_they_are(seed: int) -> None:
    random = Random(seed)
    source, target = Side("data/1"), Side("data/2")
    live(source, random, ("root.a", "root.b", "root.stays"), steps=40)
    live(target, random, ("root.own",), steps=20)
    if random.random() < 0.5:
        pull(source, target, offered(source, "root.a", "root.b"))
        live(source, random, ("root.a", "root.b"), steps=10)
    content = offered(source, "root.a", "root.b")
    pull(source, target, content)
    seal = target.store.begin_seal(target.last, b"") if random.random() < 0.5 else None
    target.enter(installing(content))
    target.receive(source.model, content.paths)
    if seal is not None:
        target.finish(seal)
    target.check()
    assert content.content_hash == target.store.content_hash(content.paths)
    if random.random() < 0.5:
        target.restart()
        target.check()
    target.enter(ending)
    live(target, random, ("root.own", "root.a", "root.b"), steps=30)
    target.seal()
    assert target.files() == target.named()
    target.restart()
    target.check()


def live(side: Side, random: Random, groups: tuple[str, ...], steps: int) -> None:
    """Some time in the life of a store."""
    for group in groups:
        side.write(SetStorageGroupPlan(group))
    for _ in range(steps):
        device = f"{random.choice(groups)}.d"
        known = {path.rpartition(".")[2]: of for path, of in side.model.types.items() if path.startswith(device)}
        kind = random.choice(("create", "tablet", "tablet", "row", "delete", "series", "expire", "seal", "compact"))
        times = random.choices(range(20), k=random.randint(1, 6))
        if kind == "create" or not known:
            side.write(create(f"{device}.{random.choice('stu')}", random.choice((I, D))))
        elif kind == "tablet":
            side.write(
                tablet(device, {name: (of, [random.randint(0, 99)] * len(times)) for name, of in known.items()}, times)
            )
        elif kind == "row":
            name = random.choice(sorted(known))
            side.write(InsertPlan(times[0], device, (name,), (str(random.randint(0, 99)),)))
        elif kind == "delete":
            side.write(DeletePlan(times[0], random.choice(("root", "root.*.d.s", device, f"{device}.t"))))
        elif kind == "series":
            side.write(DeleteTimeseriesPlan(f"{device}.{random.choice('stu')}"))
        elif kind == "expire":
            side.write(ExpirePlan(random.choice(groups), random.randint(-3, 6)))
        elif kind == "seal":
            side.seal()
        else:
            side.compact()


def test_a_power_cut_at_any_step_of_a_move_leaves_what_the_log_says(source: Side) -> None:
    first = offered(source, "root.a", "root.b")
    source.write(InsertPlan(100, "root.a.d", ("s",), ("1",)), DeletePlan(8, "root.b"))
    content = offered(source, "root.a", "root.b")
    steps: list[Any] = [
        lambda side: pull(source, side, first, piece=1500),
        lambda side: pull(source, side, content, piece=1500),
        lambda side: side.seal(),
        installing(content),
        lambda side: side.seal(),
        ending,
        lambda side: side.seal(),
        releasing(("root.b",)),
        lambda side: side.seal(),
    ]
    at, has_crashed = 0, True
    while has_crashed:
        at += 1
        disk = SimDisk(Random(at))
        side = Side("data/2", disk)
        side.write(SetStorageGroupPlan("root.own"), create("root.own.d.s", I))
        side.write(InsertPlan(1, "root.own.d", ("s",), ("1",)))
        disk.crash_at(at)
        has_crashed = False
        for step in steps:
            if "store" in step.__code__.co_varnames:
                side.enter(step)
                if step is steps[3]:
                    side.receive(source.model, content.paths)
                if step is steps[7]:
                    side.lose(("root.b",))
            else:
                try:
                    step(side)
                except SimulatedCrash:
                    has_crashed = True
                    disk.crash()
                    side.restart()
                    side.check()
                    step(side)
            side.check()
        disk.crash()
        side.restart()
        side.check()
        assert [] == side.store.staged_moves()
        assert side.files() == side.named()
    assert at > 60
