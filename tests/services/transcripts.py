"""Transcripts of the original's client calls: their file, their connections, and their values on the wire and back."""

import json
import struct
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from iotdb_cluster.types.schema import Compression, DataType, Encoding
from tests.services.rig import RunningNode, stock, wait_for

FILE = Path(__file__).parent.parent / "golden" / "client_transcripts.json"
Json = Any

_ORDINALS = {"dataType": DataType, "encoding": Encoding, "compressor": Compression}
_PACKED = {DataType.BOOLEAN: "B", DataType.INT32: "i", DataType.INT64: "q", DataType.FLOAT: "f", DataType.DOUBLE: "d"}


def scenarios() -> list[Json]:
    """All transcripts."""
    found: list[Json] = json.loads(FILE.read_text())["scenarios"]
    return found


class Connections:
    """The connections of one scenario, by name; use it as a context manager."""

    def __init__(self, node: RunningNode) -> None:
        self._node = node
        self._open: dict[str, ExitStack] = {}
        self._clients: dict[str, Any] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for name in list(self._open):
            self.close(name)

    def client(self, name: str) -> Any:
        """The client of a connection, which is made when it is first asked for."""
        if name not in self._clients:
            stack = self._open[name] = ExitStack()
            self._clients[name] = stack.enter_context(stock("TSIService", self._node.client_address))
        return self._clients[name]

    def close(self, name: str) -> None:
        """End a connection, and wait until the node has seen that: only then has it ended what goes with it."""
        serving = self._node.client_connections
        self._open.pop(name).close()
        del self._clients[name]
        wait_for(lambda: self._node.client_connections < serving, f"the node has seen the end of connection {name!r}")


def converted(args: dict[str, Any]) -> dict[str, Any]:
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


def as_json(answer: Any) -> Json:
    """An answer in the form of the transcripts."""
    if isinstance(answer, list):
        return [as_json(each) for each in answer]
    if hasattr(answer, "statusType"):
        return {"code": answer.statusType.code}
    if not hasattr(answer, "thrift_spec"):
        return answer
    fields = {field[1]: getattr(answer, field[1]) for field in answer.thrift_spec.values()}
    return {name: as_json(value) for name, value in fields.items() if value is not None}
