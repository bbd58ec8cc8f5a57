"""Mutated frames, read in process as a server and a client read them.

The property: a frame is a message or is refused by an error that can be answered, within `SLOWEST_S` of thread time,
and so is every payload inside it; what is read as a message also ends there when no frame says so. Anything else ends
the run with the seed and the number of the frame, which repeat it.

`python -m tests.fuzz.frames [COUNT] [SEED]` does what `make fuzz` does.
"""

import json
import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from iotdb_cluster.errors import MalformedInput, RemoteError, RequestError, Unsupported
from iotdb_cluster.wire import batches, entries, filters, plans, scalars, schemas, snapshots, tables
from iotdb_cluster.wire.codec import Codec
from iotdb_cluster.wire.header import MessageKind, Protocol
from iotdb_cluster.wire.idl import SERVICES, STRUCTS
from iotdb_cluster.wire.limits import Limits
from iotdb_cluster.wire.scanner import message_length

GOLDEN = Path(__file__).parent.parent / "golden" / "requests.json"
LIMITS = Limits(frame_bytes=1 << 20, elements=100_000)
SLOWEST_S = 0.1
SERVED = ("MetaExtension", "DataExtension", "TSIService")
SIZES = (b"\x7f\xff\xff\xff", b"\xff\xff\xff\xff", b"\x80\x00\x00\x00", b"\x00\x00\x00\x00", b"\x00\x01\x86\xa0")
PAYLOADS: dict[str, Callable[[Any], object]] = {
    "planBytes": plans.decode_plan,
    "filterBytes": filters.decode_filter,
    "entry": entries.decode_entry,
    "entries": entries.decode_chain,
    "partitionTableBytes": tables.decode_table,
    "snapshotBytes": snapshots.decode_data_snapshot,
    "schemaBytes": schemas.decode_schemas,
}
"""What is inside a field of this name."""


class Broken(AssertionError):
    """The property does not hold."""


def originals() -> list[tuple[str, bytes]]:
    """The golden messages and calls of services that those lack, each with the service that is served for it."""
    found = []
    for vector in json.loads(GOLDEN.read_text())["vectors"]:
        service = "MetaExtension" if vector["value"]["service"] == "TSMetaService" else "DataExtension"
        found.append((service, bytes.fromhex(vector["hex"])[4:]))
    codec = Codec(LIMITS)

    def call(service: str, method: str, *args: Any) -> None:
        for protocol in Protocol:
            found.append((service, codec.encode_call(service, method, args, seqid=0, protocol=protocol)))

    def made(name: str, *values: Any) -> Any:
        return STRUCTS[name].make(*values)

    node = made("Node", "127.0.0.1", 9003, 1, 40010)
    names = ["s1", "s2"]
    call("TSIService", "openSession", made("TSOpenSessionReq", 0, "root", "root", {"zone": "Z"}))
    call("TSIService", "insert", made("TSInsertReq", 1, "root.a.d", names, ["1", "'x'"], 100))
    call(
        "TSIService", "insertBatch", made("TSBatchInsertionReq", 1, "root.a.d", names, bytes(24), bytes(16), [2, 1], 2)
    )
    call("TSIService", "insertRowInBatch", made("TSInsertInBatchReq", 1, ["root.a"], [names], [["1", "2"]], [7]))
    call("TSIService", "executeStatement", made("TSExecuteStatementReq", 1, "select s1 from root.a", 1, 100))
    call("TSIService", "getProperties")
    call("MetaExtension", "propose", made("ProposeRequest", node, [b"\x03\0\0\0\x04root"], 1000, 1))
    call("MetaExtension", "vote", made("ElectionRequest", 1, 1, 1, node, None, None, None), True, False)
    starts = [made("StartId", 1, 2), made("StartId", 2, 3)]
    call(
        "DataExtension",
        "hello",
        made("HelloRequest", bytes(16), node, 2, 3, starts, "ab", "a:1:2", 1, 3, 10, 7, "c", False),
    )
    call("DataExtension", "exile", 5, 100)
    return found


def mutated(original: bytes, others: list[bytes], rng: random.Random) -> bytes:
    """The original after one to four mutations."""
    data = bytearray(original)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 4))):
        at = rng.randrange(len(data) + 1)
        match rng.randrange(12):
            case 0 | 8 | 9 | 10 if data:
                data[at % len(data)] ^= 1 << rng.randrange(8)
            case 1 if data:
                data[at % len(data)] = rng.randrange(256)
            case 2:
                data[at : at + 4] = rng.choice(SIZES)
            case 3:
                del data[at : at + rng.randrange(1, 9)]
            case 4:
                data[at:at] = rng.randbytes(rng.randrange(1, 9))
            case 5:
                other = rng.choice(others)
                start = rng.randrange(len(other))
                data[at:at] = other[start : start + rng.randrange(1, 60)]
            case 6:
                del data[at:]
            case _:
                data[at:at] = data[at : at + 40] * rng.randrange(1, 30)
    return bytes(data)


def read(frame: bytes, codec: Codec, service: str) -> str:
    """Read a frame as its receiver does; what became of it."""
    try:
        call = codec.decode_call(frame, service)
    except (MalformedInput, Unsupported) as refusal:
        codec.encode_refusal(frame, refusal)
        return _read_reply(frame, codec, service)
    _check_end(frame, codec)
    for argument in call.args:
        _read_payloads(argument)
    codec.encode_call(service, call.method, call.args, seqid=call.seqid, protocol=call.protocol)
    return "call"


def _read_reply(frame: bytes, codec: Codec, service: str) -> str:
    head = codec.header_of(frame)
    if head is None or head.kind == MessageKind.CALL or head.method not in SERVICES[service].methods:
        return "refused"
    try:
        result = codec.decode_reply(frame, service, head.method, head.seqid)
    except MalformedInput:
        return "refused"
    except RemoteError:
        return "exception"
    _check_end(frame, codec)
    _read_payloads(result)
    if isinstance(result, bytes):
        for decode in (batches.decode_batch, scalars.decode_scalar):
            _read_payload(decode, result)
    return "reply"


def _check_end(frame: bytes, codec: Codec) -> None:
    if message_length(frame, codec.limits) != len(frame):
        raise Broken("the scanner finds another end than the frame has")


def _read_payloads(value: Any) -> None:
    for name, decode in PAYLOADS.items():
        inside = getattr(value, name, None)
        if isinstance(inside, bytes | list):
            _read_payload(decode, inside)


def _read_payload(decode: Callable[[Any], object], data: Any) -> None:
    try:
        decode(data)
    except RequestError:
        return


def fuzz(count: int, seed: int) -> Counter[str]:
    """Read `count` mutated frames; how many became what. Raises `Broken` for the first that breaks the property."""
    rng = random.Random(seed)
    codec = Codec(LIMITS)
    known = originals()
    all_bytes = [data for _, data in known]
    became: Counter[str] = Counter()
    for number in range(count):
        service, original = rng.choice(known)
        frame = mutated(original, all_bytes, rng)
        if number % 10 == 0:  # sent to another port
            service = rng.choice(SERVED)
        begun = time.thread_time()
        try:
            became[read(frame, codec, service)] += 1
            message_length(frame, LIMITS)
        except MalformedInput:
            became["no message without a frame"] += 1
        except Exception as error:
            raise Broken(f"frame {number} of seed {seed}, for {service}: {frame.hex()}: {error!r}") from error
        if time.thread_time() - begun > SLOWEST_S:
            raise Broken(f"frame {number} of seed {seed}, for {service}, took too long: {frame.hex()}")
    return became


def main() -> None:
    """Read mutated frames and print what became of them."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    begun = time.monotonic()
    became = fuzz(count, seed)
    sys.stdout.write(f"{count} frames of seed {seed} in {time.monotonic() - begun:.0f} s: {dict(became)}\n")


if __name__ == "__main__":
    main()
