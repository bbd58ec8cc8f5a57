"""The disk of a running node: paths, locks, failures; and the journal on it through kill -9."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from iotdb_cluster.errors import MalformedInput, StartRefused, StorageFailure
from iotdb_cluster.storage.disk import RealDisk
from iotdb_cluster.storage.journal import Journal
from iotdb_cluster.types.disk import AppendFile, Disk
from iotdb_cluster.types.identity import GroupId
from tests.storage.journal_world import SMALL, entries_from

PROJECT = Path(__file__).parents[2]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[RealDisk]:
    disk = RealDisk(tmp_path / "node")
    yield disk
    disk.close()


def test_it_is_a_disk(disk: RealDisk) -> None:
    as_disk: Disk = disk
    as_file: AppendFile = disk.append("a/b")
    as_file.close()
    assert as_disk.exists("a/b")


def test_what_is_appended_is_read_back(disk: RealDisk) -> None:
    file = disk.append("raft/log")
    file.write(b"one")
    file.write(bytearray(b"two"))
    file.write(memoryview(b"three"))
    file.sync()
    assert 11 == file.size() == disk.size("raft/log")
    file.close()
    file.close()
    assert b"onetwothree" == disk.read("raft/log") == bytes(disk.view("raft/log"))
    assert b"two" == disk.read("raft/log", 3, 3)
    assert b"three" == disk.read("raft/log", 6)
    assert b"three" == disk.read("raft/log", 6, 100)
    assert b"" == disk.read("raft/log", 100)


def test_a_file_is_cut_before_it_is_appended_to(disk: RealDisk) -> None:
    disk.write_durably("log", b"0123456789")
    file = disk.append("log", truncate_to=4)
    file.write(b"x")
    assert (5, b"0123x") == (file.size(), disk.read("log"))
    with pytest.raises(StorageFailure, match="cannot be cut"):
        disk.append("log", truncate_to=6)
    assert b"0123x" == disk.read("log")


def test_a_view_stays_when_the_file_is_replaced_or_removed(disk: RealDisk) -> None:
    disk.write_durably("sealed", b"old")
    view = disk.view("sealed")
    disk.write_durably("sealed", b"new")
    disk.remove("sealed")
    assert b"old" == bytes(view)
    disk.write_durably("empty", b"")
    assert b"" == bytes(disk.view("empty"))


def test_files_are_replaced_renamed_removed_and_listed(disk: RealDisk) -> None:
    disk.write_durably("data/7/manifest", b"1")
    disk.write_durably("data/7/manifest", b"2")
    disk.write_durably("data/7/b", b"b")
    assert ["b", "manifest"] == disk.list_folder("data/7")
    assert ["7"] == disk.list_folder("data")
    assert [] == disk.list_folder("none")
    disk.rename("data/7/b", "data/8/c")
    assert (["manifest"], ["c"]) == (disk.list_folder("data/7"), disk.list_folder("data/8"))
    disk.remove("data/8/c")
    disk.remove("data/8/c")
    disk.remove("nowhere/at/all")
    disk.remove_folder("data/7")
    disk.remove_folder("data/7")
    assert not disk.exists("data/7") and disk.exists("data/8")
    assert "lock" in disk.list_folder("")
    assert disk.free_bytes() > 0


def test_every_write_and_rename_is_synced_with_its_folder(disk: RealDisk, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []

    def recording_fsync(descriptor: int) -> None:
        synced.append(os.path.relpath(os.readlink(f"/proc/self/fd/{descriptor}"), disk.root))

    monkeypatch.setattr(os, "fsync", recording_fsync)
    disk.write_durably("data/7/manifest", b"1")
    assert [".", "data", "data/7/manifest.tmp", "data/7"] == synced
    synced.clear()
    disk.append("data/7/deletions").close()
    disk.append("data/7/deletions").close()
    assert ["data/7"] == synced
    synced.clear()
    disk.rename("data/7/manifest", "data/manifest")
    disk.remove("data/manifest")
    assert ["data", "data/7", "data"] == synced


def test_opening_a_folder_syncs_what_an_earlier_process_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "renamed").write_bytes(b"x")
    os.mkfifo(tmp_path / "data" / "pipe")
    synced: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.readlink(f"/proc/self/fd/{descriptor}")))
    RealDisk(tmp_path).close()
    wanted = [str(tmp_path / "data" / "renamed"), str(tmp_path / "data"), str(tmp_path)]
    assert wanted == [path for path in synced if not path.endswith("lock")]


@pytest.mark.parametrize(
    "path", ["", "/etc/passwd", "..", "../x", "a/../../x", "a//b", "a/", "./a", "a/./b", "a\0b", "a\\..\\b"]
)
def test_no_path_leads_out_of_the_folder(disk: RealDisk, path: str) -> None:
    for action in (
        disk.exists,
        disk.size,
        disk.read,
        disk.view,
        disk.append,
        disk.remove,
        disk.remove_folder,
        lambda path: disk.write_durably(path, b""),
        lambda path: disk.rename(path, "a"),
        lambda path: disk.rename("a", path),
    ):
        with pytest.raises(MalformedInput):
            action(path)


def test_a_missing_file_is_told_apart_from_a_failing_disk(disk: RealDisk) -> None:
    for action in (disk.size, disk.read, disk.view, lambda path: disk.rename(path, "other")):
        with pytest.raises(FileNotFoundError):
            action("missing")
    disk.write_durably("folder/file", b"")
    for action in (disk.read, disk.append, disk.remove, lambda path: disk.write_durably(path, b"")):
        with pytest.raises(StorageFailure, match="folder"):
            action("folder")


def test_a_failed_sync_is_never_tried_again(disk: RealDisk, monkeypatch: pytest.MonkeyPatch) -> None:
    file = disk.append("log")
    file.write(b"x")
    calls: list[int] = []

    def failing(descriptor: int) -> None:
        calls.append(descriptor)
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fdatasync", failing)
    with pytest.raises(StorageFailure, match="Input/output error"):
        file.sync()
    monkeypatch.undo()
    for action in (file.sync, lambda: file.write(b"y")):
        with pytest.raises(StorageFailure, match="failed before"):
            action()
    assert 1 == len(calls)
    assert b"x" == disk.read("log")


def test_a_write_that_the_system_takes_in_pieces_is_whole(disk: RealDisk, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, bytes(data)[:3]))
    file = disk.append("log")
    file.write(b"0123456789")
    assert b"0123456789" == disk.read("log")


def test_two_processes_cannot_use_one_folder(tmp_path: Path) -> None:
    disk = RealDisk(tmp_path)
    code = "import sys, pathlib; from iotdb_cluster.storage.disk import RealDisk; RealDisk(pathlib.Path(sys.argv[1]))"
    command = [sys.executable, "-c", code, str(tmp_path)]
    other = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60, cwd=PROJECT)
    assert 1 == other.returncode
    assert f"in use by process {os.getpid()}" in other.stderr and "StartRefused" in other.stderr
    with pytest.raises(StartRefused, match=str(os.getpid())):
        RealDisk(tmp_path)
    disk.close()
    disk.close()
    RealDisk(tmp_path).close()


@pytest.mark.parametrize("error", [FileNotFoundError(2, "no such place"), PermissionError(13, "not yours")])
def test_a_folder_that_cannot_be_made_is_a_failure_that_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(StorageFailure, match=re.escape(str(tmp_path / "data"))):
        RealDisk(tmp_path / "data")


def test_a_disk_for_reading_changes_nothing(tmp_path: Path) -> None:
    writing = RealDisk(tmp_path)
    writing.write_durably("file", b"x")
    reading = RealDisk(tmp_path, read_only=True)
    assert b"x" == reading.read("file")
    for action in (
        lambda: reading.append("file"),
        lambda: reading.write_durably("file", b""),
        lambda: reading.rename("file", "b"),
        lambda: reading.remove("file"),
        lambda: reading.remove_folder("file"),
    ):
        with pytest.raises(StorageFailure, match="for reading only"):
            action()
    writing.close()
    absent = RealDisk(tmp_path / "absent", read_only=True)
    assert [] == absent.list_folder("raft") and not (tmp_path / "absent").exists()


WRITER = """
import sys, pathlib
from iotdb_cluster.storage.disk import RealDisk
from iotdb_cluster.storage.journal import Journal
from iotdb_cluster.types.identity import EntryId, GroupId
from tests.storage.journal_world import SMALL, THREE, entries_from
journal = Journal(RealDisk(pathlib.Path(sys.argv[1])), settings=SMALL)
journal.recover()
journal.create_group(GroupId(1))
for index in range(1, 1_000_000):
    journal.save_entries(GroupId(1), entries_from(index, 1))
    if index % 20 == 0:
        journal.save_snapshot_point(GroupId(1), EntryId(1, index - 10), THREE, False)
    journal.sync()
    print(index, flush=True)
    journal.maintain()
"""


def test_a_killed_process_loses_nothing_that_it_had_synced(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WRITER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=PROJECT) as writer:
        assert writer.stdout is not None
        for line in writer.stdout:
            if int(line) >= 400:
                break
        writer.send_signal(signal.SIGKILL)
        synced = max([400, *(int(line) for line in writer.stdout if line.endswith("\n"))])
    disk = RealDisk(tmp_path)
    found = Journal(disk, settings=SMALL).recover()[GroupId(1)]
    disk.close()
    assert found.entries[-1].index in (synced, synced + 1)
    assert entries_from(found.snapshot.index + 1, len(found.entries)) == found.entries
    assert len(list((tmp_path / "raft").iterdir())) < 8
