"""Whole nodes in this process, on free loopback ports, and plain Thrift clients that know nothing of this project.

The clients are thriftpy2's own, over the IDL: what they see is what any generated client sees.
"""

import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Any, TypeVar
from unittest.mock import patch

import thriftpy2
from thriftpy2.protocol import TBinaryProtocolFactory, TCompactProtocolFactory, TCyBinaryProtocolFactory
from thriftpy2.rpc import make_client
from thriftpy2.thrift import TApplicationException
from thriftpy2.transport import TCyFramedTransportFactory, TFramedTransportFactory

from iotdb_cluster.client.operators import ask_report, header_of
from iotdb_cluster.partition.slots import slot_of
from iotdb_cluster.server.node import NodeProcess
from iotdb_cluster.settings import Settings
from iotdb_cluster.types.filters import Filter
from iotdb_cluster.types.identity import Node
from iotdb_cluster.types.report import GroupReport, Report
from iotdb_cluster.types.schema import Compression, DataType, Encoding
from iotdb_cluster.wire.batches import decode_batch
from iotdb_cluster.wire.codec import Codec
from iotdb_cluster.wire.filters import encode_filter
from iotdb_cluster.wire.idl import thrift_folder
from iotdb_cluster.wire.tables import TableLayout, decode_table

T = TypeVar("T")

IP = "127.0.0.1"
TIMEOUT_S = 20.0
NO_SUCH_HEADER = 4_711
IDL = thriftpy2.load(str(thrift_folder() / "extension.thrift"), module_name="services_rig_thrift")
CLUSTER, RPC = IDL.cluster, IDL.rpc

QUICK: dict[str, Any] = {
    "heartbeat_interval_ms": 50,
    "election_timeout_min_ms": 300,
    "election_timeout_max_ms": 500,
    "raft_call_timeout_ms": 1_000,
    "connection_time_out_ms": 10_000,
    "disk_reserve_mb": 0,
}
"""Settings with which a cluster is ready soon."""

ALONE: dict[str, Any] = {"heartbeat_interval_ms": 20, "election_timeout_min_ms": 60, "election_timeout_max_ms": 120}
"""What a node that is a cluster of its own may have besides: it hears itself at once, however busy the machine."""

PROTOCOLS: dict[str, tuple[Any, Any]] = {
    "binary": (TBinaryProtocolFactory(), TFramedTransportFactory()),
    "compact": (TCompactProtocolFactory(), TFramedTransportFactory()),
    "compiled": (TCyBinaryProtocolFactory(), TCyFramedTransportFactory()),
}
"""What thriftpy2 itself can speak over frames; the last is the binary protocol in its compiled form."""


def wait_for(condition: Callable[[], T], what: str, timeout_s: float = TIMEOUT_S) -> T:
    """Look again and again until `condition()` gives something true, and return that; fails with `what`."""
    ends_at = time.monotonic() + timeout_s
    pause = threading.Event()
    while not (found := condition()):
        assert time.monotonic() < ends_at, f"not within {timeout_s:.0f} s: {what}"
        pause.wait(0.01)
    return found


shared_codec = cache(Codec)
"""Making a codec takes a fifth of a second, and threads may share one."""


# -- nodes -----------------------------------------------------------------------------------------------------------


class RunningNode:
    """One node: its settings, its thread, and what it is asked on its three ports."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.meta_address = (IP, settings.local_meta_port)
        self.data_address = (IP, settings.local_data_port)
        self.client_address = (IP, settings.local_client_port)
        self.folder = Path(settings.data_dir)
        self.exit_status: int | None = None
        self._error: BaseException | None = None
        self._process: NodeProcess | None = None
        self._thread = threading.Thread()
        self._table: TableLayout | None = None

    def start(self) -> "RunningNode":
        """Let it run; raises what its start is refused with."""
        with patch("iotdb_cluster.server.node.Codec", shared_codec):
            process = NodeProcess(self.settings)
        serves = threading.Event()
        self._error = self.exit_status = None

        def run() -> None:
            try:
                self.exit_status = process.run(serves.set)
            except BaseException as error:  # noqa: BLE001 - raised again below
                self._error = error
                serves.set()

        self._thread = threading.Thread(target=run, name="node")
        self._thread.start()
        self._process = process
        assert serves.wait(TIMEOUT_S)
        if self._error is not None:
            self._thread.join()
            close_unstarted(process)
            raise self._error
        return self

    def stop(self) -> int | None:
        """End it in good order; nothing is sealed for that. Its exit status."""
        if self._process is not None:
            self._process.stop("the test is over")
            self._thread.join(TIMEOUT_S)
            assert not self._thread.is_alive()
            self._process = None
        return self.exit_status

    def report(self) -> Report | None:
        """What it says of itself."""
        return ask_report(self.meta_address)

    def group(self, header: Node | None) -> GroupReport:
        """What it says of one of its groups."""
        report = self.report()
        assert report is not None
        identifier = None if header is None else header.identifier
        return next(group for group in report.groups if group.header == identifier)

    @property
    def is_ready(self) -> bool:
        """True when it is in all its groups and knows a leader of each."""
        report = self.report()
        groups = () if report is None or report.blind else report.groups
        return len(groups) == 1 + self.settings.replica_num and all(group.leader is not None for group in groups)

    def threads(self) -> tuple[int, int]:
        """How many threads serve connections of this node, and how many others there are in this process."""
        ports = (self.meta_address[1], self.data_address[1], self.client_address[1])
        mine = tuple(f"Extension-{port}-" for port in ports)
        names = [thread.name for thread in threading.enumerate()]
        serving = [name for name in names if any(each in name for each in mine) and not name.endswith("-listener")]
        return len(serving), len(names) - len(serving)

    @property
    def client_connections(self) -> int:
        """How many connections of clients it serves."""
        mine = f"Extension-{self.client_address[1]}-"
        names = [thread.name for thread in threading.enumerate()]
        return sum(mine in name and not name.endswith("-listener") for name in names)

    @property
    def kept(self) -> tuple[int, int]:
        """How many readers are open, and how many snapshots offer their files."""
        assert self._process is not None
        inner = self._process._node
        return len(inner.readers), len(inner.offered_files)

    @property
    def node(self) -> Node:
        """As `checkAlive` names it."""
        with stock("TSMetaService", self.meta_address) as meta:
            return node_of(meta.checkAlive())

    def table(self) -> TableLayout:
        """The partition table, as a client gets it once."""
        if self._table is None:
            with stock("TSMetaService", self.meta_address) as meta:
                self._table = decode_table(meta.addNode(meta.checkAlive()).partitionTableBytes)
        return self._table

    def header_of(self, path: str) -> Node:
        """The node whose group holds a path; here storage groups have two levels."""
        return header_of(self.table(), slot_of(".".join(path.split(".")[:2])))


def close_unstarted(process: NodeProcess) -> None:
    """Let go of ports and folder of a node whose start was refused, as the end of its process would."""
    for server in process._servers:
        server.close(1)
    process._disk.close()


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on at the moment."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind((IP, 0))
        return [each.getsockname()[1] for each in sockets]


def new_nodes(folder: Path, count: int, **more: Any) -> list[RunningNode]:
    """Nodes of one cluster, not started yet; each with a folder below `folder`."""
    ports = free_ports(3 * count)
    trios = [ports[3 * i : 3 * i + 3] for i in range(count)]
    seeds = ",".join(f"{IP}:{meta}:{data}" for meta, data, _ in trios)
    return [
        RunningNode(
            Settings(
                local_ip=IP,
                local_meta_port=meta,
                local_data_port=data,
                local_client_port=client,
                seed_nodes=seeds,
                data_dir=str(folder / f"node-{number}"),
                **{"replica_num": count, **QUICK, **more},
            )
        )
        for number, (meta, data, client) in enumerate(trios)
    ]


@contextmanager
def running(nodes: Sequence[RunningNode]) -> Iterator[Sequence[RunningNode]]:
    """The nodes, started and ready; stopped afterwards."""
    try:
        for node in nodes:
            node.start()
        for node in nodes:
            wait_for(lambda node=node: node.is_ready, f"{node.meta_address} is ready")
        yield nodes
    finally:
        for node in nodes:
            node.stop()


@contextmanager
def one_node(folder: Path, **more: Any) -> Iterator[RunningNode]:
    """A cluster of one node, ready."""
    with running(new_nodes(folder, 1, **ALONE, **more)) as nodes:
        yield nodes[0]


# -- plain clients ---------------------------------------------------------------------------------------------------


@contextmanager
def stock(service: str, address: tuple[str, int], protocol: str = "compiled") -> Iterator[Any]:
    """thriftpy2's own client of a mirrored service, or of the extension."""
    proto_factory, trans_factory = PROTOCOLS[protocol]
    found = next(getattr(module, service) for module in (CLUSTER, RPC, IDL) if hasattr(module, service))
    client = make_client(
        found,
        *address,
        proto_factory=proto_factory,
        trans_factory=trans_factory,
        timeout=int(TIMEOUT_S * 1000),
    )
    try:
        yield client
    finally:
        client.close()


def refused(call: Callable[[], Any]) -> str:
    """The message of the TApplicationException of type 6 by which a call is answered."""
    try:
        result = call()
    except TApplicationException as answer:
        assert TApplicationException.INTERNAL_ERROR == answer.type, answer.message
        return str(answer.message)
    raise AssertionError(f"answered by {result!r}")


def struct_of(node: Node) -> Any:
    """A node as the mirrored struct."""
    return CLUSTER.Node(ip=node.ip, metaPort=node.meta_port, nodeIdentifier=node.identifier, dataPort=node.data_port)


def node_of(struct: Any) -> Node:
    """The mirrored struct as a node."""
    return Node(struct.ip, struct.metaPort, struct.nodeIdentifier, struct.dataPort)


def stranger(identifier: int = NO_SUCH_HEADER) -> Any:
    """A node that is in no cluster."""
    return CLUSTER.Node(ip=IP, metaPort=1, nodeIdentifier=identifier, dataPort=2)


class LoggedIn:
    """A session of the client port, over thriftpy2's client; every call returns the node's answer as it is."""

    def __init__(self, client: Any, *, username: str | None = "root", password: str | None = "root") -> None:
        self.client = client
        self.answer = client.openSession(RPC.TSOpenSessionReq(client_protocol=0, username=username, password=password))
        self.id = self.answer.sessionId

    def close(self) -> Any:
        return self.client.closeSession(RPC.TSCloseSessionReq(sessionId=self.id))

    def set_storage_group(self, path: str) -> Any:
        return self.client.setStorageGroup(self.id, path)

    def create(
        self,
        path: str,
        data_type: int = DataType.INT32,
        encoding: int = Encoding.PLAIN,
        compressor: int = Compression.SNAPPY,
    ) -> Any:
        return self.client.createTimeseries(
            RPC.TSCreateTimeseriesReq(
                sessionId=self.id, path=path, dataType=data_type, encoding=encoding, compressor=compressor
            )
        )

    def insert(self, device: str, time: int, **values: str) -> Any:
        return self.insert_row(device, time, list(values), list(values.values()))

    def insert_row(self, device: str, time: int, measurements: list[str], values: list[str]) -> Any:
        return self.client.insert(
            RPC.TSInsertReq(
                sessionId=self.id, deviceId=device, measurements=measurements, values=values, timestamp=time
            )
        )

    def insert_rows(self, *rows: tuple[str, int, list[str], list[str]]) -> Any:
        return self.client.insertRowInBatch(
            RPC.TSInsertInBatchReq(
                sessionId=self.id,
                deviceIds=[row[0] for row in rows],
                timestamps=[row[1] for row in rows],
                measurementsList=[row[2] for row in rows],
                valuesList=[row[3] for row in rows],
            )
        )

    def insert_batch(
        self, device: str, measurements: list[str], types: list[int], size: int, timestamps: bytes, values: bytes
    ) -> Any:
        return self.client.insertBatch(
            RPC.TSBatchInsertionReq(
                sessionId=self.id,
                deviceId=device,
                measurements=measurements,
                types=types,
                size=size,
                timestamps=timestamps,
                values=values,
            )
        )

    def delete(self, time: int, *paths: str) -> Any:
        return self.client.deleteData(RPC.TSDeleteDataReq(sessionId=self.id, paths=list(paths), timestamp=time))


@contextmanager
def logged_in(node: RunningNode, **login: Any) -> Iterator[LoggedIn]:
    """A session of its own on a connection of its own."""
    with stock("TSIService", node.client_address) as client:
        yield LoggedIn(client, **login)


def code(status: Any) -> int:
    """The number of a status."""
    return int(status.statusType.code)


def said(status: Any) -> tuple[int, str]:
    """Number and message of a status."""
    return code(status), status.statusType.message


# -- reading ---------------------------------------------------------------------------------------------------------


def query(
    header: Node,
    path: str,
    data_type: int,
    *,
    condition: Filter | None = None,
    query_id: int = 1,
    requester: Any = None,
) -> Any:
    """The request that opens a reader."""
    return CLUSTER.SingleSeriesQueryRequest(
        path=path,
        filterBytes=None if condition is None else encode_filter(condition),
        queryId=query_id,
        requester=requester or stranger(),
        header=struct_of(header),
        dataTypeOrdinal=int(data_type),
    )


def fetched(data: Any, header: Node, reader: int) -> list[list[tuple[int, Any]]]:
    """All batches of a reader."""
    batches = []
    while batch := data.fetchSingleSeries(struct_of(header), reader):
        _, times, values = decode_batch(batch)
        batches.append(list(zip(list(times), list(values), strict=True)))
    return batches


def members_of(nodes: Sequence[RunningNode], header: Node) -> list[RunningNode]:
    """The nodes that keep a header's group, and behind them those that do not."""
    return sorted(nodes, key=lambda node: all(group.header != header.identifier for group in node.report().groups))


def spread_names(node: RunningNode, new_name: Callable[[], str], count: int) -> list[str]:
    """Names of `count` storage groups, at least one for each data group: where a name falls depends on the ports."""
    missing = {each.identifier for each, _ in node.table().nodes}
    assert len(missing) <= count
    names: list[str] = []
    while len(names) < count:
        name = new_name()
        header = node.header_of(name).identifier
        if header in missing or len(names) + len(missing) < count:
            missing.discard(header)
            names.append(name)
    return names


def read(node: RunningNode, path: str, data_type: int, condition: Filter | None = None) -> list[tuple[int, Any]]:
    """All points of a series, as a plain client of this node's data port reads them."""
    header = node.header_of(path)
    with stock("TSDataService", node.data_address) as data:
        reader = data.querySingleSeries(query(header, path, data_type, condition=condition))
        pairs = [pair for batch in fetched(data, header, reader) for pair in batch]
        data.endQuery(struct_of(header), stranger(), 1)
    return pairs
