"""What a data group answers to the queries of other nodes, beyond the mirrored calls (extension, data port)."""

from collections.abc import Callable, Mapping
from typing import Any

from iotdb_cluster.errors import MalformedInput
from iotdb_cluster.members import convert, structs
from iotdb_cluster.members.clock import Deadline
from iotdb_cluster.members.data_member import DataGroupMember
from iotdb_cluster.members.node_view import NodeView
from iotdb_cluster.members.runtime import unknown_group
from iotdb_cluster.sql.statements import ConsistencyLevel
from iotdb_cluster.types import paths
from iotdb_cluster.wire.schemas import encode_schemas


class QueryServing:
    """The handlers of the extension's calls for queries."""

    def __init__(self, node: NodeView) -> None:
        self._node = node

    def handlers(self) -> Mapping[str, Callable[..., Any]]:
        """Method names of the IDL to their handlers."""
        return {"findSeries": self.find_series}

    async def find_series(self, request: Any, connection: object) -> Any:
        """The series that patterns match, in the order of creation."""
        for pattern in request.patterns:
            paths.check_pattern(pattern)
        member = await self._level(request)
        found = [member.store.series(pattern, in_creation_order=True) for pattern in request.patterns]
        return structs.FindSeriesAnswer(schemas=[encode_schemas(schemas) for schemas in found])

    async def _level(self, request: Any) -> DataGroupMember:
        """The member that a request is for, as fresh as it wants; raises `UnknownGroup`."""
        try:
            consistency = ConsistencyLevel(request.consistency)
        except ValueError:
            raise MalformedInput(f"consistency {request.consistency[:60]!r} is none of strong, mid, weak") from None
        group = convert.group_of(request.header)
        member = self._node.data(group)
        if member is None:
            raise unknown_group(group)
        settings, clock = self._node.context.settings, self._node.context.clock
        left_ms = min(max(0, request.deadline_ms), settings.query_timeout_ms)
        await member.catch_up(Deadline.after(clock, left_ms), consistency.value)
        return member
