"""Loads the sites through the client port, several writers at a time, one tablet of a site after the other."""

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Protocol

from iotdb_cluster.cli.csv_file import Rows
from iotdb_cluster.demo.stations import Site

WRITERS = 4


class Writer(Protocol):
    """A connection to the cluster that can write, and goes on by itself when a node is lost."""

    def write(self, rows: Rows) -> None:
        """Write a tablet; returns when it is acknowledged, raises `RequestError`."""

    def close(self) -> None:
        """End the connection."""


@dataclass(slots=True)
class LoadReport:
    """What happened while writing. Times are monotonic seconds."""

    acknowledged: list[tuple[float, float, str]] = field(default_factory=list)
    """For each write: when it was first sent, when it was acknowledged, and its site."""

    def longest_wait_s(self, since: float, until: float = float("inf")) -> tuple[float, str]:
        """The longest that a writer waited between `since` and `until`, and its site: waits that touch that time."""
        waits = [(end - begin, site) for begin, end, site in list(self.acknowledged) if end >= since and begin < until]
        return max(waits, default=(0.0, ""))

    def longest_silence_s(self, since: float, until: float) -> float:
        """The longest time between `since` and `until` in which nothing at all was acknowledged."""
        ends = sorted({since, until, *(end for _, end, _ in self.acknowledged if since < end < until)})
        return max((later - earlier for earlier, later in itertools.pairwise(ends)), default=0.0)


class Loader:
    """Writer threads over all sites; `done` of `total` tablets are acknowledged.

    `pause_s` between two tablets of a writer lets a load last as long as something else; it may be changed meanwhile.
    """

    def __init__(self, sites: list[Site], connect: Callable[[], Writer], pause_s: float = 0.0) -> None:
        self.pause_s = pause_s
        self._connect = connect
        self._guard = threading.Lock()
        self.begun: set[str] = set()
        """Sites with at least one acknowledged tablet."""
        self._queue: SimpleQueue[Site] = SimpleQueue()
        for site in sites:
            self._queue.put(site)
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(WRITERS)]
        self.total = sum(len(site.tablets) for site in sites)
        self.done = 0
        self.report = LoadReport()
        self.error: BaseException | None = None

    def start(self) -> None:
        """Begin to load."""
        for thread in self._threads:
            thread.start()

    def wait_for(self, share: float) -> Iterator[int]:
        """Yield the number of acknowledged tablets, again and again, until that share is; raises a writer's error."""
        while self.done < share * self.total:
            if self.error is not None:
                raise self.error
            yield self.done
            time.sleep(0.02)
        yield self.done

    def join(self) -> None:
        """Wait for the writers to end; raises the error of one that failed."""
        for thread in self._threads:
            thread.join()
        if self.error is not None:
            raise self.error

    def _run(self) -> None:
        writer = self._connect()
        try:
            while self.error is None:
                site = self._queue.get_nowait()
                for rows in site.tablets:
                    self._write(writer, rows, site.storage_group)
                    if self.pause_s:
                        time.sleep(self.pause_s)
        except Empty:
            return
        except BaseException as error:  # noqa: BLE001 - whoever joins the threads raises it
            self.error = error
        finally:
            writer.close()

    def _write(self, writer: Writer, rows: Rows, site: str) -> None:
        begin = time.monotonic()
        writer.write(rows)
        with self._guard:
            self.report.acknowledged.append((begin, time.monotonic(), site))
            self.begun.add(site)
            self.done += 1
