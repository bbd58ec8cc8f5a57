"""Physical plans (interface page "Plan"): a type byte, then what that type says."""

import struct
from collections.abc import Callable

from iotdb_cluster.errors import MalformedInput
from iotdb_cluster.types.plans import (
    CreateTimeseriesPlan,
    DeletePlan,
    DeleteStorageGroupPlan,
    DeleteTimeseriesPlan,
    ExpirePlan,
    InsertPlan,
    Packed,
    Plan,
    PlanKind,
    SetStorageGroupPlan,
    SetTtlPlan,
    TabletPlan,
)
from iotdb_cluster.types.schema import WIDTH_BYTES, Compression, DataType, Encoding
from iotdb_cluster.wire.payload import PayloadReader, i32, i64, nullable_text, text

_WHAT = "plan"
_I32 = struct.Struct(">i")
_INSERT_HEAD = struct.Struct(">Bqi")
_DATA_TYPES = {int(data_type): data_type for data_type in DataType}
_NO_TTL = -1


def encode_plan(plan: Plan) -> bytes:
    """A plan as it stands in `planBytes` and in the body of a PHYSICAL_PLAN entry."""
    match plan:
        case InsertPlan():
            return _encode_insert(plan)
        case TabletPlan():
            return _encode_tablet(plan)
        case DeletePlan():
            return _kind(PlanKind.DELETE) + i64(plan.time) + text(plan.path)
        case SetStorageGroupPlan():
            return _kind(PlanKind.SET_STORAGE_GROUP) + text(plan.path)
        case CreateTimeseriesPlan():
            ordinals = bytes((plan.data_type, plan.encoding, plan.compression))
            return _kind(PlanKind.CREATE_TIMESERIES) + text(plan.path) + ordinals
        case DeleteTimeseriesPlan():
            return _kind(PlanKind.DELETE_TIMESERIES) + text(plan.path)
        case DeleteStorageGroupPlan():
            return _kind(PlanKind.DELETE_STORAGE_GROUP) + text(plan.path)
        case SetTtlPlan():
            ttl_ms = _NO_TTL if plan.ttl_ms is None else plan.ttl_ms
            return _kind(PlanKind.SET_TTL) + text(plan.path) + i64(ttl_ms)
        case ExpirePlan():
            return _kind(PlanKind.EXPIRE) + text(plan.path) + i64(plan.until)


def decode_plan(data: bytes) -> Plan:
    """The plan in these bytes, all of them; raises `MalformedInput`, which names an unknown type.

    Times and columns of fixed width of a tablet are views of `data`.
    """
    if data[:1] == _INSERT:
        row = _quick_insert(data)
        if row is not None:
            return row
    reader = PayloadReader(data, _WHAT)
    plan = read_plan(reader)
    reader.expect_end()
    return plan


def read_plan(reader: PayloadReader) -> Plan:
    """A plan within a payload."""
    return _READERS[_read_kind(reader)](reader)


def target_of(data: bytes) -> tuple[PlanKind, str]:
    """What a plan does and to what: its kind, and its device or path. The rest is not looked at.

    Raises `MalformedInput`, also for an insert without a device.
    """
    reader = PayloadReader(data, _WHAT)
    kind = _read_kind(reader)
    if kind in (PlanKind.INSERT, PlanKind.DELETE):
        reader.i64()
    (target,) = reader.texts(1)
    if target is None:
        raise MalformedInput(f"{kind.name} without a device or path")
    return kind, target


def _read_kind(reader: PayloadReader) -> PlanKind:
    kind = reader.ordinal(PlanKind, reader.u8())
    if kind not in _READERS:
        raise MalformedInput(f"{reader.what}: {kind.name} ({kind}) is no plan that is applied")
    return kind


def _kind(kind: PlanKind) -> bytes:
    return kind.to_bytes()


_INSERT = _kind(PlanKind.INSERT)


def _encode_insert(plan: InsertPlan) -> bytes:
    parts = [_INSERT, i64(plan.time), nullable_text(plan.device)]
    for texts in (plan.measurements, plan.values):
        parts.append(i32(len(texts)))
        parts += map(nullable_text, texts)
    return b"".join(parts)


def _encode_tablet(plan: TabletPlan) -> bytes:
    return b"".join(
        (
            _kind(PlanKind.BATCHINSERT),
            nullable_text(plan.device),
            i32(len(plan.measurements)),
            *map(nullable_text, plan.measurements),
            struct.pack(f">{len(plan.data_types)}h", *plan.data_types),
            i32(plan.rows),
            plan.times,
            *plan.columns,
        )
    )


def _quick_insert(data: bytes) -> InsertPlan | None:
    """A row without nulls and empty texts, which nearly all are; None where the reader has to say what it is.

    Lengths are positive, so offsets only grow: when the last one is the end of the data, all were within it.
    """
    try:
        _, time, length = _INSERT_HEAD.unpack_from(data)
        at = _INSERT_HEAD.size + length
        if length <= 0 or at > len(data):
            return None
        device = data[_INSERT_HEAD.size : at].decode()
        lists: list[tuple[str, ...]] = []
        for _ in range(2):
            (count,) = _I32.unpack_from(data, at)
            at += 4
            if not 0 <= count <= len(data):
                return None
            texts = []
            for _ in range(count):
                (length,) = _I32.unpack_from(data, at)
                if length <= 0:
                    return None
                at += 4 + length
                texts.append(data[at - length : at].decode())
            lists.append(tuple(texts))
    except (struct.error, UnicodeDecodeError):
        return None
    return InsertPlan(time, device, *lists) if at == len(data) else None


def _read_insert(reader: PayloadReader) -> InsertPlan:
    time = reader.i64()
    (device,) = reader.texts(1)
    measurements = reader.texts(reader.count(4))
    return InsertPlan(time, device, measurements, reader.texts(reader.count(4)))


def _read_delete(reader: PayloadReader) -> DeletePlan:
    return DeletePlan(reader.i64(), reader.text())


def _read_tablet(reader: PayloadReader) -> TabletPlan:
    (device,) = reader.texts(1)
    measurements = reader.texts(reader.count(4))
    ordinals = reader.i16s(len(measurements))
    data_types = tuple([_DATA_TYPES[n] if n in _DATA_TYPES else reader.ordinal(DataType, n) for n in ordinals])
    rows = reader.count(8)
    times = reader.view(8 * rows)
    columns = tuple(_read_column(reader, data_type, rows) for data_type in data_types)
    return TabletPlan(device, measurements, data_types, rows, times, columns)


def _read_column(reader: PayloadReader, data_type: DataType, rows: int) -> Packed:
    """`rows` values in turn, as they came."""
    if data_type is not DataType.TEXT:
        return reader.view(rows * WIDTH_BYTES[data_type])
    start = reader.at
    for _ in range(rows):
        reader.blob()
    return reader.data[start : reader.at]


def _read_set_storage_group(reader: PayloadReader) -> SetStorageGroupPlan:
    return SetStorageGroupPlan(reader.text())


def _read_create_timeseries(reader: PayloadReader) -> CreateTimeseriesPlan:
    return CreateTimeseriesPlan(
        reader.text(),
        reader.ordinal(DataType, reader.u8()),
        reader.ordinal(Encoding, reader.u8()),
        reader.ordinal(Compression, reader.u8()),
    )


def _read_delete_timeseries(reader: PayloadReader) -> DeleteTimeseriesPlan:
    return DeleteTimeseriesPlan(reader.text())


def _read_delete_storage_group(reader: PayloadReader) -> DeleteStorageGroupPlan:
    return DeleteStorageGroupPlan(reader.text())


def _read_set_ttl(reader: PayloadReader) -> SetTtlPlan:
    path, ttl_ms = reader.text(), reader.i64()
    if ttl_ms < _NO_TTL:
        raise MalformedInput(f"a time to live of {ttl_ms} ms")
    return SetTtlPlan(path, None if ttl_ms == _NO_TTL else ttl_ms)


def _read_expire(reader: PayloadReader) -> ExpirePlan:
    return ExpirePlan(reader.text(), reader.i64())


_READERS: dict[PlanKind, Callable[[PayloadReader], Plan]] = {
    PlanKind.INSERT: _read_insert,
    PlanKind.DELETE: _read_delete,
    PlanKind.BATCHINSERT: _read_tablet,
    PlanKind.SET_STORAGE_GROUP: _read_set_storage_group,
    PlanKind.CREATE_TIMESERIES: _read_create_timeseries,
    PlanKind.DELETE_TIMESERIES: _read_delete_timeseries,
    PlanKind.DELETE_STORAGE_GROUP: _read_delete_storage_group,
    PlanKind.SET_TTL: _read_set_ttl,
    PlanKind.EXPIRE: _read_expire,
}
