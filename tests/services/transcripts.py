"""Plays transcripts of the original's client calls against a node, and says where it answers otherwise.

A step's reply is compared by what clients read of it: codes, ids, zones, lists. Message texts are free (interface page
CLIENT); where the original misbehaves, what a server in good order answers is as good.
"""

import json
import struct
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from thriftpy2.thrift import TApplicationException

from iotdb_cluster.types.schema import Compression, DataType, Encoding
from tests.services.rig import RPC, RunningNode, stock, wait_for

FILE = Path(__file__).parent.parent / "golden" / "client_transcripts.json"
Json = Any

SANE: dict[str, set[int]] = {
    "setTimeZone asks for no session": {601},
    "an empty row is accepted": {400},
    "one measurement name has one type, encoding and compression in a whole storage group": {200},
    "names are not checked": {200, 314},
    "the call checks no pairing of type and encoding, the statement does": {200, 303, 401},
    "zone names are normalised": {200},
}
"""What may be answered besides, where the original misbehaves."""

NO_CODE = {400, 301, 314}
"""What stands for a failure to which the original gives no code of its own."""

_ORDINALS = {"dataType": DataType, "encoding": Encoding, "compressor": Compression}
_PACKED = {DataType.BOOLEAN: "B", DataType.INT32: "i", DataType.INT64: "q", DataType.FLOAT: "f", DataType.DOUBLE: "d"}
_REQUESTS = {
    "openSession": "TSOpenSessionReq",
    "closeSession": "TSCloseSessionReq",
    "setTimeZone": "TSSetTimeZoneReq",
    "createTimeseries": "TSCreateTimeseriesReq",
    "insert": "TSInsertReq",
    "insertBatch": "TSBatchInsertionReq",
    "insertRowInBatch": "TSInsertInBatchReq",
    "deleteData": "TSDeleteDataReq",
    "testInsertRow": "TSInsertReq",
    "testInsertBatch": "TSBatchInsertionReq",
    "testInsertRowInBatch": "TSInsertInBatchReq",
}
_PLAIN: dict[str, tuple[str, ...]] = {
    "getProperties": (),
    "getTimeZone": ("sessionId",),
    "requestStatementId": ("sessionId",),
    "setStorageGroup": ("sessionId", "storageGroup"),
}
CALLS = frozenset(_REQUESTS) | frozenset(_PLAIN)
"""What can be played so far."""


def scenarios() -> list[Json]:
    """All transcripts."""
    found: list[Json] = json.loads(FILE.read_text())["scenarios"]
    return found


class Player:
    """Plays one scenario; use it as a context manager."""

    def __init__(self, node: RunningNode) -> None:
        self._node = node
        self._ids: dict[str, Any] = {}
        self._connections: dict[str, ExitStack] = {}
        self._clients: dict[str, Any] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for stack in self._connections.values():
            stack.close()

    def differences(self, steps: list[Json]) -> Iterator[str]:
        """What is answered otherwise, step by step; a step that can't be played yet is passed over."""
        for number, step in enumerate(steps):
            if step.get("close"):
                self._close(step["conn"])
            elif step["call"] in CALLS:
                difference = self._difference(step)
                if difference is not None:
                    yield f"step {number}, {step['call']} {json.dumps(step['args'])[:200]}: {difference}"

    def _difference(self, step: Json) -> str | None:
        expected = _expected(step)
        # What follows the loss of a connection follows soon, not at once.
        is_late = "lost connection" in step.get("note", "")
        found: list[Json] = []

        def answered() -> bool:
            found[:] = [self._call(step)]
            return not is_late or _fits(found[0], expected)

        wait_for(answered, step.get("note", step["call"]))
        if "bind" in step and not isinstance(found[0], str):
            self._ids[step["bind"]] = found[0].get("sessionId") or found[0].get("return")
        return None if _fits(found[0], expected) else f"{found[0]} instead of {step['reply']}"

    def _call(self, step: Json) -> Json:
        args = {
            name: self._ids.get(value, value) if isinstance(value, str) and value.startswith("$") else value
            for name, value in step["args"].items()
        }
        method = getattr(self._client(step.get("conn", "")), step["call"])
        try:
            if step["call"] in _PLAIN:
                answer = _as_json(method(*(args[name] for name in _PLAIN[step["call"]])))
                return {"return": answer} if isinstance(answer, int) else answer
            return _as_json(method(getattr(RPC, _REQUESTS[step["call"]])(**_converted(args))))
        except TApplicationException as refusal:
            return f"exception: {refusal.message}"

    def _client(self, name: str) -> Any:
        if name not in self._clients:
            stack = self._connections[name] = ExitStack()
            self._clients[name] = stack.enter_context(stock("TSIService", self._node.client_address))
        return self._clients[name]

    def _close(self, name: str) -> None:
        self._connections.pop(name).close()
        del self._clients[name]


def _converted(args: dict[str, Any]) -> dict[str, Any]:
    """Names to ordinals, and the columns of a tablet to bytes."""
    made = {name: _ORDINALS[name][value] if name in _ORDINALS else value for name, value in args.items()}
    if "types" in made:
        types = [DataType[name] for name in made["types"]]
        made["types"] = [int(data_type) for data_type in types]
        made["timestamps"] = struct.pack(f">{len(args['timestamps'])}q", *args["timestamps"])
        if "columns" in made:
            columns = made.pop("columns")
            made["values"] = b"".join(map(_packed, types, columns))
        else:
            made["values"] = bytes.fromhex(made["values"])
    return {
        name: int(value) if isinstance(value, (DataType, Encoding, Compression)) else value
        for name, value in made.items()
    }


def _packed(data_type: DataType, values: list[Any]) -> bytes:
    if data_type is DataType.TEXT:
        texts = [value.encode() for value in values]
        return b"".join(struct.pack(">i", len(text)) + text for text in texts)
    return struct.pack(f">{len(values)}{_PACKED[data_type]}", *values)


def _as_json(answer: Any) -> Json:
    """An answer in the form of the transcripts."""
    if isinstance(answer, list):
        return [_as_json(each) for each in answer]
    if hasattr(answer, "statusType"):
        return {"code": answer.statusType.code}
    if not hasattr(answer, "thrift_spec"):
        return answer
    fields = {field[1]: getattr(answer, field[1]) for field in answer.thrift_spec.values()}
    return {name: _as_json(value) for name, value in fields.items() if value is not None}


def _expected(step: Json) -> Callable[[Json], bool]:
    """Whether an answer is as good as the step's reply."""
    reply = step["reply"]
    other = set(step.get("codes", ())) | SANE.get(step.get("oddity", ""), set())

    def code_fits(found: int, wanted: int) -> bool:
        return found == wanted or found in other or (wanted == 0 and found in NO_CODE)

    def fits(found: Json, wanted: Json, name: str = "") -> bool:
        if isinstance(wanted, dict) and "code" in wanted:
            return isinstance(found, dict) and code_fits(found["code"], wanted["code"])
        if isinstance(wanted, dict):
            keys = set(wanted) - set(step.get("ignore", ()))
            return isinstance(found, dict) and keys == set(found) and all(fits(found[k], wanted[k], k) for k in keys)
        if isinstance(wanted, list):
            return isinstance(found, list) and len(found) == len(wanted) and all(map(fits, found, wanted))
        if isinstance(wanted, str) and wanted.startswith("$"):
            return isinstance(found, int) and found > 0
        return bool(found == wanted)

    def judge(found: Json) -> bool:
        if "exception" in reply:
            return isinstance(found, str) or code_of(found) != 200
        return fits(found, reply)

    return judge


def _fits(found: Json, expected: Callable[[Json], bool]) -> bool:
    return expected(found)


def code_of(found: Json) -> int | None:
    """The code of an answer that has one."""
    status = found.get("status", found)
    return status.get("code") if isinstance(status, dict) else None
