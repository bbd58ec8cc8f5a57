"""`TSIService`: statements, queries and metadata of the client port (interface page CLIENT)."""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

from iotdb_cluster.errors import RequestError, SqlTreeRefused, StatusCode
from iotdb_cluster.members import structs
from iotdb_cluster.members.client.row_inserts import insert_rows
from iotdb_cluster.members.client.sessions import NotLoggedIn, Session, Sessions
from iotdb_cluster.members.client.time_zones import zone_of
from iotdb_cluster.members.clock import Deadline
from iotdb_cluster.members.node_view import NodeView
from iotdb_cluster.members.query.accounting import Accounting
from iotdb_cluster.members.query.changing import Changing, insert_plan
from iotdb_cluster.members.query.explaining import Explaining
from iotdb_cluster.members.query.finding import Finder
from iotdb_cluster.members.query.listing import Listing
from iotdb_cluster.members.query.metadata import Metadata
from iotdb_cluster.members.query.open_queries import OpenQueries, OpenQuery
from iotdb_cluster.members.query.permissions import READ_TIMESERIES, AccountList, Permissions
from iotdb_cluster.members.query.replies import first_reply, next_reply, no_reply
from iotdb_cluster.members.query.running import Running
from iotdb_cluster.members.query.selecting import Answer, Selecting
from iotdb_cluster.members.status import status, status_of_error
from iotdb_cluster.members.waiting import Outcome
from iotdb_cluster.settings import MIB
from iotdb_cluster.sql import statements as sql
from iotdb_cluster.sql.parse import parse
from iotdb_cluster.types.plans import InsertPlan

BATCH_DONE = -2
BATCH_FAILED = -3
_EXECUTED = "Execute successfully"


class NotOfThisKind(RequestError):
    """A query where there should be another statement, or the other way round."""


class QueryInBatch(RequestError):
    """A query among the statements of a batch."""

    code = StatusCode.QUERY_NOT_ALLOWED


class SqlService:
    """The handlers of the client port that take statements, or ids of queries."""

    def __init__(self, node: NodeView, sessions: Sessions) -> None:
        self._node = node
        self._sessions = sessions
        settings = node.context.settings
        self._queries = OpenQueries(
            node.context.clock, max_count=settings.query_open_max_count, idle_ms=settings.reader_idle_ms
        )
        sessions.when_ended(self._queries.end_session)

    def handlers(self) -> Mapping[str, Callable[..., Any]]:
        """Method names of the IDL to their handlers."""
        return {
            "executeStatement": self.execute_statement,
            "executeQueryStatement": self.execute_query_statement,
            "executeUpdateStatement": self.execute_update_statement,
            "executeBatchStatement": self.execute_batch_statement,
            # the extension
            "query": self.query,
            "fetchResults": self.fetch_results,
            "closeOperation": self.close_operation,
            "cancelOperation": self.cancel_operation,
            "fetchMetadata": self.fetch_metadata,
            "deleteTimeseries": self.delete_timeseries,
            "deleteStorageGroups": self.delete_storage_groups,
        }

    # -- statements --------------------------------------------------------------------------------------------------

    async def execute_statement(self, request: Any, connection: object) -> Any:
        """Any statement or admin command; a statement whose tree is refused gives 303."""

        async def work(session: Session) -> Any:
            statement = self._parsed(request.statement, session)
            if statement.is_query:
                return await self._query(statement, request, session)
            return await self._change(statement, session)

        return await self._answered(request.sessionId, work)

    async def execute_query_statement(self, request: Any, connection: object) -> Any:
        """A query; anything else is refused with 400."""

        async def work(session: Session) -> Any:
            statement = self._parsed(request.statement, session, tree_code=StatusCode.SQL_PARSE_ERROR)
            if not statement.is_query:
                raise NotOfThisKind("not a query: executeUpdateStatement takes this statement")
            return await self._query(statement, request, session)

        return await self._answered(request.sessionId, work)

    async def query(self, request: Any, connection: object) -> Any:
        """A query as by `execute_query_statement`; where its first page is all, it ends and the answer says so."""
        answer = await self.execute_query_statement(request, connection)
        is_all = answer.queryId is not None and self._queries.end_finished(request.sessionId, answer.queryId)
        return structs.QueryAnswer(answer=answer, isAll=is_all)

    async def execute_update_statement(self, request: Any, connection: object) -> Any:
        """A statement that is no query; a query is refused with 400."""

        async def work(session: Session) -> Any:
            statement = self._parsed(request.statement, session, tree_code=StatusCode.SQL_PARSE_ERROR)
            if statement.is_query:
                raise NotOfThisKind("a query: executeQueryStatement takes this statement")
            if statement.is_admin:
                raise RequestError("admin commands go by executeStatement only", code=StatusCode.SQL_PARSE_ERROR)
            return await self._change(statement, session)

        return await self._answered(request.sessionId, work)

    async def execute_batch_statement(self, request: Any, connection: object) -> Any:
        """Statements in order, all of them whatever fails; the message says which failed, and why."""
        try:
            session = self._sessions.find(request.sessionId)
        except NotLoggedIn as refusal:
            return structs.TSExecuteBatchStatementResp(status=status_of_error(refusal))
        outcomes = await self._batch(request.statements, session)
        failed = [(number, outcome) for number, outcome in enumerate(outcomes) if outcome is not None]
        result = [BATCH_DONE if outcome is None else BATCH_FAILED for outcome in outcomes]
        if not failed:
            done = status(message="Execute batch statements successfully")
            return structs.TSExecuteBatchStatementResp(status=done, result=result)
        lines = [f"{int(outcome.code)}: statement {number}: {outcome.message}" for number, outcome in failed]
        refused = status(StatusCode.EXECUTE_STATEMENT_ERROR, "\n".join(lines))
        return structs.TSExecuteBatchStatementResp(status=refused, result=result)

    # -- open queries ------------------------------------------------------------------------------------------------

    async def fetch_results(self, request: Any, connection: object) -> Any:
        """The next page of a query; where there is nothing more, the query ends with that."""
        try:
            self._sessions.find(request.sessionId)
            query = self._queries.find(request.sessionId, request.queryId)
            try:
                with query.using():
                    query.running.begin_call()
                    pages = await query.page(request.fetchSize, self._page_max_bytes)
                    assert query.answer is not None, "a query that is used keeps its answer"
                    reply, has_rows = next_reply(query.answer, pages)
            except RequestError:
                self._queries.end(query, "it failed")
                raise
            if not has_rows:
                self._queries.end(query, "it came to its end")
            return reply
        except RequestError as error:
            return no_reply(error)

    def close_operation(self, request: Any, connection: object) -> Any:
        """End all queries of a statement, or one query; ids that do not exist are none."""
        try:
            self._sessions.find(request.sessionId)
        except NotLoggedIn as refusal:
            return status_of_error(refusal)
        if request.statementId is not None:
            self._queries.end_statement(request.sessionId, request.statementId)
        elif request.queryId is not None:
            self._queries.end_query(request.sessionId, request.queryId, "the query was closed")
        return status()

    def cancel_operation(self, request: Any, connection: object) -> Any:
        """End a query, also while a call waits for its rows."""
        try:
            self._sessions.find(request.sessionId)
        except NotLoggedIn as refusal:
            return status_of_error(refusal)
        self._queries.end_query(request.sessionId, request.queryId, "the query was cancelled")
        return status()

    # -- metadata ----------------------------------------------------------------------------------------------------

    async def fetch_metadata(self, request: Any, connection: object) -> Any:
        """The type of a column, the paths below another one, or the whole tree."""
        try:
            session = self._sessions.find(request.sessionId)
            metadata = Metadata(self._node, self._running(session))
            match request.type:
                case "METADATA_IN_JSON":
                    return structs.TSFetchMetadataResp(status=status(), metadataInJson=await metadata.as_json())
                case "COLUMN":
                    data_type = await metadata.data_type(request.columnPath)
                    return structs.TSFetchMetadataResp(status=status(), dataType=data_type.name)
                case "ALL_COLUMNS":
                    found = await metadata.paths(request.columnPath)
                    return structs.TSFetchMetadataResp(status=status(), columnsList=found)
            refusal = status(StatusCode.METADATA_ERROR, f"no metadata of the type {request.type[:60]!r}")
            return structs.TSFetchMetadataResp(status=refusal)
        except RequestError as error:
            return structs.TSFetchMetadataResp(status=status_of_error(error))

    async def delete_timeseries(self, session_id: int, patterns: Sequence[str], connection: object) -> Any:
        """Delete series with their points; nothing when one of the lot matches nothing."""
        return await self._changed(session_id, sql.DeleteTimeseries(tuple(patterns)))

    async def delete_storage_groups(self, session_id: int, storage_groups: Sequence[str], connection: object) -> Any:
        """Delete storage groups with everything in them."""
        return await self._changed(session_id, sql.DeleteStorageGroups(tuple(storage_groups)))

    # -- shared ------------------------------------------------------------------------------------------------------

    @property
    def _page_max_bytes(self) -> int:
        return self._node.context.settings.frame_max_mb * MIB // 2

    async def _answered(self, session_id: int, work: Callable[[Session], Coroutine[Any, Any, Any]]) -> Any:
        """Do `work` for an open session; its error is the status, and nothing else is set."""
        try:
            return await work(self._sessions.find(session_id))
        except RequestError as error:
            return structs.TSExecuteStatementResp(status=status_of_error(error))

    async def _changed(self, session_id: int, statement: sql.Statement) -> Any:
        try:
            session = self._sessions.find(session_id)
            await Changing(self._node, self._running(session), session).carry_out(statement)
        except RequestError as error:
            return status_of_error(error)
        return status(message=_EXECUTED)

    def _running(self, session: Session) -> Running:
        context = self._node.context
        return Running(self._queries.new_id(), context.clock, context.settings, session.consistency)

    def _parsed(self, text: str, session: Session, *, tree_code: StatusCode | None = None) -> sql.Statement:
        try:
            return parse(text, zone=zone_of(session.time_zone), now_ms=self._node.context.clock.wall_ms())
        except SqlTreeRefused as refusal:
            if tree_code is not None:
                refusal.code = tree_code
            raise

    async def _query(self, statement: sql.Statement, request: Any, session: Session) -> Any:
        """The first page of a query, which stays open for more."""
        running = self._running(session)
        query = OpenQuery(running, session.id, request.statementId)
        self._queries.add(query)
        try:
            with query.using():
                query.answer = await self._answer(statement, running, Permissions(self._node, session))
                pages = await query.page(request.fetchSize or 0, self._page_max_bytes)
                return first_reply(query.id, query.answer, pages)
        except BaseException:
            self._queries.end(query, "it failed")
            raise

    async def _answer(self, statement: sql.Statement, running: Running, permissions: Permissions) -> Answer:
        if isinstance(statement, sql.Select | sql.Explain):
            selecting = Selecting(self._node, running)
            bound = await selecting.bound(statement.select if isinstance(statement, sql.Explain) else statement)
            permissions.require(READ_TIMESERIES, [series.path for series in bound.series])
            if isinstance(statement, sql.Explain):
                return await Explaining(self._node, running).answer(bound)
            return selecting.answer(bound)
        if isinstance(statement, AccountList):
            permissions.check_list(statement)
            state = await Finder(self._node, running).level_with_meta()
            return Accounting(self._node).answer(statement, state.accounts)
        return await Listing(self._node, running).answer(statement)

    async def _change(self, statement: sql.Statement, session: Session) -> Any:
        """Carry out a statement that is no query; when it fails, its id is set all the same (interface page)."""
        running = self._running(session)
        query_id = None if statement.is_admin else running.id
        changing = Changing(self._node, running, session)
        changing.check(statement)
        try:
            await changing.carry_out(statement)
        except RequestError as error:
            return structs.TSExecuteStatementResp(status=status_of_error(error), queryId=query_id)
        return structs.TSExecuteStatementResp(status=status(message=_EXECUTED), queryId=query_id)

    # -- batches -----------------------------------------------------------------------------------------------------

    async def _batch(self, texts: Sequence[str], session: Session) -> list[Outcome]:
        """An outcome for each statement; INSERTs that follow one another travel together."""
        outcomes: list[Outcome] = [None] * len(texts)
        rows: list[tuple[int, InsertPlan | RequestError]] = []
        for number, text in enumerate(texts):
            try:
                statement = self._parsed(text, session)
                if isinstance(statement, sql.Insert):
                    Permissions(self._node, session).check(statement)
                    rows.append((number, insert_plan(statement)))
                    continue
                if statement.is_query:
                    raise QueryInBatch("a query cannot stand in a batch")
                await self._insert(rows, outcomes)
                await Changing(self._node, self._running(session), session).carry_out(statement)
            except RequestError as error:
                outcomes[number] = error
        await self._insert(rows, outcomes)
        return outcomes

    async def _insert(self, rows: list[tuple[int, InsertPlan | RequestError]], outcomes: list[Outcome]) -> None:
        """Insert the rows that wait, and note what became of them."""
        if not rows:
            return
        context = self._node.context
        deadline = Deadline.after(context.clock, context.settings.write_deadline_ms)
        done = await insert_rows(self._node.router, [row for _, row in rows], deadline)
        for (number, _), outcome in zip(rows, done, strict=True):
            outcomes[number] = outcome
        rows.clear()
