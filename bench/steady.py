"""A process of client load that goes on until it is told to stop, and says what each tenth of a second was like.

Started by `bench.moves`; reads its orders as one JSON line, says `ready`, begins at the next line, ends at the one
after it, and prints one JSON line. Times are monotonic seconds, which all processes of a machine share.
"""

import json
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from bench.bare_log import read_frame
from bench.load import Client, connect

BIN_S = 0.1


@dataclass(frozen=True, slots=True)
class Calls:
    """What the clients counted: calls by the bin in which they ended, and the longest one of each bin in seconds."""

    ended: dict[int, int]
    longest_s: dict[int, float]

    def per_s(self, since: float, until: float) -> float:
        """Calls a second between two times."""
        return sum(count for at, count in self.ended.items() if since <= at * BIN_S < until) / (until - since)

    def longest(self, since: float, until: float) -> float:
        """The longest call that ended between two times, in seconds."""
        return max((each for at, each in self.longest_s.items() if since <= at * BIN_S < until), default=0.0)


class SteadyLoad:
    """Load processes that run from the beginning to the end of a `with` block; `calls` is known behind it."""

    def __init__(self, clients: Sequence[dict[str, Any]], processes: int) -> None:
        self._shares = [list(clients[number::processes]) for number in range(processes)]
        self._processes: list[subprocess.Popen[str]] = []
        self.calls = Calls({}, {})

    def __enter__(self) -> Self:
        for share in self._shares:
            process = subprocess.Popen(
                [sys.executable, "-m", "bench.steady"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            self._processes.append(process)
            self._say(process, json.dumps(share))
        for process in self._processes:
            if self._line(process) != "ready":
                raise RuntimeError("a load process did not get ready")
        for process in self._processes:
            self._say(process, "go")
        return self

    def __exit__(self, failure: object, *_: object) -> None:
        if failure is not None:
            for process in self._processes:
                process.kill()
        else:
            for process in self._processes:
                self._say(process, "stop")
            self.calls = self._added_up([json.loads(self._line(process)) for process in self._processes])
        for process in self._processes:
            process.wait()

    @staticmethod
    def _added_up(results: Sequence[dict[str, Any]]) -> Calls:
        if errors := [error for result in results for error in result["errors"]]:
            raise RuntimeError(f"{len(errors)} clients failed: {errors[0]}")
        ended: Counter[int] = Counter()
        longest: dict[int, float] = {}
        for result in results:
            ended.update({int(at): count for at, count in result["ended"].items()})
            for at, each in result["longest_s"].items():
                longest[int(at)] = max(each, longest.get(int(at), 0.0))
        return Calls(dict(ended), longest)

    @staticmethod
    def _say(process: "subprocess.Popen[str]", line: str) -> None:
        assert process.stdin is not None, "it was asked for"
        process.stdin.write(line + "\n")
        process.stdin.flush()

    @staticmethod
    def _line(process: "subprocess.Popen[str]") -> str:
        assert process.stdout is not None, "it was asked for"
        return process.stdout.readline().strip()


class _Steady:
    """One client and what it counted."""

    def __init__(self, client: Client, end: threading.Event) -> None:
        self._client = client
        self._end = end
        self.ended: Counter[int] = Counter()
        self.longest_s: dict[int, float] = {}
        self.error = ""

    def run(self) -> None:
        client, now = self._client, time.monotonic()
        while not self._end.is_set():
            begin = now
            client.sock.sendall(next(client.frames))
            answer = read_frame(client.sock)
            now = time.monotonic()
            if answer != client.expected:
                self.error = repr(answer[:300])
                return
            at = int(now / BIN_S)
            self.ended[at] += 1
            if now - begin > self.longest_s.get(at, 0.0):
                self.longest_s[at] = now - begin


def main() -> None:
    """Carry out one line of orders."""
    end = threading.Event()
    steady = [_Steady(connect(order), end) for order in json.loads(sys.stdin.readline())]
    print("ready", flush=True)
    sys.stdin.readline()
    threads = [threading.Thread(target=each.run) for each in steady]
    for thread in threads:
        thread.start()
    sys.stdin.readline()
    end.set()
    for thread in threads:
        thread.join()
    ended: Counter[int] = Counter()
    longest: dict[int, float] = {}
    for each in steady:
        ended.update(each.ended)
        for at, seconds in each.longest_s.items():
            longest[at] = max(seconds, longest.get(at, 0.0))
    errors = [each.error for each in steady if each.error]
    print(json.dumps({"ended": ended, "longest_s": longest, "errors": errors}), flush=True)


if __name__ == "__main__":
    main()
