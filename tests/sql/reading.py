"""What the tests of statements share: a zone, a clock, and the statements of the recorded conversations."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta, timezone
from pathlib import Path
from typing import Any

from iotdb_cluster.sql import Statement, parse

ZONE = timezone(timedelta(hours=8))
NOW_MS = 1_600_000_000_000

_TRANSCRIPTS = Path(__file__).parents[1] / "golden" / "client_transcripts.json"
_NO_STATEMENT = "fetchResults"


def read(text: str) -> Statement:
    """The statement at a fixed time, in the zone of the recordings."""
    return parse(text, zone=ZONE, now_ms=NOW_MS)


@dataclass(frozen=True)
class Recorded:
    """A statement that was sent to the original, by which call, and the codes that count as its answer."""

    text: str
    call: str
    codes: frozenset[int]
    is_oddity: bool


def recorded() -> Iterator[Recorded]:
    """Every statement of the recorded conversations, those of batches too."""
    for scenario in json.loads(_TRANSCRIPTS.read_text())["scenarios"]:
        for step in scenario["steps"]:
            if step["call"] == "executeBatchStatement":
                yield from _batch(step)
            elif "statement" in step["args"] and step["call"] != _NO_STATEMENT:
                codes = _codes(step["reply"]) | set(step.get("codes", ()))
                yield Recorded(step["args"]["statement"], step["call"], frozenset(codes), "oddity" in step)


def _codes(reply: dict[str, Any]) -> set[int]:
    if "exception" in reply:
        return {401}
    code = reply.get("status", reply)["code"]
    return {400, 301} if code == 0 else {code}


def _batch(step: dict[str, Any]) -> Iterator[Recorded]:
    reply = step["reply"]
    failures = iter(reply["status"]["message"].split()) if reply["status"]["code"] == 400 else iter(())
    results = reply.get("result") or [-3] * len(step["args"]["statements"])
    for text, result in zip(step["args"]["statements"], results, strict=True):
        code = 200 if result == -2 else int(next(failures, reply["status"]["code"]))
        yield Recorded(text, step["call"], frozenset({400, 301} if code == 0 else {code}), False)
