"""What a statement says, one frozen class a statement; nothing here knows which series exist.

Paths are texts as `types/paths.py` reads them: from `root` in most statements; what is selected and what is compared
may be suffixes, to stand behind every FROM path. No node is a keyword; length and control characters are not checked
yet. All times are milliseconds since 1970, all durations milliseconds.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar

from iotdb_cluster.sql.conditions import Condition, Literal
from iotdb_cluster.types.schema import DataType, TimeseriesSchema


@dataclass(frozen=True, slots=True)
class Statement:
    """Anything that can be executed. A query is answered by rows; an admin command goes by `executeStatement` only."""

    is_query: ClassVar[bool] = False
    is_admin: ClassVar[bool] = False


# ---- SELECT


class Function(StrEnum):
    """What can be asked of a series instead of its points."""

    COUNT = "count"
    SUM = "sum"
    AVG = "avg"
    MIN_TIME = "min_time"
    MAX_TIME = "max_time"
    MIN_VALUE = "min_value"
    MAX_VALUE = "max_value"
    FIRST_VALUE = "first_value"
    LAST_VALUE = "last_value"


@dataclass(frozen=True, slots=True)
class SelectItem:
    """A path to put behind every FROM path, plain or in a function; `function_text` is the function's name as typed."""

    path: str
    function: Function | None = None
    function_text: str = ""

    def label(self, path: str) -> str:
        """The name of the column for a path that this item's has become."""
        return f"{self.function_text}({path})" if self.function else path


@dataclass(frozen=True, slots=True)
class Windows:
    """Window k is [start + k*step, start + k*step + unit), cut at `end` inclusive, while its start <= end.

    `step_ms >= unit_ms > 0`; `start_ms > end_ms` gives no window.
    """

    start_ms: int
    end_ms: int
    unit_ms: int
    step_ms: int


class FillMethod(StrEnum):
    """How a value is made for a time at which there is none."""

    PREVIOUS = "previous"
    LINEAR = "linear"


@dataclass(frozen=True, slots=True)
class FillRule:
    """How series of one type are filled: from a value at [t - before, t], and for LINEAR one at (t, t + after].

    None: from any time. LINEAR has both or none, PREVIOUS no `after_ms`.
    """

    data_type: DataType
    method: FillMethod
    before_ms: int | None = None
    after_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Fill:
    """FILL at the t of `WHERE time = t`: one rule a type at most, other types have values exactly at t only."""

    at_ms: int
    rules: tuple[FillRule, ...]


@dataclass(frozen=True, slots=True)
class Select(Statement):
    """SELECT. All items are plain or all are functions, functions where there are windows.

    With `fill` there is no `where` (its time is in the fill), no limit on rows, and functions count for nothing.
    `aligned` is False for DISABLE ALIGN: plain items then, neither windows nor fill. With `by_device` all paths of
    items are one node long. Limits are > 0 and None where absent, offsets 0 where absent; `series_limit` and
    `series_offset` cut the expanded columns.
    """

    is_query: ClassVar[bool] = True

    items: tuple[SelectItem, ...]
    prefixes: tuple[str, ...]
    where: Condition | None = None
    windows: Windows | None = None
    fill: Fill | None = None
    limit: int | None = None
    offset: int = 0
    series_limit: int | None = None
    series_offset: int = 0
    by_device: bool = False
    aligned: bool = True

    @property
    def has_functions(self) -> bool:
        return self.items[0].function is not None


@dataclass(frozen=True, slots=True)
class Explain(Statement):
    """EXPLAIN SELECT (own): how the query would be answered, instead of its answer."""

    is_query: ClassVar[bool] = True

    select: Select


# ---- data and schema


@dataclass(frozen=True, slots=True)
class Insert(Statement):
    """INSERT of one row; as many values as measurements, one at least."""

    device: str
    time_ms: int
    measurements: tuple[str, ...]
    values: tuple[Literal, ...]


@dataclass(frozen=True, slots=True)
class DeleteData(Statement):
    """DELETE FROM: the points with time <= `until_ms`, all points where it is None."""

    patterns: tuple[str, ...]
    until_ms: int | None = None


@dataclass(frozen=True, slots=True)
class SetStorageGroup(Statement):
    """SET STORAGE GROUP TO."""

    storage_group: str


@dataclass(frozen=True, slots=True)
class DeleteStorageGroups(Statement):
    """DELETE STORAGE GROUP, with series and data."""

    storage_groups: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CreateTimeseries(Statement):
    """CREATE TIMESERIES; the encoding suits the type."""

    schema: TimeseriesSchema


@dataclass(frozen=True, slots=True)
class DeleteTimeseries(Statement):
    """DELETE TIMESERIES, with data."""

    patterns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SetTtl(Statement):
    """SET TTL TO: points older than now - `ttl_ms` (>= 0) are not returned."""

    storage_group: str
    ttl_ms: int


@dataclass(frozen=True, slots=True)
class UnsetTtl(Statement):
    """UNSET TTL TO."""

    storage_group: str


# ---- SHOW and COUNT


@dataclass(frozen=True, slots=True)
class ShowStorageGroups(Statement):
    """SHOW STORAGE GROUP."""

    is_query: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class ShowTimeseries(Statement):
    """SHOW TIMESERIES; all where `pattern` is None."""

    is_query: ClassVar[bool] = True

    pattern: str | None = None


@dataclass(frozen=True, slots=True)
class ShowDevices(Statement):
    """SHOW DEVICES; all where `pattern` is None."""

    is_query: ClassVar[bool] = True

    pattern: str | None = None


@dataclass(frozen=True, slots=True)
class ShowChildPaths(Statement):
    """SHOW CHILD PATHS, one level down from `path`, from `root` where it is None."""

    is_query: ClassVar[bool] = True

    path: str | None = None


@dataclass(frozen=True, slots=True)
class CountTimeseries(Statement):
    """COUNT TIMESERIES; with a level (root is 0) a row for each node there."""

    is_query: ClassVar[bool] = True

    pattern: str
    level: int | None = None


@dataclass(frozen=True, slots=True)
class CountNodes(Statement):
    """COUNT NODES at a level (root is 0)."""

    is_query: ClassVar[bool] = True

    pattern: str
    level: int


@dataclass(frozen=True, slots=True)
class ShowTtl(Statement):
    """SHOW TTL ON; SHOW ALL TTL where `storage_groups` is None."""

    is_query: ClassVar[bool] = True

    storage_groups: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class ShowVersion(Statement):
    """SHOW VERSION."""

    is_query: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class ShowFlushTaskInfo(Statement):
    """SHOW FLUSH TASK INFO."""

    is_query: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class ShowDynamicParameter(Statement):
    """SHOW DYNAMIC PARAMETER."""

    is_query: ClassVar[bool] = True


# ---- users and roles


class Grantee(StrEnum):
    """Who can have a privilege."""

    USER = "user"
    ROLE = "role"


@dataclass(frozen=True, slots=True)
class CreateUser(Statement):
    """CREATE USER."""

    user: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class DropUser(Statement):
    """DROP USER."""

    user: str


@dataclass(frozen=True, slots=True)
class AlterUser(Statement):
    """ALTER USER SET PASSWORD."""

    user: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class CreateRole(Statement):
    """CREATE ROLE."""

    role: str


@dataclass(frozen=True, slots=True)
class DropRole(Statement):
    """DROP ROLE."""

    role: str


@dataclass(frozen=True, slots=True)
class GrantPrivileges(Statement):
    """GRANT USER or ROLE ... PRIVILEGES ON; names of privileges as written, in capitals."""

    grantee: Grantee
    name: str
    privileges: tuple[str, ...]
    path: str


@dataclass(frozen=True, slots=True)
class RevokePrivileges(Statement):
    """REVOKE USER or ROLE ... PRIVILEGES ON; names of privileges as written, in capitals."""

    grantee: Grantee
    name: str
    privileges: tuple[str, ...]
    path: str


@dataclass(frozen=True, slots=True)
class GrantRole(Statement):
    """GRANT role TO user."""

    role: str
    user: str


@dataclass(frozen=True, slots=True)
class RevokeRole(Statement):
    """REVOKE role FROM user."""

    role: str
    user: str


@dataclass(frozen=True, slots=True)
class SetWatermark(Statement):
    """GRANT or REVOKE WATERMARK_EMBEDDING."""

    users: tuple[str, ...]
    is_granted: bool


@dataclass(frozen=True, slots=True)
class ListUsers(Statement):
    """LIST USER."""

    is_query: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class ListRoles(Statement):
    """LIST ROLE."""

    is_query: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class ListPrivileges(Statement):
    """LIST PRIVILEGES USER or ROLE n ON path; LIST USER or ROLE PRIVILEGES n where `path` is None."""

    is_query: ClassVar[bool] = True

    grantee: Grantee
    name: str
    path: str | None = None


@dataclass(frozen=True, slots=True)
class ListRolesOfUser(Statement):
    """LIST ALL ROLE OF USER."""

    is_query: ClassVar[bool] = True

    user: str


@dataclass(frozen=True, slots=True)
class ListUsersOfRole(Statement):
    """LIST ALL USER OF ROLE."""

    is_query: ClassVar[bool] = True

    role: str


# ---- administration


class ConsistencyLevel(StrEnum):
    """How fresh the reads of a session are; the values of the setting `read_consistency`."""

    STRONG = "strong"
    MID = "mid"
    WEAK = "weak"


@dataclass(frozen=True, slots=True)
class SetConsistencyLevel(Statement):
    """SET CONSISTENCY LEVEL (own), for the session."""

    level: ConsistencyLevel


@dataclass(frozen=True, slots=True)
class Flush(Statement):
    """flush: of all storage groups where there are none; `sequence` is the `true` or `false` behind them."""

    is_admin: ClassVar[bool] = True

    storage_groups: tuple[str, ...] = ()
    sequence: bool | None = None


@dataclass(frozen=True, slots=True)
class Merge(Statement):
    """merge, full merge."""

    is_admin: ClassVar[bool] = True

    full: bool = False


@dataclass(frozen=True, slots=True)
class LoadConfiguration(Statement):
    """LOAD CONFIGURATION."""


class FileVerb(StrEnum):
    """What is to be done with a data file."""

    LOAD = "load"
    REMOVE = "remove"
    MOVE = "move"


@dataclass(frozen=True, slots=True)
class FileCommand(Statement):
    """LOAD file [true|false [level]], REMOVE file, MOVE file folder; the words behind the verb, as written."""

    verb: FileVerb
    arguments: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Labelling(Statement):
    """CREATE PROPERTY, ADD or DELETE LABEL, LINK, UNLINK: accepted, without an effect that could be seen."""

    words: tuple[str, ...]
