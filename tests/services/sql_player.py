"""Plays transcripts against a node, and says where it answers otherwise than the original.

A step's reply is compared by what clients read of it: codes, ids, zones, rows. Message texts are free (interface page
CLIENT); where the original misbehaves, what a server in good order answers is as good.
"""

import json
import math
import struct
from collections.abc import Callable, Iterator
from typing import Any

from thriftpy2.thrift import TApplicationException

from iotdb_cluster.types.schema import DataType
from tests.services.rig import RPC
from tests.services.transcripts import Connections, Json, as_json, converted

REQUESTS = {
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
    "executeStatement": "TSExecuteStatementReq",
    "executeQueryStatement": "TSExecuteStatementReq",
    "executeUpdateStatement": "TSExecuteStatementReq",
    "executeBatchStatement": "TSExecuteBatchStatementReq",
    "fetchResults": "TSFetchResultsReq",
    "closeOperation": "TSCloseOperationReq",
    "cancelOperation": "TSCancelOperationReq",
    "fetchMetadata": "TSFetchMetadataReq",
}
PLAIN: dict[str, tuple[str, ...]] = {
    "getProperties": (),
    "getTimeZone": ("sessionId",),
    "requestStatementId": ("sessionId",),
    "setStorageGroup": ("sessionId", "storageGroup"),
    "deleteTimeseries": ("sessionId", "path"),
    "deleteStorageGroups": ("sessionId", "storageGroup"),
}

NO_CODE = {400, 301, 314}
"""What stands for a failure to which the original gives no code of its own."""

FAILED: tuple[str, ...] = ("exception",)
_WIDTH = {DataType.BOOLEAN: "?", DataType.INT32: "i", DataType.INT64: "q", DataType.FLOAT: "f", DataType.DOUBLE: "d"}


class Decoded:
    """Turns pages into rows; remembers the columns of a query for the pages that follow."""

    def __init__(self) -> None:
        self._types: dict[int, list[DataType]] = {}

    def rows(self, answer: Any, query_id: int | None) -> Json | None:
        """`rows` or `rowsByColumn` of an answer; None where there is no data set."""
        if getattr(answer, "columns", None) is not None:
            distinct = dict(zip(answer.columns, answer.dataTypeList, strict=True))
            self._types[answer.queryId] = [DataType[name] for name in distinct.values()]
            query_id = answer.queryId
        types = self._types.get(query_id or 0, [])
        if answer.queryDataSet is not None:
            data = answer.queryDataSet
            times = list(struct.unpack(f">{len(data.time) // 8}q", data.time))
            assert len(types) == len(data.valueList) == len(data.bitmapList), "a column for each distinct name"
            columns = [
                _column(values, bitmap, data_type, len(times))
                for values, bitmap, data_type in zip(data.valueList, data.bitmapList, types, strict=True)
            ]
            return {"rows": [[time, *(column[row] for column in columns)] for row, time in enumerate(times)]}
        if answer.nonAlignQueryDataSet is not None:
            data = answer.nonAlignQueryDataSet
            found = []
            for time, values, data_type in zip(data.timeList, data.valueList, types, strict=True):
                times = list(struct.unpack(f">{len(time) // 8}q", time))
                found.append([list(pair) for pair in zip(times, _values(values, data_type), strict=True)])
            return {"rowsByColumn": found}
        return None


def _column(data: bytes, bitmap: bytes, data_type: DataType, count: int) -> list[Any]:
    present = [bool(bitmap[row // 8] & (0x80 >> row % 8)) for row in range(count)]
    assert len(bitmap) == (count + 7) // 8, "a bit for each row"
    values = iter(_values(data, data_type))
    column = [next(values) if there else None for there in present]
    assert not list(values), "values without a row"
    return column


def _values(data: bytes, data_type: DataType) -> list[Any]:
    if data_type is DataType.TEXT:
        found, at = [], 0
        while at < len(data):
            (length,) = struct.unpack_from(">i", data, at)
            found.append(data[at + 4 : at + 4 + length].decode())
            at += 4 + length
        return found
    code = _WIDTH[data_type]
    return list(struct.unpack(f">{len(data) // struct.calcsize(code)}{code}", data))


class SqlPlayer(Connections):
    """Plays every step; `differences` yields what is answered neither as by the original nor as `sane` says."""

    def __init__(self, node: Any, sane: Callable[[Json, Json], bool]) -> None:
        super().__init__(node)
        self._sane = sane
        self._ids: dict[str, Any] = {}
        self._decoded = Decoded()

    def differences(self, steps: list[Json]) -> Iterator[str]:
        for number, step in enumerate(steps):
            if step.get("close"):
                self.close(step["conn"])
                continue
            found = self._play(step)
            if not agrees(step, found) and not self._sane(step, found):
                said = step["args"].get("statement") or json.dumps(step["args"])[:200]
                yield f"step {number}, {step['call']} {said}: {_shown(found)} instead of {_shown(step['reply'])}"

    def _play(self, step: Json) -> Json:
        args = {
            name: self._ids.get(value, value) if isinstance(value, str) and value.startswith("$") else value
            for name, value in step["args"].items()
        }
        method = getattr(self.client(step.get("conn", "")), step["call"])
        try:
            if step["call"] in PLAIN:
                answer = method(*(args[name] for name in PLAIN[step["call"]]))
            else:
                answer = method(getattr(RPC, REQUESTS[step["call"]])(**converted(args)))
        except TApplicationException as refusal:
            return {"exception": str(refusal.message)}
        found = {"return": answer} if isinstance(answer, int) else as_json(answer)
        if hasattr(answer, "queryDataSet"):
            rows = self._decoded.rows(answer, args.get("queryId"))
            found.pop("queryDataSet", None)
            found.pop("nonAlignQueryDataSet", None)
            found |= rows or {}
        if "bind" in step:
            self._ids[step["bind"]] = next(
                (found[name] for name in ("sessionId", "queryId", "return") if name in found), 0
            )
        return found


def agrees(step: Json, found: Json) -> bool:
    """True when an answer is what the original gave, as far as clients look at it."""
    reply = step["reply"]
    if "exception" in reply:
        return "exception" in found or code_of(found) != 200
    if "exception" in found:
        return False
    expected = {name: value for name, value in reply.items() if name not in ("queryDataSet", "nonAlignQueryDataSet")}
    if not _code_agrees(step, code_of(found), code_of(expected)):
        return False
    if "rows" in expected and "rows" in reply and "columns" in step.get("order", ()):
        expected, found = _in_order_of_columns(expected), _in_order_of_columns(found)
    names = (set(expected) | set(found)) - {"status", "code", "message", "prefix"} - set(step.get("ignore", ()))
    return all(_same(step, name, expected.get(name), found.get(name)) for name in names)


def _code_agrees(step: Json, found: int | None, wanted: int | None) -> bool:
    return found == wanted or found in step.get("codes", ()) or (wanted == 0 and found in NO_CODE)


def _same(step: Json, name: str, wanted: Any, found: Any) -> bool:
    if isinstance(wanted, str) and wanted.startswith("$"):
        return isinstance(found, int)
    if wanted is None or found is None:
        return wanted is found
    if name == "metadataInJson":
        head, _, tree = found.partition("\n\n")
        found = json.loads(tree)["root"]
        kept = step["keep"].removeprefix("root.")
        return head.startswith("===") and wanted == {kept: found[kept]}
    if name == "rows":
        return _rows_agree(step, wanted, found)
    if name == "statusList":
        return len(wanted) == len(found) and all(
            _code_agrees(step, code_of(one), code_of(other)) for one, other in zip(found, wanted, strict=True)
        )
    return _equal(wanted, found)


def _rows_agree(step: Json, wanted: list[Any], found: list[Any]) -> bool:
    if step["reply"].get("ignoreTimeStamp"):
        wanted, found = [row[1:] for row in wanted], [row[1:] for row in found]
    if "keep" in step:
        found = [row for row in found if any(str(cell).startswith(step["keep"]) for cell in row)]
    if "rows" in step.get("order", ()):
        wanted, found = sorted(wanted, key=repr), sorted(found, key=repr)
    return _equal(wanted, found)


def _in_order_of_columns(answer: Json) -> Json:
    """The answer with its columns by name; repeated names keep their first place."""
    if "columns" not in answer or "rows" not in answer:
        return answer
    names = list(dict.fromkeys(answer["columns"]))
    order = sorted(range(len(names)), key=lambda at: names[at])
    types = dict(zip(answer["columns"], answer["dataTypeList"], strict=True))
    return answer | {
        "columns": sorted(answer["columns"]),
        "dataTypeList": [types[name] for name in sorted(answer["columns"])],
        "rows": [[row[0], *(row[1 + at] for at in order)] for row in answer["rows"]],
    }


def _equal(wanted: Any, found: Any) -> bool:
    if isinstance(wanted, list) and isinstance(found, list):
        return len(wanted) == len(found) and all(_equal(*pair) for pair in zip(wanted, found, strict=True))
    if isinstance(wanted, float) or isinstance(found, float):
        if isinstance(wanted, str):
            wanted = float(wanted)
        if not isinstance(wanted, (int, float)) or not isinstance(found, (int, float)):
            return False
        return math.isclose(wanted, found, rel_tol=1e-6) or (math.isnan(wanted) and math.isnan(found))
    return bool(wanted == found)


def code_of(found: Json) -> int | None:
    """The code of an answer that has one."""
    status = found.get("status", found)
    return status.get("code") if isinstance(status, dict) else None


def _shown(answer: Json) -> str:
    return json.dumps(answer, default=repr)[:600]
