"""What the leader of a data group enters into its log for a plan (DESIGN 3.8: whoever proposes decides).

An insert to unknown series is preceded by the entries that create them, in the same batch; so what an entry does
depends on the log alone.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from iotdb_cluster.errors import (
    PathIllegal,
    PathNotFound,
    RequestError,
    StorageGroupUnknown,
    Unsupported,
    ValueRefused,
)
from iotdb_cluster.timeseries.values import CONVERTERS, refused
from iotdb_cluster.types import paths
from iotdb_cluster.types.entries import EntryKind, Payload
from iotdb_cluster.types.plans import (
    CreateTimeseriesPlan,
    DeletePlan,
    DeleteStorageGroupPlan,
    DeleteTimeseriesPlan,
    ExpirePlan,
    InsertPlan,
    Plan,
    PlanKind,
    SetStorageGroupPlan,
    SetTtlPlan,
    TabletPlan,
)
from iotdb_cluster.types.schema import Compression, DataType, Encoding, TimeseriesSchema
from iotdb_cluster.wire.entries import decode_close_file
from iotdb_cluster.wire.plans import decode_plan, encode_plan

DEFAULT_ENCODING = {
    DataType.BOOLEAN: Encoding.RLE,
    DataType.INT32: Encoding.RLE,
    DataType.INT64: Encoding.RLE,
    DataType.FLOAT: Encoding.GORILLA,
    DataType.DOUBLE: Encoding.GORILLA,
    DataType.TEXT: Encoding.PLAIN,
}
"""Of a series that an insert creates (interface page "Inserting")."""

_CHECKS: dict[PlanKind, Callable[[str], object]] = {
    PlanKind.INSERT: paths.check_device,
    PlanKind.BATCHINSERT: paths.check_device,
    PlanKind.DELETE: paths.check_pattern,
    PlanKind.SET_STORAGE_GROUP: paths.check_storage_group,
    PlanKind.CREATE_TIMESERIES: paths.check_series,
    PlanKind.DELETE_TIMESERIES: paths.check_pattern,
    PlanKind.DELETE_STORAGE_GROUP: paths.check_storage_group,
    PlanKind.SET_TTL: paths.check_storage_group,
    PlanKind.EXPIRE: paths.check_storage_group,
}

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_NOT_A_NUMBER = frozenset({"nan", "infinity", "+infinity", "-infinity"})


def check_target(kind: PlanKind, path: str) -> None:
    """Raise `PathIllegal` unless a plan of this kind can be about `path`; cheap, however long the path is."""
    _CHECKS[kind](path)


def inferred_type(text: str, measurement: str) -> DataType:
    """The type of a new series, from the text of its first value.

    true/false BOOLEAN; a number without `.` INT64; with `.`, an exponent or NaN DOUBLE; quoted TEXT; else refused.
    """
    lowered = text.lower()
    if lowered in ("true", "false"):
        return DataType.BOOLEAN
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "'\"":
        return DataType.TEXT
    if lowered in _NOT_A_NUMBER:
        return DataType.DOUBLE
    if _NUMBER.fullmatch(text):
        return DataType.DOUBLE if any(sign in text for sign in ".eE") else DataType.INT64
    raise ValueRefused(
        f"{measurement} does not exist and no type follows from {text[:100]!r}: put a text in quotes, '{text[:100]}'"
    )


@dataclass(slots=True)
class Prepared:
    """What is proposed for some plans. `own[i]` is the position of plan i's own payload, or why it was refused.

    `created` and `opened` are the series and storage groups that payloads of this batch make: later plans of the batch
    count on them.
    """

    payloads: list[Payload] = field(default_factory=list)
    plans: list[object | None] = field(default_factory=list)
    own: list[int | RequestError] = field(default_factory=list)
    created: dict[str, DataType] = field(default_factory=dict)
    opened: set[str] = field(default_factory=set)
    drops: bool = False
    """A storage group is deleted."""

    def add(self, plan: Plan, data: bytes | None = None) -> int:
        """One more payload; its position."""
        self.payloads.append(Payload(EntryKind.PHYSICAL_PLAN, encode_plan(plan) if data is None else data))
        self.plans.append(plan)
        return len(self.payloads) - 1


CLOSE_FILE = bytes((PlanKind.CLOSE_FILE,))
_DELETES = (DeletePlan, DeleteTimeseriesPlan, DeleteStorageGroupPlan, ExpirePlan)


@dataclass(frozen=True, slots=True)
class Planner:
    """Decides for one data group; reads its schema as it is applied here."""

    device_schema: Callable[[str], Mapping[str, TimeseriesSchema]]
    holds_storage_group: Callable[[str], bool]
    matches: Callable[[str], bool]
    storage_group_of: Callable[[str], str | None]
    auto_create: bool
    has_taken: Callable[[InsertPlan | TabletPlan], bool] = lambda _: False
    """True only where all series of an insert exist; saves a look at them."""

    def prepare(self, plans: Iterable[bytes], full: RequestError | None = None) -> Prepared:
        """Payloads for `plans`, each behind what it needs; a plan that can't be is refused and the others go on.

        `full` refuses what makes the disk fuller.
        """
        prepared = Prepared()
        for data in plans:
            try:
                if data[:1] == CLOSE_FILE:
                    prepared.own.append(self._close_file(data[1:], prepared))
                    continue
                plan = decode_plan(data)
                if full is not None and not isinstance(plan, _DELETES):
                    raise full
                self._before(plan, prepared)
                prepared.own.append(prepared.add(plan, data))
            except RequestError as refusal:
                prepared.own.append(refusal)
        return prepared

    def _close_file(self, body: bytes, prepared: Prepared) -> int:
        """The position of a CLOSE_FILE entry; raises `StorageGroupUnknown`."""
        storage_group = decode_close_file(body).storage_group
        if not self.holds_storage_group(storage_group):
            raise StorageGroupUnknown(f"{storage_group} is no storage group of this data group")
        prepared.payloads.append(Payload(EntryKind.CLOSE_FILE, body))
        prepared.plans.append(None)
        return len(prepared.payloads) - 1

    def _before(self, plan: Plan, prepared: Prepared) -> None:
        match plan:
            case InsertPlan() | TabletPlan():
                self._before_insert(plan, prepared)
            case CreateTimeseriesPlan():
                paths.check_series(plan.path)
                self._open_storage_group(plan.path, prepared)
            case DeletePlan() | DeleteTimeseriesPlan():
                paths.check_pattern(plan.path)
                if not self.matches(plan.path):
                    raise PathNotFound(f"{plan.path} matches no series here")
            case DeleteStorageGroupPlan():
                # Judged where it is applied: the entry that makes the group here may be on its way already.
                prepared.drops = True
            case ExpirePlan():
                if not self.holds_storage_group(plan.path):
                    raise StorageGroupUnknown(f"{plan.path} is no storage group of this data group")
            case SetStorageGroupPlan() | SetTtlPlan():
                raise Unsupported(f"{type(plan).__name__} goes to the meta group, not to a data group")

    def _before_insert(self, plan: InsertPlan | TabletPlan, prepared: Prepared) -> None:
        """Create what is missing; nothing at all where the row would be refused afterwards."""
        if self.has_taken(plan):
            return
        device = plan.device
        if not device:
            raise ValueRefused("an insert without a device")
        known = self.device_schema(device)
        if known and all(name in known for name in plan.measurements):
            return
        levels = len(paths.check_device(device))
        if not plan.measurements:
            raise ValueRefused(f"{device}: the row has no measurements")
        missing: dict[str, DataType] = {}
        for position, name in enumerate(plan.measurements):
            if name is None:
                raise ValueRefused(f"{device}: a measurement without a name")
            path = paths.series_path(device, name)
            if name in known:
                data_type = known[name].data_type
            elif path in prepared.created:
                data_type = prepared.created[path]
            elif path in missing:
                data_type = missing[path]
            elif self.auto_create:
                if len(paths.check_series(path)) != levels + 1:
                    # Such a series would be another device's, and the row could never be written.
                    raise PathIllegal(f"{device}: the measurement {name[:100]!r} is more than one node of a path")
                data_type = missing[path] = _type_of(plan, position, name)
            else:
                raise PathNotFound(f"{path} does not exist and enable_auto_create_schema is off")
            _check_value(plan, position, name, data_type)
        self._open_storage_group(device, prepared)
        for path, data_type in missing.items():
            prepared.add(CreateTimeseriesPlan(path, data_type, DEFAULT_ENCODING[data_type], Compression.SNAPPY))
        prepared.created.update(missing)

    def _open_storage_group(self, path: str, prepared: Prepared) -> None:
        storage_group = self.storage_group_of(path)
        if storage_group is None:
            raise StorageGroupUnknown(f"no storage group is a prefix of {path}: create it first")
        if storage_group not in prepared.opened and not self.holds_storage_group(storage_group):
            prepared.opened.add(storage_group)
            prepared.add(SetStorageGroupPlan(storage_group))


def check_first(data: bytes) -> None:
    """Raise what a plan would be refused with as the first one of its storage group, before that is made for it."""
    nothing_there = Planner(
        device_schema=lambda _: {},
        holds_storage_group=lambda _: True,
        matches=lambda _: False,
        storage_group_of=lambda path: path,
        auto_create=True,
    )
    (own,) = nothing_there.prepare((data,)).own
    if isinstance(own, RequestError):
        raise own


def _type_of(plan: InsertPlan | TabletPlan, position: int, name: str) -> DataType:
    """The type that a new series gets."""
    if isinstance(plan, TabletPlan):
        return plan.data_types[position]
    return inferred_type(_text(plan, position, name), name)


def _check_value(plan: InsertPlan | TabletPlan, position: int, name: str, data_type: DataType) -> None:
    """Raise `ValueRefused` where the series' type is not the value's."""
    if isinstance(plan, TabletPlan):
        given = plan.data_types[position]
        if given != data_type:
            raise ValueRefused(f"{plan.device}.{name} is {data_type.name}, the tablet has {given.name} values")
        return
    text = _text(plan, position, name)
    try:
        CONVERTERS[data_type](text)
    except ValueError as error:
        raise refused(text, data_type, name) from error


def _text(plan: InsertPlan, position: int, name: str) -> str:
    if len(plan.values) != len(plan.measurements):
        raise ValueRefused(f"{plan.device}: {len(plan.measurements)} measurements, but {len(plan.values)} values")
    text = plan.values[position]
    if text is None:
        raise ValueRefused(f"{name}: no value")
    return text
