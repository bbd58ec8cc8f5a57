"""A session on the client port: what a Python user writes with."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self, overload

import pyarrow as pa
from numpy.typing import ArrayLike

from iotdb_cluster.client.failover import Address, parse_address
from iotdb_cluster.client.logins import Account, Login, Logins
from iotdb_cluster.client.result import Opened, Result
from iotdb_cluster.client.statuses import check, error_of, error_of_status, had_no_effect
from iotdb_cluster.client.tables import TABLET_ROWS, is_table, tablets_of
from iotdb_cluster.client.values import DEFAULT_ENCODING, packed_column, packed_times, text_of, time_of, type_of
from iotdb_cluster.errors import (
    MalformedInput,
    OutcomeUnknown,
    RemoteError,
    RequestError,
    RowsRefused,
    ValueRefused,
)
from iotdb_cluster.types.schema import Compression, DataType, Encoding
from iotdb_cluster.wire.codec import ApplicationError
from iotdb_cluster.wire.idl import STRUCTS

if TYPE_CHECKING:
    from pandas import DataFrame

BATCH_FAILED = -3

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

Row = tuple[str, int, Sequence[str], Sequence[object]]
"""Device, time in milliseconds, measurements, and as many values; None for a measurement that has none."""

Asking = Callable[[Login, Any, int], tuple[Any, bool]]
"""A call with a statement: its `TSExecuteStatementResp`, and whether that has all rows."""


@dataclass(frozen=True, slots=True)
class ServerProperties:
    """What a server says of itself."""

    version: str
    time_aggregations: tuple[str, ...]
    timestamp_precision: str


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
        account = Account(user, password, time_zone)
        self._logins = Logins(addresses, account, timeout_ms, direct=direct and len(addresses) > 1)
        self._repeatable = repeatable
        self._only_mirrored: set[Address] = set()
        """Servers that know no more than the calls of the original."""
        self._timeout_ms = timeout_ms

    # -- life ----------------------------------------------------------------------------------------------------------

    def open(self, *, within_ms: int | None = None) -> Self:
        """Log in now rather than with the first call; raises `StatusError` 600 for a wrong name or password.

        `within_ms` is for this alone, instead of `timeout_ms`: who waits at a terminal wants to know soon.
        """
        self._logins.way().run(lambda login, timeout_ms: None, repeatable=True, timeout_ms=within_ms)
        return self

    def close(self) -> None:
        """Log out; where the node cannot be told, it ends the session with the connection."""
        self._logins.close()

    def cancel(self) -> None:
        """End this session's queries on the node, also one that a call waits for; from any thread.

        The call that waits raises `StatusError`; the next one logs in again. What changes something is not undone.
        """
        self._logins.cancel()

    def drop(self) -> None:
        """Leave all connections at once, as after a call that was interrupted; the next call logs in again."""
        self._logins.drop()

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
        at = time_of(time)

        def request(session_id: int) -> tuple[Any]:
            return (_Insert(sessionId=session_id, deviceId=device, measurements=names, values=texts, timestamp=at),)

        self._call("insert", request, device=device)

    def insert_rows(self, rows: Sequence[Row]) -> None:
        """Write rows of any devices, each for itself; raises `RowsRefused` when some of them were not written."""
        if not rows:
            return
        columns = [(device, time_of(time), *_row(measurements, values)) for device, time, measurements, values in rows]
        errors: dict[int, RequestError] = {}
        waiting = list(range(len(rows)))

        def attempt(login: Login, timeout_ms: int) -> None:
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
            self._logins.way().run(attempt, repeatable=self._repeatable)
        except RequestError as error:
            if len(waiting) == len(rows):
                raise
            errors.update(dict.fromkeys(waiting, error))
        if errors:
            raise RowsRefused(dict(sorted(errors.items())), len(rows))

    @overload
    def insert_tablet(
        self,
        device: str,
        measurements: Sequence[str],
        data_types: Sequence[DataType | str],
        times: ArrayLike,
        columns: Sequence[ArrayLike | Sequence[str]],
    ) -> int: ...

    @overload
    def insert_tablet(
        self, device: str, table: "pa.Table | DataFrame", /, *, time: str | None = None, rows_max: int = TABLET_ROWS
    ) -> int: ...

    def insert_tablet(
        self,
        device: str,
        measurements: "Sequence[str] | pa.Table | DataFrame",
        data_types: Sequence[DataType | str] | None = None,
        times: ArrayLike | None = None,
        columns: Sequence[ArrayLike | Sequence[str]] | None = None,
        *,
        time: str | None = None,
        rows_max: int = TABLET_ROWS,
    ) -> int:
        """Write many rows of one device at once, from numpy columns, Arrow or pandas; returns how many points.

        With columns: `times` in milliseconds, and for each of `measurements` its type and as many values. Such a tablet
        has no gaps, and goes out as one.

        With a table (Arrow, or a DataFrame) of any length: the times are the column `time`, or else one called `Time`
        or `time`, or else a DataFrame's index: timestamps (without a zone they count as UTC) or milliseconds. Every
        other column is a measurement; nulls, and NaN in a DataFrame, are gaps. It goes out as several tablets of at
        most `rows_max` rows: when one fails, those before it stay written.

        Unknown series are created with the types given, where the cluster allows that. Raises `ValueRefused`.
        """
        if data_types is None and times is None and columns is None:
            tablets = tablets_of(measurements, time, rows_max)
            return sum(self._insert_columns(device, *tablet) for tablet in tablets)
        if data_types is None or times is None or columns is None:
            raise ValueRefused("a tablet of columns takes measurements, data_types, times and columns")
        if time is not None or is_table(measurements):
            raise ValueRefused("a table brings its own types, times and columns: give it alone, or with time=")
        return self._insert_columns(device, measurements, data_types, times, columns)

    def _insert_columns(
        self,
        device: str,
        measurements: Sequence[str],
        data_types: Sequence[DataType | str],
        times: ArrayLike,
        columns: Sequence[ArrayLike | Sequence[str]],
    ) -> int:
        kinds = [type_of(data_type) for data_type in data_types]
        if not len(measurements) == len(kinds) == len(columns):
            raise ValueRefused(f"{len(measurements)} measurements, {len(kinds)} types and {len(columns)} columns")
        timestamps = packed_times(times)
        size = len(timestamps) // 8
        for name, column in zip(measurements, columns, strict=True):
            if len(column) != size:  # type: ignore[arg-type]
                raise ValueRefused(f"{name} has {len(column)} values for {size} times")  # type: ignore[arg-type]
        if size == 0:
            return 0
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
        return size * len(columns)

    def delete_data(self, paths: Sequence[str] | str, time: int) -> None:
        """Delete the points of all series that the paths or patterns match with times at or below `time`."""
        given = [paths] if isinstance(paths, str) else list(paths)
        until = time_of(time)

        def request(session_id: int) -> tuple[Any]:
            return (_DeleteData(sessionId=session_id, paths=given, timestamp=until),)

        self._call("deleteData", request)

    # -- SQL -----------------------------------------------------------------------------------------------------------

    def query(self, sql: str, *, fetch_size: int = FETCH_ROWS) -> Result:
        """Ask a query; its rows come in pages of `fetch_size`. Raises `StatusError`, 401 with the place."""
        return Result(sql, fetch_size, lambda: self._opened(self._ask_query, sql, fetch_size, repeatable=True))

    def execute(self, sql: str, *, fetch_size: int = FETCH_ROWS) -> Result | None:
        """Carry out any statement; a query gives its result, everything else None.

        A statement that changes something is never sent again once it may have taken effect, whatever `repeatable`
        says: `INSERT ... VALUES(now(), ...)` would be another row.
        """
        words = sql.split(None, 1)
        if words and words[0].upper() in READING:
            return self.query(sql, fetch_size=fetch_size)
        opened = self._opened(_execute, sql, fetch_size, repeatable=False)
        if opened.answer.columns is None:
            return None
        answers = [opened]

        def ask() -> Opened:
            if answers:
                return answers.pop()
            return self._opened(_execute, sql, fetch_size, repeatable=False)

        return Result(sql, fetch_size, ask)

    def execute_batch(self, statements: Sequence[str]) -> None:
        """Carry out statements in order, all of them whatever fails; raises `RowsRefused` when some of them did."""

        def attempt(login: Login, timeout_ms: int) -> Any:
            request = _ExecuteBatch(sessionId=login.session_id, statements=list(statements))
            answer = login.client.call("executeBatchStatement", (request,), timeout_ms)
            if answer.result is None:
                check(answer.status)
            return answer

        if not statements:
            return
        answer = self._logins.way().run(attempt, repeatable=False)
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
        self._logins.time_zone = zone

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

        def attempt(login: Login, timeout_ms: int) -> Any:
            answer = login.client.call(method, args(login.session_id), timeout_ms)
            found = status(answer)
            if found is not None:
                check(found)
            return answer

        return self._logins.way(device).run(attempt, repeatable=self._repeatable)

    def _opened(self, ask: Asking, sql: str, fetch_size: int, *, repeatable: bool) -> Opened:
        """The answer to a statement, with what it takes to ask for more."""

        def attempt(login: Login, timeout_ms: int) -> Opened:
            request = _Execute(
                sessionId=login.session_id, statement=sql, statementId=STATEMENT_ID, fetchSize=max(1, fetch_size)
            )
            answer, is_all = ask(login, request, timeout_ms)
            check(answer.status)
            return Opened(login.client, login.session_id, answer, self._timeout_ms, is_all)

        return self._logins.way().run(attempt, repeatable=repeatable, patient=True)

    def _ask_query(self, login: Login, request: Any, timeout_ms: int) -> tuple[Any, bool]:
        """The answer to a query, and whether it is all; a server that does not know this call never says so."""
        if login.address not in self._only_mirrored:
            try:
                found = login.client.call("query", (request,), timeout_ms)
            except RemoteError as error:
                if error.type != ApplicationError.UNKNOWN_METHOD:
                    raise
                self._only_mirrored.add(login.address)
            else:
                return found.answer, found.isAll
        return login.client.call("executeQueryStatement", (request,), timeout_ms), False

    def _may_repeat(self, error: RequestError) -> bool:
        return had_no_effect(error) or (self._repeatable and isinstance(error, OutcomeUnknown))


def _execute(login: Login, request: Any, timeout_ms: int) -> tuple[Any, bool]:
    return login.client.call("executeStatement", (request,), timeout_ms), False


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
    if isinstance(measurements, str):
        raise ValueRefused(f"measurements: a list of names is needed, not the text {measurements!r}")
    if len(measurements) != len(values):
        raise ValueRefused(f"{len(measurements)} measurements and {len(values)} values")
    pairs = [(name, text_of(value)) for name, value in zip(measurements, values, strict=True) if value is not None]
    if not pairs:
        raise ValueRefused("a row without a single value")
    return [name for name, _ in pairs], [text for _, text in pairs]
