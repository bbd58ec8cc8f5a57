"""What a store answers about its series, when it wants to be sealed, and what its deletions and compactions leave."""

import gc
import sys
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

from iotdb_cluster.errors import (
    Busy,
    MetadataRefused,
    PathExists,
    PathIllegal,
    StorageGroupUnknown,
)
from iotdb_cluster.timeseries.sealed_reader import ColumnCache
from iotdb_cluster.types.identity import EntryId
from iotdb_cluster.types.plans import (
    CreateTimeseriesPlan,
    DeletePlan,
    DeleteStorageGroupPlan,
    DeleteTimeseriesPlan,
    InsertPlan,
    SetStorageGroupPlan,
)
from iotdb_cluster.types.schema import Compression, DataType, Encoding, TimeseriesSchema
from tests.timeseries.timeseries_model import create, read_all, tablet

I, D, T = DataType.INT32, DataType.DOUBLE, DataType.TEXT  # noqa: E741


def test_series_are_listed_by_path_or_in_the_order_of_creation_also_after_a_restart(bench: Any) -> None:
    bench.write(SetStorageGroupPlan("root.sg"), SetStorageGroupPlan("root.b"))
    for path in ("root.sg.d.z", "root.sg.d.a", "root.b.x.y.m", "root.sg.c.k"):
        bench.write(create(path, I))
    for _ in range(2):
        by_path = ["root.b.x.y.m", "root.sg.c.k", "root.sg.d.a", "root.sg.d.z"]
        assert by_path == [schema.path for schema in bench.store.series("root")]
        created = ["root.sg.d.z", "root.sg.d.a", "root.sg.c.k"]
        assert created == [s.path for s in bench.store.series("root.sg", in_creation_order=True)]
        assert ["root.sg.d.a"] == [schema.path for schema in bench.store.series("root.*.*.a")]
        assert [] == bench.store.series("root.nothing")
        assert ["a", "z"] == list(bench.store.device_schema("root.sg.d"))
        assert {} == bench.store.device_schema("root.sg")
        assert bench.store.find("root.sg.d") is None
        bench.seal()
        bench.reopen()
    bench.write(create("root.sg.d.new", I))
    assert "root.sg.d.new" == bench.store.series("root.sg.d", in_creation_order=True)[-1].path


def test_a_series_is_what_it_was_created_as_whatever_the_encoding(bench: Any) -> None:
    bench.write(SetStorageGroupPlan("root.sg"))
    plan = CreateTimeseriesPlan("root.sg.d.s", DataType.BOOLEAN, Encoding.GORILLA, Compression.LZO)
    bench.write(plan)
    expected = TimeseriesSchema("root.sg.d.s", DataType.BOOLEAN, Encoding.GORILLA, Compression.LZO)
    assert expected == bench.store.find("root.sg.d.s")
    bench.seal()
    bench.reopen()
    assert expected == bench.store.find("root.sg.d.s")


@pytest.mark.parametrize(
    ("plan", "error"),
    [
        (create("root.sg.d.s", D), PathExists),
        (create("root.sg.d.s", I), PathExists),
        (create("root.sg.d", I), PathExists),
        (create("root.sg.d.s.deeper", I), PathExists),
        (create("root.sg.d.s.deeper.still", I), PathExists),
        (create("root.sg", I), PathIllegal),
        (create("root.other.d.s", I), StorageGroupUnknown),
        (create("root.sg.d.*", I), PathIllegal),
        (SetStorageGroupPlan("root.sg.d"), MetadataRefused),
        (SetStorageGroupPlan("root"), PathIllegal),
        (DeleteStorageGroupPlan("root.sg.d"), MetadataRefused),
        (DeletePlan(1, "sg.d"), PathIllegal),
        (DeleteTimeseriesPlan(""), PathIllegal),
    ],
)
def test_what_contradicts_the_schema_is_refused_and_changes_nothing(
    bench: Any, plan: Any, error: type[Exception]
) -> None:
    bench.device("root.sg.d", s=I)
    bench.write(tablet("root.sg.d", {"s": (I, [5])}, [1]))
    before = bench.store.content_hash()
    with pytest.raises(error):
        bench.write(plan)
    assert before == bench.store.content_hash()
    assert EntryId(1, bench.index) == bench.store.applied


def test_a_storage_group_above_another_is_refused_and_one_again_is_not(bench: Any) -> None:
    bench.write(SetStorageGroupPlan("root.a.b"), SetStorageGroupPlan("root.a.b"))
    with pytest.raises(PathExists):
        bench.write(SetStorageGroupPlan("root.a"))
    assert ["root.a.b"] == bench.store.storage_groups()


def test_a_series_below_a_deleted_one_may_be_created(bench: Any) -> None:
    bench.device("root.sg.d", s=I)
    bench.write(DeleteTimeseriesPlan("root.sg.d.s"), create("root.sg.d.s.t", I), DeleteTimeseriesPlan("root.sg.d.s"))
    bench.write(create("root.sg.d", I))
    assert ["root.sg.d"] == [schema.path for schema in bench.store.series("root")]


def test_memory_above_the_limit_or_a_closed_file_wants_a_seal(bench_over: Any) -> None:
    bench = bench_over(memtable_limit_bytes=50_000)
    bench.device("root.sg.d", s=D, t=T)
    assert not bench.store.wants_seal()
    bench.write(tablet("root.sg.d", {"s": (D, [1.0] * 5000)}, list(range(5000))))
    assert bench.store.memory_bytes >= 80_000
    assert bench.store.wants_seal()
    bench.seal()
    assert not bench.store.wants_seal()
    assert 0 == bench.store.memory_bytes
    for time in range(400):
        bench.write(InsertPlan(time, "root.sg.d", ("s", "t"), ("1", f"'{'x' * 100}'")))
    assert 100_000 < bench.store.memory_bytes < 300_000
    bench.seal()
    with pytest.raises(StorageGroupUnknown):
        bench.store.close_file(EntryId(1, 500), "root.other")
    bench.store.close_file(EntryId(1, 501), "root.sg")
    bench.index = 501
    assert bench.store.wants_seal()
    bench.seal()
    assert not bench.store.wants_seal()


def test_one_job_at_a_time(bench: Any) -> None:
    bench.device("root.sg.d", s=I)
    job = bench.store.begin_seal(EntryId(1, bench.index), b"")
    assert bench.store.is_busy and not bench.store.wants_seal()
    with pytest.raises(Busy):
        bench.store.begin_seal(EntryId(1, bench.index), b"")
    with pytest.raises(Busy):
        bench.store.begin_compaction()
    job.run()
    job.finish()
    assert not bench.store.is_busy


def test_a_seal_without_new_points_still_moves_what_is_covered(bench: Any) -> None:
    bench.write(SetStorageGroupPlan("root.sg"))
    job = bench.store.begin_seal(EntryId(3, 9), b"members")
    job.run()
    job.finish()
    bench.reopen()
    assert (EntryId(3, 9), b"members", EntryId(3, 9)) == (
        bench.store.covered,
        bench.store.context,
        bench.store.applied,
    )


def test_points_written_later_at_a_deleted_time_stay(bench: Any) -> None:
    bench.device("root.sg.d", s=I)
    bench.write(tablet("root.sg.d", {"s": (I, [1, 2, 3])}, [1, 2, 3]))
    bench.seal()
    bench.write(tablet("root.sg.d", {"s": (I, [4, 5])}, [4, 5]))
    bench.write(DeletePlan(4, "root.sg.*.s"), InsertPlan(2, "root.sg.d", ("s",), ("22",)))
    for step in (lambda: None, bench.seal, bench.reopen):
        step()
        assert [(2, 22), (5, 5)] == read_all(bench.store, "root.sg.d.s")
        assert bench.store.value_at("root.sg.d.s", 1) is None
        assert 22 == bench.store.value_at("root.sg.d.s", 2)


@pytest.mark.parametrize("path", ["root.sg.d.s", "root.sg.d", "root.*.d"])
@pytest.mark.parametrize("is_sealed", [True, False])
def test_a_smaller_deletion_after_a_larger_one_takes_nothing_back(bench: Any, path: str, is_sealed: bool) -> None:
    bench.device("root.sg.d", s=I)
    bench.write(tablet("root.sg.d", {"s": (I, [1, 2, 3])}, [1, 2, 3]))
    if is_sealed:
        bench.seal()
    bench.write(DeletePlan(2, path), DeletePlan(1, path))
    assert [(3, 3)] == read_all(bench.store, "root.sg.d.s")
    bench.seal()
    assert [(3, 3)] == read_all(bench.store, "root.sg.d.s")


def test_a_series_made_again_in_memory_is_sealed_with_its_new_type(bench: Any) -> None:
    bench.device("root.sg.d", s=T)
    bench.write(InsertPlan(1, "root.sg.d", ("s",), ("'old'",)))
    bench.write(DeleteTimeseriesPlan("root.sg.d.s"), create("root.sg.d.s", I))
    bench.write(InsertPlan(2, "root.sg.d", ("s",), ("2",)))
    bench.write(tablet("root.sg.d", {"s": (I, [3])}, [3]))
    bench.seal()
    assert [(2, 2), (3, 3)] == read_all(bench.store, "root.sg.d.s")


def test_what_a_slow_reader_merged_does_not_undo_a_delete(bench: Any) -> None:
    bench.device("root.sg.d", s=I)
    bench.write(*(tablet("root.sg.d", {"s": (I, [n])}, [n]) for n in range(3)))
    content = bench.store._content
    (early,) = content.view("root.sg.d.s").memory
    bench.write(DeletePlan(1, "root.sg.d.s"), tablet("root.sg.d", {"s": (I, [7])}, [7]))
    assert [(2, 2), (7, 7)] == read_all(bench.store, "root.sg.d.s")
    assert [0, 1, 2] == content.settled(early).times.tolist()
    assert [(2, 2), (7, 7)] == read_all(bench.store, "root.sg.d.s")


def test_compaction_merges_seals_and_drops_what_was_replaced_and_deleted(bench_over: Any) -> None:
    bench = bench_over(compact_at_tiers=4, rows_per_row_group=64)
    bench.device("root.sg.d", s=I, t=T)
    for value in range(4):
        times = list(range(value * 10, value * 10 + 100))
        bench.write(tablet("root.sg.d", {"s": (I, [value] * 100)}, times))
        bench.write(tablet("root.sg.d", {"t": (T, [b"x" * value] * 100)}, times))
        assert not bench.compact()
        bench.seal()
    bench.write(DeletePlan(50, "root.sg.d.s"), DeletePlan(1000, "root.sg.d.t"))
    bench.seal()
    expected = read_all(bench.store, "root.sg.d.s")
    assert [(51, 3), (129, 3)] == [expected[0], expected[-1]]
    before = bench.store.content_hash()
    assert bench.compact()
    for _ in range(2):
        with bench.store_snapshot() as snapshot:
            (file,) = snapshot.files
            assert 79 == file.file.rows
            assert () == snapshot.manifest.deletions
        assert before == bench.store.content_hash()
        assert {"data/7/manifest", file.path} == set(bench.disk.files)
        bench.reopen()
    assert not bench.compact()


def test_compaction_leaves_large_files_alone(bench_over: Any) -> None:
    bench = bench_over(compact_at_tiers=3)
    bench.device("root.sg.d", s=D)
    noise = np.random.default_rng(1).random(20_000).tolist()
    bench.write(tablet("root.sg.d", {"s": (D, noise)}, list(range(20_000))))
    bench.seal()
    for time in range(2):
        bench.write(tablet("root.sg.d", {"s": (D, [0.5])}, [time]))
        bench.seal()
    assert not bench.compact()
    bench.write(tablet("root.sg.d", {"s": (D, [0.5])}, [2]))
    bench.seal()
    assert bench.compact()
    with bench.store_snapshot() as snapshot:
        assert [20_000, 3] == [file.file.rows for file in snapshot.files]
    assert 0.5 == bench.store.value_at("root.sg.d.s", 2)


def test_many_deletions_make_a_compaction_that_ends_them(bench_over: Any) -> None:
    bench = bench_over(compact_at_deletions=3)
    bench.device("root.sg.d", **{f"s{n}": I for n in range(3)})
    bench.write(tablet("root.sg.d", {f"s{n}": (I, [1, 2]) for n in range(3)}, [1, 2]))
    bench.seal()
    bench.write(*(DeletePlan(1, f"root.sg.d.s{n}") for n in range(3)))
    assert not bench.compact()
    bench.seal()
    assert bench.compact()
    with bench.store_snapshot() as snapshot:
        assert (1, ()) == (snapshot.files[0].file.rows, snapshot.manifest.deletions)
    bench.write(DeleteTimeseriesPlan("root.sg"), *(create(f"root.sg.d.s{n}", I) for n in range(3)))
    bench.write(*(DeletePlan(5, f"root.sg.d.s{n}") for n in range(3)))
    bench.seal()
    assert bench.compact()
    assert {"data/7/manifest"} == set(bench.disk.files)


def test_a_compaction_gives_way_to_memory_that_fills_up(bench_over: Any) -> None:
    bench = bench_over(compact_at_tiers=2, memtable_limit_bytes=4000, rows_per_row_group=10)
    bench.device("root.sg.d", s=I)
    bench.device("root.sg.e", s=I, t=I)
    for start in range(2):
        for device in ("d", "e"):
            bench.write(tablet(f"root.sg.{device}", {"s": (I, [start] * 50)}, list(range(start, start + 50))))
        bench.seal()
    files = set(bench.disk.files)
    job = bench.store.begin_compaction()
    bench.disk.failing = lambda operation, path: operation == "rename" and fill_up()

    def fill_up() -> bool:
        if not bench.store.wants_seal() and bench.store.memory_bytes == 0:
            bench.write(tablet("root.sg.d", {"s": (I, [5] * 1000)}, list(range(1000))))
        return False

    job.run()
    job.finish()
    assert bench.store.memory_bytes > 8000
    assert files == set(bench.disk.files)
    assert bench.store.wants_seal()
    assert 1000 == len(read_all(bench.store, "root.sg.d.s"))


def test_a_file_that_a_reader_or_a_snapshot_may_open_stays_until_they_let_go(bench_over: Any) -> None:
    bench = bench_over(compact_at_tiers=2)
    bench.device("root.sg.d", s=I)
    for time in range(2):
        bench.write(tablet("root.sg.d", {"s": (I, [time])}, [time]))
        bench.seal()
    old = set(bench.disk.files)
    reader = bench.store.open_series("root.sg.d.s")
    snapshot = bench.store.snapshot()
    assert bench.compact()
    assert old < set(bench.disk.files)
    assert [0, 1] == reader.next_batch(10)[1].tolist()
    assert 0 == len(reader.next_batch(10)[0])
    reader.close()
    assert old < set(bench.disk.files)
    bench.store.release(snapshot)
    assert 2 == len(bench.disk.files)


def test_a_reader_that_is_forgotten_keeps_no_files(bench_over: Any) -> None:
    bench = bench_over(compact_at_tiers=2)
    bench.device("root.sg.d", s=I)
    for time in range(2):
        bench.write(tablet("root.sg.d", {"s": (I, [time])}, [time]))
        bench.seal()
    readers = [bench.store.open_series("root.sg.d.s") for _ in range(2)]
    readers[0].next_batch(1)
    readers[1].close()
    readers.clear()
    assert bench.compact()
    assert 2 == len(bench.disk.files)


def test_a_reader_keeps_the_state_in_which_it_was_opened(bench: Any) -> None:
    bench.device("root.sg.d", s=I)
    bench.write(tablet("root.sg.d", {"s": (I, list(range(300)))}, list(range(300))))
    bench.seal()
    bench.write(InsertPlan(300, "root.sg.d", ("s",), ("300",)))
    reader = bench.store.open_series("root.sg.d.s")
    bench.write(DeletePlan(500, "root"), InsertPlan(7, "root.sg.d", ("s",), ("-7",)))
    bench.seal()
    found: list[int] = []
    while len(batch := reader.next_batch(77)[1]):
        found += batch.tolist()
    assert list(range(301)) == found
    assert [(7, -7)] == read_all(bench.store, "root.sg.d.s")


@pytest.mark.parametrize("is_sealed", [True, False])
def test_long_texts_make_short_batches(bench: Any, is_sealed: bool) -> None:
    bench.device("root.sg.d", t=T)
    texts = [b"x" * 10, b"y" * 200, b"z" * 10, b"", b"w" * 90, b"v"]
    bench.write(tablet("root.sg.d", {"t": (T, texts)}, list(range(6))))
    if is_sealed:
        bench.seal()
    reader = bench.store.open_series("root.sg.d.t")
    lengths = []
    while len(batch := reader.next_batch(4, max_bytes=100)[1]):
        lengths.append([len(text) for text in batch])
    assert [[10], [200], [10, 0, 90], [1]] == lengths


def test_an_unknown_series_has_nothing_to_read(bench: Any) -> None:
    reader = bench.store.open_series("root.sg.d.s")
    assert reader.data_type is None
    assert ([], []) == tuple(array.tolist() for array in reader.next_batch(5))
    assert bench.store.value_at("root.sg.d.s", 5) is None


def test_readers_run_while_points_come_and_files_are_sealed_and_compacted(bench_over: Any) -> None:
    """Every point is written once, in order; whoever reads sees a beginning of the series without a gap."""
    bench = bench_over(compact_at_tiers=2, rows_per_row_group=128)
    bench.device("root.sg.d", s=I)
    failures: list[str] = []
    reads = 0
    done = threading.Event()

    def read() -> None:
        nonlocal reads
        while not done.is_set() or reads < 3:
            found = read_all(bench.store, "root.sg.d.s", together=333)
            if found != [(n, n) for n in range(len(found))]:
                failures.append(f"{len(found)} points, {found[:3]} ... {found[-3:]}")
            last = len(found) - 1
            if found and bench.store.value_at("root.sg.d.s", last) != last:
                failures.append(f"no value at {last}")
            reads += 1

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(60):
        low = number * 40
        bench.write(tablet("root.sg.d", {"s": (I, list(range(low, low + 30)))}, list(range(low, low + 30))))
        bench.write(*(InsertPlan(n, "root.sg.d", ("s",), (str(n),)) for n in range(low + 30, low + 40)))
        if number % 7 == 0:
            bench.seal()
            bench.compact()
    done.set()
    for thread in threads:
        thread.join(timeout=60)
    assert [] == failures
    assert 2400 == len(read_all(bench.store, "root.sg.d.s"))
    assert all(not thread.is_alive() for thread in threads)


def test_equal_logs_are_equal_content_however_they_were_sealed(bench_over: Any) -> None:
    one, other = bench_over(compact_at_tiers=2), bench_over(rows_per_row_group=3)
    for bench in (one, other):
        bench.device("root.sg.d", s=D, t=T)
    for number in range(6):
        for bench in (one, other):
            bench.write(tablet("root.sg.d", {"t": (T, [b"%d" % number] * 5)}, list(range(number, number + 5))))
            bench.write(InsertPlan(number, "root.sg.d", ("s",), ("NaN",)), DeletePlan(number - 3, "root"))
        one.seal()
        one.compact()
    assert one.store.content_hash() == other.store.content_hash()
    assert one.store.content_hash(["root.sg"]) == other.store.content_hash(["root.sg"])
    other.write(InsertPlan(3, "root.sg.d", ("s",), ("0.5",)))
    assert one.store.content_hash() != other.store.content_hash()


def lines_run(action: Callable[[], object]) -> int:
    """How many lines of Python an action runs, those in loops once for each round: its cost on any machine."""
    count = 0

    def trace(_: Any, event: str, __: Any) -> Any:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    gc.collect()
    gc.disable()  # what it would run now and then is no cost of the action
    sys.settrace(trace)
    try:
        action()
    finally:
        sys.settrace(before)
        gc.enable()
    return count


def test_what_a_series_costs_to_read_does_not_grow_with_the_series_of_its_device(bench_over: Any) -> None:
    """All of a device with thousands of series were read in the square of their number while rows were in memory."""
    costs: dict[int, list[int]] = {4: [], 400: []}
    for count, cost in costs.items():
        bench = bench_over()
        names = tuple(f"s{number}" for number in range(count))
        bench.device("root.sg.d", **dict.fromkeys(names, I))
        for shape in (names, names[1:]):  # rows of one shape, then of two
            bench.write(*[InsertPlan(time, "root.sg.d", shape, ("1",) * len(shape)) for time in range(3)])
            assert [(time, 1) for time in range(3)] == read_all(bench.store, "root.sg.d.s2")
            cost.append(lines_run(partial(read_all, bench.store, "root.sg.d.s2")))
            cost.append(lines_run(partial(bench.store.last_point, "root.sg.d.s2", I, 0, 2)))
    assert costs[4] == costs[400]


def test_what_a_series_costs_to_read_from_a_file_does_not_grow_with_the_columns_beside_it(
    bench_over: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The footer of a file with thousands of columns was read anew, and all of them named, for each series."""
    footers: list[str] = []
    keep = ColumnCache.put_footer

    def put_footer(self: ColumnCache, path: str, footer: Any) -> None:
        footers.append(path)
        keep(self, path, footer)

    monkeypatch.setattr(ColumnCache, "put_footer", put_footer)
    costs: dict[int, int] = {}
    for count in (4, 400):
        bench = bench_over()
        names = tuple(f"s{number}" for number in range(count))
        bench.device("root.sg.d", **dict.fromkeys(names, I))
        bench.write(*[InsertPlan(time, "root.sg.d", names, ("1",) * count) for time in range(3)])
        bench.seal()
        footers.clear()
        for name in names[:3]:
            assert [(time, 1) for time in range(3)] == read_all(bench.store, f"root.sg.d.{name}")
        assert 1 == len(footers)
        costs[count] = lines_run(partial(read_all, bench.store, "root.sg.d.s3"))
    assert costs[4] == costs[400]
