"""Statements that change something, carried out one by one."""

from collections.abc import Sequence

from iotdb_cluster.errors import (
    MetadataRefused,
    PathNotFound,
    RequestError,
    StatusCode,
    Unsupported,
)
from iotdb_cluster.members.client.row_inserts import row_plan
from iotdb_cluster.members.client.sessions import Session
from iotdb_cluster.members.clock import Deadline
from iotdb_cluster.members.data.deletes import delete_points, delete_series
from iotdb_cluster.members.data.time_to_live import set_ttl
from iotdb_cluster.members.node_view import NodeView
from iotdb_cluster.members.query.accounting import Accounting, check_privileges
from iotdb_cluster.members.query.finding import Finder
from iotdb_cluster.members.query.permissions import Account, Permissions
from iotdb_cluster.members.query.running import CONSISTENCY_STRONG, Running
from iotdb_cluster.sql import statements as sql
from iotdb_cluster.timeseries.filters import LAST_TIME
from iotdb_cluster.types import paths
from iotdb_cluster.types.entries import CloseFile
from iotdb_cluster.types.identity import GroupId
from iotdb_cluster.types.plans import CreateTimeseriesPlan, DeleteStorageGroupPlan, InsertPlan, PlanKind
from iotdb_cluster.wire.entries import encode_close_file
from iotdb_cluster.wire.plans import encode_plan


class Changing:
    """Carries out one statement that is no query; returns when it is applied, or raises why not."""

    def __init__(self, node: NodeView, running: Running, session: Session) -> None:
        self._node = node
        self._session = session
        self._permissions = Permissions(node, session)
        self._finder = Finder(node, running)
        self._deadline = Deadline.after(node.context.clock, node.context.settings.write_deadline_ms)

    def check(self, statement: sql.Statement) -> None:
        """Raise why the statement is refused before anything is done for it."""
        self._permissions.check(statement)
        if isinstance(statement, sql.GrantPrivileges | sql.RevokePrivileges):
            check_privileges(statement.privileges)

    async def carry_out(self, statement: sql.Statement) -> None:
        """Do what the statement says; raises `NotPermitted`, and `Unsupported` for one that is not known here."""
        self.check(statement)
        match statement:
            case sql.Insert():
                plan = insert_plan(statement)
                await self._node.router.execute(PlanKind.INSERT, statement.device, encode_plan(plan), self._deadline)
            case sql.DeleteData(patterns, until_ms):
                time = LAST_TIME if until_ms is None else until_ms
                await delete_points(self._node.router, patterns, time, self._deadline)
            case sql.SetStorageGroup(path):
                paths.check_storage_group(path)
                await self._node.router.set_storage_group(path, self._deadline)
            case sql.SetTtl(path, ttl_ms):
                await self._set_ttl(path, ttl_ms)
            case sql.UnsetTtl(path):
                await self._set_ttl(path, None)
            case sql.DeleteStorageGroups(storage_groups):
                await self._delete_storage_groups(storage_groups)
            case sql.CreateTimeseries():
                await self._create(statement)
            case sql.DeleteTimeseries(patterns):
                await self._delete_timeseries(patterns)
            case sql.Flush(storage_groups):
                await self._flush(storage_groups)
            case sql.Merge():
                # Files are merged in the background whenever that is worth it.
                return
            case sql.SetConsistencyLevel(level):
                self._session.consistency = level.value
            case sql.Labelling() | sql.SetWatermark():
                # Accepted without an effect that could be seen, as in the original.
                return
            case sql.LoadConfiguration():
                raise Unsupported("LOAD CONFIGURATION is not supported: settings are read when a node starts")
            case sql.FileCommand():
                raise Unsupported("LOAD, REMOVE and MOVE are not supported: files come in by `iotdb-cluster import`")
            case _ if isinstance(statement, Account):
                await Accounting(self._node).carry_out(statement, self._deadline)
            case _:
                raise Unsupported(f"{type(statement).__name__} is not supported")

    async def _set_ttl(self, path: str, ttl_ms: int | None) -> None:
        paths.check_storage_group(path)
        await set_ttl(self._node.router, self._node.context.clock, path, ttl_ms, self._deadline)

    async def _delete_timeseries(self, patterns: Sequence[str]) -> None:
        """Delete series with their points; nothing at all when one pattern matches nothing."""
        found = await self._finder.find(patterns)
        for pattern in patterns:
            if not found[pattern]:
                raise PathNotFound(f"{pattern} matches no time series; nothing was deleted")
        await delete_series(self._node.router, patterns, self._deadline)

    async def _delete_storage_groups(self, storage_groups: Sequence[str]) -> None:
        """Delete storage groups with everything in them; nothing at all when one of them is none."""
        state = await self._finder.level_with_meta()
        for path in storage_groups:
            if path not in state.storage_groups:
                raise MetadataRefused(f"{path} is not a storage group; nothing was deleted")
        for path in dict.fromkeys(storage_groups):
            plan = encode_plan(DeleteStorageGroupPlan(path))
            await self._node.router.execute(PlanKind.DELETE_STORAGE_GROUP, path, plan, self._deadline)

    async def _flush(self, storage_groups: Sequence[str]) -> None:
        """Let the groups of these storage groups, or of all, write what is in memory to files.

        Returns when the replicas of this node have done so; the others begin at the same entry of their log.
        """
        state = await self._finder.level_with_meta()
        for path in storage_groups:
            if path not in state.storage_groups:
                raise RequestError(f"{path} is not a storage group", code=StatusCode.NOT_STORAGE_GROUP_ERROR)
        router = self._node.router
        by_group: dict[GroupId, list[bytes]] = {}
        for path in storage_groups or state.storage_groups:
            by_group.setdefault(router.group_of_storage_group(path), []).append(_close_file(path))
        for group, plans in sorted(by_group.items()):
            for outcome in await router.execute_in(group, plans, self._deadline):
                # A data group hears of a storage group with its first series only: there is nothing to write.
                if outcome is not None and outcome.code != StatusCode.STORAGE_GROUP_ERROR:
                    raise outcome
        for group in by_group:
            member = self._node.data(group)
            if member is not None:
                await member.catch_up(self._deadline, CONSISTENCY_STRONG)
                await member.sealing.up_to(member.applied.index, self._deadline)

    async def _create(self, statement: sql.CreateTimeseries) -> None:
        schema = statement.schema
        self._node.router.check_free(schema.path)
        paths.check_series(schema.path)
        plan = CreateTimeseriesPlan(schema.path, schema.data_type, schema.encoding, schema.compression)
        await self._node.router.execute(PlanKind.CREATE_TIMESERIES, schema.path, encode_plan(plan), self._deadline)


def insert_plan(statement: sql.Insert) -> InsertPlan:
    """The row of an INSERT; raises `RequestError` for one that can be none."""
    values = [value.text for value in statement.values]
    return row_plan(statement.device, statement.time_ms, statement.measurements, values)


def _close_file(storage_group: str) -> bytes:
    """The plan by which a data group's leader enters a CLOSE_FILE."""
    return bytes((PlanKind.CLOSE_FILE,)) + encode_close_file(CloseFile(storage_group, is_sequence=True))
