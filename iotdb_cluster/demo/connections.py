"""How the main job writes and reads: sessions on the client ports, readers on the data port of each node."""

import threading
from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from iotdb_cluster.cli.csv_file import Rows
from iotdb_cluster.cli.local_cluster import LocalNode
from iotdb_cluster.client.series import SeriesReader
from iotdb_cluster.client.session import Session
from iotdb_cluster.demo.comparing import Read
from iotdb_cluster.demo.stations import Points

WRITE_TIMEOUT_MS = 60_000
READ_TIMEOUT_MS = 30_000


class TabletWriter:
    """A session that goes on to another node when its own is lost.

    It repeats also what may have taken effect. That is right here, and only because no time of a station has two
    values: a tablet that is written twice changes nothing.
    """

    def __init__(self, nodes: Sequence[LocalNode]) -> None:
        addresses = [(node.ip, node.client_port) for node in nodes]
        self._session = Session(addresses, timeout_ms=WRITE_TIMEOUT_MS, repeatable=True)

    def write(self, rows: Rows) -> None:
        """Write a tablet; returns when it is acknowledged, raises `RequestError`."""
        self._session.insert_tablet(rows.device, rows.measurements, rows.data_types, rows.times, rows.columns)

    def close(self) -> None:
        """End the session."""
        self._session.close()


def create_storage_groups(nodes: Sequence[LocalNode], names: Sequence[str]) -> None:
    """Make storage groups; raises `RequestError`."""
    with Session([(node.ip, node.client_port) for node in nodes], timeout_ms=WRITE_TIMEOUT_MS) as session:
        for name in names:
            session.set_storage_group(name)


def reader_of(nodes: Sequence[LocalNode]) -> Read:
    """Reads from the data port of one node, over connections that each thread keeps."""
    readers: dict[tuple[int, int], SeriesReader] = {}

    def read(number: int, path: str) -> Points:
        key = threading.get_ident(), number
        if key not in readers:
            node = nodes[number]
            readers[key] = SeriesReader(
                [(node.ip, node.meta_port)], at=(node.ip, node.data_port), timeout_ms=READ_TIMEOUT_MS
            )
        series = readers[key].read(path)
        return Points(_native(series.times), _native(series.values))

    return read


def _native(array: NDArray[Any]) -> NDArray[Any]:
    """The same values in this machine's byte order."""
    return array.astype(array.dtype.newbyteorder("="))
