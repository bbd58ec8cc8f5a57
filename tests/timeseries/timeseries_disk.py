"""A disk in memory for stores: it can crash before any operation, and then has what was durable."""

from collections.abc import Callable

from iotdb_cluster.errors import StorageFailure
from iotdb_cluster.types.disk import Bytes


class Crash(Exception):
    """The power went."""


class MemoryDisk:
    """`Disk` over a dict. What was synced survives `after_crash`; `crash_in` counts operations down to a `Crash`."""

    def __init__(self, files: dict[str, bytes] | None = None) -> None:
        self.files: dict[str, bytearray] = {path: bytearray(data) for path, data in (files or {}).items()}
        self.durable: dict[str, bytes] = dict(files or {})
        self.crash_in: int | None = None
        self.operations = 0
        self.failing: Callable[[str, str], bool] = lambda operation, path: False

    def step(self, operation: str, path: str) -> None:
        self.operations += 1
        if self.failing(operation, path):
            raise StorageFailure(operation, path, "made to fail")
        if self.crash_in is not None:
            self.crash_in -= 1
            if self.crash_in < 0:
                raise Crash(f"before {operation} of {path}")

    def after_crash(self) -> "MemoryDisk":
        return MemoryDisk(self.durable)

    def list_folder(self, path: str) -> list[str]:
        prefix = f"{path}/" if path else ""
        return sorted({name[len(prefix) :].split("/")[0] for name in self.files if name.startswith(prefix)})

    def exists(self, path: str) -> bool:
        return path in self.files or any(name.startswith(f"{path}/") for name in self.files)

    def size(self, path: str) -> int:
        return len(self._file(path))

    def read(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        data = self._file(path)
        return bytes(data[offset:] if length is None else data[offset : offset + length])

    def view(self, path: str) -> memoryview:
        return memoryview(bytes(self._file(path)))

    def append(self, path: str, *, truncate_to: int | None = None) -> "MemoryFile":
        self.step("append", path)
        data = self.files.setdefault(path, bytearray())
        self.durable.setdefault(path, b"")
        if truncate_to is not None:
            del data[truncate_to:]
            self.durable[path] = bytes(data)
        return MemoryFile(self, path)

    def write_durably(self, path: str, data: Bytes) -> None:
        self.step("write", path)
        self.files[path] = bytearray(data)
        self.durable[path] = bytes(data)

    def rename(self, old: str, new: str) -> None:
        self.step("rename", old)
        self.files[new] = self.files.pop(old)
        self.durable[new] = self.durable.pop(old)

    def remove(self, path: str) -> None:
        self.step("remove", path)
        self.files.pop(path, None)
        self.durable.pop(path, None)

    def remove_folder(self, path: str) -> None:
        self.step("remove folder", path)
        for name in [name for name in self.files if name.startswith(f"{path}/")]:
            del self.files[name]
            self.durable.pop(name, None)

    def free_bytes(self) -> int:
        return 1 << 40

    def _file(self, path: str) -> bytearray:
        try:
            return self.files[path]
        except KeyError:
            raise FileNotFoundError(path) from None


class MemoryFile:
    """A file of `MemoryDisk` that grows at its end."""

    def __init__(self, disk: MemoryDisk, path: str) -> None:
        self._disk = disk
        self._path = path

    def write(self, data: Bytes) -> None:
        self._disk.step("append to", self._path)
        self._disk.files[self._path] += data

    def sync(self) -> None:
        self._disk.step("sync", self._path)
        self._disk.durable[self._path] = bytes(self._disk.files[self._path])

    def size(self) -> int:
        return len(self._disk.files[self._path])

    def close(self) -> None:
        pass
