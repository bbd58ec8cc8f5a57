"""Sealed files: others open them as they are, damage is refused by name, and nothing is left over."""

import errno
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pytest

from iotdb_cluster.errors import Corruption, StorageFailure
from iotdb_cluster.storage.disk import RealDisk
from iotdb_cluster.timeseries.check import damage_in
from iotdb_cluster.timeseries.manifest import Manifest
from iotdb_cluster.timeseries.parquet_schema import column_names
from iotdb_cluster.types.identity import EntryId
from iotdb_cluster.types.plans import DeletePlan, DeleteStorageGroupPlan, DeleteTimeseriesPlan, SetStorageGroupPlan
from iotdb_cluster.types.schema import DataType
from tests.timeseries.timeseries_disk import Crash
from tests.timeseries.timeseries_model import create, read_all, tablet

B, I, L, F, D, T = DataType  # noqa: E741
FOLDER = "data/7"


@pytest.fixture
def sealed(bench_over: Any, tmp_path: Path) -> Any:
    """Two devices with all six types on a real disk, sealed; the second lacks a point here and there."""
    found = bench_over(RealDisk(tmp_path))
    types = {"b": B, "i": I, "l": L, "f": F, "d": D, "t": T}
    found.device("root.sg.d1", **types)
    found.device("root.sg.d2", **types)
    columns = {
        "b": (B, [True, False]),
        "i": (I, [1, -(2**31)]),
        "l": (L, [2**63 - 1, 0]),
        "f": (F, [1.5, float("nan")]),
        "d": (D, [float("inf"), -0.0]),
        "t": (T, [b"x", "é".encode()]),
    }
    found.write(
        tablet("root.sg.d1", columns, [2000, 1000]),
        tablet("root.sg.d2", {name: columns[name] for name in "bit"}, [1, 2]),
        tablet("root.sg.d2", {"d": columns["d"]}, [2, 3]),
    )
    found.seal()
    return found


def parquet_of(bench: Any) -> str:
    snapshot = bench.store.snapshot()
    bench.store.release(snapshot)
    (file,) = snapshot.files
    return str(bench.disk.root / file.path)


@pytest.mark.parametrize(("number", "fault"), [(errno.EIO, Corruption), (errno.EMFILE, StorageFailure)])
def test_a_bad_sector_in_a_sealed_file_is_damage_to_that_file(
    sealed: Any, monkeypatch: pytest.MonkeyPatch, number: int, fault: type[Exception]
) -> None:
    path, read = parquet_of(sealed), RealDisk.read

    def refused(disk: RealDisk, name: str, offset: int = 0, length: int | None = None) -> bytes:
        if path.endswith(name):
            raise StorageFailure("read", name) from OSError(number, "")
        return read(disk, name, offset, length)

    monkeypatch.setattr(RealDisk, "read", refused)
    with pytest.raises(fault, match=Path(path).name):
        sealed.reopen()


def test_pandas_opens_a_sealed_file_as_it_is(sealed: Any) -> None:
    frame = pd.read_parquet(parquet_of(sealed))
    assert ["device", "time", "b", "d", "f", "i", "l", "t"] == list(frame.columns)
    assert [("root.sg.d1", 1000), ("root.sg.d1", 2000), *(("root.sg.d2", n) for n in (1, 2, 3))] == [
        (device, time.value // 10**6) for device, time in zip(frame.device, frame.time, strict=True)
    ]
    assert "datetime64[ms, UTC]" == str(frame.time.dtype)
    assert ["é", "x", "x", "é"] == frame.t.dropna().tolist()
    assert np.float32 == frame.f.dtype
    assert 1.5 == frame.f[1] and np.isnan(frame.f[0])
    assert [False, True] == frame.b.tolist()[:2]


def test_duckdb_opens_a_sealed_file_as_it_is(sealed: Any) -> None:
    with duckdb.connect() as connection:
        rows = connection.execute(
            f"select device, epoch_ms(time), b, i, l, d, t from '{parquet_of(sealed)}'"
            " where device = 'root.sg.d2' order by time"
        ).fetchall()
    assert ("root.sg.d2", 1, True, 1, None, None, "x") == rows[0]
    assert ("root.sg.d2", 2, False, -(2**31), None, float("inf"), "é") == rows[1]
    assert ("root.sg.d2", 3, None, None, None, -0.0, None) == rows[2]


def test_names_that_only_differ_in_case_and_names_of_our_own_columns_stay_apart(
    bench_over: Any, tmp_path: Path
) -> None:
    bench = bench_over(RealDisk(tmp_path))
    names = ("s", "S", "time", "Device", '"x.y"', "温度")
    bench.device("root.sg.d", **dict.fromkeys(names, I))
    bench.write(tablet("root.sg.d", {name: (I, [at]) for at, name in enumerate(names)}, [7]))
    bench.seal()
    assert {name: [(7, at)] for at, name in enumerate(names)} == {
        name: read_all(bench.store, f"root.sg.d.{name}") for name in names
    }
    with duckdb.connect() as connection:
        found = connection.execute(f"select * from '{parquet_of(bench)}'")
        columns = [column[0] for column in found.description]
    assert len(names) + 2 == len({column.casefold() for column in columns})
    assert columns[2:] == column_names(sorted(names))


def test_devices_with_the_same_measurements_share_a_file(bench: Any) -> None:
    bench.device("root.sg.d1", a=I, b=D)
    bench.device("root.sg.d2", b=D, a=I)
    bench.device("root.sg.d3", a=D)
    for device in ("d1", "d2"):
        bench.write(tablet(f"root.sg.{device}", {"a": (I, [1])}, [1]))
    bench.write(tablet("root.sg.d3", {"a": (D, [1.0])}, [1]))
    bench.seal()
    with bench.store_snapshot() as snapshot:
        assert [["root.sg.d1", "root.sg.d2"], ["root.sg.d3"]] == [
            [device for device, _ in file.start_times] for file in snapshot.files
        ]


def test_many_kinds_of_devices_do_not_make_many_files(bench: Any) -> None:
    for number in range(40):
        bench.device(f"root.sg.d{number}", **{f"s{number}": D, "common": I if number % 2 else L})
        bench.write(tablet(f"root.sg.d{number}", {f"s{number}": (D, [1.0])}, [number]))
    bench.seal()
    with bench.store_snapshot() as snapshot:
        assert 2 == len(snapshot.files)
    for number in range(40):
        assert [(number, 1.0)] == read_all(bench.store, f"root.sg.d{number}.s{number}")


def test_text_that_is_no_utf8_survives_in_a_binary_column(bench: Any) -> None:
    bench.device("root.sg.d", t=T)
    bench.write(tablet("root.sg.d", {"t": (T, [b"fine", b"\xff\0", b""])}, [1, 2, 3]))
    bench.seal()
    bench.reopen()
    assert [(1, b"fine"), (2, b"\xff\0"), (3, b"")] == read_all(bench.store, "root.sg.d.t")


def test_long_texts_make_small_row_groups(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("iotdb_cluster.timeseries.sealed_writer._GROUP_MAX_BYTES", 10_000)
    bench.device("root.sg.d", t=T)
    texts = [b"%d" % n * 1000 for n in range(20)]
    bench.write(tablet("root.sg.d", {"t": (T, texts)}, list(range(20))))
    bench.seal()
    assert list(enumerate(texts)) == read_all(bench.store, "root.sg.d.t")


@pytest.mark.parametrize("place", [0, 40, -9, -1])
def test_a_damaged_file_is_refused_with_its_name_and_place(bench: Any, place: int) -> None:
    bench.device("root.sg.d", a=D)
    bench.write(tablet("root.sg.d", {"a": (D, list(np.arange(1000.0)))}, list(range(1000))))
    bench.seal()
    (path,) = [name for name in bench.disk.files if name.endswith(".parquet")]
    bench.disk.files[path][place] ^= 4
    with pytest.raises(Corruption) as refused:
        bench.opened()
    assert f"{path}, offset 0: " in str(refused.value)
    assert "iotdb-cluster check" in str(refused.value)
    assert [path] == [found.path for found in damage_in(bench.disk, FOLDER)]


def test_damage_has_the_place_of_its_block(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.device("root.sg.d", t=T)
    noise = np.random.default_rng(1).bytes(3 << 20)
    bench.write(tablet("root.sg.d", {"t": (T, [noise[n : n + 1024] for n in range(0, len(noise), 1024)])}, range(3072)))
    bench.seal()
    (path,) = [name for name in bench.disk.files if name.endswith(".parquet")]
    bench.disk.files[path][(1 << 20) + 5] ^= 1
    with pytest.raises(Corruption, match="offset 1048576: the checksum of bytes 1048576 to 2097152"):
        bench.opened()


def test_a_page_that_is_damaged_while_the_node_runs_is_noticed_when_it_is_read(bench: Any) -> None:
    bench.device("root.sg.d", a=D)
    values = np.random.default_rng(1).random(50).tolist()
    bench.write(tablet("root.sg.d", {"a": (D, values)}, list(range(50))))
    bench.seal()
    (path,) = [name for name in bench.disk.files if name.endswith(".parquet")]
    bench.disk.files[path][len(bench.disk.files[path]) // 3] ^= 4
    with pytest.raises(Corruption, match=path):
        read_all(bench.store, "root.sg.d.a")


def test_a_missing_file_and_a_short_one_are_refused(bench: Any) -> None:
    bench.device("root.sg.d", a=D)
    bench.write(tablet("root.sg.d", {"a": (D, [1.0])}, [1]))
    bench.seal()
    (path,) = [name for name in bench.disk.files if name.endswith(".parquet")]
    whole = bench.disk.files[path]
    for damaged in (whole[:-1], whole + b"x"):
        bench.disk.files[path] = damaged
        with pytest.raises(Corruption, match=path):
            bench.opened()
    del bench.disk.files[path]
    with pytest.raises(Corruption, match=f"{path}, offset 0: the file is missing"):
        bench.opened()


def test_every_flipped_byte_of_a_manifest_is_noticed(bench: Any) -> None:
    bench.device("root.sg.d", a=D)
    bench.write(tablet("root.sg.d", {"a": (D, [1.0])}, [1]), DeletePlan(0, "root.sg.*"))
    bench.seal()
    bench.write(DeletePlan(3, "root.sg.*"))
    bench.seal()
    path = f"{FOLDER}/manifest"
    whole = bytes(bench.disk.files[path])
    assert whole == Manifest.decode(whole).encode()
    for place in range(len(whole)):
        bench.disk.files[path] = bytearray(whole)
        bench.disk.files[path][place] ^= 1 << place % 8
        with pytest.raises(Corruption, match=f"{path}, offset 0: "):
            bench.opened()
        assert [path] == [found.path for found in damage_in(bench.disk, FOLDER)]
    for length in range(len(whole)):
        bench.disk.files[path] = bytearray(whole[:length])
        with pytest.raises(Corruption):
            bench.opened()


def test_a_crash_leaves_no_files_that_nobody_names(bench: Any) -> None:
    bench.device("root.sg.d", a=D)
    bench.write(tablet("root.sg.d", {"a": (D, [1.0])}, [1]))
    job = bench.store.begin_seal(EntryId(1, bench.index), b"")
    bench.disk.crash_in = 3
    with pytest.raises(Crash):
        job.run()
    bench.disk = bench.disk.after_crash()
    assert bench.disk.files
    bench.reopen()
    assert {} == bench.disk.files
    assert EntryId(0, 0) == bench.store.covered


def test_a_seal_that_fails_raises_and_nothing_is_taken_for_written(bench: Any) -> None:
    bench.device("root.sg.d", a=D)
    bench.write(tablet("root.sg.d", {"a": (D, [1.0])}, [1]))
    bench.disk.failing = lambda operation, path: operation == "sync"
    job = bench.store.begin_seal(EntryId(1, bench.index), b"")
    with pytest.raises(StorageFailure):
        job.run()
    with pytest.raises(StorageFailure):
        job.finish()
    assert EntryId(0, 0) == bench.store.covered
    assert [(1, 1.0)] == read_all(bench.store, "root.sg.d.a")


def test_a_dropped_storage_group_leaves_its_files_only_until_the_next_seal(bench: Any) -> None:
    bench.device("root.sg.d", a=D)
    bench.write(tablet("root.sg.d", {"a": (D, [1.0])}, [1]))
    bench.seal()
    bench.write(DeleteStorageGroupPlan("root.sg"), SetStorageGroupPlan("root.sg"), create("root.sg.d.a", I))
    assert [] == read_all(bench.store, "root.sg.d.a")
    assert 2 == len(bench.disk.files)
    bench.seal()
    assert {f"{FOLDER}/manifest"} == set(bench.disk.files)
    bench.write(DeleteStorageGroupPlan("root.sg"))
    bench.seal()
    bench.reopen()
    assert [] == bench.store.storage_groups()


def test_a_series_made_again_with_another_type_shows_nothing_of_the_old_one(bench: Any) -> None:
    bench.device("root.sg.d", a=T, b=I)
    bench.write(tablet("root.sg.d", {"a": (T, [b"old"] * 3), "b": (I, [1, 2, 3])}, [1, 2, 3]))
    bench.seal()
    bench.write(tablet("root.sg.d", {"a": (T, [b"older"])}, [4]))
    job = bench.store.begin_seal(EntryId(1, bench.index), b"")
    bench.write(DeleteTimeseriesPlan("root.sg.d.a"), create("root.sg.d.a", D))
    bench.write(tablet("root.sg.d", {"a": (D, [2.5])}, [2]))
    assert [(2, 2.5)] == read_all(bench.store, "root.sg.d.a")
    assert bench.store.value_at("root.sg.d.a", 4) is None
    job.run()
    job.finish()
    assert [(2, 2.5)] == read_all(bench.store, "root.sg.d.a")
    bench.seal()
    assert [(2, 2.5)] == read_all(bench.store, "root.sg.d.a")
    assert [(1, 1), (2, 2), (3, 3)] == read_all(bench.store, "root.sg.d.b")


def test_files_are_named_once_also_after_a_restart(bench: Any) -> None:
    bench.device("root.sg.d", a=D)
    names: list[str] = []
    for time in range(3):
        bench.write(tablet("root.sg.d", {"a": (D, [1.0])}, [time]))
        bench.seal()
        bench.reopen()
        with bench.store_snapshot() as snapshot:
            names = [file.path for file in snapshot.files]
    assert 3 == len(set(names))
