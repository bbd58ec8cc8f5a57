"""Damaged files: what `check` says of them, and the ways out that need no hand work."""

import numpy as np
import pytest

from iotdb_cluster.client.operators import ask_report
from iotdb_cluster.client.series import SeriesReader
from iotdb_cluster.client.session import Session
from iotdb_cluster.types.schema import DataType
from tests.process.conftest import wait_for

pytestmark = pytest.mark.process

TIMES = 1_600_000_000_000 + 1_000 * np.arange(3_000, dtype=np.int64)
VALUES = np.cos(np.arange(3_000) / 50)
SERIES = "root.weather.station.temperature"


def sealed_files(node):
    return sorted(node.folder.glob("data/*/root.weather/*.parquet"))


def write_until_sealed(cluster, node):
    """Points in files, also in those of `node`: a short log makes a node seal its memory soon."""
    with Session([(each.ip, each.client_port) for each in cluster.nodes]) as session:
        for part in np.array_split(np.arange(len(TIMES)), 50):
            session.insert_tablet(
                "root.weather.station", ["temperature"], [DataType.DOUBLE], TIMES[part], [VALUES[part]]
            )
    wait_for(lambda: sealed_files(node), "a sealed file")


def flip_a_byte(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x10
    path.write_bytes(data)


def test_a_damaged_sealed_file_is_set_aside_and_pulled_again(cluster_of, run_command):
    cluster = cluster_of(3, log_keep_entries=20)
    node = cluster.nodes[1]
    write_until_sealed(cluster, node)
    cluster.kill(node)
    damaged = sealed_files(node)[0]
    flip_a_byte(damaged)
    name = str(damaged.relative_to(node.folder))

    checked = run_command("check", str(node.folder))
    assert (1, True) == (checked.returncode, f"damaged: {name}, offset " in checked.stdout)

    cluster.start_node(node)
    groups = len(ask_report((cluster.nodes[0].ip, cluster.nodes[0].meta_port)).groups)
    wait_for(
        lambda: (report := ask_report((node.ip, node.meta_port))) and groups == len(report.groups), "the repair", 60
    )
    cluster.wait_until_ready()
    with SeriesReader([(node.ip, node.meta_port)], at=(node.ip, node.data_port)) as reader:
        series = reader.read(SERIES)
    assert (TIMES.tolist(), VALUES.tolist()) == (series.times.tolist(), series.values.tolist())
    assert (node.folder / "damaged" / name).exists()
    cluster.stop()
    checked = run_command("check", str(node.folder))
    assert (0, f"{node.folder}: nothing is damaged\n") == (checked.returncode, checked.stdout)


def test_without_another_replica_a_damaged_sealed_file_stops_the_start(cluster_of):
    cluster = cluster_of(1, log_keep_entries=20)
    node = cluster.nodes[0]
    write_until_sealed(cluster, node)
    cluster.stop()
    flip_a_byte(sealed_files(node)[0])
    cluster.start_node(node)
    assert 2 == node.process.wait(60)
    last = (node.folder / "output.txt").read_text().strip().splitlines()[-1]
    assert "checksum" in last
    assert sealed_files(node)[0].name in last
    assert "offset" in last
