"""pullSnapshot and readFile: what a leader offers, and nothing else (interface page CLUSTER)."""

import hashlib
import io

import pyarrow.parquet
import pytest

from iotdb_cluster.members.raft_service import READ_FILE_MAX_BYTES
from iotdb_cluster.partition.slots import SLOT_COUNT, slot_of
from iotdb_cluster.types.schema import DataType
from iotdb_cluster.wire.snapshots import decode_file_snapshot
from tests.services.rig import (
    CLUSTER,
    code,
    logged_in,
    members_of,
    one_node,
    query,
    read,
    refused,
    stock,
    stranger,
    struct_of,
    wait_for,
)

PART_BYTES = 1_000


def pulled(client, header, *slots):
    """The file snapshots of some slots."""
    request = CLUSTER.PullSnapshotRequest(requiredSlots=list(slots), header=header)
    found = client.pullSnapshot(request).snapshotBytes
    return None if found is None else {slot: decode_file_snapshot(data) for slot, data in found.items()}


def whole(client, file, header=None):
    """A file of a snapshot, read in parts."""
    parts = []
    while part := client.readFile(file.path, sum(map(len, parts)), PART_BYTES, header):
        assert len(part) <= PART_BYTES
        parts.append(part)
    return b"".join(parts)


@pytest.fixture
def offered(node, data, session, sg):
    """One file that a snapshot offered just now."""
    session.insert_rows(*((f"{sg}.d", time, ["a", "b"], [str(time), "'x'"]) for time in range(500)))
    head = struct_of(node.header_of(sg))
    (file,) = pulled(data, head, slot_of(sg))[slot_of(sg)].files
    return file


def test_a_slot_comes_with_its_series_and_files(node, data, sg, offered):
    snapshot = pulled(data, struct_of(node.header_of(sg)), slot_of(sg))[slot_of(sg)]
    assert [f"{sg}.d.a", f"{sg}.d.b"] == [schema.path for schema in snapshot.schemas]
    (file,) = snapshot.files
    assert node.node == file.source
    assert f"{sg}/" in file.path
    assert ((f"{sg}.d", 0),) == file.start_times
    assert ((f"{sg}.d", 499),) == file.end_times
    assert not file.with_modification


def test_an_offered_file_is_read_in_parts_and_has_its_md5(data, meta, offered):
    for client in (data, meta):
        content = whole(client, offered)
        assert offered.md5 == hashlib.md5(content).digest()
    assert 500 == pyarrow.parquet.read_table(io.BytesIO(content)).num_rows


def test_a_snapshot_holds_what_was_acknowledged_and_says_where_deletions_are(node, data, session, sg, offered):
    session.delete(100, f"{sg}.d.a")
    session.insert(f"{sg}.d", 1_000, a="7")
    snapshot = pulled(data, struct_of(node.header_of(sg)), slot_of(sg))[slot_of(sg)]
    assert 1_000 in [end for file in snapshot.files for _, end in file.end_times]
    assert [True] == [file.with_modification for file in snapshot.files if file.md5 == offered.md5]


@pytest.mark.parametrize("slots", [[], [-1], [SLOT_COUNT], [2**31 - 1, -(2**31)]])
def test_slots_that_are_not_here_are_left_out(node, data, slots):
    assert pulled(data, struct_of(node.node), *slots) is None


def test_a_slot_asked_for_twice_comes_once(node, data, sg, offered):
    slot = slot_of(sg)
    assert [slot] == list(pulled(data, struct_of(node.header_of(sg)), slot, slot, -1))


def test_every_node_gives_what_the_leader_has(trio, new_name):
    sg = new_name()
    with logged_in(trio[0]) as session:
        assert 200 == code(session.insert(f"{sg}.d", 1, s="1"))
    header = trio[0].header_of(sg)
    leader = trio[0].group(header) if trio[0] in members_of(trio, header)[:2] else None
    for node in trio:
        with stock("TSDataService", node.data_address) as client:
            snapshot = pulled(client, struct_of(header), slot_of(sg))[slot_of(sg)]
        assert [f"{sg}.d.s"] == [schema.path for schema in snapshot.schemas]
        (source,) = {file.source for file in snapshot.files}
        assert leader is None or leader.leader == source.identifier
        at_source = next(each for each in trio if each.node == source)
        with stock("TSDataService", at_source.data_address) as client:
            for file in snapshot.files:
                assert file.md5 == hashlib.md5(whole(client, file, struct_of(header))).digest()


@pytest.mark.parametrize("offset", [10**6, 2**40, 2**63 - 1])
def test_beyond_the_end_there_is_nothing(data, offered, offset):
    assert b"" == data.readFile(offered.path, offset, 10, None)


@pytest.mark.parametrize(
    ("offset", "length"),
    [(-1, 10), (-(2**63), 10), (0, -1), (0, -(2**31)), (0, READ_FILE_MAX_BYTES + 1), (0, 2**31 - 1)],
)
def test_what_is_negative_or_above_4_mib_is_an_exception(data, meta, offered, offset, length):
    for client in (data, meta):
        assert "314 PATH_ILLEGAL" in refused(lambda client=client: client.readFile(offered.path, offset, length, None))


def test_4_mib_and_nothing_are_lengths(data, offered):
    assert whole(data, offered) == data.readFile(offered.path, 0, READ_FILE_MAX_BYTES, stranger())
    assert b"" == data.readFile(offered.path, 0, 0, None)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "identity",
        "raft",
        "/etc/passwd",
        "{folder}/../../identity",
        "{path}/../x",
        "./{path}",
        "{path}\x00",
        "x" * 10**6,
    ],
)
def test_what_no_snapshot_offered_is_an_exception(data, meta, offered, path):
    wanted = path.format(path=offered.path, folder=offered.path.rsplit("/", 1)[0])
    for client in (data, meta):
        message = refused(lambda client=client: client.readFile(wanted, 0, 10, None))
        assert "301 PATH_NOT_EXIST_ERROR" in message
        assert len(message) < 400


def test_a_failed_read_leaves_the_node_as_it_was(node, data, session, sg, offered):
    refused(lambda: data.readFile("/etc/passwd", 0, 1, None))
    session.insert(f"{sg}.d", 7_000, a="7")
    assert (7_000, 7) == read(node, f"{sg}.d.a", DataType.INT64)[-1]


def test_what_callers_forget_is_let_go_of_without_another_call(tmp_path):
    with one_node(tmp_path, snapshot_timeout_ms=200, reader_idle_ms=200) as node, logged_in(node) as session:
        session.insert("root.a.d", 1, s="1")
        header = node.header_of("root.a")
        with stock("TSDataService", node.data_address) as data:
            assert pulled(data, struct_of(header), slot_of("root.a"))
            assert data.querySingleSeries(query(header, "root.a.d.s", DataType.INT64))
            assert data.querySingleSeriesByTimestamp(query(header, "root.a.d.s", DataType.INT64))
        assert (2, 1) == node.kept
        wait_for(lambda: (0, 0) == node.kept, "readers and offers are gone")
