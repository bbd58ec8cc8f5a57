"""The disk of a running node: one folder, one process, every failure final."""

import fcntl
import mmap
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from iotdb_cluster.errors import StartRefused, StorageFailure
from iotdb_cluster.storage.paths import TEMPORARY_SUFFIX, checked_path
from iotdb_cluster.types.disk import Bytes

LOCK_FILE = "lock"
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
_APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC


@contextmanager
def _refusals(operation: str, path: str) -> Iterator[None]:
    """Turn what the system refuses into `StorageFailure`; only a missing file stays what it is."""
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        raise StorageFailure(operation, path, error) from error


def _write_all(descriptor: int, data: Bytes) -> None:
    """Write all of `data`; the system may take less than it is offered."""
    written = os.write(descriptor, data)
    if written == len(data):
        return
    rest = memoryview(data)
    while written < len(rest):
        written += os.write(descriptor, rest[written:])


def _sync_path(path: Path | str, flags: int) -> None:
    descriptor = os.open(path, flags | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class RealAppendFile:
    """A file opened for appending; after any failure it refuses everything but `close`.

    A second sync after a failed one may succeed although the pages are lost (Rebello et al., ATC 2020).
    """

    def __init__(self, path: str, descriptor: int, size: int) -> None:
        self._path = path
        self._descriptor = descriptor
        self._size = size
        self._failed = False

    def write(self, data: Bytes) -> None:
        """Append all of `data`."""
        self._guarded("write", lambda: _write_all(self._descriptor, data))
        self._size += len(data)

    def sync(self) -> None:
        """Make everything written durable (fdatasync: data and size, not the times)."""
        self._guarded("sync", lambda: os.fdatasync(self._descriptor))

    def size(self) -> int:
        """Bytes in the file."""
        return self._size

    def close(self) -> None:
        """Close without a sync; closing twice does nothing."""
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            with _refusals("close", self._path):
                os.close(descriptor)

    def _guarded(self, operation: str, action: Callable[[], None]) -> None:
        if self._failed or self._descriptor < 0:
            raise StorageFailure(operation, self._path, "the file failed before or is closed")
        try:
            action()
        except OSError as error:
            self._failed = True
            raise StorageFailure(operation, self._path, error) from error


class RealDisk:
    """`types.disk.Disk` over a folder of this machine.

    The folder is locked for this process until `close`: another one that opens it gets `StartRefused`. Opening syncs
    everything that is there, because an earlier process may have been killed between a write or rename and its sync:
    what can be read is durable. With `read_only` nothing is made, locked, synced or written, and everything that would
    write raises `StorageFailure`.
    """

    def __init__(self, root: Path, *, read_only: bool = False) -> None:
        self.root = root
        self._read_only = read_only
        self._lock: int | None = None
        if not read_only:
            try:
                root.mkdir(parents=True, exist_ok=True)
                self._lock = self._locked()
                self._sync_all()
            except OSError as error:  # also a part of the path that is missing and can't be made
                raise StorageFailure("opening the folder", str(root), error) from error

    def close(self) -> None:
        """Give the folder up; files that are still open stay usable."""
        if self._lock is not None:
            lock, self._lock = self._lock, None
            os.close(lock)

    def list_folder(self, path: str) -> list[str]:
        """Names in a folder, sorted; empty when there is no such folder. `""` is the node's folder itself."""
        with _refusals("list", path):
            try:
                return sorted(os.listdir(self._at(path) if path else self.root))
            except FileNotFoundError:
                return []

    def exists(self, path: str) -> bool:
        """True for a file or folder."""
        with _refusals("look for", path):
            return os.path.exists(self._at(path))

    def size(self, path: str) -> int:
        """Bytes of a file."""
        with _refusals("size", path):
            return os.stat(self._at(path)).st_size

    def read(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        """Bytes of a file from `offset`, at most `length`; fewer at its end."""
        with _refusals("read", path), open(self._at(path), "rb", buffering=0) as file:
            file.seek(offset)
            if length is None:
                return file.readall()
            parts: list[bytes] = []
            while length > 0 and (part := file.read(length)):
                parts.append(part)
                length -= len(part)
            return b"".join(parts)

    def view(self, path: str) -> memoryview:
        """The whole file, memory-mapped; the mapping goes with the last reference to it."""
        with _refusals("map", path), open(self._at(path), "rb", buffering=0) as file:
            if os.fstat(file.fileno()).st_size == 0:
                return memoryview(b"")
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))

    def append(self, path: str, *, truncate_to: int | None = None) -> RealAppendFile:
        """Open for appending; a file that is new is durably in its folder when this returns."""
        full = self._writable("append", path)
        with _refusals("open", path):
            is_new = not os.path.exists(full)
            if is_new:
                self._make_folder(full.parent)
            descriptor = os.open(full, _APPEND, 0o644)
            try:
                if is_new:
                    self._sync_folder(full.parent)
                size = os.fstat(descriptor).st_size
                if truncate_to is not None:
                    if truncate_to > size:
                        raise OSError(f"has {size} bytes and cannot be cut to {truncate_to}")
                    os.ftruncate(descriptor, truncate_to)
                    os.fsync(descriptor)
                    size = truncate_to
            except BaseException:
                os.close(descriptor)
                raise
            return RealAppendFile(path, descriptor, size)

    def write_durably(self, path: str, data: Bytes) -> None:
        """Replace a file at once: write beside it, sync, rename, sync the folder."""
        full = self._writable("write", path)
        beside = full.with_name(full.name + TEMPORARY_SUFFIX)
        with _refusals("write", path):
            self._make_folder(full.parent)
            descriptor = os.open(beside, _NEW_FILE, 0o644)
            try:
                _write_all(descriptor, data)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            os.rename(beside, full)
            self._sync_folder(full.parent)

    def rename(self, old: str, new: str) -> None:
        """Rename a file that is synced, and sync both folders; a file called `new` is replaced."""
        source, target = self._writable("rename", old), self._writable("rename", new)
        with _refusals("rename", old):
            self._make_folder(target.parent)
            os.rename(source, target)
            self._sync_folder(target.parent)
            if source.parent != target.parent:
                self._sync_folder(source.parent)

    def remove(self, path: str) -> None:
        """Remove a file if it is there, and sync its folder."""
        full = self._writable("remove", path)
        with _refusals("remove", path):
            if full.exists() or full.is_symlink():
                full.unlink()
                self._sync_folder(full.parent)

    def remove_folder(self, path: str) -> None:
        """Remove a folder with everything in it, if it is there."""
        full = self._writable("remove folder", path)
        with _refusals("remove folder", path):
            if full.exists():
                shutil.rmtree(full)
                self._sync_folder(full.parent)

    def free_bytes(self) -> int:
        """What an ordinary user may still write to the file system of the folder."""
        with _refusals("free bytes", str(self.root)):
            found = os.statvfs(self.root)
            return found.f_bavail * found.f_frsize

    def _at(self, path: str) -> Path:
        return self.root / checked_path(path)

    def _writable(self, operation: str, path: str) -> Path:
        if self._read_only:
            raise StorageFailure(operation, path, "the folder was opened for reading only")
        return self._at(path)

    def _make_folder(self, folder: Path) -> None:
        """Make a folder and those above it, each durably in the one that holds it."""
        missing = [folder, *folder.parents]
        for level in reversed(missing[: missing.index(self.root)]):
            if not level.is_dir():
                level.mkdir(exist_ok=True)
                self._sync_folder(level.parent)

    def _sync_all(self) -> None:
        for folder, _, files in os.walk(self.root, topdown=False):
            for path in (os.path.join(folder, name) for name in files):
                # A pipe or socket that somebody put here is not ours, and opening it could wait for ever.
                if stat.S_ISREG(os.lstat(path).st_mode):
                    _sync_path(path, os.O_RDONLY)
            self._sync_folder(Path(folder))

    @staticmethod
    def _sync_folder(folder: Path) -> None:
        _sync_path(folder, os.O_RDONLY | os.O_DIRECTORY)

    def _locked(self) -> int:
        """The open, locked lock file with this process's number in it."""
        descriptor = os.open(self.root / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            owner = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(descriptor)
            raise StartRefused(f"the folder {self.root} is in use by process {owner}") from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        return descriptor
