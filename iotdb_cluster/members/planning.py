"""What the leader of a data group enters into its log for a plan (DESIGN 3.8: whoever proposes decides).

An insert to unknown series is preceded by the entries that create them, in the same batch; so what an entry does
depends on the log alone.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from iotdb_cluster.errors import PathNotFound, RequestError, StorageGroupUnknown, Unsupported, ValueRefused
from iotdb_cluster.types import paths
from iotdb_cluster.types.entries import EntryKind, Payload
from iotdb_cluster.types.plans import (
    CreateTimeseriesPlan,
    DeletePlan,
    DeleteStorageGroupPlan,
    DeleteTimeseriesPlan,
    InsertPlan,
    Plan,
    SetStorageGroupPlan,
    TabletPlan,
)
from iotdb_cluster.types.schema import Compression, DataType, Encoding, TimeseriesSchema
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

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
_NOT_A_NUMBER = frozenset({"nan", "infinity", "+infinity", "-infinity"})


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
    """What is proposed for some plans. `own[i]` is the position of plan i's own payload, or why it was refused."""

    payloads: list[Payload] = field(default_factory=list)
    plans: list[object | None] = field(default_factory=list)
    own: list[int | RequestError] = field(default_factory=list)

    def add(self, plan: Plan, data: bytes | None = None) -> int:
        """One more payload; its position."""
        self.payloads.append(Payload(EntryKind.PHYSICAL_PLAN, encode_plan(plan) if data is None else data))
        self.plans.append(plan)
        return len(self.payloads) - 1


@dataclass(frozen=True, slots=True)
class Planner:
    """Decides for one data group; reads its schema as it is applied here."""

    device_schema: Callable[[str], Mapping[str, TimeseriesSchema]]
    holds_storage_group: Callable[[str], bool]
    matches: Callable[[str], bool]
    storage_group_of: Callable[[str], str | None]
    auto_create: bool

    def prepare(self, plans: Iterable[bytes]) -> Prepared:
        """Payloads for `plans`, each behind what it needs; a plan that can't be is refused and the others go on."""
        prepared = Prepared()
        for data in plans:
            try:
                plan = decode_plan(data)
                self._before(plan, prepared)
                prepared.own.append(prepared.add(plan, data))
            except RequestError as refusal:
                prepared.own.append(refusal)
        return prepared

    def _before(self, plan: Plan, prepared: Prepared) -> None:
        match plan:
            case InsertPlan():
                self._before_insert(plan.device, plan.measurements, lambda i: _type_of_text(plan, i), prepared)
            case TabletPlan():
                self._before_insert(plan.device, plan.measurements, lambda i: plan.data_types[i], prepared)
            case CreateTimeseriesPlan():
                paths.check_series(plan.path)
                self._open_storage_group(plan.path, prepared)
            case DeletePlan() | DeleteTimeseriesPlan():
                paths.check_pattern(plan.path)
                if not self.matches(plan.path):
                    raise PathNotFound(f"{plan.path} matches no series here")
            case SetStorageGroupPlan() | DeleteStorageGroupPlan():
                raise Unsupported(f"{type(plan).__name__} goes to the meta group, not to a data group")

    def _before_insert(
        self,
        device: str | None,
        measurements: Sequence[str | None],
        type_of: Callable[[int], DataType],
        prepared: Prepared,
    ) -> None:
        if not device:
            raise ValueRefused("an insert without a device")
        known = self.device_schema(device)
        unknown = [i for i, name in enumerate(measurements) if name is not None and name not in known]
        if not unknown:
            return
        if not self.auto_create:
            raise PathNotFound(
                f"{device}.{measurements[unknown[0]]} does not exist and enable_auto_create_schema is off"
            )
        self._open_storage_group(device, prepared)
        for i in unknown:
            path = f"{device}.{measurements[i]}"
            paths.check_series(path)
            data_type = type_of(i)
            prepared.add(CreateTimeseriesPlan(path, data_type, DEFAULT_ENCODING[data_type], Compression.SNAPPY))

    def _open_storage_group(self, path: str, prepared: Prepared) -> None:
        storage_group = self.storage_group_of(path)
        if storage_group is None:
            raise StorageGroupUnknown(f"no storage group is a prefix of {path}: create it first")
        if not self.holds_storage_group(storage_group):
            prepared.add(SetStorageGroupPlan(storage_group))


def _type_of_text(plan: InsertPlan, position: int) -> DataType:
    measurement = plan.measurements[position]
    value = plan.values[position] if position < len(plan.values) else None
    if value is None:
        raise ValueRefused(f"no value for {measurement}, which does not exist yet")
    return inferred_type(value, str(measurement))
