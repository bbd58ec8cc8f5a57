"""`TSIService`: sessions and writes of the client port (interface page CLIENT); statements are in `sql_service`."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from iotdb_cluster.errors import MalformedInput, RequestError, StatusCode
from iotdb_cluster.members import structs
from iotdb_cluster.members.client.row_inserts import insert_rows, row_plan
from iotdb_cluster.members.client.sessions import NotLoggedIn, Session, Sessions, WrongLogin
from iotdb_cluster.members.client.sql_service import SqlService
from iotdb_cluster.members.client.tablets import tablet_of
from iotdb_cluster.members.client.time_zones import normalised
from iotdb_cluster.members.clock import Deadline
from iotdb_cluster.members.data.deletes import delete_points
from iotdb_cluster.members.meta.passwords import fits
from iotdb_cluster.members.node_view import NodeView
from iotdb_cluster.members.query.permissions import (
    CREATE_TIMESERIES,
    DELETE_TIMESERIES,
    INSERT_TIMESERIES,
    SET_STORAGE_GROUP,
    Permissions,
)
from iotdb_cluster.members.status import status, status_of, status_of_error
from iotdb_cluster.members.waiting import Outcome
from iotdb_cluster.types import paths
from iotdb_cluster.types.plans import CreateTimeseriesPlan, InsertPlan, PlanKind
from iotdb_cluster.types.schema import Compression, DataType, Encoding
from iotdb_cluster.version import INTERFACE_VERSION
from iotdb_cluster.wire.plans import encode_plan

PROTOCOL_V1 = 0
NO_SESSION_ID = -1
UNKNOWN_ZONE = "Unknown time zone"


class Connection(Protocol):
    """What this service asks of a connection."""

    @property
    def id(self) -> int:
        """Unique in the server."""

    def add_close_callback(self, callback: Callable[[Any], None]) -> None:
        """Call back when it ends."""


class ClientService:
    """The handlers of the client port; each call names its session."""

    def __init__(self, node: NodeView) -> None:
        self._node = node
        settings = node.context.settings
        self._sessions = Sessions(
            node.context.clock,
            username=settings.username,
            password=settings.password,
            time_zone=normalised(settings.time_zone),
            idle_ms=settings.session_idle_ms,
            knows=self._knows,
        )
        self._sql = SqlService(node, self._sessions)
        self._done = status(message="Execute successfully")
        """The answer to most calls; nobody changes it."""

    def handlers(self) -> Mapping[str, Callable[..., Any]]:
        """Method names of the IDL to their handlers."""
        return {
            "openSession": self.open_session,
            "closeSession": self.close_session,
            "getProperties": self.get_properties,
            "getTimeZone": self.get_time_zone,
            "setTimeZone": self.set_time_zone,
            "requestStatementId": self.request_statement_id,
            "setStorageGroup": self.set_storage_group,
            "createTimeseries": self.create_timeseries,
            "insert": self.insert,
            "insertBatch": self.insert_batch,
            "insertRowInBatch": self.insert_row_in_batch,
            "deleteData": self.delete_data,
            "testInsertRow": self.test_insert_row,
            "testInsertBatch": self.test_insert_batch,
            "testInsertRowInBatch": self.test_insert_row_in_batch,
            # the extension
            "report": self.report,
            **self._sql.handlers(),
        }

    # -- sessions ----------------------------------------------------------------------------------------------------

    async def open_session(self, request: Any, connection: Connection) -> Any:
        """Log in; refused with 600 and session id -1."""
        try:
            session = await self._opened(request, connection)
        except RequestError as refusal:
            return structs.TSOpenSessionResp(
                status=status_of_error(refusal), serverProtocolVersion=PROTOCOL_V1, sessionId=NO_SESSION_ID
            )
        connection.add_close_callback(self._sessions.connection_closed)
        return structs.TSOpenSessionResp(
            status=status(message="Login successfully"), serverProtocolVersion=PROTOCOL_V1, sessionId=session.id
        )

    async def _opened(self, request: Any, connection: Connection) -> Session:
        try:
            return self._sessions.open(connection, request.username, request.password)
        except WrongLogin:
            # The user may have been made, or given this password, since this node heard of the meta log.
            meta, before = self._node.meta, self._node.state.accounts
            if meta is None or not request.username or request.username == self._node.context.settings.username:
                raise
            await meta.catch_up(self._deadline())
            if self._node.state.accounts is before:
                raise
        return self._sessions.open(connection, request.username, request.password)

    def _knows(self, username: str, password: str) -> bool:
        user = self._node.state.accounts.user(username)
        return user is not None and fits(password, user.secret)

    def close_session(self, request: Any, connection: Connection) -> Any:
        """Log out; 601 also when it was closed before."""
        try:
            self._sessions.close(request.sessionId)
        except NotLoggedIn as refusal:
            return status_of_error(refusal)
        return status()

    def request_statement_id(self, session_id: int, connection: Connection) -> int:
        """A fresh number; the session is not checked, as in the original."""
        return self._sessions.statement_id()

    def get_properties(self, connection: Connection) -> Any:
        """Version, functions over time, and precision; needs no session."""
        return structs.ServerProperties(
            version=INTERFACE_VERSION,
            supportedTimeAggregationOperations=["max_time", "min_time"],
            timestampPrecision="ms",
        )

    def report(self, session_id: int, connection: Connection) -> Any:
        """What this node knows of the cluster, its other ports included; needs a session."""
        self._sessions.find(session_id)
        return structs.NodeReport(json=self._node.report().to_json())

    def get_time_zone(self, session_id: int, connection: Connection) -> Any:
        """The session's zone; without a session 402."""
        try:
            session = self._sessions.find(session_id)
        except NotLoggedIn:
            return structs.TSGetTimeZoneResp(status=status(StatusCode.GENERATE_TIME_ZONE_ERROR), timeZone=UNKNOWN_ZONE)
        return structs.TSGetTimeZoneResp(status=status(), timeZone=session.time_zone)

    def set_time_zone(self, request: Any, connection: Connection) -> Any:
        """Set the session's zone; an id that is none is refused with 403 and changes nothing."""
        try:
            session = self._sessions.find(request.sessionId)
            session.time_zone = normalised(request.timeZone)
        except RequestError as refusal:
            return status_of_error(refusal)
        return status()

    # -- schema ------------------------------------------------------------------------------------------------------

    async def set_storage_group(self, session_id: int, path: str, connection: Connection) -> Any:
        """Make a storage group; 200 also when it exists already."""

        async def work() -> None:
            paths.check_storage_group(path)
            await self._node.router.set_storage_group(path, self._deadline())

        return await self._answered(session_id, work, SET_STORAGE_GROUP, [path])

    async def create_timeseries(self, request: Any, connection: Connection) -> Any:
        """Make a series; a missing storage group is made at level 2 where that is on."""

        async def work() -> None:
            self._node.router.check_free(request.path)
            paths.check_series(request.path)
            plan = CreateTimeseriesPlan(
                request.path,
                _ordinal(DataType, request.dataType, "data type"),
                _ordinal(Encoding, request.encoding, "encoding"),
                _ordinal(Compression, request.compressor, "compressor"),
            )
            await self._execute(PlanKind.CREATE_TIMESERIES, request.path, encode_plan(plan))

        return await self._answered(request.sessionId, work, CREATE_TIMESERIES, [request.path])

    # -- data --------------------------------------------------------------------------------------------------------

    async def insert(self, request: Any, connection: Connection) -> Any:
        """One row, values as text."""
        try:
            session = self._sessions.find(request.sessionId)
            Permissions(self._node, session).require(INSERT_TIMESERIES, [request.deviceId])
            plan = row_plan(request.deviceId, request.timestamp, request.measurements, request.values)
            await self._node.router.execute(PlanKind.INSERT, request.deviceId, encode_plan(plan), self._deadline())
        except RequestError as error:
            return status_of_error(error)
        return self._done

    async def insert_batch(self, request: Any, connection: Connection) -> Any:
        """Many rows of one device by column: routed and replicated as one entry, whole or not at all."""
        rows = request.size

        async def work() -> None:
            plan = tablet_of(
                request.deviceId, request.measurements, request.types, rows, request.timestamps, request.values
            )
            paths.check_device(request.deviceId)
            if rows:
                await self._execute(PlanKind.BATCHINSERT, request.deviceId, encode_plan(plan))

        answered = await self._answered(request.sessionId, work, INSERT_TIMESERIES, [request.deviceId])
        done = answered.statusType.code == StatusCode.SUCCESS_STATUS
        result = [int(StatusCode.SUCCESS_STATUS)] * rows if done else None
        if answered.statusType.code == StatusCode.OUT_OF_TTL_ERROR:
            # Every row is too old, which the original says row by row.
            result = [int(StatusCode.OUT_OF_TTL_ERROR)] * rows
            answered = status(StatusCode.INTERNAL_SERVER_ERROR, answered.statusType.message)
        return structs.TSExecuteBatchStatementResp(status=answered, result=result)

    async def insert_row_in_batch(self, request: Any, connection: Connection) -> Any:
        """Rows of any devices, all tried; a status for each. Rows of one data group go together, in their order."""
        try:
            session = self._sessions.find(request.sessionId)
        except NotLoggedIn as refusal:
            return structs.TSExecuteInsertRowInBatchResp(sessionId=0, statusList=[status_of_error(refusal)])
        outcomes = await self._insert_rows(request, Permissions(self._node, session))
        statuses = [status_of(outcome) for outcome in outcomes]
        return structs.TSExecuteInsertRowInBatchResp(sessionId=0, statusList=statuses)

    async def delete_data(self, request: Any, connection: Connection) -> Any:
        """Delete points with time <= timestamp; patterns that match nothing beside others that do are ignored."""

        async def work() -> None:
            await delete_points(self._node.router, request.paths, request.timestamp, self._deadline())

        return await self._answered(request.sessionId, work, DELETE_TIMESERIES, request.paths)

    # -- calls that store nothing ------------------------------------------------------------------------------------

    def test_insert_row(self, request: Any, connection: Connection) -> Any:
        """Measures the way here; the request is not looked at (interface page)."""
        return status()

    def test_insert_batch(self, request: Any, connection: Connection) -> Any:
        """As `test_insert_row`."""
        return structs.TSExecuteBatchStatementResp(status=status(), result=[])

    def test_insert_row_in_batch(self, request: Any, connection: Connection) -> Any:
        """As `test_insert_row`."""
        return structs.TSExecuteInsertRowInBatchResp(sessionId=0, statusList=[status()])

    # -- shared ------------------------------------------------------------------------------------------------------

    async def _answered(self, session_id: int, work: Callable[[], Any], privilege: str, at_paths: Sequence[str]) -> Any:
        """Do `work` for an open session whose user has a privilege at these paths; its error is the status."""
        try:
            Permissions(self._node, self._sessions.find(session_id)).require(privilege, at_paths)
            await work()
        except RequestError as error:
            return status_of_error(error)
        return self._done

    async def _execute(self, kind: PlanKind, path: str, plan: bytes) -> None:
        await self._node.router.execute(kind, path, plan, self._deadline())

    def _deadline(self) -> Deadline:
        return Deadline.after(self._node.context.clock, self._node.context.settings.write_deadline_ms)

    async def _insert_rows(self, request: Any, permissions: Permissions) -> Sequence[Outcome]:
        devices, times = request.deviceIds, request.timestamps
        names, values = request.measurementsList, request.valuesList
        if not len(devices) == len(times) == len(names) == len(values):
            refusal = MalformedInput(
                f"{len(devices)} devices, {len(names)} lists of measurements, {len(values)} of values, "
                f"{len(times)} times"
            )
            return [refusal] * max(len(devices), len(times), len(names), len(values))
        rows: list[InsertPlan | RequestError] = []
        for row in zip(devices, times, names, values, strict=True):
            try:
                permissions.require(INSERT_TIMESERIES, [row[0]])
                rows.append(row_plan(*row))
            except RequestError as refusal:
                rows.append(refusal)
        return await insert_rows(self._node.router, rows, self._deadline())


E = TypeVar("E", DataType, Encoding, Compression)


def _ordinal(kind: type[E], ordinal: int, what: str) -> E:
    try:
        return kind(ordinal)
    except ValueError:
        raise MalformedInput(
            f"{ordinal} is no {what}; there are {', '.join(f'{e.value} {e.name}' for e in kind)}"
        ) from None
