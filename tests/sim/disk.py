"""A disk in memory that loses, tears and damages what a real one may lose, tear and damage; everything from a seed.

What was written and not synced is visible to the running process and lost, wholly or in part, in a power cut. The same
holds for a rename or a removal before its folder is synced. `step` names are the durable steps of RELIABILITY 3, 14:
`write`, `sync`, `rename`, `remove`, `truncate`, `sync_folder`, each `before_` and `after_`.
"""

import copy
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from iotdb_cluster.errors import StorageFailure
from iotdb_cluster.storage.paths import TEMPORARY_SUFFIX, checked_path
from iotdb_cluster.types.disk import Bytes


class SimulatedCrash(BaseException):
    """The process ends at a durable step. No `except Exception` of the code under test may hold it up."""


@dataclass
class _File:
    """`content` is what reads see; `writes` are the ends of the unsynced writes behind `durable_to`.

    `holes` were hit by a failed sync: they read well from the page cache and are zeros after a power cut.
    """

    content: bytearray = field(default_factory=bytearray)
    durable_to: int = 0
    writes: list[int] = field(default_factory=list)
    holes: list[tuple[int, int]] = field(default_factory=list)

    def cut_power(self, random: Random) -> None:
        """Keep a random prefix of the unsynced writes, and perhaps a torn piece of the next."""
        kept = random.randint(0, len(self.writes))
        end = self.writes[kept - 1] if kept else self.durable_to
        tail = b""
        if kept < len(self.writes):
            whole = bytes(self.content[end : self.writes[kept]])
            tail = _torn(whole, random)
        self.content = self.content[:end] + tail
        for start, stop in self.holes:
            start, stop = random.randint(start, stop), min(stop, len(self.content))
            self.content[start:stop] = bytes(max(0, stop - start))
        self.holes = []
        self.settle()

    def settle(self) -> None:
        """Everything is synced; that does not bring back what a failed sync lost."""
        self.durable_to, self.writes = len(self.content), []


def _torn(whole: bytes, random: Random) -> bytes:
    """Some first bytes of a write, then nothing, zeros or garbage."""
    cut = random.randint(0, len(whole))
    rest = random.randint(0, len(whole) - cut)
    return whole[:cut] + random.choice((b"", bytes(rest), random.randbytes(rest)))


class SimAppendFile:
    """An open file of a `SimDisk`; of no use after the disk went through a crash."""

    def __init__(self, disk: "SimDisk", path: str, file: _File) -> None:
        self._disk = disk
        self._path = path
        self._file = file
        self._life = disk.life
        self._failed = False
        disk.open_files[self] = path

    def write(self, data: Bytes) -> None:
        """Append all of `data`; on a full disk a part of it."""
        self._check("write")
        self._failed = True
        self._disk.step("before_write", self._path)
        self._disk.write_into(self._path, self._file, data)
        self._disk.step("after_write", self._path)
        self._failed = False

    def sync(self) -> None:
        """Make everything written durable."""
        self._check("sync")
        self._failed = True
        self._disk.step("before_sync", self._path)
        self._disk.sync_file(self._path, self._file)
        self._disk.step("after_sync", self._path)
        self._failed = False

    def size(self) -> int:
        """Bytes in the file."""
        return len(self._file.content)

    def close(self) -> None:
        """Nothing more goes through this object."""
        self._failed = True
        self._disk.open_files.pop(self, None)

    def _check(self, operation: str) -> None:
        if self._failed or self._life != self._disk.life:
            raise StorageFailure(operation, self._path, "the file failed before, is closed, or its process is gone")


class SimDisk:
    """`types.disk.Disk` in memory.

    `on_step(step, path)` is called at every durable step and may raise `SimulatedCrash`; `on_sync(path, bytes)` is told
    how much a sync has to write, so that it can take virtual time. A folder is there as long as a file is in it.
    """

    def __init__(self, random: Random, *, capacity_bytes: int = 1 << 40) -> None:
        self.capacity_bytes = capacity_bytes
        self.counts: Counter[str] = Counter()
        self.steps = 0
        self.life = 0
        self.open_files: dict[SimAppendFile, str] = {}
        """The paths of the files that this process has open for writing."""
        self.on_step: Callable[[str, str], None] | None = None
        self.on_sync: Callable[[str, int], None] | None = None
        self._random = random
        self._files: dict[str, _File] = {}
        # What each name stood for before changes whose folder is not synced yet, oldest first.
        self._unsynced_names: list[dict[str, _File | None]] = []
        self._crash_at: int | None = None
        self._refusals: list[tuple[str, str]] = []

    # -- the disk's own troubles ---------------------------------------------------------------------------------------

    def crash(self, *, power_loss: bool = True) -> None:
        """The process ends. With `power_loss` the machine does, and takes along what was not synced.

        Without, everything written is there, and durable, since opening a folder syncs it (`RealDisk`); only what a
        failed sync was for still waits to be lost.
        """
        self.life += 1
        self.open_files.clear()
        self._crash_at = None
        self._refusals.clear()
        if power_loss:
            kept = self._random.randint(0, len(self._unsynced_names))
            for change in reversed(self._unsynced_names[kept:]):
                self._restore(change)
        self._unsynced_names.clear()
        for path in sorted(self._files):
            file = self._files[path]
            if power_loss:
                file.cut_power(self._random)
            else:
                file.settle()

    def crash_at(self, steps_from_now: int) -> None:
        """Raise `SimulatedCrash` at a durable step: 1 is the next one."""
        self._crash_at = self.steps + steps_from_now

    def refuse_next(self, operation: str, path_part: str = "") -> None:
        """Let the next `write`, `sync`, `rename` or `remove` on such a path fail; a sync loses what it was for."""
        self._refusals.append((operation, path_part))

    def forget_troubles(self) -> None:
        """Take back crashes and refusals that were ordered and have not happened."""
        self._crash_at = None
        self._refusals.clear()

    def flip(self, path: str, offset: int, mask: int = 1) -> None:
        """Damage a byte."""
        self._file(path).content[offset] ^= mask

    def flip_somewhere(self, path: str) -> int:
        """Flip a random bit of a file; returns the offset."""
        offset = self._random.randrange(len(self._file(path).content))
        self.flip(path, offset, 1 << self._random.randrange(8))
        return offset

    def put(self, path: str, data: bytes) -> None:
        """Set the durable content of a file, as if it had always been so."""
        self._files[checked_path(path)] = _File(bytearray(data), len(data))

    def copy(self, random: Random | None = None) -> "SimDisk":
        """The disk as it is, in the hands of no process: an old copy, or one to try a crash on."""
        other = SimDisk(random or self._random, capacity_bytes=self.capacity_bytes)
        other._files, other._unsynced_names = copy.deepcopy((self._files, self._unsynced_names))
        return other

    def files(self) -> list[str]:
        """Paths of all files, sorted."""
        return sorted(self._files)

    def step(self, name: str, path: str) -> None:
        """A durable step is reached: a place to crash."""
        self.steps += 1
        self.counts[name] += 1
        if self.on_step is not None:
            self.on_step(name, path)
        if self.steps == self._crash_at:
            raise SimulatedCrash(f"{name} {path}")

    @property
    def used_bytes(self) -> int:
        """Bytes of all files."""
        return sum(len(file.content) for file in self._files.values())

    # -- the protocol --------------------------------------------------------------------------------------------------

    def list_folder(self, path: str) -> list[str]:
        """Names in a folder, sorted; empty when there is no such folder. `""` is the node's folder itself."""
        prefix = checked_path(path) + "/" if path else ""
        return sorted({name[len(prefix) :].split("/")[0] for name in self._files if name.startswith(prefix)})

    def exists(self, path: str) -> bool:
        """True for a file or folder."""
        return checked_path(path) in self._files or any(name.startswith(path + "/") for name in self._files)

    def size(self, path: str) -> int:
        """Bytes of a file."""
        return len(self._file(path).content)

    def read(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        """Bytes of a file from `offset`, at most `length`; fewer at its end."""
        self.counts["read"] += 1
        content = self._file(path).content
        return bytes(content[offset:] if length is None else content[offset : offset + length])

    def view(self, path: str) -> memoryview:
        """The whole file."""
        return memoryview(self.read(path))

    def append(self, path: str, *, truncate_to: int | None = None) -> SimAppendFile:
        """Open for appending; a new file is durably in its folder when this returns."""
        file = self._files.get(checked_path(path))
        if file is None:
            file = _File()
            self._rename({path: file}, path)
        if truncate_to is not None:
            if truncate_to > len(file.content):
                raise StorageFailure("open", path, f"has {len(file.content)} bytes and cannot be cut to {truncate_to}")
            self.step("before_truncate", path)
            # Cut and synced in one: a crash between the two shows one of the states before and after.
            del file.content[truncate_to:]
            file.holes = [(start, min(stop, truncate_to)) for start, stop in file.holes if start < truncate_to]
            file.settle()
            self.step("after_truncate", path)
        return SimAppendFile(self, path, file)

    def write_durably(self, path: str, data: Bytes) -> None:
        """Replace a file at once."""
        beside = checked_path(path) + TEMPORARY_SUFFIX
        file = _File()
        self._remember({beside: file})
        self.step("before_write", beside)
        self.write_into(beside, file, data)
        self.step("after_write", beside)
        self.step("before_sync", beside)
        self.sync_file(beside, file)
        self.step("after_sync", beside)
        self._rename({path: file, beside: None}, path)

    def rename(self, old: str, new: str) -> None:
        """Rename a file that is synced."""
        self._rename({checked_path(new): self._file(old), old: None}, new)

    def remove(self, path: str) -> None:
        """Remove a file if it is there."""
        if checked_path(path) in self._files:
            self._remove([path])

    def remove_folder(self, path: str) -> None:
        """Remove a folder with everything in it; a crash half way leaves some of it."""
        inside = [name for name in sorted(self._files) if name.startswith(checked_path(path) + "/")]
        if inside:
            self._remove(inside)

    def free_bytes(self) -> int:
        """What may still be written."""
        return max(0, self.capacity_bytes - self.used_bytes)

    # -- within --------------------------------------------------------------------------------------------------------

    def write_into(self, path: str, file: _File, data: Bytes) -> None:
        """Add a write that is not synced yet."""
        self._refuse("write", path)
        # The sum over all files is only worth its time where the disk can be full.
        if self.capacity_bytes < 1 << 40 and len(data) > (free := self.free_bytes()):
            file.content += bytes(data[: self._random.randint(0, free)])
            file.writes.append(len(file.content))
            raise StorageFailure("write", path, "no space left on device")
        file.content += data
        file.writes.append(len(file.content))

    def sync_file(self, path: str, file: _File) -> None:
        """Make what was written durable, or lose it and say so."""
        if self.on_sync is not None:
            self.on_sync(path, len(file.content) - file.durable_to)
        try:
            self._refuse("sync", path)
        except StorageFailure:
            # The pages are marked clean all the same: no later sync writes them (Rebello et al., ATC 2020).
            file.holes.append((file.durable_to, len(file.content)))
            file.durable_to, file.writes = len(file.content), []
            raise
        file.durable_to, file.writes = len(file.content), []

    def _file(self, path: str) -> _File:
        file = self._files.get(checked_path(path))
        if file is None:
            raise FileNotFoundError(path)
        return file

    def _refuse(self, operation: str, path: str) -> None:
        for refusal in self._refusals:
            if refusal[0] == operation and refusal[1] in path:
                self._refusals.remove(refusal)
                raise StorageFailure(operation, path, "input/output error")

    def _rename(self, change: dict[str, _File | None], path: str) -> None:
        self._refuse("rename", path)
        self.step("before_rename", path)
        self._remember(change)
        self.step("after_rename", path)
        self._sync_names(path)

    def _remove(self, paths: list[str]) -> None:
        for path in paths:
            self._refuse("remove", path)
            self.step("before_remove", path)
            self._remember({path: None})
            self.step("after_remove", path)
        self._sync_names(paths[0])

    def _sync_names(self, path: str) -> None:
        self.step("before_sync_folder", path)
        self._unsynced_names.clear()
        self.step("after_sync_folder", path)

    def _remember(self, change: dict[str, _File | None]) -> None:
        """Change what names stand for, for now."""
        self._unsynced_names.append({path: self._files.get(path) for path in change})
        self._restore(change)

    def _restore(self, change: dict[str, _File | None]) -> None:
        for path, file in change.items():
            if file is None:
                self._files.pop(path, None)
            else:
                self._files[path] = file
