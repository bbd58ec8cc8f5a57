"""Many clients that each send the same small select again and again, in processes of their own."""

import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from multiprocessing import get_context
from typing import Any

from iotdb_cluster.client.session import Session

Rows = list[tuple[Any, ...]]

PROCESSES = 4
CONNECT_S = 60.0


def selects_per_s(address: tuple[str, int], selects: Sequence[tuple[str, Rows]], seconds: float) -> float:
    """How many of these statements were answered a second, by a client for each; raises for another answer."""
    context = get_context("spawn")
    ready, counts = context.Barrier(PROCESSES), context.SimpleQueue()
    processes = [
        context.Process(target=_share, args=(address, selects[number::PROCESSES], seconds, ready, counts))
        for number in range(PROCESSES)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    if any(process.exitcode for process in processes):
        raise RuntimeError("a process of clients failed")
    return float(sum(counts.get() for _ in processes)) / seconds


def _share(
    address: tuple[str, int], selects: Sequence[tuple[str, Rows]], seconds: float, ready: Any, answered: Any
) -> None:
    """The clients of one process; begins when those of all are connected."""
    counts = [0] * len(selects)

    def run(at: int, session: Session) -> None:
        statement, expected = selects[at]
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with session.query(statement) as result:
                rows = list(result)
            if rows != expected:
                counts[at] = 0
                raise RuntimeError(f"{rows} where there should be {expected}")
            counts[at] += 1

    with ExitStack() as stack:
        sessions = [stack.enter_context(Session([address])) for _ in selects]
        ready.wait(CONNECT_S)
        threads = [threading.Thread(target=run, args=(at, session)) for at, session in enumerate(sessions)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    if not all(counts):
        raise RuntimeError("a client had no answer, or a wrong one")
    answered.put(sum(counts))
