"""A node that stops and starts again has everything; one whose folder is damaged does not start, and says where."""

import re
import struct
from dataclasses import replace

import pytest

from iotdb_cluster.errors import Corruption, StartRefused
from iotdb_cluster.members.node import ClusterNode
from iotdb_cluster.partition.slots import slot_of
from iotdb_cluster.types.schema import DataType
from tests.services.rig import (
    CLUSTER,
    RunningNode,
    code,
    free_ports,
    logged_in,
    new_nodes,
    one_node,
    read,
    refused,
    running,
    stock,
    struct_of,
    wait_for,
)

DEVICE = "root.kept.d"
VALUES = {
    "b": (DataType.BOOLEAN, "true", True),
    "i": (DataType.INT32, "-7", -7),
    "l": (DataType.INT64, str(2**40), 2**40),
    "f": (DataType.FLOAT, "0.5", 0.5),
    "d": (DataType.DOUBLE, "1e300", 1e300),
    "t": (DataType.TEXT, "'ü'", "ü".encode()),
}


def test_a_node_whose_life_ends_by_a_mistake_of_ours_ends_with_it(tmp_path, monkeypatch):
    async def live(node):
        raise ZeroDivisionError("a mistake of ours")

    monkeypatch.setattr(ClusterNode, "live", live)
    (node,) = new_nodes(tmp_path, 1)
    node.start()
    wait_for(lambda: node.exit_status is not None, "the node ends")
    node.stop()
    assert 1 == node.exit_status


def fill(node, time):
    """One row of every type, a tablet of two rows, and a delete, each at times of their own behind `time`."""
    with logged_in(node) as session:
        for name, (data_type, _, _) in VALUES.items():
            assert code(session.create(f"{DEVICE}.{name}", data_type)) in (200, 300)
        row = {name: text for name, (_, text, _) in VALUES.items()}
        assert 200 == code(session.insert(DEVICE, time, **row))
        packed = struct.pack(">2q", time + 2, time + 1), struct.pack(">2d", 2.5, 1.5)
        assert 200 == code(session.insert_batch(DEVICE, ["x"], [DataType.DOUBLE], 2, *packed).status)
        assert 200 == code(session.insert(DEVICE, time, gone="1"))
        assert 200 == code(session.delete(time, f"{DEVICE}.gone"))
        assert 200 == code(session.insert(DEVICE, time + 3, gone="2"))


def check(node, *times):
    """Everything that `fill` wrote, and nothing else."""
    for name, (data_type, _, value) in VALUES.items():
        assert [(time, value) for time in times] == read(node, f"{DEVICE}.{name}", data_type)
    expected = [(time + offset, offset + 0.5) for time in times for offset in (1, 2)]
    assert expected == read(node, f"{DEVICE}.x", DataType.DOUBLE)
    assert [(times[-1] + 3, 2)] == read(node, f"{DEVICE}.gone", DataType.INT64)[-1:]
    assert not set(times) & {time for time, _ in read(node, f"{DEVICE}.gone", DataType.INT64)}


def seal(node):
    """Everything goes to files: pulling a snapshot seals first."""
    slot = slot_of("root.kept")
    with stock("TSDataService", node.data_address) as data:
        head = struct_of(node.header_of("root.kept"))
        assert data.pullSnapshot(CLUSTER.PullSnapshotRequest(requiredSlots=[slot], header=head)).snapshotBytes


def started_again(node):
    assert 0 == node.stop()
    node.start()
    wait_for(lambda: node.is_ready, "the node is ready again")


def test_what_is_in_the_log_alone_comes_back(tmp_path):
    with one_node(tmp_path) as node:
        fill(node, 100)
        identifier, cluster = node.node.identifier, node.report().cluster_id
        started_again(node)
        check(node, 100)
        assert (identifier, cluster) == (node.node.identifier, node.report().cluster_id)
        assert "root.kept" in node.report().storage_groups


def test_files_and_the_log_behind_them_come_back(tmp_path):
    with one_node(tmp_path) as node:
        fill(node, 100)
        seal(node)
        started_again(node)
        check(node, 100)
        fill(node, 200)
        started_again(node)
        check(node, 100, 200)
        seal(node)
        fill(node, 300)
        seal(node)
        started_again(node)
        check(node, 100, 200, 300)


def test_sessions_and_readers_do_not_outlive_their_node(tmp_path):
    with one_node(tmp_path) as node:
        fill(node, 100)
        with logged_in(node) as session:
            kept = session.id
            started_again(node)
        with stock("TSIService", node.client_address) as client, stock("TSDataService", node.data_address) as data:
            assert 402 == code(client.getTimeZone(kept).status)
            assert "no reader 1" in refused(lambda: data.fetchSingleSeries(struct_of(node.header_of(DEVICE)), 1))


def test_a_cluster_that_was_stopped_as_a_whole_has_everything(tmp_path):
    with running(new_nodes(tmp_path, 3)) as nodes:
        fill(nodes[0], 100)
        seal(nodes[1])
        fill(nodes[2], 200)
        for node in nodes:
            assert 0 == node.stop()
        for node in nodes:
            node.start()
        for node in nodes:
            wait_for(lambda node=node: node.is_ready, "the cluster is ready again")
        for node in nodes:
            check(node, 100, 200)


# -- starts that are refused -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """A node that has files and a log behind them, stopped."""
    with one_node(tmp_path_factory.mktemp("damage")) as node:
        fill(node, 100)
        seal(node)
        fill(node, 200)
    return node


def flip(path, offset):
    """Change one byte."""
    data = bytearray(path.read_bytes())
    data[offset] ^= 0xFF
    path.write_bytes(data)


def named(node, pattern):
    """The first file that matches, below the node's folder."""
    return min(path for path in node.folder.rglob(pattern) if path.is_file())


@pytest.mark.parametrize(
    ("pattern", "where"),
    [
        ("raft/*.log", 10),
        ("raft/*.log", 0.3),
        ("raft/*.log", 0.6),
        ("data/*/root.kept/*", 0.5),
        ("data/*/root.kept/*", 4),
        ("data/*/manifest*", 0.5),
        ("identity", 0.5),
    ],
)
def test_a_damaged_file_refuses_the_start_and_is_named_with_the_offset(stopped, pattern, where):
    path = named(stopped, pattern)
    whole = path.read_bytes()
    offset = where if isinstance(where, int) else int(len(whole) * where)
    flip(path, offset)
    try:
        with pytest.raises(Corruption) as caught:
            stopped.start()
        message = str(caught.value)
        assert str(path.relative_to(stopped.folder)) in message
        found = re.search(r"offset (\d+)", message)
        assert found
        assert int(found[1]) <= offset
        assert "iotdb-cluster check" in message
    finally:
        path.write_bytes(whole)


@pytest.mark.parametrize("pattern", ["raft/*.log", "data/*/root.kept/*", "identity"])
def test_a_missing_file_refuses_the_start(stopped, pattern):
    path = named(stopped, pattern)
    whole = path.read_bytes()
    path.unlink()
    try:
        with pytest.raises((Corruption, StartRefused)) as caught:
            stopped.start()
        assert str(caught.value)
    finally:
        path.write_bytes(whole)


def test_after_all_that_the_folder_is_as_it_was(stopped):
    with running([stopped]):
        check(stopped, 100, 200)


def test_two_nodes_never_share_a_folder_or_a_port(node):
    meta, data, client = free_ports(3)
    settings = replace(node.settings, local_meta_port=meta, local_data_port=data, local_client_port=client)
    with pytest.raises(StartRefused, match="in use|another"):
        RunningNode(settings).start()
    with pytest.raises(StartRefused, match=str(node.settings.local_meta_port)):
        RunningNode(replace(node.settings, data_dir=str(node.folder) + "-other")).start()
    assert node.is_ready


def test_a_folder_belongs_to_its_addresses(stopped):
    meta, data, client = free_ports(3)
    seeds = f"127.0.0.1:{meta}:{data}"
    other = replace(
        stopped.settings, local_meta_port=meta, local_data_port=data, local_client_port=client, seed_nodes=seeds
    )
    with pytest.raises(StartRefused, match=str(stopped.settings.local_meta_port)):
        RunningNode(other).start()
