"""Reading series on the data port, as the interface page "A read, step by step" says."""

import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from iotdb_cluster.client.connection import ThriftClient
from iotdb_cluster.client.failover import Address, Failover, parse_address
from iotdb_cluster.client.operators import DATA_SERVICE, MetaClient, header_of, struct_of
from iotdb_cluster.errors import (
    ClusterError,
    NoLeader,
    OutcomeUnknown,
    PathNotFound,
    RequestError,
    StorageGroupUnknown,
)
from iotdb_cluster.partition.ring import replicas_from, ring_order
from iotdb_cluster.partition.slots import slot_of
from iotdb_cluster.types import paths
from iotdb_cluster.types.filters import And, Compare, CompareOp, Filter, FilterKind, Not, Or, Scalar, ValueClass
from iotdb_cluster.types.identity import LogIndex, Node, NodeId
from iotdb_cluster.types.schema import DataType
from iotdb_cluster.wire.batches import NO_MORE, decode_batch
from iotdb_cluster.wire.filters import encode_filter
from iotdb_cluster.wire.idl import STRUCTS
from iotdb_cluster.wire.schemas import decode_schemas
from iotdb_cluster.wire.tables import TableLayout

END_TIMEOUT_MS = 1_000
META_TIMEOUT_MS = 5_000
"""How long a node may take to say what it knows of the cluster, before the next one is asked."""

EMPTY_TYPES: dict[DataType, Any] = {
    DataType.BOOLEAN: np.bool_,
    DataType.INT32: np.int32,
    DataType.INT64: np.int64,
    DataType.FLOAT: np.float32,
    DataType.DOUBLE: np.float64,
    DataType.TEXT: object,
}

_Query = STRUCTS["SingleSeriesQueryRequest"].make
_PullSchema = STRUCTS["PullSchemaRequest"].make

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Series:
    """What was read: strictly ascending times in milliseconds, and a value for each; TEXT as an array of `str`."""

    path: str
    data_type: DataType
    times: NDArray[np.int64]
    values: NDArray[Any]

    def __len__(self) -> int:
        return len(self.times)


@dataclass(frozen=True, slots=True)
class View:
    """What a node said of the cluster: who owns which slots, the storage groups, and how many nodes keep each slot."""

    table: TableLayout
    storage_groups: tuple[str, ...]
    replica_num: int

    @classmethod
    def ask_level(cls, meta: MetaClient) -> Self:
        """As `ask`, of a node that knows all that was acknowledged before; `OutcomeUnknown` until it does."""
        index = meta.commit_index()
        return cls.ask(meta, least=index)

    @classmethod
    def ask(cls, meta: MetaClient, least: LogIndex = 0) -> Self:
        """As the node at the other end of `meta` sees it; raises `OutcomeUnknown` when it has applied less."""
        report = meta.report()
        applied = max((group.last_applied for group in report.groups if group.header is None), default=0)
        if applied < least:
            raise OutcomeUnknown(f"the node has applied {applied} of the {least} entries of the meta log")
        sizes = (len(group.members) for group in report.groups if group.header is not None)
        table = meta.partition_table()
        return cls(table, tuple(sorted(report.storage_groups)), max(sizes, default=len(table.nodes)))

    def knows(self, path: str) -> bool:
        """True when a storage group above a series is known."""
        return any(paths.is_prefix(group, path) for group in self.storage_groups)

    def storage_group_of(self, path: str) -> str:
        """The longest storage group above a series; raises `StorageGroupUnknown`."""
        found = [group for group in self.storage_groups if paths.is_prefix(group, path)]
        if not found:
            raise StorageGroupUnknown(f"{path} is in no storage group")
        return max(found, key=len)

    def members_of(self, header: Node) -> tuple[Node, ...]:
        """The members of a header's group: itself, then round the ring."""
        nodes = ring_order(node for node, _ in self.table.nodes)
        return replicas_from(nodes, header.identifier, self.replica_num)


def time_between(start: int | None, end: int | None) -> Filter | None:
    """A filter for times from `start` to `end` in milliseconds, both included; None is no bound."""
    bounds = [
        Compare(op, FilterKind.TIME, Scalar(ValueClass.LONG, time))
        for op, time in ((CompareOp.GTEQ, start), (CompareOp.LTEQ, end))
        if time is not None
    ]
    if len(bounds) == 2:
        return And(*bounds)
    return bounds[0] if bounds else None


class SeriesReader:
    """Reads series from a cluster; a context manager, for one thread at a time.

    `meta` are `host:meta_port` of one or more nodes. Reading goes to a member of the group that holds the series, to
    the next one when it fails, or, with `at`, to the data port of that node alone. Keeps connections and what it has
    learnt of the cluster; learns anew when that turns out to be old. Raises `RequestError`s.
    """

    def __init__(
        self,
        meta: Sequence[str | Address] | str,
        *,
        at: str | Address | None = None,
        timeout_ms: int = 20_000,
    ) -> None:
        given = [meta] if isinstance(meta, str) else meta
        addresses = [parse_address(node) if isinstance(node, str) else node for node in given]
        self._at = parse_address(at) if isinstance(at, str) else at
        self._timeout_ms = timeout_ms
        self._meta = Failover(
            addresses, lambda address, ms: MetaClient(address, timeout_ms=META_TIMEOUT_MS), timeout_ms
        )
        self._view: View | None = None
        self._data: dict[tuple[Address, ...], Failover[ThriftClient]] = {}
        chance = random.Random()
        self._requester = struct_of(Node("client", 0, NodeId(chance.randrange(1, 1 << 31)), 0))
        self._query_id = chance.randrange(1, 1 << 62)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End all connections."""
        self._meta.close()
        for failover in self._data.values():
            failover.close()

    def read(
        self,
        path: str,
        *,
        start: int | None = None,
        end: int | None = None,
        where: Filter | None = None,
        data_type: DataType | None = None,
        storage_group: str | None = None,
    ) -> Series:
        """All points of a series with times from `start` to `end`, both included, that `where` lets through.

        Without `data_type` the cluster is asked for it, and `PathNotFound` raised for a series that does not exist;
        with it, such a series is empty.
        """
        between = time_between(start, end)
        condition = And(between, where) if between is not None and where is not None else between or where
        learnt_before = self._view is not None
        try:
            return self._read(path, condition, data_type, storage_group)
        except (OutcomeUnknown, NoLeader):
            raise
        except RequestError:
            if not learnt_before:
                raise
        self._view = None
        return self._read(path, condition, data_type, storage_group)

    def data_type(self, path: str, *, storage_group: str | None = None) -> DataType:
        """The type of a series; raises `PathNotFound`."""
        header = self._header(path, storage_group)

        def ask(client: ThriftClient, timeout_ms: int) -> Any:
            request = _PullSchema(prefixPath=path, header=struct_of(header))
            return client.call("pullTimeSeriesSchema", (request,), timeout_ms)

        for schema in decode_schemas(self._at_members(header, ask).schemaBytes):
            if schema.path == path:
                return schema.data_type
        raise PathNotFound(f"{path} does not exist")

    def _read(
        self, path: str, condition: Filter | None, data_type: DataType | None, storage_group: str | None
    ) -> Series:
        kind = self.data_type(path, storage_group=storage_group) if data_type is None else data_type
        header = self._header(path, storage_group)
        return self._at_members(
            header, lambda client, timeout_ms: self._read_at(client, header, path, kind, condition, timeout_ms)
        )

    def _read_at(
        self,
        client: ThriftClient,
        header: Node,
        path: str,
        data_type: DataType,
        condition: Filter | None,
        timeout_ms: int,
    ) -> Series:
        """One query at one member, from its first batch to its last."""
        head = struct_of(header)
        self._query_id += 1
        request = _Query(
            path=path,
            filterBytes=None if condition is None else encode_filter(condition),
            queryId=self._query_id,
            requester=self._requester,
            header=head,
            withValueFilter=condition is not None and _looks_at_values(condition),
            dataTypeOrdinal=int(data_type),
        )
        batches: list[tuple[NDArray[np.int64], Any]] = []
        reader_id = client.call("querySingleSeries", (request,), timeout_ms)
        try:
            while (batch := client.call("fetchSingleSeries", (head, reader_id), timeout_ms)) != NO_MORE:
                _, times, values = decode_batch(batch)
                batches.append((times, values))
        finally:
            # Should this fail, the node closes the reader by itself after a while.
            with suppress(ClusterError):
                client.call("endQuery", (head, self._requester, self._query_id), min(timeout_ms, END_TIMEOUT_MS))
        return _joined(path, data_type, batches)

    def _header(self, path: str, storage_group: str | None) -> Node:
        if self._view is None:
            self._view = self._meta.run(lambda meta, timeout_ms: View.ask(meta), repeatable=True)
        if storage_group is None and not self._view.knows(path):
            # A storage group that was made through another node a moment ago may not be known at this one yet.
            self._view = self._meta.run(lambda meta, timeout_ms: View.ask_level(meta), repeatable=True)
        return header_of(self._view.table, slot_of(storage_group or self._view.storage_group_of(path)))

    def _at_members(self, header: Node, attempt: Callable[[ThriftClient, int], T]) -> T:
        """Ask a member of the group; one that fails, or is none, hands over to the next."""
        if self._at is not None:
            order: tuple[Address, ...] = (self._at,)
        else:
            assert self._view is not None
            order = tuple(node.data_address for node in self._view.members_of(header))
        failover = self._data.get(order)
        if failover is None:
            failover = self._data[order] = Failover(order, _connect, self._timeout_ms)
        return failover.run(attempt, repeatable=True)


def read_series(meta: Sequence[str | Address] | str, path: str, **options: Any) -> Series:
    """One series, over connections made for this read alone; `options` are those of `SeriesReader.read`."""
    with SeriesReader(meta) as reader:
        return reader.read(path, **options)


def _connect(address: Address, timeout_ms: int) -> ThriftClient:
    return ThriftClient(address, DATA_SERVICE, connect_timeout_ms=timeout_ms)


def _looks_at_values(condition: Filter) -> bool:
    match condition:
        case And() | Or():
            return _looks_at_values(condition.left) or _looks_at_values(condition.right)
        case Not():
            return _looks_at_values(condition.inner)
        case Compare():
            return condition.kind is FilterKind.VALUE
    return False


def _joined(path: str, data_type: DataType, batches: list[tuple[NDArray[np.int64], Any]]) -> Series:
    if not batches:
        return Series(path, data_type, np.empty(0, np.int64), np.empty(0, EMPTY_TYPES[data_type]))
    times = np.concatenate([times for times, _ in batches])
    if data_type is DataType.TEXT:
        texts = [value.decode("utf-8", "replace") for _, values in batches for value in values]
        return Series(path, data_type, times, np.array(texts, dtype=object))
    return Series(path, data_type, times, np.concatenate([values for _, values in batches]))
