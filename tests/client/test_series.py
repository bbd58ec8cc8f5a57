"""Reading a series: type, group and member are found, batches put together, and the reader ended."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest

from iotdb_cluster.client.operators import MetaClient, ask_report
from iotdb_cluster.client.series import SeriesReader, read_series, time_between
from iotdb_cluster.errors import NotReady, PathNotFound, RemoteError, StorageGroupUnknown, UnknownGroup
from iotdb_cluster.partition.slots import SLOT_COUNT, slot_of
from iotdb_cluster.server.transport.server import ThriftServer
from iotdb_cluster.types.filters import And, Compare, CompareOp, FilterKind, Scalar, ValueClass
from iotdb_cluster.types.identity import Node, NodeId
from iotdb_cluster.types.report import GroupReport, Report
from iotdb_cluster.types.schema import DataType, TimeseriesSchema
from iotdb_cluster.wire.batches import encode_batch
from iotdb_cluster.wire.filters import decode_filter
from iotdb_cluster.wire.idl import STRUCTS
from iotdb_cluster.wire.schemas import encode_schemas
from iotdb_cluster.wire.tables import TableLayout, encode_table
from tests.server.rig import serving

GROUP = "root.a"
PATH = "root.a.d.s"


@dataclass
class Cluster:
    """Three nodes' meta and data ports; `data` has the series that every member of the group holds."""

    nodes: list[Node] = field(default_factory=list)
    data: dict[str, tuple[DataType, list[int], list[Any]]] = field(default_factory=dict)
    storage_groups: list[str] = field(default_factory=lambda: [GROUP])
    coming: list[str] = field(default_factory=list)
    """Storage groups that were made elsewhere, of which a node hears when it levels with the leader."""
    owner: int = 1
    members: tuple[int, ...] = (1, 2)
    batch: int = 2
    seen: list[tuple[int, str]] = field(default_factory=list)
    requests: list[Any] = field(default_factory=list)
    open: dict[int, tuple[Any, int]] = field(default_factory=dict)
    blind: bool = False

    def meta_table(self, number: int) -> dict[str, Callable[..., Any]]:
        return {
            "checkAlive": lambda c: struct_of(self.nodes[number - 1]),
            "addNode": self.add_node,
            "requestCommitIndex": self.commit_index,
            "report": lambda c: STRUCTS["NodeReport"].make(json=self.report(number).to_json()),
        }

    def add_node(self, node: Any, connection: Any) -> Any:
        if self.blind:
            return STRUCTS["AddNodeResponse"].make(respNum=-4)
        slots = tuple(range(SLOT_COUNT))
        mine = {slot_of(group) for group in self.storage_groups}
        rest = tuple(slot for slot in slots if slot not in mine)
        owned = {node.identifier: () for node in self.nodes} | {3: rest} | {self.owner: tuple(sorted(mine))}
        if self.owner == 3:
            owned[NodeId(3)] = slots
        table = TableLayout(SLOT_COUNT, tuple((node, owned[node.identifier]) for node in self.nodes))
        return STRUCTS["AddNodeResponse"].make(respNum=-1, partitionTableBytes=encode_table(table))

    def commit_index(self, header: Any, connection: Any) -> int:
        self.storage_groups += self.coming
        return 1

    def report(self, number: int) -> Report:
        group = GroupReport(NodeId(1), "leader", NodeId(1), 1, 1, 1, 1, tuple(map(NodeId, self.members)))
        return Report(
            node=self.nodes[number - 1],
            client_port=1,
            pid=1,
            blind=False,
            version="0",
            cluster_name="",
            cluster_id=None,
            table_version=1,
            members=tuple(self.nodes),
            groups=(replace(group, header=None), group),
            storage_groups=dict.fromkeys(self.storage_groups, NodeId(self.owner)),
        )

    def data_table(self, number: int) -> dict[str, Callable[..., Any]]:
        def at_member(method: Callable[..., Any]) -> Callable[..., Any]:
            def run(*args: Any) -> Any:
                self.seen.append((number, method.__name__))
                header = getattr(args[0], "header", args[0])
                if number not in self.members or header.nodeIdentifier != self.owner:
                    raise UnknownGroup("this node is no member of that group")
                return method(*args)

            return run

        return {
            "pullTimeSeriesSchema": at_member(self.schema),
            "querySingleSeries": at_member(self.query),
            "fetchSingleSeries": at_member(self.fetch),
            "endQuery": at_member(self.end),
        }

    def schema(self, request: Any, connection: Any) -> Any:
        found = [TimeseriesSchema(p, d[0]) for p, d in sorted(self.data.items()) if p.startswith(request.prefixPath)]
        return STRUCTS["PullSchemaResp"].make(schemaBytes=encode_schemas(found))

    def query(self, request: Any, connection: Any) -> int:
        self.requests.append(request)
        self.open[len(self.requests)] = (request, 0)
        return len(self.requests)

    def fetch(self, header: Any, reader_id: int, connection: Any) -> bytes:
        request, at = self.open[reader_id]
        data_type, times, values = self.data.get(request.path, (DataType(request.dataTypeOrdinal), [], []))
        self.open[reader_id] = (request, at + self.batch)
        part = slice(at, at + self.batch)
        if not times[part]:
            return b""
        column = values[part] if data_type is DataType.TEXT else np.array(values[part])
        return encode_batch(data_type, np.array(times[part], np.int64), column)

    def end(self, header: Any, requester: Any, query_id: int, connection: Any) -> None:
        for reader_id, (request, _) in list(self.open.items()):
            if (request.queryId, request.requester.nodeIdentifier) == (query_id, requester.nodeIdentifier):
                del self.open[reader_id]


def struct_of(node: Node) -> Any:
    make = STRUCTS["Node"].make
    return make(ip=node.ip, metaPort=node.meta_port, nodeIdentifier=node.identifier, dataPort=node.data_port)


@dataclass
class Running:
    cluster: Cluster
    metas: list[ThriftServer]
    datas: list[ThriftServer]

    @property
    def meta(self) -> list[tuple[str, int]]:
        return [server.address for server in self.metas]


@pytest.fixture
def running() -> Iterator[Running]:
    cluster = Cluster()
    with ExitStack() as stack:
        metas = [stack.enter_context(serving(cluster.meta_table(n), service="MetaExtension")) for n in (1, 2, 3)]
        datas = [stack.enter_context(serving(cluster.data_table(n), service="DataExtension")) for n in (1, 2, 3)]
        cluster.nodes = [
            Node("127.0.0.1", meta.address[1], NodeId(number), data.address[1])
            for number, meta, data in zip((1, 2, 3), metas, datas, strict=True)
        ]
        yield Running(cluster, metas, datas)


@pytest.mark.parametrize(
    ("data_type", "values", "dtype"),
    [
        (DataType.BOOLEAN, [True, False, True], np.bool_),
        (DataType.INT32, [1, -2, 3], np.int32),
        (DataType.INT64, [2**62, 0, -1], np.int64),
        (DataType.FLOAT, [0.5, 1.5, -2.5], np.float32),
        (DataType.DOUBLE, [0.1, 1e300, -2.5], np.float64),
        (DataType.TEXT, [b"x", "é".encode(), b""], object),
    ],
)
def test_a_series_of_each_type_is_read_batch_by_batch(
    running: Running, data_type: DataType, values: list[Any], dtype: Any
) -> None:
    running.cluster.data[PATH] = (data_type, [1, 2, 5], values)
    series = read_series(running.meta, PATH)
    assert (data_type, [1, 2, 5]) == (series.data_type, series.times.tolist())
    assert dtype == series.values.dtype
    expected = [value.decode() if isinstance(value, bytes) else value for value in values]
    assert expected == series.values.tolist()
    assert {} == running.cluster.open


def test_a_series_that_does_not_exist_is_said_not_to_or_is_empty_when_its_type_is_given(running: Running) -> None:
    running.cluster.data["root.a.d.s2"] = (DataType.INT32, [1], [1])
    with SeriesReader(running.meta) as reader:
        with pytest.raises(PathNotFound, match=PATH):
            reader.read(PATH)
        empty = reader.read(PATH, data_type=DataType.TEXT)
        assert (0, object) == (len(empty), empty.values.dtype)


def test_conditions_are_sent_with_the_query(running: Running) -> None:
    running.cluster.data[PATH] = (DataType.INT32, [1], [1])
    above = Compare(CompareOp.GT, FilterKind.VALUE, Scalar(ValueClass.INTEGER, 5))
    with SeriesReader(running.meta) as reader:
        reader.read(PATH)
        reader.read(PATH, start=1, end=9)
        reader.read(PATH, end=9, where=above)
    sent = [r.filterBytes and decode_filter(r.filterBytes) for r in running.cluster.requests]
    first, second = time_between(1, 9), time_between(None, 9)
    assert second is not None
    assert [None, first, And(second, above)] == sent
    assert [False, False, True] == [r.withValueFilter for r in running.cluster.requests]


def test_a_member_that_is_gone_hands_over_to_the_next(running: Running) -> None:
    running.cluster.data[PATH] = (DataType.INT32, [1, 2, 3], [1, 2, 3])
    running.datas[0].close()
    assert [1, 2, 3] == read_series(running.meta, PATH).times.tolist()
    assert {2} == {number for number, _ in running.cluster.seen}


def test_a_member_that_fails_half_way_hands_over_to_the_next_which_reads_from_the_start(running: Running) -> None:
    running.cluster.data[PATH] = (DataType.INT32, [1, 2, 3], [1, 2, 3])
    fetch, fetched = running.cluster.fetch, []

    def dies_once(header: Any, reader_id: int, connection: Any) -> bytes:
        fetched.append(reader_id)
        if len(fetched) == 2:
            connection.end(at_once=True)
        return fetch(header, reader_id, connection)

    running.datas[0]._dispatcher._table["fetchSingleSeries"] = dies_once  # type: ignore[index]
    assert [1, 2, 3] == read_series(running.meta, PATH, data_type=DataType.INT32).times.tolist()
    assert [1, 1] == fetched


def test_one_node_alone_can_be_read(running: Running) -> None:
    running.cluster.data[PATH] = (DataType.INT32, [1], [1])
    with SeriesReader(running.meta, at=running.datas[1].address) as reader:
        assert [1] == reader.read(PATH).times.tolist()
    assert {2} == {number for number, _ in running.cluster.seen}
    with (
        SeriesReader(running.meta, at=running.datas[2].address) as reader,
        pytest.raises(RemoteError, match="no member"),
    ):
        reader.read(PATH)


def test_a_reader_learns_that_the_cluster_has_changed(running: Running) -> None:
    running.cluster.data[PATH] = (DataType.INT32, [1], [1])
    with SeriesReader(running.meta) as reader:
        assert [1] == reader.read(PATH).times.tolist()
        running.cluster.owner, running.cluster.members = 3, (3, 1)
        assert [1] == reader.read(PATH).times.tolist()
        running.cluster.storage_groups.append("root.b")
        running.cluster.data["root.b.d.s"] = (DataType.INT32, [2], [2])
        assert [2] == reader.read("root.b.d.s").times.tolist()
        with pytest.raises(StorageGroupUnknown, match=r"root\.c\.d\.s"):
            reader.read("root.c.d.s")


def test_a_storage_group_that_was_made_elsewhere_a_moment_ago_is_found(running: Running) -> None:
    running.cluster.coming = ["root.new"]
    running.cluster.data["root.new.d.s"] = (DataType.INT32, [1], [1])
    assert [1] == read_series(running.meta, "root.new.d.s").times.tolist()


def test_the_first_node_that_answers_tells_of_the_cluster(running: Running) -> None:
    running.cluster.data[PATH] = (DataType.INT32, [1], [1])
    running.metas[0].close()
    assert [1] == read_series(running.meta, PATH).times.tolist()


def test_operators_ask_a_node_who_it_is_and_what_it_knows(running: Running) -> None:
    with MetaClient(running.metas[1].address) as meta:
        assert running.cluster.nodes[1] == meta.check_alive()
        assert running.cluster.report(2) == meta.report()
        assert SLOT_COUNT == meta.partition_table().slot_count
        running.cluster.blind = True
        with pytest.raises(NotReady, match="-4"):
            meta.partition_table()
    assert running.cluster.report(1) == ask_report(running.metas[0].address)
    running.metas[0].close()
    assert ask_report(running.metas[0].address) is None
