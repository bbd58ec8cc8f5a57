"""Prints a series, found through one node's client port."""

import sys
from datetime import UTC, datetime, timedelta
from typing import TextIO

from iotdb_cluster.client.connection import ThriftClient
from iotdb_cluster.client.failover import Address
from iotdb_cluster.client.series import SeriesReader
from iotdb_cluster.client.statuses import check
from iotdb_cluster.types.report import Report
from iotdb_cluster.wire.idl import STRUCTS

SERVICE = "ClientExtension"
TIMEOUT_MS = 10_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def print_series(
    path: str, node: Address, account: tuple[str, str], start: int | None, end: int | None, out: TextIO = sys.stdout
) -> int:
    """Print a series as CSV, times in ISO 8601 (UTC); returns how many points there were. Raises `RequestError`."""
    report = report_of(node, account)
    with SeriesReader([member.meta_address for member in report.members]) as reader:
        series = reader.read(path, start=start, end=end)
    print(f"time,{path}", file=out)
    for time, value in zip(series.times.tolist(), series.values.tolist(), strict=True):
        print(f"{text_of_time(time)},{_quoted(value)}", file=out)
    return len(series)


def report_of(node: Address, account: tuple[str, str]) -> Report:
    """What the node at this client port knows of the cluster; raises `RequestError`."""
    client = ThriftClient(node, SERVICE, connect_timeout_ms=TIMEOUT_MS)
    try:
        request = STRUCTS["TSOpenSessionReq"].make(client_protocol=0, username=account[0], password=account[1])
        opened = client.call("openSession", (request,), TIMEOUT_MS)
        check(opened.status)
        return Report.from_json(client.call("report", (opened.sessionId,), TIMEOUT_MS).json)
    finally:
        client.close()


def text_of_time(time_ms: int) -> str:
    """ISO 8601 in UTC with milliseconds; the plain number for times that no calendar reaches."""
    try:
        return (EPOCH + timedelta(milliseconds=time_ms)).isoformat(timespec="milliseconds")
    except OverflowError:
        return str(time_ms)


def _quoted(value: object) -> str:
    """A cell of a CSV file."""
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value)
    return '"' + text.replace('"', '""') + '"' if any(mark in text for mark in ',"\r\n') else text
