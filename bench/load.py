"""A process of client load: threads that each send the same call again and again over a connection of their own.

Started by `bench.measure`; reads its orders as one JSON line, says `ready` when all are connected, begins at the next
line, and prints one JSON line with what it counted. The calls are put together once and only their times change, so
that on a machine with few cores the load does not measure itself.
"""

import json
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bench.bare_log import read_frame
from iotdb_cluster.client.connection import ThriftClient
from iotdb_cluster.types.schema import DataType
from iotdb_cluster.wire.codec import Codec
from iotdb_cluster.wire.idl import STRUCTS

TABLET_ROWS = 1000
TABLET_COLUMNS = 10
BASE_MS = 1_600_000_000_000
PLACEHOLDER_MS = 0x0102030405060708
CALL_TIMEOUT_MS = 30_000


@dataclass(slots=True)
class Client:
    """One connection and what it has seen."""

    sock: socket.socket
    frames: Iterator[bytes]
    expected: bytes | None
    """The answer that counts as success; None: whatever the first answer is."""
    latencies_s: list[float] = field(default_factory=list)
    error: str = ""

    def run(self, until: float) -> None:
        """Send and wait, one call after the other, until that monotonic second."""
        now = time.monotonic()
        while now < until:
            begin = now
            self.sock.sendall(next(self.frames))
            answer = read_frame(self.sock)
            now = time.monotonic()
            if self.expected is None:
                self.expected = answer
            elif answer != self.expected:
                self.error = repr(answer[:300])
                return
            self.latencies_s.append(now - begin)


def insert_frames(session: int, device: str) -> Iterator[bytes]:
    """Single-row inserts: one DOUBLE, each at a new time."""
    request = STRUCTS["TSInsertReq"].make(
        sessionId=session, deviceId=device, measurements=["s0"], values=["3.14159265"], timestamp=PLACEHOLDER_MS
    )
    return _timed("insert", request, lambda number: struct.pack(">q", BASE_MS + number), 8)


def tablet_frames(session: int, device: str) -> Iterator[bytes]:
    """Tablets of 1,000 rows x 10 DOUBLE, each behind the one before."""
    values = np.random.default_rng(7).normal(20, 5, (TABLET_COLUMNS, TABLET_ROWS)).astype(">f8").tobytes()
    size = 8 * TABLET_ROWS
    request = STRUCTS["TSBatchInsertionReq"].make(
        sessionId=session,
        deviceId=device,
        measurements=[f"s{number}" for number in range(TABLET_COLUMNS)],
        values=values,
        timestamps=struct.pack(">q", PLACEHOLDER_MS) * TABLET_ROWS,
        types=[int(DataType.DOUBLE)] * TABLET_COLUMNS,
        size=TABLET_ROWS,
    )
    first = np.arange(BASE_MS, BASE_MS + TABLET_ROWS, dtype=np.int64)
    return _timed("insertBatch", request, lambda number: (first + number * TABLET_ROWS).astype(">i8").tobytes(), size)


def bare_frames(size: int) -> Iterator[bytes]:
    """Frames of `size` bytes in all for the bare log."""
    frame = struct.pack("!I", size - 4) + b"W" * (size - 4)
    while True:
        yield frame


def _timed(method: str, request: Any, times: Callable[[int], bytes], size: int) -> Iterator[bytes]:
    # Always the same sequence number: the good answers are all the same bytes then.
    message = Codec().encode_call("TSIService", method, (request,), seqid=1)
    placeholder = (struct.pack(">q", PLACEHOLDER_MS) * (size // 8))[:size]
    head, found, tail = (struct.pack("!I", len(message)) + message).partition(placeholder)
    if not found:
        raise ValueError(f"{method}: the times are not where they should be")
    number = 0
    while True:
        yield head + times(number) + tail
        number += 1


def open_session(address: tuple[str, int]) -> int:
    """A session of the default account; it outlives the connection that opened it only as long as that is open."""
    client = ThriftClient(address, "TSIService", Codec())
    _OPEN.append(client)
    answer = client.call(
        "openSession",
        (STRUCTS["TSOpenSessionReq"].make(client_protocol=0, username="root", password="root"),),
        CALL_TIMEOUT_MS,
    )
    return int(answer.sessionId)


_OPEN: list[ThriftClient] = []
"""Keeps the connections of the sessions open for as long as the process lives."""


def connect(order: dict[str, Any]) -> Client:
    """A client as ordered: `kind`, `port`, and `device` or `size`."""
    address = ("127.0.0.1", order["port"])
    if order["kind"] == "bare":
        frames, expected = bare_frames(order["size"]), b"A"
        warm_up = None
    else:
        session = open_session(address)
        make = insert_frames if order["kind"] == "insert" else tablet_frames
        frames, expected = make(session, order["device"]), None
        warm_up = next(frames)
    sock = socket.create_connection(address)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    client = Client(sock, frames, expected)
    if warm_up is not None:
        # Creates the series, and shows what success looks like.
        sock.sendall(warm_up)
        client.expected = _checked(read_frame(sock), "insert" if order["kind"] == "insert" else "insertBatch")
    return client


def _checked(answer: bytes, method: str) -> bytes:
    result = Codec().decode_reply(answer, "TSIService", method, 1)
    status = result if method == "insert" else result.status
    if status.statusType.code != 200:
        raise ValueError(f"{method} was answered {status.statusType.code}: {status.statusType.message}")
    return answer


def main() -> None:
    """Carry out one line of orders."""
    orders = json.loads(sys.stdin.readline())
    clients = [connect(order) for order in orders["clients"]]
    print("ready", flush=True)
    sys.stdin.readline()
    begin = time.monotonic()
    threads = [threading.Thread(target=client.run, args=(begin + orders["seconds"],)) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    latencies = sorted(each for client in clients for each in client.latencies_s)
    print(
        json.dumps(
            {
                "calls": len(latencies),
                "seconds": time.monotonic() - begin,
                "latencies_s": latencies[:: max(1, len(latencies) // 2000)],
                "errors": [client.error for client in clients if client.error],
                "frame_bytes": len(next(clients[0].frames)),
            }
        ),
        flush=True,
    )


if __name__ == "__main__":
    main()
