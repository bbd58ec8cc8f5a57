"""What happened when, how many slots moved meanwhile, and how long a writer waited."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import monotonic

from rich import box
from rich.console import Console
from rich.table import Table

from iotdb_cluster.demo.loading import LoadReport
from iotdb_cluster.demo.slot_watch import SlotWatch


@dataclass(slots=True)
class Step:
    """Something that took some time; monotonic seconds."""

    what: str
    begin: float
    end: float


@dataclass(slots=True)
class TimeLine:
    """The steps of a scene, printed as they end."""

    console: Console
    begun: float = field(default_factory=monotonic)
    steps: list[Step] = field(default_factory=list)
    _silent_until: float = 0.0

    @contextmanager
    def step(self, what: str) -> Iterator[Step]:
        """What happens inside is a step; `what` may be said better meanwhile."""
        found = Step(what, monotonic(), monotonic())
        yield found
        found.end = monotonic()
        self.steps.append(found)
        self.console.print(f"{found.begin - self.begun:6.1f} s  {found.what} [dim]({found.end - found.begin:.1f} s)[/]")

    def say(self, what: str) -> None:
        """Print what goes on inside a step, at most once a second."""
        if monotonic() >= self._silent_until:
            self._silent_until = monotonic() + 1
            self.console.print(f"          {what}", style="dim")

    def table(self, watch: SlotWatch, reports: Sequence[LoadReport]) -> Table:
        """All steps with what moved, and the longest wait of any writer in each."""
        table = Table(
            title="time line; pause: the longest that any writer waited",
            title_justify="left",
            box=box.SIMPLE_HEAD,
            pad_edge=False,
        )
        table.add_column("at s", justify="right")
        table.add_column("what")
        for name in ("took s", "slots moved", "with data", "pause s"):
            table.add_column(name, justify="right")
        for step in sorted(self.steps, key=lambda step: step.begin):
            moved, with_data = watch.between(step.begin, step.end)
            pause = max(report.longest_wait_s(step.begin, step.end)[0] for report in reports)
            table.add_row(
                f"{step.begin - self.begun:.1f}",
                step.what,
                f"{step.end - step.begin:.1f}",
                f"{moved:,}" if moved else "",
                f"{with_data}" if with_data else "",
                f"{pause:.2f}" if pause else "",
            )
        return table
