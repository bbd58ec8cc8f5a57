"""Asks a node for its report."""

from iotdb_cluster.client.connection import ThriftClient
from iotdb_cluster.errors import RequestError
from iotdb_cluster.types.report import Report
from iotdb_cluster.wire.codec import Codec


def ask_report(host: str, meta_port: int, timeout_s: float) -> Report | None:
    """The report of the node at this address; None when it does not answer, or not in time."""
    timeout_ms = max(1, int(timeout_s * 1000))
    try:
        client = ThriftClient((host, meta_port), "MetaExtension", Codec(), connect_timeout_ms=timeout_ms)
        try:
            return Report.from_json(client.call("report", (), timeout_ms).json)
        finally:
            client.close()
    except RequestError:
        return None
