"""Watches from outside how slots change hands, as the reports of the nodes say."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import monotonic

from iotdb_cluster.cli.local_cluster import LocalNode
from iotdb_cluster.client.operators import ask_report
from iotdb_cluster.types.report import Report

LOOK_S = 0.1
ANSWER_TIMEOUT_MS = 500


@dataclass(slots=True)
class SlotWatch:
    """Asks one of `nodes` again and again; `holding` says which storage groups hold data just now."""

    nodes: Callable[[], Sequence[LocalNode]]
    holding: Callable[[], set[str]]
    moved: list[tuple[float, int]] = field(default_factory=list)
    """When, and how many slots had another owner than the time before."""
    moved_with_data: list[tuple[float, str]] = field(default_factory=list)
    """When, and the storage group whose slot had another owner while it held data."""
    _end: threading.Event = field(default_factory=threading.Event)
    _known: Report | None = None
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to watch."""
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Look once more, and end."""
        self._end.set()
        if self._thread is not None:
            self._thread.join()
        self._look()

    def between(self, since: float, until: float) -> tuple[int, int]:
        """How many slots moved between two times (monotonic seconds), and how many of them held data."""
        with_data = sum(since <= at < until for at, _ in list(self.moved_with_data))
        return sum(count for at, count in list(self.moved) if since <= at < until), with_data

    def _run(self) -> None:
        while not self._end.wait(LOOK_S):
            self._look()

    def _look(self) -> None:
        for node in tuple(self.nodes()):
            report = ask_report((node.ip, node.meta_port), timeout_ms=ANSWER_TIMEOUT_MS)
            if report is not None and report.table_version is not None:
                self.take(report)
                return

    def take(self, report: Report) -> None:
        """Compare a report with the one before; one of a node that knows less than others is passed over."""
        before = self._known
        if before is not None and (before.table_version or 0) >= (report.table_version or 0):
            return
        self._known = report
        if before is None:
            return
        now = monotonic()
        got = sum(max(0, count - before.slots.get(header, 0)) for header, count in report.slots.items())
        if got:
            self.moved.append((now, got))
        for storage_group in sorted(self.holding() & before.storage_groups.keys()):
            if report.storage_groups.get(storage_group) != before.storage_groups[storage_group]:
                self.moved_with_data.append((now, storage_group))
