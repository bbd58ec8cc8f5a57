"""Runs load processes against a cluster or a bare log, and adds up what they counted."""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROCESSES_MAX = 4


@dataclass(frozen=True, slots=True)
class Rate:
    """Calls a second, and the milliseconds that half and all but a hundredth of them took."""

    calls_per_s: float
    p50_ms: float
    p99_ms: float
    frame_bytes: int

    def as_json(self, points_per_call: int = 0) -> dict[str, Any]:
        """For the results file."""
        figures: dict[str, Any] = {
            "calls_per_s": round(self.calls_per_s),
            "p50_ms": round(self.p50_ms, 3),
            "p99_ms": round(self.p99_ms, 3),
            "frame_bytes": self.frame_bytes,
        }
        if points_per_call:
            figures["points_per_s"] = round(self.calls_per_s * points_per_call)
        return figures


def rate_of(clients: Sequence[dict[str, Any]], seconds: float) -> Rate:
    """Let these clients (orders for `bench.load`) run side by side for so long, in up to four processes."""
    shares = [list(clients[number::PROCESSES_MAX]) for number in range(min(PROCESSES_MAX, len(clients)))]
    processes = [_started({"clients": share, "seconds": seconds}) for share in shares]
    for process in processes:
        if _line(process) != "ready":
            raise RuntimeError("a load process did not get ready")
    for process in processes:
        _say(process, "go")
    results = [json.loads(_line(process)) for process in processes]
    for process in processes:
        process.wait()
    if errors := [error for result in results for error in result["errors"]]:
        raise RuntimeError(f"{len(errors)} of {len(clients)} clients failed: {errors[0]}")
    latencies = sorted(each for result in results for each in result["latencies_s"])
    return Rate(
        calls_per_s=sum(result["calls"] / result["seconds"] for result in results),
        p50_ms=1000 * latencies[len(latencies) // 2],
        p99_ms=1000 * latencies[len(latencies) * 99 // 100],
        frame_bytes=results[0]["frame_bytes"],
    )


@contextmanager
def bare_log(folder: Path) -> Iterator[int]:
    """A bare replicated log of three processes in `folder`; gives the leader's port."""
    folder.mkdir(parents=True, exist_ok=True)
    processes: list[subprocess.Popen[str]] = []

    def begun(*arguments: str) -> int:
        processes.append(
            subprocess.Popen([sys.executable, "-m", "bench.bare_log", *arguments], stdout=subprocess.PIPE, text=True)
        )
        return int(_line(processes[-1]))

    try:
        followers = [begun("follower", str(folder / f"follower{number}")) for number in (1, 2)]
        yield begun("leader", str(folder / "leader"), *map(str, followers))
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _started(orders: dict[str, Any]) -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.load"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    _say(process, json.dumps(orders))
    return process


def _say(process: "subprocess.Popen[str]", line: str) -> None:
    if process.stdin is None:
        raise RuntimeError("a process without standard input")
    process.stdin.write(line + "\n")
    process.stdin.flush()


def _line(process: "subprocess.Popen[str]") -> str:
    if process.stdout is None:
        raise RuntimeError("a process without standard output")
    return process.stdout.readline().strip()
