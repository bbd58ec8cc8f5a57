"""How fast one series is read back over one connection, beside a socket that only sends as many bytes."""

import socket
import struct
import tempfile
import time
from pathlib import Path

import numpy as np

from bench.bare_log import READ, read_frame
from bench.measure import bare_log
from iotdb_cluster.cli.local_cluster import LocalCluster
from iotdb_cluster.client.series import SeriesReader
from iotdb_cluster.client.session import Session
from iotdb_cluster.types.schema import DataType

SERIES = "root.g0.read.s0"
WRITE_ROWS = 50_000
BATCH_POINTS = 10_000
BYTES_PER_POINT = 16
REPEATS = 3


def points_per_s(cluster: LocalCluster, count: int) -> tuple[float, int]:
    """Points a second of the best of three reads of a DOUBLE series with so many points, and the bytes of a batch."""
    node = cluster.nodes[0]
    values = np.random.default_rng(11).normal(20, 5, count)
    times = 1_600_000_000_000 + 1000 * np.arange(count, dtype=np.int64)
    with Session([(node.ip, node.client_port)]) as session:
        for first in range(0, count, WRITE_ROWS):
            part = slice(first, first + WRITE_ROWS)
            session.insert_tablet("root.g0.read", ["s0"], [DataType.DOUBLE], times[part], [values[part]])
    rates = []
    with SeriesReader([(node.ip, node.meta_port)]) as reader:
        for _ in range(REPEATS):
            begin = time.perf_counter()
            series = reader.read(SERIES)
            rates.append(len(series) / (time.perf_counter() - begin))
            if len(series) != count or not np.array_equal(series.values, values):
                raise RuntimeError("what was read is not what was written")
    return max(rates), BATCH_POINTS * BYTES_PER_POINT


def bare_bytes_per_s(batch_bytes: int, points: int) -> float:
    """Bytes a second when a process only answers each question with so many bytes, for as many points."""
    questions = max(1, points // BATCH_POINTS)
    ask = struct.pack("!IBI", 5, READ, batch_bytes)
    with (
        tempfile.TemporaryDirectory() as folder,
        bare_log(Path(folder)) as port,
        socket.create_connection(("127.0.0.1", port)) as sock,
    ):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        begin = time.perf_counter()
        for _ in range(questions):
            sock.sendall(ask)
            read_frame(sock)
        return questions * batch_bytes / (time.perf_counter() - begin)
