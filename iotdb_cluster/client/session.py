"""A session on the client port: what a Python user writes with."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any, Self, TypeVar

import pyarrow as pa
from numpy.typing import ArrayLike

from iotdb_cluster.client.connection import ThriftClient
from iotdb_cluster.client.failover import Address, Failover, parse_address
from iotdb_cluster.client.result import Opened, Result
from iotdb_cluster.client.routes import Routes
from iotdb_cluster.client.statuses import check, error_of, error_of_status, had_no_effect
from iotdb_cluster.client.tables import TABLET_ROWS, tablets_of
from iotdb_cluster.client.values import DEFAULT_ENCODING, packed_column, packed_times, text_of, type_of
from iotdb_cluster.errors import (
    ClusterError,
    MalformedInput,
    OutcomeUnknown,
    RequestError,
    RowsRefused,
    Unreachable,
    ValueRefused,
)
from iotdb_cluster.types.report import Report
from iotdb_cluster.types.schema import Compression, DataType, Encoding
from iotdb_cluster.wire.idl import STRUCTS

if TYPE_CHECKING:
    from pandas import DataFrame

SERVICE = "ClientExtension"
"""The calls of `TSIService` under the same names, which any server understands, and those that only ours have."""
PROTOCOL_V1 = 0
CLOSE_TIMEOUT_MS = 1_000
REPORT_TIMEOUT_MS = 1_000
ROUTES_FOR_S = 10.0
"""After so long it is asked again who leads what: nobody tells when another node takes over."""
BATCH_FAILED = -3

_OpenSession = STRUCTS["TSOpenSessionReq"].make
_CloseSession = STRUCTS["TSCloseSessionReq"].make
_CreateTimeseries = STRUCTS["TSCreateTimeseriesReq"].make
_Insert = STRUCTS["TSInsertReq"].make
_InsertBatch = STRUCTS["TSBatchInsertionReq"].make
_InsertRows = STRUCTS["TSInsertInBatchReq"].make
_DeleteData = STRUCTS["TSDeleteDataReq"].make
_SetTimeZone = STRUCTS["TSSetTimeZoneReq"].make
_Execute = STRUCTS["TSExecuteStatementReq"].make
_ExecuteBatch = STRUCTS["TSExecuteBatchStatementReq"].make
_FetchMetadata = STRUCTS["TSFetchMetadataReq"].make

FETCH_ROWS = 10_000
STATEMENT_ID = 0
"""A session here has no statements of its own: its queries are known by their ids."""

READING = frozenset({"SELECT", "SHOW", "COUNT", "LIST", "EXPLAIN"})
"""Statements that begin so change nothing, and may be sent as often as one likes."""

T = TypeVar("T")

Row = tuple[str, int, Sequence[str], Sequence[object]]
"""Device, time in milliseconds, measurements, and as many values; None for a measurement that has none."""


@dataclass(frozen=True, slots=True)
class ServerProperties:
    """What a server says of itself."""

    version: str
    time_aggregations: tuple[str, ...]
    timestamp_precision: str


class _Login:
    """A connection with its session."""

    def __init__(self, client: ThriftClient, session_id: int) -> None:
        self.client = client
        self.session_id = session_id

    def close(self) -> None:
        self.client.close()


class Session:
    """Writes to a cluster through any of its nodes; a context manager, for one thread at a time.

    `nodes` are `host:client_port`; when one fails the next one is used. `timeout_ms` bounds each call with all its
    repetitions. A call that certainly took no effect is sent again by itself. Of one that may have taken effect
    `OutcomeUnknown` is raised, unless `repeatable` was said: then it is sent again, which is right only where nobody
    else writes other values to the same times, since an old value would come back over a newer one.
    With `direct`, rows and tablets of one device go to whichever of `nodes` leads them, over a connection of their own,
    which spares the cluster passing them on; where that is not known, or fails, they go as all other calls. Servers
    that do not say who leads are used as without it.
    Everything raised is a `RequestError`; its `code` is the one of the interface.
    """

    def __init__(
        self,
        nodes: Sequence[str | Address] | str,
        user: str = "root",
        password: str = "root",
        *,
        timeout_ms: int = 20_000,
        repeatable: bool = False,
        time_zone: str | None = None,
        direct: bool = False,
    ) -> None:
        given = [nodes] if isinstance(nodes, str) else nodes
        addresses = [parse_address(node) if isinstance(node, str) else node for node in given]
        self._user = user
        self._password = password
        self._time_zone = time_zone
        self._repeatable = repeatable
        self._timeout_ms = timeout_ms
        self._addresses = addresses
        self._failover = Failover(addresses, self._login, timeout_ms)
        self._direct = direct and len(addresses) > 1
        self._routes = Routes({})
        self._routes_until_s = 0.0
        self._by_leader: dict[Address, Failover[_Login]] = {}

    # -- life ----------------------------------------------------------------------------------------------------------

    def open(self) -> Self:
        """Log in now rather than with the first call; raises `StatusError` 600 for a wrong name or password."""
        self._failover.run(lambda login, timeout_ms: None, repeatable=True)
        return self

    def close(self) -> None:
        """Log out; where the node cannot be told, it ends the session with the connection."""
        for failover in (self._failover, *self._by_leader.values()):
            if failover.connection is not None:
                _log_out(failover.connection)
            failover.close()

    def drop(self) -> None:
        """Leave all connections at once, whatever runs on them; nodes end that, and the next call logs in again."""
        for failover in (self._failover, *self._by_leader.values()):
            failover.close()

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- schema --------------------------------------------------------------------------------------------------------

    def set_storage_group(self, path: str) -> None:
        """Create a storage group; one that exists already is fine."""
        self._call("setStorageGroup", lambda session_id: (session_id, path))

    def create_timeseries(
        self,
        path: str,
        data_type: DataType | str,
        encoding: Encoding | None = None,
        compression: Compression = Compression.SNAPPY,
    ) -> None:
        """Create a series; raises `StatusError` 300 when there is one at this path."""
        kind = type_of(data_type)
        chosen = DEFAULT_ENCODING[kind] if encoding is None else encoding

        def request(session_id: int) -> tuple[Any]:
            return (
                _CreateTimeseries(
                    sessionId=session_id,
                    path=path,
                    dataType=int(kind),
                    encoding=int(chosen),
                    compressor=int(compression),
                ),
            )

        self._call("createTimeseries", request)

    # -- data ----------------------------------------------------------------------------------------------------------

    def insert_row(self, device: str, time: int, measurements: Sequence[str], values: Sequence[object]) -> None:
        """Write values (bool, int, float, str) at one time, in milliseconds; None leaves a measurement out."""
        names, texts = _row(measurements, values)

        def request(session_id: int) -> tuple[Any]:
            return (_Insert(sessionId=session_id, deviceId=device, measurements=names, values=texts, timestamp=time),)

        self._call("insert", request, device=device)

    def insert_rows(self, rows: Sequence[Row]) -> None:
        """Write rows of any devices, each for itself; raises `RowsRefused` when some of them were not written."""
        if not rows:
            return
        columns = [(device, time, *_row(measurements, values)) for device, time, measurements, values in rows]
        errors: dict[int, RequestError] = {}
        waiting = list(range(len(rows)))

        def attempt(login: _Login, timeout_ms: int) -> None:
            request = _InsertRows(
                sessionId=login.session_id,
                deviceIds=[columns[row][0] for row in waiting],
                measurementsList=[columns[row][2] for row in waiting],
                valuesList=[columns[row][3] for row in waiting],
                timestamps=[columns[row][1] for row in waiting],
            )
            answer = login.client.call("insertRowInBatch", (request,), timeout_ms)
            outcomes = [error_of_status(status) for status in answer.statusList]
            if len(outcomes) != len(waiting):
                raise next((error for error in outcomes if error), MalformedInput("fewer statuses than rows"))
            refused = {row: error for row, error in zip(waiting, outcomes, strict=True) if error is not None}
            again = {row: error for row, error in refused.items() if self._may_repeat(error)}
            errors.update((row, error) for row, error in refused.items() if row not in again)
            waiting[:] = again
            if again:
                raise again[waiting[0]]

        try:
            self._failover.run(attempt, repeatable=self._repeatable)
        except RequestError as error:
            if len(waiting) == len(rows):
                raise
            errors.update(dict.fromkeys(waiting, error))
        if errors:
            raise RowsRefused(dict(sorted(errors.items())), len(rows))

    def insert_table(
        self, device: str, table: "pa.Table | DataFrame", *, time: str | None = None, rows_max: int = TABLET_ROWS
    ) -> int:
        """Write an Arrow table or a pandas DataFrame of any length; returns how many points that were.

        The times are the column `time`, or else one called `Time` or `time`, or else a DataFrame's index: timestamps
        (without a zone they count as UTC) or milliseconds. Every other column is a measurement; nulls, and NaN in a
        DataFrame, are gaps. Goes out as several tablets: when one fails, those before it stay written.
        """
        points = 0
        for measurements, data_types, times, columns in tablets_of(table, time, rows_max):
            self.insert_tablet(device, measurements, data_types, times, columns)
            points += len(times) * len(columns)
        return points

    def insert_tablet(
        self,
        device: str,
        measurements: Sequence[str],
        data_types: Sequence[DataType | str],
        times: ArrayLike,
        columns: Sequence[ArrayLike | Sequence[str]],
    ) -> None:
        """Write many rows of one device at once: `times` in milliseconds, and for each measurement as many values.

        A tablet has no gaps. Unknown series are created with the types given, where the cluster allows that.
        """
        kinds = [type_of(data_type) for data_type in data_types]
        if not len(measurements) == len(kinds) == len(columns):
            raise ValueRefused(f"{len(measurements)} measurements, {len(kinds)} types and {len(columns)} columns")
        timestamps = packed_times(times)
        size = len(timestamps) // 8
        for name, column in zip(measurements, columns, strict=True):
            if len(column) != size:  # type: ignore[arg-type]
                raise ValueRefused(f"{name} has {len(column)} values for {size} times")  # type: ignore[arg-type]
        if size == 0:
            return
        values = b"".join(map(packed_column, measurements, kinds, columns))

        def request(session_id: int) -> tuple[Any]:
            return (
                _InsertBatch(
                    sessionId=session_id,
                    deviceId=device,
                    measurements=list(measurements),
                    values=values,
                    timestamps=timestamps,
                    types=[int(kind) for kind in kinds],
                    size=size,
                ),
            )

        self._call("insertBatch", request, status=lambda answer: answer.status, device=device)

    def delete_data(self, paths: Sequence[str] | str, time: int) -> None:
        """Delete the points of all series that the paths or patterns match with times at or below `time`."""
        given = [paths] if isinstance(paths, str) else list(paths)

        def request(session_id: int) -> tuple[Any]:
            return (_DeleteData(sessionId=session_id, paths=given, timestamp=time),)

        self._call("deleteData", request)

    # -- SQL -----------------------------------------------------------------------------------------------------------

    def query(self, sql: str, *, fetch_size: int = FETCH_ROWS) -> Result:
        """Ask a query; its rows come in pages of `fetch_size`. Raises `StatusError`, 401 with the place."""
        return Result(sql, fetch_size, lambda: self._opened("executeQueryStatement", sql, fetch_size, repeatable=True))

    def execute(self, sql: str, *, fetch_size: int = FETCH_ROWS) -> Result | None:
        """Carry out any statement; a query gives its result, everything else None.

        A statement that changes something is never sent again once it may have taken effect, whatever `repeatable`
        says: `INSERT ... VALUES(now(), ...)` would be another row.
        """
        words = sql.split(None, 1)
        if words and words[0].upper() in READING:
            return self.query(sql, fetch_size=fetch_size)
        opened = self._opened("executeStatement", sql, fetch_size, repeatable=False)
        if opened.answer.columns is None:
            return None
        answers = [opened]

        def ask() -> Opened:
            if answers:
                return answers.pop()
            return self._opened("executeStatement", sql, fetch_size, repeatable=False)

        return Result(sql, fetch_size, ask)

    def execute_batch(self, statements: Sequence[str]) -> None:
        """Carry out statements in order, all of them whatever fails; raises `RowsRefused` when some of them did."""

        def attempt(login: _Login, timeout_ms: int) -> Any:
            request = _ExecuteBatch(sessionId=login.session_id, statements=list(statements))
            answer = login.client.call("executeBatchStatement", (request,), timeout_ms)
            if answer.result is None:
                check(answer.status)
            return answer

        if not statements:
            return
        answer = self._failover.run(attempt, repeatable=False)
        error = error_of_status(answer.status)
        if error is not None:
            raise RowsRefused(_batch_errors(answer.result, error), len(statements))

    def paths(self, pattern: str = "root") -> list[str]:
        """The full paths of the series that a prefix or pattern matches."""

        def request(session_id: int) -> tuple[Any]:
            return (_FetchMetadata(sessionId=session_id, type="ALL_COLUMNS", columnPath=pattern),)

        return list(self._call("fetchMetadata", request, status=lambda answer: answer.status).columnsList or ())

    # -- the session ---------------------------------------------------------------------------------------------------

    def get_time_zone(self) -> str:
        """The session's time zone, as `+08:00` or a name."""
        answer = self._call("getTimeZone", lambda session_id: (session_id,), status=lambda answer: answer.status)
        return str(answer.timeZone)

    def set_time_zone(self, zone: str) -> None:
        """Another time zone for this session, also after a change of nodes; raises `StatusError` 403."""
        self._call("setTimeZone", lambda session_id: (_SetTimeZone(sessionId=session_id, timeZone=zone),))
        self._time_zone = zone

    def properties(self) -> ServerProperties:
        """What the server says of itself."""
        answer = self._call("getProperties", lambda session_id: (), status=lambda answer: None)
        return ServerProperties(
            answer.version, tuple(answer.supportedTimeAggregationOperations), answer.timestampPrecision
        )

    # -- inside --------------------------------------------------------------------------------------------------------

    def _call(
        self,
        method: str,
        args: Callable[[int], tuple[Any, ...]],
        *,
        status: Callable[[Any], Any] = lambda answer: answer,
        device: str | None = None,
    ) -> Any:
        """The answer to a call that succeeded. `status` finds the `TSStatus` in an answer; None when it has none.

        `device` is whose rows it writes, for the way to them.
        """

        def attempt(login: _Login, timeout_ms: int) -> Any:
            answer = login.client.call(method, args(login.session_id), timeout_ms)
            found = status(answer)
            if found is not None:
                check(found)
            return answer

        failover = self._failover if device is None or not self._direct else self._way_to(device)
        return failover.run(attempt, repeatable=self._repeatable)

    def _way_to(self, device: str) -> "Failover[_Login]":
        """The nodes in the order in which a device's rows try them: who leads them first."""
        now_s = monotonic()
        if now_s >= self._routes_until_s:
            self._routes_until_s = now_s + ROUTES_FOR_S
            self._learn_routes()
        leader = self._routes.leader_of(device)
        if leader is None:
            return self._failover
        if leader not in self._by_leader:
            others = [address for address in self._addresses if address != leader]
            self._by_leader[leader] = Failover([leader, *others], self._login, self._timeout_ms)
        return self._by_leader[leader]

    def _learn_routes(self) -> None:
        """Ask every node; those that do not answer, or cannot, are left out."""
        reports: dict[Address, Report] = {}
        for address in self._addresses:
            with suppress(RequestError):
                login = self._login(address, REPORT_TIMEOUT_MS)
                try:
                    answer = login.client.call("report", (login.session_id,), REPORT_TIMEOUT_MS)
                    reports[address] = Report.from_json(answer.json)
                finally:
                    _log_out(login)
                    login.close()
        self._routes = Routes(reports)
        # A way that began elsewhere goes back to the leader with the next call.
        for failover in self._by_leader.values():
            failover.begin_again()

    def _opened(self, method: str, sql: str, fetch_size: int, *, repeatable: bool) -> Opened:
        """The answer to a statement, with what it takes to ask for more."""

        def attempt(login: _Login, timeout_ms: int) -> Opened:
            request = _Execute(
                sessionId=login.session_id, statement=sql, statementId=STATEMENT_ID, fetchSize=max(1, fetch_size)
            )
            answer = login.client.call(method, (request,), timeout_ms)
            check(answer.status)
            return Opened(login.client, login.session_id, answer, self._timeout_ms)

        return self._failover.run(attempt, repeatable=repeatable, patient=True)

    def _may_repeat(self, error: RequestError) -> bool:
        return had_no_effect(error) or (self._repeatable and isinstance(error, OutcomeUnknown))

    def _login(self, address: Address, timeout_ms: int) -> _Login:
        client = ThriftClient(address, SERVICE, connect_timeout_ms=timeout_ms)
        try:
            request = _OpenSession(client_protocol=PROTOCOL_V1, username=self._user, password=self._password)
            answer = _harmless(lambda: client.call("openSession", (request,), timeout_ms))
            check(answer.status)
            if self._time_zone is not None:
                zone = _SetTimeZone(sessionId=answer.sessionId, timeZone=self._time_zone)
                check(_harmless(lambda: client.call("setTimeZone", (zone,), timeout_ms)))
        except ClusterError:
            client.close()
            raise
        return _Login(client, answer.sessionId)


def _log_out(login: _Login) -> None:
    """End a session; where the node cannot be told, it ends it with the connection."""
    with suppress(ClusterError):
        login.client.call("closeSession", (_CloseSession(sessionId=login.session_id),), CLOSE_TIMEOUT_MS)


def _harmless(call: Callable[[], T]) -> T:
    """A call whose effect is a session alone: without an answer, the next node is as good."""
    try:
        return call()
    except OutcomeUnknown as error:
        raise Unreachable(error.message) from error


def _batch_errors(results: Sequence[int], error: RequestError) -> dict[int, RequestError]:
    """The failed statements by position, each with its line of the message: the code, and what this server adds."""
    failed = [number for number, result in enumerate(results) if result == BATCH_FAILED]
    lines = error.message.splitlines()
    if len(lines) != len(failed):
        return dict.fromkeys(failed, error)
    errors: dict[int, RequestError] = {}
    for number, line in zip(failed, lines, strict=True):
        code, _, what = line.partition(":")
        found = error_of(int(code), what.strip()) if code.strip().isdigit() else None
        errors[number] = found or error
    return errors


def _row(measurements: Sequence[str], values: Sequence[object]) -> tuple[list[str], list[str]]:
    """Names and texts of a row without its gaps."""
    if len(measurements) != len(values):
        raise ValueRefused(f"{len(measurements)} measurements and {len(values)} values")
    pairs = [(name, text_of(value)) for name, value in zip(measurements, values, strict=True) if value is not None]
    if not pairs:
        raise ValueRefused("a row without a single value")
    return [name for name, _ in pairs], [text for _, text in pairs]
