"""What a data group's snapshot says about files and schemas (interface page "Snapshots")."""

from dataclasses import dataclass

from iotdb_cluster.types.identity import Node
from iotdb_cluster.types.schema import TimeseriesSchema


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file at another node, to be pulled by `readFile` and checked by its MD5 (`md5` is empty or 16 bytes)."""

    source: Node
    md5: bytes
    path: str
    start_times: tuple[tuple[str, int], ...] = ()
    end_times: tuple[tuple[str, int], ...] = ()
    with_modification: bool = False
    historical_versions: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class FileSnapshot:
    """One slot: its series and its files."""

    schemas: tuple[TimeseriesSchema, ...] = ()
    files: tuple[RemoteFile, ...] = ()


@dataclass(frozen=True, slots=True)
class DataSnapshot:
    """A data group up to `last_index`, `last_term`; `extension` is what follows the mirrored bytes."""

    slots: tuple[tuple[int, FileSnapshot], ...]
    last_index: int
    last_term: int
    extension: bytes = b""


@dataclass(frozen=True, slots=True)
class MetaSnapshot:
    """The meta group; `entries` are encoded log entries, `extension` is what follows the mirrored bytes."""

    entries: tuple[bytes, ...]
    storage_groups: tuple[str, ...]
    extension: bytes = b""
