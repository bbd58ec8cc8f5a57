"""The identity of a folder: what is counted, what is refused, and what damage looks like."""

import json
import zlib
from random import Random

import pytest

from iotdb_cluster.errors import Corruption, Fault, StartRefused
from iotdb_cluster.storage.identity import (
    Identity,
    IdentityStore,
    LocalAddress,
    Tombstone,
    decode_identity,
    encode_identity,
)
from iotdb_cluster.types.identity import NodeId, Start
from tests.sim.disk import SimDisk, SimulatedCrash

HERE = LocalAddress("127.0.0.1", 9003, 40010, 55560)
CLUSTER = bytes(range(16))


@pytest.fixture
def disk() -> SimDisk:
    return SimDisk(Random(0))


def created(disk: SimDisk) -> IdentityStore:
    store = IdentityStore(disk)
    store.create(NodeId(77), HERE)
    return store


def reloaded(disk: SimDisk) -> Identity:
    disk.crash()
    identity = IdentityStore(disk).load()
    assert identity is not None
    return identity


def test_a_folder_without_identity_gets_one_that_stays(disk: SimDisk) -> None:
    store = IdentityStore(disk)
    assert None is store.load()
    with pytest.raises(Fault):
        _ = store.current
    identity = store.create(NodeId(77), HERE)
    assert Identity(NodeId(77), HERE) == identity == reloaded(disk)
    with pytest.raises(StartRefused, match="exists"):
        store.create(NodeId(78), HERE)


def test_starts_are_remembered_until_one_is_acknowledged(disk: SimDisk) -> None:
    store = created(disk)
    with pytest.raises(Fault, match="never started"):
        _ = store.current.start
    for random in (11, 12, 13, 14):
        store.record_start(random)
    assert (Start(4, 14), (Start(1, 11), Start(2, 12), Start(3, 13))) == (
        store.current.start,
        store.current.recent_starts,
    )
    store.acknowledge_start(Start(3, 13))
    assert (Start(3, 13), (Start(3, 13), Start(4, 14))) == (reloaded(disk).acknowledged, reloaded(disk).starts)
    assert reloaded(disk) == store.acknowledge_start(Start(2, 12)) == store.acknowledge_start(Start(3, 13))
    moved = LocalAddress("127.0.0.2", 1, 2, 3)
    assert (Start(5, 15), moved) == (store.record_start(15, moved).start, store.current.address)


@pytest.mark.parametrize("unknown", [Start(3, 99), Start(4, 1)])
def test_a_start_that_the_cluster_knows_and_the_folder_does_not_shows_an_old_copy(
    disk: SimDisk, unknown: Start
) -> None:
    store = created(disk)
    for random in (11, 12, 13):
        store.record_start(random)
    with pytest.raises(Fault, match="old copy"):
        store.acknowledge_start(unknown)
    assert None is reloaded(disk).acknowledged


def test_a_folder_belongs_to_one_cluster_and_keeps_its_identifier_there(disk: SimDisk) -> None:
    store = created(disk)
    assert NodeId(78) == store.change_identifier(NodeId(78)).identifier
    assert CLUSTER == store.found(CLUSTER).cluster_id == store.found(CLUSTER).cluster_id == reloaded(disk).cluster_id
    with pytest.raises(Fault, match="belongs to cluster"):
        store.found(bytes(16))
    with pytest.raises(Fault, match="belongs to a cluster"):
        store.change_identifier(NodeId(79))
    with pytest.raises(Fault, match="3 bytes"):
        created(SimDisk(Random(1))).found(b"abc")


def test_the_folder_of_a_removed_node_refuses_to_start_and_says_why(disk: SimDisk) -> None:
    store = created(disk)
    store.bury(Tombstone("removed by an operator", 1_700_000_000_000, 42))
    store.bury(Tombstone("again", 0, 43))
    again = IdentityStore(disk)
    again.load()
    with pytest.raises(StartRefused, match=r"node 77 was removed .*index 42.*removed by an operator.*empty folder"):
        again.record_start(1)


def full() -> Identity:
    return Identity(
        NodeId(-5), HERE, CLUSTER, Start(1, 2), (Start(1, 2), Start(2, -3)), Tombstone('gone "for good"', 1, 2)
    )


def test_the_file_is_for_people_to_read() -> None:
    assert full() == decode_identity(encode_identity(full()))
    content = json.loads(encode_identity(full()))
    assert (CLUSTER.hex(), 40010) == (content["identity"]["cluster_id"], content["identity"]["address"]["data_port"])


def test_every_flipped_bit_and_every_cut_is_refused_with_file_and_way_out() -> None:
    data = encode_identity(full())
    damaged = [data[:length] for length in range(len(data))]
    for offset in range(len(data)):
        for bit in range(8):
            damaged.append(data[:offset] + bytes([data[offset] ^ 1 << bit]) + data[offset + 1 :])
    damaged += [b"[" * 100_000, b"null", b"{}", data + b"\n", b"\xff"]
    for wrong in damaged:
        with pytest.raises(Corruption, match="identity, offset .*rejoin"):
            decode_identity(wrong)


def test_an_identity_of_another_format_says_so(disk: SimDisk) -> None:
    content = json.loads(encode_identity(full()))
    del content["checksum"]
    content["format"] = 2
    content["checksum"] = f"{zlib.crc32(json.dumps(content, sort_keys=True).encode()):08x}"
    disk.put("identity", json.dumps(content).encode())
    with pytest.raises(StartRefused, match="format 2"):
        IdentityStore(disk).load()


def test_a_crash_at_any_step_leaves_the_old_identity_or_the_new() -> None:
    for seed in range(10):
        for at in range(1, 9):
            disk = SimDisk(Random(f"{seed}/{at}"))
            store = created(disk)
            old = store.current
            disk.crash_at(at)
            with pytest.raises(SimulatedCrash):
                store.record_start(5)
            assert reloaded(disk) in (old, Identity(NodeId(77), HERE, starts=(Start(1, 5),)))
