"""A store travels as a snapshot and its files, and is installed whole or not at all."""

import json
import zlib
from typing import Any

import pytest

from iotdb_cluster.errors import MalformedInput
from iotdb_cluster.timeseries.snapshots import StoreSnapshot, decode_snapshot
from iotdb_cluster.types.identity import EntryId
from iotdb_cluster.types.plans import DeletePlan, InsertPlan, SetStorageGroupPlan
from iotdb_cluster.types.schema import DataType
from tests.timeseries.timeseries_disk import Crash
from tests.timeseries.timeseries_model import create, read_all, tablet

I, D = DataType.INT32, DataType.DOUBLE  # noqa: E741


@pytest.fixture
def source(bench_over: Any) -> Any:
    """Two storage groups, several files, a deletion beside them, and an entry behind what is covered."""
    found = bench_over(compact_at_tiers=99)
    found.device("root.sg.d", s=I)
    found.write(SetStorageGroupPlan("root.other"), create("root.other.d.s", D))
    for time in range(3):
        found.write(tablet("root.sg.d", {"s": (I, [time, time])}, [time, time + 10]))
        found.write(tablet("root.other.d", {"s": (D, [0.5])}, [time]))
        found.seal()
    found.write(DeletePlan(11, "root.sg.*.s"))
    found.seal()
    found.write(InsertPlan(99, "root.sg.d", ("s",), ("99",)))
    return found


def stage(source: Any, target: Any, snapshot: StoreSnapshot) -> dict[str, str]:
    staged = {}
    for number, file in enumerate(snapshot.files):
        staged[file.folder_path] = f"{target.store.stage_folder('move')}/{number}"
        target.disk.write_durably(staged[file.folder_path], source.disk.read(file.path))
    return staged


def test_a_snapshot_names_everything_up_to_what_is_covered(source: Any) -> None:
    with source.store_snapshot() as snapshot:
        assert EntryId(1, source.index - 1) == snapshot.covered
        assert ("root.other", "root.sg") == snapshot.storage_groups
        assert ["root.sg.d.s"] == [schema.path for schema in snapshot.schemas("root.sg")]
        first, *_ = snapshot.files_of("root.sg")
        assert ((("root.sg.d", 0),), (("root.sg.d", 10),)) == (first.start_times, first.end_times)
        assert [True] * 3 == [file.has_deletions for file in snapshot.files_of("root.sg")]
        assert [False] * 3 == [file.has_deletions for file in snapshot.files_of("root.other")]
        assert first.path.endswith(first.folder_path)
        assert (16, source.disk.size(first.path)) == (len(first.file.md5), first.file.size)
        assert snapshot.manifest == decode_snapshot(snapshot.encode())


def test_install_replaces_everything_and_survives_a_restart(source: Any, bench: Any) -> None:
    bench.device("root.sg.d", s=D)
    bench.write(SetStorageGroupPlan("root.old"), create("root.old.d.s", I), InsertPlan(1, "root.old.d", ("s",), ("1",)))
    bench.seal()
    with source.store_snapshot() as snapshot:
        bench.store.install(snapshot, stage(source, bench, snapshot))
    for _ in range(2):
        assert ["root.other", "root.sg"] == bench.store.storage_groups()
        assert [(12, 2)] == read_all(bench.store, "root.sg.d.s")
        assert [(0, 0.5), (1, 0.5), (2, 0.5)] == read_all(bench.store, "root.other.d.s")
        assert snapshot.covered == bench.store.covered == bench.store.applied
        assert 7 == len(bench.disk.files)
        bench.reopen()
    bench.index = snapshot.covered.index
    bench.write(InsertPlan(99, "root.sg.d", ("s",), ("99",)))
    assert source.store.content_hash() == bench.store.content_hash()


def test_some_storage_groups_travel_alone(source: Any, bench: Any) -> None:
    snapshot = source.store.snapshot(["root.other"])
    assert ("root.other",) == snapshot.storage_groups
    assert () == snapshot.manifest.deletions
    bench.store.install(snapshot, stage(source, bench, snapshot))
    assert source.store.content_hash(["root.other"]) == bench.store.content_hash()


@pytest.mark.parametrize("fault", ["missing", "short", "flipped", "unstaged"])
def test_a_file_that_is_not_the_one_of_the_snapshot_stops_the_install(source: Any, bench: Any, fault: str) -> None:
    bench.device("root.sg.d", s=I)
    bench.write(tablet("root.sg.d", {"s": (I, [5])}, [5]))
    bench.seal()
    before = bench.store.content_hash()
    with source.store_snapshot() as snapshot:
        staged = stage(source, bench, snapshot)
    name, path = max(staged.items())
    match fault:
        case "missing":
            bench.disk.remove(path)
        case "short":
            del bench.disk.files[path][-1:]
        case "flipped":
            bench.disk.files[path][50] ^= 1
        case "unstaged":
            del staged[name]
    with pytest.raises(MalformedInput, match=name if fault in ("missing", "unstaged") else path):
        bench.store.install(snapshot, staged)
    assert before == bench.store.content_hash()
    assert not bench.store.is_busy
    bench.seal()
    bench.reopen()
    assert before == bench.store.content_hash()


def test_an_install_cut_off_at_any_step_leaves_the_old_or_the_new_content(source: Any, bench_over: Any) -> None:
    with source.store_snapshot() as snapshot:
        pass
    outcomes = set()
    for step in range(40):
        bench = bench_over()
        bench.device("root.sg.d", s=I)
        bench.write(tablet("root.sg.d", {"s": (I, [5])}, [5]))
        bench.seal()
        before = bench.store.content_hash()
        job = bench.store.begin_install(snapshot.manifest, stage(source, bench, snapshot))
        bench.disk.crash_in = step
        try:
            job.run()
        except Crash:
            outcomes.add("cut off")
        else:
            outcomes.add("done")
        bench.disk = bench.disk.after_crash()
        bench.reopen()
        is_new = bench.store.covered == snapshot.covered
        outcomes.add("new" if is_new else "old")
        assert is_new or before == bench.store.content_hash()
        if is_new:
            assert [(12, 2)] == read_all(bench.store, "root.sg.d.s")
    assert {"cut off", "done", "new", "old"} == outcomes


def test_staged_files_outlive_a_restart_until_they_are_discarded(bench: Any) -> None:
    bench.disk.write_durably(f"{bench.store.stage_folder('move-7')}/part", b"x")
    bench.reopen()
    assert ["move-7"] == bench.store.staged()
    bench.store.discard_staged("move-7")
    assert [] == bench.store.staged()
    assert {} == bench.disk.files


def test_dropping_a_store_removes_its_folder(source: Any) -> None:
    source.disk.write_durably("data/8/manifest", b"another group's")
    source.store.drop()
    assert {"data/8/manifest"} == set(source.disk.files)


FIXED = b'"covered": [1, 2], "context": "", "next": [1, 1, 1, 1]'


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b"[" * 100_000,
        b'{"covered": [1, 2]}',
        b'{"covered": ["a", 2], "context": "", "next": [1, 1, 1, 1], "storage_groups": [], "deletions": []}',
        b"{" + FIXED + b', "storage_groups": [], "deletions": [[1, "no.path", 5]]}',
        b"{" + FIXED + b', "deletions": [], "storage_groups": [{"path": "root", "devices": {}, "files": []}]}',
        b"{"
        + FIXED
        + b', "deletions": [], "storage_groups": [{"path": "root.a", "devices": {"root.b": []}, "files": []}]}',
    ],
)
def test_a_snapshot_that_is_none_is_refused(body: bytes) -> None:
    head = b'{"format": "iotdb-cluster manifest", "version": 1, "crc32": %d, "bytes": %d}\n' % (
        zlib.crc32(body),
        len(body),
    )
    for data in (body, head + body, head[:20]):
        with pytest.raises(MalformedInput):
            decode_snapshot(data)


def test_a_snapshot_cannot_name_a_file_outside_its_folder(source: Any) -> None:
    with source.store_snapshot() as snapshot:
        name = snapshot.files[0].file.name.encode()
        data = snapshot.encode()
    body = data.partition(b"\n")[2].replace(name, b"../" + name[3:])
    head = json.dumps(
        {"format": "iotdb-cluster manifest", "version": 1, "crc32": zlib.crc32(body), "bytes": len(body)}
    ).encode()
    with pytest.raises(MalformedInput, match="no name of a sealed file"):
        decode_snapshot(head + b"\n" + body)
