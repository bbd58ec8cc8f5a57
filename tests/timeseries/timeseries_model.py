"""What a group's store should hold, as dicts: the rules once more, written the slow and obvious way."""

import math
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np

from iotdb_cluster.errors import RequestError
from iotdb_cluster.timeseries.store import GroupStore
from iotdb_cluster.types.filters import And, Compare, CompareOp, FilterKind, GroupByWindows, Not, Or
from iotdb_cluster.types.plans import (
    CreateTimeseriesPlan,
    DeletePlan,
    DeleteStorageGroupPlan,
    DeleteTimeseriesPlan,
    ExpirePlan,
    InsertPlan,
    SetStorageGroupPlan,
    TabletPlan,
)
from iotdb_cluster.types.schema import Compression, DataType, Encoding

PACKED = {
    DataType.BOOLEAN: "u1",
    DataType.INT32: ">i4",
    DataType.INT64: ">i8",
    DataType.FLOAT: ">f4",
    DataType.DOUBLE: ">f8",
}


def packed(values: list[Any], data_type: DataType) -> bytes:
    """Values as a column of a tablet."""
    if data_type is DataType.TEXT:
        return b"".join(len(value).to_bytes(4, "big") + value for value in values)
    return np.array(values, dtype=PACKED[data_type]).tobytes()


def tablet(device: str, columns: dict[str, tuple[DataType, list[Any]]], times: list[int]) -> TabletPlan:
    """A tablet from Python values."""
    return TabletPlan(
        device=device,
        measurements=tuple(columns),
        data_types=tuple(data_type for data_type, _ in columns.values()),
        rows=len(times),
        times=np.array(times, dtype=">i8").tobytes(),
        columns=tuple(packed(values, data_type) for data_type, values in columns.values()),
    )


def create(path: str, data_type: DataType) -> CreateTimeseriesPlan:
    """A new series with plain encoding."""
    return CreateTimeseriesPlan(path, data_type, Encoding.PLAIN, Compression.SNAPPY)


def as_text(value: Any, data_type: DataType) -> str:
    """A value as INSERT wants it."""
    match data_type:
        case DataType.BOOLEAN:
            return "true" if value else "FALSE"
        case DataType.TEXT:
            return f"'{value.decode('utf-8', 'surrogateescape')}'"
        case DataType.FLOAT | DataType.DOUBLE:
            return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}.get(repr(value), repr(value))
        case _:
            return str(value)


def path_matches(pattern: str, path: str) -> bool:
    """A pattern node by node; what lies below matches, too."""
    mine, theirs = pattern.split("."), path.split(".")
    return len(mine) <= len(theirs) and all(a in ("*", b) for a, b in zip(mine, theirs, strict=False))


@dataclass
class Model:
    """The expected state after a log of plans."""

    groups: set[str] = field(default_factory=set)
    types: dict[str, DataType] = field(default_factory=dict)
    points: dict[str, dict[int, Any]] = field(default_factory=dict)
    expired: dict[str, int] = field(default_factory=dict)

    def apply(self, plan: Any) -> bool:
        """Apply a plan; False when it has to be refused."""
        match plan:
            case SetStorageGroupPlan(path):
                self.groups.add(path)
            case CreateTimeseriesPlan(path, data_type):
                return self._create(path, data_type)
            case InsertPlan():
                return self._insert(plan)
            case TabletPlan():
                return self._tablet(plan)
            case DeletePlan(time, path):
                for series in self.matching(path):
                    self.points[series] = {t: v for t, v in self.points[series].items() if t > time}
            case ExpirePlan(path, until):
                if path not in self.groups:
                    return False
                before, self.expired[path] = self.expired.get(path, until - 1), until
                for series in self.matching(path) if until > before else ():
                    self.points[series] = {t: v for t, v in self.points[series].items() if t > until}
            case DeleteTimeseriesPlan(path):
                for series in self.matching(path):
                    del self.types[series], self.points[series]
            case DeleteStorageGroupPlan(path):
                if path not in self.groups:
                    return False
                self.groups.remove(path)
                self.expired.pop(path, None)
                for series in self.matching(path):
                    del self.types[series], self.points[series]
        return True

    def matching(self, pattern: str) -> list[str]:
        return sorted(path for path in self.types if path_matches(pattern, path))

    def _create(self, path: str, data_type: DataType) -> bool:
        if not any(path.startswith(group + ".") for group in self.groups):
            return False
        if any(a == b or b.startswith(a + ".") or a.startswith(b + ".") for a, b in [(path, s) for s in self.types]):
            return False
        self.types[path], self.points[path] = data_type, {}
        return True

    def _insert(self, plan: InsertPlan) -> bool:
        paths = [f"{plan.device}.{name}" for name in plan.measurements]
        if any(path not in self.types for path in paths):
            return False
        try:
            values = [self._value(text, self.types[path]) for text, path in zip(plan.values, paths, strict=True)]
        except ValueError:
            return False
        if self._is_expired(plan.device, plan.time):
            return False
        for path, value in zip(paths, values, strict=True):
            self.points[path][plan.time] = value
        return True

    def _tablet(self, plan: TabletPlan) -> bool:
        paths = [f"{plan.device}.{name}" for name in plan.measurements]
        if any(self.types.get(path) != given for path, given in zip(paths, plan.data_types, strict=True)):
            return False
        times = np.frombuffer(plan.times, ">i8").tolist()
        for path, data_type, column in zip(paths, plan.data_types, plan.columns, strict=True):
            for time, value in zip(times, unpacked(column, data_type), strict=True):
                if not self._is_expired(plan.device, time):
                    self.points[path][time] = value
        return not times or not all(self._is_expired(plan.device, time) for time in times)

    def _is_expired(self, device: Any, time: int) -> bool:
        return any(time <= until and f"{device}.".startswith(f"{sg}.") for sg, until in self.expired.items())

    @staticmethod
    def _value(text: str | None, data_type: DataType) -> Any:
        if text is None:
            raise ValueError("no value")
        match data_type:
            case DataType.BOOLEAN:
                if text.lower() not in ("true", "false", "1", "0"):
                    raise ValueError(text)
                return text.lower() in ("true", "1")
            case DataType.TEXT:
                if len(text) < 2 or text[0] not in "'\"" or text[-1] != text[0]:
                    raise ValueError(text)
                return text[1:-1].encode("utf-8", "surrogateescape")
            case DataType.INT32 | DataType.INT64:
                number = int(text)
                if not -(1 << 31 if data_type is DataType.INT32 else 1 << 63) <= number:
                    raise ValueError(text)
                if number >= (1 << 31 if data_type is DataType.INT32 else 1 << 63):
                    raise ValueError(text)
                return number
            case _:
                if text[:1] in "'\"" or text.lower() in ("true", "false"):
                    raise ValueError(text)
                return float(text) if data_type is DataType.DOUBLE else float(np.float32(float(text)))


def unpacked(column: bytes, data_type: DataType) -> list[Any]:
    """A tablet's column as Python values."""
    if data_type is DataType.TEXT:
        values, at = [], 0
        while at < len(column):
            size = int.from_bytes(column[at : at + 4], "big")
            values.append(column[at + 4 : at + 4 + size])
            at += 4 + size
        return values
    if data_type is DataType.BOOLEAN:
        return [byte == 1 for byte in column]
    return np.frombuffer(column, PACKED[data_type]).tolist()


def read_all(store: GroupStore, path: str, condition: Any = None, together: int = 1000) -> list[tuple[int, Any]]:
    """Every point that a reader gives, in its order."""
    reader = store.open_series(path, condition)
    found: list[tuple[int, Any]] = []
    while True:
        times, values = reader.next_batch(together)
        assert len(times) <= together
        if not len(times):
            return found
        found.extend(zip(times.tolist(), values.tolist(), strict=True))


def comparable(points: list[tuple[int, Any]]) -> list[tuple[int, str]]:
    """Points in a form in which NaN equals NaN, and -0.0 differs from 0.0."""
    return [(time, repr(value)) for time, value in points]


def fulfils(condition: Any, time: int, value: Any) -> bool:
    """A filter at one point, by exact arithmetic."""
    match condition:
        case And(left, right):
            return fulfils(left, time, value) and fulfils(right, time, value)
        case Or(left, right):
            return fulfils(left, time, value) or fulfils(right, time, value)
        case Not(inner):
            return not fulfils(inner, time, value)
        case GroupByWindows(unit, step, start, end):
            return start <= time <= end and (time - start) % step < unit
        case Compare(op, kind, constant):
            mine = _ordered(time if kind is FilterKind.TIME else value)
            theirs = _ordered(constant.value)
            return {
                CompareOp.EQ: mine == theirs,
                CompareOp.NEQ: mine != theirs,
                CompareOp.GT: mine > theirs,
                CompareOp.GTEQ: mine >= theirs,
                CompareOp.LT: mine < theirs,
                CompareOp.LTEQ: mine <= theirs,
            }[op]
    raise AssertionError(condition)


def _ordered(value: Any) -> Any:
    """Numbers as exact ones between the infinities, NaN above all."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, float) and not math.isfinite(value):
        return (2 if math.isnan(value) else 1 if value > 0 else -1, Fraction(0))
    return (0, Fraction(value))


def apply_both(store: GroupStore, model: Model, entry_id: Any, plan: Any) -> None:
    """Apply a plan to store and model; both must take it, or both must not."""
    try:
        store.apply(entry_id, plan)
        taken = True
    except RequestError:
        taken = False
    assert model.apply(plan) == taken, plan
