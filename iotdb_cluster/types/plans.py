"""Physical plans: what a log entry of kind PHYSICAL_PLAN does (interface page "Plan").

Columns and times stay the big-endian bytes they came as: the client's `insertBatch`, a BATCHINSERT plan and a log entry
share that layout, so a tablet crosses the cluster without being decoded, and numpy reads it in place.
"""

from dataclasses import dataclass
from enum import IntEnum

from iotdb_cluster.types.schema import Compression, DataType, Encoding

Packed = bytes | memoryview
"""Big-endian values; a view shares the bytes that the plan came in."""


class PlanKind(IntEnum):
    """The plan type byte; from 64 up they are this project's own."""

    INSERT = 0
    DELETE = 1
    BATCHINSERT = 2
    SET_STORAGE_GROUP = 3
    CREATE_TIMESERIES = 4
    DELETE_TIMESERIES = 64
    """`str path`: one path or pattern; the series go, with their data."""
    DELETE_STORAGE_GROUP = 65
    """`str path`: one storage group; its series and data go."""
    NODE_STARTED = 66
    """Between nodes only, on the way to the meta group's leader: the body of a NODE_STARTED entry."""
    META_ENTRY = 67
    """Between nodes only, likewise: `u8 entry kind | body`, for entries about nodes, groups and moves."""
    CLOSE_FILE = 68
    """Between nodes only, on the way to a data group's leader: the body of a CLOSE_FILE entry."""
    SET_TTL = 69
    """Meta group. `str path | i64 milliseconds`: how long a storage group keeps its points; -1 for ever."""
    EXPIRE = 70
    """Data group. `str path | i64 time`: what a storage group has up to this time has expired."""


@dataclass(frozen=True, slots=True)
class InsertPlan:
    """One row; values are text, converted by the type of their series when applied."""

    time: int
    device: str | None
    measurements: tuple[str | None, ...]
    values: tuple[str | None, ...]


@dataclass(frozen=True, slots=True)
class DeletePlan:
    """Deletes the points of the series that `path` matches with a time at or below `time`."""

    time: int
    path: str


@dataclass(frozen=True, slots=True)
class TabletPlan:
    """Many rows of one device, by column (BATCHINSERT).

    `times` is `rows` big-endian i64; each column is `rows` values of its type, packed as on the wire.
    """

    device: str | None
    measurements: tuple[str | None, ...]
    data_types: tuple[DataType, ...]
    rows: int
    times: Packed
    columns: tuple[Packed, ...]

    def __repr__(self) -> str:
        """As a dataclass shows itself, with the bytes themselves where they are views."""
        columns = tuple(map(bytes, self.columns))
        return (
            f"TabletPlan(device={self.device!r}, measurements={self.measurements!r}, data_types={self.data_types!r}, "
            f"rows={self.rows!r}, times={bytes(self.times)!r}, columns={columns!r})"
        )


@dataclass(frozen=True, slots=True)
class SetStorageGroupPlan:
    """In the meta log: a new storage group. In a data group's log: the group holds this storage group from now on."""

    path: str


@dataclass(frozen=True, slots=True)
class CreateTimeseriesPlan:
    """A new series."""

    path: str
    data_type: DataType
    encoding: Encoding
    compression: Compression


@dataclass(frozen=True, slots=True)
class DeleteTimeseriesPlan:
    """The series that `path` matches go, with their data."""

    path: str


@dataclass(frozen=True, slots=True)
class DeleteStorageGroupPlan:
    """A storage group goes, with its series and data."""

    path: str


@dataclass(frozen=True, slots=True)
class SetTtlPlan:
    """In the meta log: the storage group's points live `ttl_ms` from their time on; None ends that."""

    path: str
    ttl_ms: int | None


@dataclass(frozen=True, slots=True)
class ExpirePlan:
    """In a data group's log: the storage group's points with a time at or below `until` have expired.

    They are gone, and none of that age is taken until another entry says otherwise; with the least time all are taken
    again. Wall time enters by this entry only (DESIGN 5.7).
    """

    path: str
    until: int


Plan = (
    InsertPlan
    | DeletePlan
    | TabletPlan
    | SetStorageGroupPlan
    | CreateTimeseriesPlan
    | DeleteTimeseriesPlan
    | DeleteStorageGroupPlan
    | SetTtlPlan
    | ExpirePlan
)
