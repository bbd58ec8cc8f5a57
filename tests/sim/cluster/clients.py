"""Clients: coroutines on virtual time that write, delete and read through the cluster's own services."""

import struct
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from iotdb_cluster.errors import RemoteError, StatusCode, Unreachable
from iotdb_cluster.members import structs
from iotdb_cluster.members.convert import node_struct
from iotdb_cluster.members.pending import Pending
from iotdb_cluster.types.filters import Compare, CompareOp, FilterKind, Scalar, ValueClass
from iotdb_cluster.types.identity import Node
from iotdb_cluster.types.schema import DataType
from iotdb_cluster.wire.batches import decode_batch
from iotdb_cluster.wire.filters import encode_filter
from iotdb_cluster.wire.idl import STRUCTS
from iotdb_cluster.wire.scalars import decode_scalar
from tests.sim.cluster.calls import Caller, Connection
from tests.sim.cluster.oracle import Attempt, Fate, Key, Oracle, Reading, Series
from tests.sim.cluster.scheduler import MS, Act, Scheduler, Task
from tests.sim.cluster.trace import Trace
from tests.sim.linearizability import ABSENT

CLIENT_PORT = 55560
DATA_PORT = 40010

NO_EFFECT = frozenset(
    {
        StatusCode.PARTITION_NOT_READY,
        StatusCode.NO_LEADER,
        StatusCode.DISK_SPACE_INSUFFICIENT_ERROR,
        StatusCode.NODE_READ_ONLY,
    }
)
"""Answers that promise that nothing happened; everything but 200, 701 and these is a fault of the cluster."""

TYPES = (DataType.INT64, DataType.DOUBLE, DataType.TEXT)

_OpenSession = STRUCTS["TSOpenSessionReq"].make
_Insert = STRUCTS["TSInsertReq"].make
_InsertBatch = STRUCTS["TSBatchInsertionReq"].make
_InsertRows = STRUCTS["TSInsertInBatchReq"].make
_Delete = STRUCTS["TSDeleteDataReq"].make
_Query = STRUCTS["SingleSeriesQueryRequest"].make


@dataclass(frozen=True, slots=True)
class Space:
    """What clients write to: storage groups with one device each, its measurements with their types, and times."""

    storage_groups: tuple[str, ...]
    measurements: tuple[tuple[str, DataType], ...]
    times: tuple[int, ...]

    def device(self, storage_group: str) -> str:
        """The device of a storage group."""
        return f"{storage_group}.d"

    @property
    def series(self) -> tuple[tuple[Series, DataType], ...]:
        """Every series and its type."""
        return tuple(
            (f"{self.device(group)}.{name}", data_type)
            for group in self.storage_groups
            for name, data_type in self.measurements
        )

    def storage_group_of(self, series: Series) -> str:
        """The storage group of a series."""
        return series.rsplit(".", 2)[0]


def value_of(data_type: DataType, number: int) -> object:
    """The unique value of the cell with this number, as it is read back."""
    if data_type is DataType.DOUBLE:
        return number + 0.5
    return f"v{number}".encode() if data_type is DataType.TEXT else number


def text_of(value: object) -> str:
    """A value as `insert` takes it."""
    return f"'{value.decode()}'" if isinstance(value, bytes) else str(value)


def packed(data_type: DataType, values: Sequence[Any]) -> bytes:
    """A column as `insertBatch` takes it."""
    if data_type is DataType.TEXT:
        return b"".join(struct.pack(">i", len(value)) + value for value in values)
    return struct.pack(f">{len(values)}{'d' if data_type is DataType.DOUBLE else 'q'}", *values)


@dataclass(slots=True)
class Surroundings:
    """What clients share."""

    scheduler: Scheduler
    trace: Trace
    oracle: Oracle
    space: Space
    fault: Callable[[str], None]
    """Told of what must never happen."""
    hosts: Callable[[], Sequence[str]]
    """Addresses of the nodes, dead or alive."""
    members: Callable[[str], tuple[Node, Sequence[Node]] | None]
    """Header and members of the data group that owns a storage group, once anybody knows."""
    call_timeout_ms: int
    cells: int = 0

    def next_cell(self) -> int:
        """A number that names one written value."""
        self.cells += 1
        return self.cells


@dataclass(frozen=True, slots=True)
class Question:
    """What is to be read, and where."""

    path: Series
    data_type: DataType
    header: Any
    host: str


class Client:
    """One client: an actor of its own, with one operation under way at a time."""

    def __init__(self, name: str, around: Surroundings, random: Random, connect: Callable[["Client"], Caller]) -> None:
        self.place = name
        self.around = around
        self.random = random
        self.caller = connect(self)
        self.is_stopped = False
        self._host: str | None = None
        self._session: tuple[Connection, int] | None = None
        self._data: dict[str, Connection] = {}
        self._query_id = 0

    # -- an actor --------------------------------------------------------------------------------------------------

    def soon(self, act: Act) -> None:
        """Run `act` next."""
        self.around.scheduler.after(0, act)

    def now(self, act: Act) -> None:
        """Run `act` at once."""
        act()

    def at_ms(self, at_ms: int, act: Act) -> None:
        """Run `act` at a millisecond of virtual time."""
        self.around.scheduler.at(at_ms * MS, act)

    def in_ms(self, delay_ms: int, act: Act) -> None:
        """Run `act` in so many milliseconds."""
        self.around.scheduler.after(delay_ms * MS, act)

    def run(self, coroutine: Coroutine[Any, None, Any], on_done: Callable[[Any, Exception | None], None]) -> None:
        """Drive a coroutine of this client."""
        Task(coroutine, self.soon, self.at_ms, on_done).start()

    async def sleep(self, delay_ms: int) -> None:
        """Let time pass."""
        over: Pending[None] = Pending()
        self.in_ms(delay_ms, lambda: over.resolve(None) and None)
        await over

    # -- operations --------------------------------------------------------------------------------------------------

    async def insert_row(self, storage_group: str | None = None) -> Attempt | None:
        """One row of one device."""
        group, time = storage_group or self._storage_group(), self._time()
        chosen = self._measurements()
        writes, texts = {}, []
        for name, data_type in chosen:
            value = value_of(data_type, self.around.next_cell())
            writes[f"{self._device(group)}.{name}", time] = value
            texts.append(text_of(value))
        names = [name for name, _ in chosen]
        return await self._write(
            "insert", writes, lambda session: (_Insert(session, self._device(group), names, texts, time),)
        )

    async def insert_batch(self) -> Attempt | None:
        """A tablet; the last of two rows with the same time wins."""
        group = self._storage_group()
        chosen = self._measurements()
        times = [self._time() for _ in range(self.random.randint(1, 4))]
        writes: dict[Key, object] = {}
        columns: list[bytes] = []
        for name, data_type in chosen:
            values = [value_of(data_type, self.around.next_cell()) for _ in times]
            columns.append(packed(data_type, values))
            for time, value in zip(times, values, strict=True):
                writes[f"{self._device(group)}.{name}", time] = value
        names, ordinals = [name for name, _ in chosen], [int(data_type) for _, data_type in chosen]
        packed_times = struct.pack(f">{len(times)}q", *times)
        return await self._write(
            "insertBatch",
            writes,
            lambda session: (
                _InsertBatch(
                    session, self._device(group), names, b"".join(columns), packed_times, ordinals, len(times)
                ),
            ),
        )

    async def delete(self) -> Attempt | None:
        """Points of one series up to a time."""
        series, _ = self.random.choice(self.around.space.series)
        upto = self._time()
        writes = {(series, time): ABSENT for time in self.around.space.times if time <= upto}
        return await self._write("deleteData", writes, lambda session: (_Delete(session, [series], upto),))

    async def delete_by_pattern(self) -> Attempt | None:
        """Points of a measurement in every device up to a time: one delete in each data group that has a match."""
        name, _ = self.random.choice(self.around.space.measurements)
        upto = self._time()
        space = self.around.space
        writes = {
            (f"{space.device(group)}.{name}", time): ABSENT
            for group in space.storage_groups
            for time in space.times
            if time <= upto
        }
        # Where one group refuses, another one may have deleted already: then nothing is known.
        return await self._write(
            "deleteData", writes, lambda session: (_Delete(session, [f"root.*.d.{name}"], upto),), is_whole=False
        )

    async def insert_rows(self) -> None:
        """Rows of several devices in one call; each is an attempt of its own."""
        session = await self._open_session()
        if session is None:
            return
        around = self.around
        connection, session_id = session
        groups = [self._storage_group() for _ in range(self.random.randint(1, 3))]
        names, texts, times, attempts = [], [], [], []
        for group in groups:
            chosen, time = self._measurements(), self._time()
            values = [value_of(data_type, around.next_cell()) for _, data_type in chosen]
            writes: dict[Key, object] = {
                (f"{self._device(group)}.{name}", time): value for (name, _), value in zip(chosen, values, strict=True)
            }
            names.append([name for name, _ in chosen])
            texts.append([text_of(value) for value in values])
            times.append(time)
            attempts.append(around.oracle.begin(self.place, around.scheduler.now_us, writes))
        around.trace.note(self.place, "insertRowInBatch", [attempt.number for attempt in attempts], self._host)
        devices = [self._device(group) for group in groups]
        arguments = (_InsertRows(session_id, devices, names, texts, times),)
        answer = await self._call(connection, "insertRowInBatch", arguments)
        statuses = [answer] * len(groups) if isinstance(answer, Exception) else answer.statusList
        if len(statuses) == 1:  # a session that is not open gets one status for all
            statuses = statuses * len(groups)
        for attempt, status in zip(attempts, statuses, strict=True):
            fate, text = self._fate_of("insertRowInBatch", status)
            around.oracle.settle(attempt, fate, around.scheduler.now_us, text)
            around.trace.note(self.place, "insertRowInBatch", attempt.number, fate.value, text)

    async def read_series(self, host: str | None = None, series: Series | None = None) -> Reading | None:
        """A strong read of a whole series at a member of its group; None when it was not answered."""
        asked = self._whom(host, series)
        return None if asked is None else await self._read(asked, self.around.space.times, None)

    async def read_from(self) -> Reading | None:
        """A strong read of a series from some time on."""
        asked, first = self._whom(), self._time()
        condition = Compare(CompareOp.GTEQ, FilterKind.TIME, Scalar(ValueClass.LONG, first))
        times = tuple(time for time in self.around.space.times if time >= first)
        return None if asked is None else await self._read(asked, times, encode_filter(condition))

    async def read_at(self) -> Reading | None:
        """A strong read of some times of a series, one by one, in any order."""
        asked = self._whom()
        if asked is None:
            return None
        known = self.around.space.times
        times = tuple(self.random.sample(known, self.random.randint(1, len(known))))
        began_us = self.around.scheduler.now_us
        connection, query = self._data_connection(asked.host), self._query(asked, None)
        values: dict[int, object] | None = {}
        reader = await self._call(connection, "querySingleSeriesByTimestamp", (query,))
        for time in times if not isinstance(reader, Exception) else ():
            answer = await self._call(connection, "fetchSingleSeriesByTimestamp", (query.header, reader, time))
            if isinstance(answer, Exception):
                values = None
                break
            if answer:
                assert values is not None
                values[time] = decode_scalar(answer).value
        return await self._read_over(
            asked, connection, query, began_us, None if isinstance(reader, Exception) else values, times
        )

    def _whom(self, host: str | None = None, series: Series | None = None) -> "Question | None":
        """A series, and a member of its group; None as long as nobody knows the table."""
        around = self.around
        path, data_type = self.random.choice([pair for pair in around.space.series if series in (None, pair[0])])
        found = around.members(around.space.storage_group_of(path))
        if found is None:
            return None
        header, members = found
        return Question(path, data_type, node_struct(header), host or self.random.choice([node.ip for node in members]))

    def _query(self, asked: "Question", condition: bytes | None) -> Any:
        self._query_id += 1
        requester = structs.NodeStruct(ip=self.place, metaPort=1, nodeIdentifier=7, dataPort=1)
        return _Query(asked.path, condition, self._query_id, requester, None, asked.header, None, int(asked.data_type))

    async def _read(self, asked: "Question", times: tuple[int, ...], condition: bytes | None) -> Reading | None:
        began_us = self.around.scheduler.now_us
        connection, query = self._data_connection(asked.host), self._query(asked, condition)
        values = await self._fetch_all(connection, query.header, query)
        return await self._read_over(asked, connection, query, began_us, values, times)

    async def _read_over(
        self,
        asked: "Question",
        connection: Connection,
        query: Any,
        began_us: int,
        values: dict[int, object] | None,
        times: tuple[int, ...],
    ) -> Reading | None:
        around = self.around
        if values is None:
            around.trace.note(self.place, "read failed", asked.host, asked.path)
            return None
        ended_us = around.scheduler.now_us
        await self._call(connection, "endQuery", (query.header, query.requester, query.queryId))
        reading = Reading(self.place, asked.host, asked.path, began_us, ended_us, values, times)
        around.trace.note(self.place, "read", asked.host, asked.path, times, values)
        fault = around.oracle.saw(reading)
        if fault is not None:
            around.fault(fault)
        return reading

    async def _fetch_all(self, connection: Connection, head: Any, query: Any) -> dict[int, object] | None:
        reader = await self._call(connection, "querySingleSeries", (query,))
        if isinstance(reader, Exception):
            return None
        values: dict[int, object] = {}
        while True:
            batch = await self._call(connection, "fetchSingleSeries", (head, reader))
            if isinstance(batch, Exception):
                return None
            if not batch:
                return values
            _, times, found = decode_batch(batch)
            for time, value in zip(times.tolist(), found if isinstance(found, list) else found.tolist(), strict=True):
                if values and time <= max(values):
                    self.around.fault(f"{query.path} reads {time} behind {max(values)}")
                values[time] = value

    async def make_storage_group(self, storage_group: str) -> bool:
        """Make a storage group; True when that was acknowledged."""
        session = await self._open_session()
        if session is None:
            return False
        answer = await self._call(session[0], "setStorageGroup", (session[1], storage_group))
        return not isinstance(answer, Exception) and answer.statusType.code == StatusCode.SUCCESS_STATUS

    # -- shared ------------------------------------------------------------------------------------------------------

    async def _write(
        self,
        method: str,
        writes: dict[Key, object],
        arguments: Callable[[int], tuple[Any, ...]],
        *,
        is_whole: bool = True,
    ) -> Attempt | None:
        session = await self._open_session()
        if session is None:
            return None
        around = self.around
        connection, session_id = session
        attempt = around.oracle.begin(self.place, around.scheduler.now_us, writes)
        around.trace.note(self.place, method, attempt.number, self._host, writes)
        answer = await self._call(connection, method, arguments(session_id))
        fate, text = self._fate_of(method, answer)
        if fate is Fate.REFUSED and not is_whole:
            fate = Fate.UNKNOWN
        around.oracle.settle(attempt, fate, around.scheduler.now_us, text)
        around.trace.note(self.place, method, attempt.number, fate.value, text)
        if fate is not Fate.ACKED:
            self._leave()
        return attempt

    def _fate_of(self, method: str, answer: Any) -> tuple[Fate, str]:
        if isinstance(answer, Unreachable):
            return Fate.REFUSED, str(answer)
        if isinstance(answer, RemoteError):
            self.around.fault(f"{method} was answered by an exception: {answer}")
        if isinstance(answer, Exception):
            return Fate.UNKNOWN, str(answer)
        given = answer.status if method == "insertBatch" else answer
        code, text = given.statusType.code, given.statusType.message
        if code == StatusCode.SUCCESS_STATUS:
            return Fate.ACKED, ""
        if code == StatusCode.TIME_OUT:
            return Fate.UNKNOWN, f"{code} {text}"
        # There may be nothing to delete yet.
        expected = code in NO_EFFECT or (method == "deleteData" and code == StatusCode.PATH_NOT_EXIST_ERROR)
        if not expected and code != StatusCode.NOT_LOGIN_ERROR:
            self.around.fault(f"{method} was answered {code}: {text}")
        return Fate.REFUSED, f"{code} {text}"

    async def _open_session(self) -> tuple[Connection, int] | None:
        """The session of this client, on another node now and then."""
        if self._session is not None and not self._session[0].is_broken and self.random.random() < 0.9:
            return self._session
        self._leave()
        self._host = self.random.choice(list(self.around.hosts()))
        connection = self.caller.connect(self._host, CLIENT_PORT, "TSIService")
        answer = await self._call(connection, "openSession", (_OpenSession(0, "root", "root", None),))
        if isinstance(answer, Exception) or answer.status.statusType.code != StatusCode.SUCCESS_STATUS:
            return None
        self._session = connection, answer.sessionId
        return self._session

    def hang_up(self) -> None:
        """Close every connection."""
        self._leave()
        for connection in self._data.values():
            connection.close()
        self._data.clear()

    def _leave(self) -> None:
        if self._session is not None:
            self._session[0].close()
            self._session = None

    def _data_connection(self, host: str) -> Connection:
        connection = self._data.get(host)
        if connection is None or connection.is_broken:
            connection = self._data[host] = self.caller.connect(host, DATA_PORT, "DataExtension")
        return connection

    async def _call(self, connection: Connection, method: str, arguments: tuple[Any, ...]) -> Any:
        """The result, or the exception."""
        pending: Pending[Any] = Pending()
        connection.call(method, arguments, self.around.call_timeout_ms, pending.resolve)
        return await pending

    def _storage_group(self) -> str:
        return self.random.choice(self.around.space.storage_groups)

    def _device(self, storage_group: str) -> str:
        return self.around.space.device(storage_group)

    def _time(self) -> int:
        return self.random.choice(self.around.space.times)

    def _measurements(self) -> list[tuple[str, DataType]]:
        known = self.around.space.measurements
        return self.random.sample(known, self.random.randint(1, len(known)))
