"""What a node leaves on its disk, and what it does when there is little room."""

import re
from pathlib import Path

import duckdb
import numpy as np
import pandas
import pytest

from iotdb_cluster.client.series import SeriesReader
from iotdb_cluster.client.session import Session
from iotdb_cluster.errors import DiskNearlyFull
from iotdb_cluster.types.schema import DataType
from tests.process.conftest import PROJECT, wait_for

pytestmark = pytest.mark.process

TIMES = 1_600_000_000_000 + 60_000 * np.arange(5_000, dtype=np.int64)
VALUES = np.sin(np.arange(5_000) / 100)


def test_the_queries_of_the_operations_page_work_on_a_nodes_files(cluster_of):
    # A short log makes the node seal its memory soon.
    cluster = cluster_of(3, log_keep_entries=20)
    node = cluster.nodes[0]
    with Session([(node.ip, node.client_port)]) as session:
        for part in np.array_split(np.arange(len(TIMES)), 50):
            session.insert_tablet(
                "root.weather.station", ["temperature"], [DataType.DOUBLE], TIMES[part], [VALUES[part]]
            )
    wait_for(lambda: list(node.folder.glob("data/*/root.weather/*.parquet")), "a sealed file")
    page = (PROJECT / "docs" / "operations.md").read_text()
    (query,) = re.findall(r'duckdb\.sql\("(.*?)"\)', page)
    ((device, mean),) = duckdb.sql(query.replace("node1", str(node.folder))).fetchall()
    assert ("root.weather.station", True) == (device, -1 < mean < 1)
    files = [pandas.read_parquet(path) for path in sorted(Path(node.folder).glob("data/*/root.weather/*.parquet"))]
    frame = pandas.concat(files)
    assert {"device", "time", "temperature"} == set(frame.columns)
    expected = dict(zip(TIMES.tolist(), VALUES.tolist(), strict=True))
    found = dict(zip(frame["time"].astype("datetime64[ms, UTC]").astype("int64"), frame["temperature"], strict=True))
    assert found
    assert found.items() <= expected.items()


def test_a_nearly_full_disk_refuses_writes_and_serves_reads(cluster_of):
    cluster = cluster_of(1)
    node = cluster.nodes[0]
    with Session([(node.ip, node.client_port)]) as session:
        session.insert_row("root.s.d", 1, ["v"], [7])
    cluster.stop()
    # More than any disk has.
    full = cluster_of(1, disk_reserve_mb=1_048_576)
    with Session([(node.ip, node.client_port)]) as session:
        with pytest.raises(DiskNearlyFull):
            session.insert_row("root.s.d", 2, ["v"], [8])
        session.delete_data("root.s.d.v", 0)
    with SeriesReader([(node.ip, node.meta_port)]) as reader:
        assert [7] == reader.read("root.s.d.v").values.tolist()
    full.stop()
    cluster_of(1)
    with Session([(node.ip, node.client_port)]) as session:
        session.insert_row("root.s.d", 3, ["v"], [9])
