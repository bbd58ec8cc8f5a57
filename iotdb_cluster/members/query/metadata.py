"""`fetchMetadata`: types of columns, paths, and the whole tree as JSON."""

import json
from typing import Any

from iotdb_cluster.errors import MetadataRefused, RequestError
from iotdb_cluster.members.node_view import NodeView
from iotdb_cluster.members.query.finding import Finder
from iotdb_cluster.members.query.running import Running
from iotdb_cluster.query.aggregates import result_type
from iotdb_cluster.sql.conditions import TIME
from iotdb_cluster.sql.statements import Function
from iotdb_cluster.types.paths import ROOT, nodes_of
from iotdb_cluster.types.schema import DataType

HEAD = "===  Timeseries Tree  ===\n\n"


class Metadata:
    """Answers one `fetchMetadata`; every refusal is 303."""

    def __init__(self, node: NodeView, running: Running) -> None:
        self._node = node
        self._finder = Finder(node, running)

    async def data_type(self, column: str | None) -> DataType:
        """The type of a series, of `time`, or of `fn(series)`."""
        if column is None:
            raise MetadataRefused("COLUMN needs a columnPath")
        if column == TIME:
            return DataType.INT64
        function, path = _taken_apart(column)
        found = (await self._matching(path))[:1]
        if not found or found[0].path != path:
            raise MetadataRefused(f"{path} is no time series")
        try:
            return found[0].data_type if function is None else result_type(function, found[0].data_type)
        except RequestError as refusal:
            raise MetadataRefused(refusal.message) from refusal

    async def paths(self, pattern: str | None) -> list[str]:
        """The full paths that a prefix or pattern matches."""
        if pattern is None:
            raise MetadataRefused("ALL_COLUMNS needs a columnPath")
        return [series.path for series in await self._matching(pattern)]

    async def as_json(self) -> str:
        """The tree of all series and storage groups."""
        state = await self._finder.level_with_meta()
        tree: dict[str, Any] = {ROOT: {}}
        for group in state.storage_groups:
            _place(tree, group)
        for series in await self._matching(ROOT):
            schema = series.schema
            leaf = {
                "args": "{" + ", ".join(f"{key}={value}" for key, value in schema.props) + "}",
                "StorageGroup": state.storage_group_of(schema.path),
                "DataType": schema.data_type.name,
                "Compressor": schema.compression.name,
                "Encoding": schema.encoding.name,
            }
            _place(tree, schema.path).update(leaf)
        return HEAD + json.dumps(tree, indent="\t", ensure_ascii=False)

    async def _matching(self, pattern: str) -> Any:
        try:
            return (await self._finder.find([pattern]))[pattern]
        except RequestError as refusal:
            raise MetadataRefused(refusal.message) from refusal


def _taken_apart(column: str) -> tuple[Function | None, str]:
    name, parenthesis, rest = column.partition("(")
    if not parenthesis or not rest.endswith(")"):
        return None, column
    try:
        return Function(name.strip().lower()), rest[:-1].strip()
    except ValueError:
        raise MetadataRefused(f"{name[:60]!r} is no function") from None


def _place(tree: dict[str, Any], path: str) -> dict[str, Any]:
    """The object of a path in the tree, made where it is missing."""
    for node in nodes_of(path):
        tree = tree.setdefault(node, {})
    return tree
