"""Watching a node join from the outside."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from iotdb_cluster.client.failover import Address
from iotdb_cluster.client.moving import moves_in_words
from iotdb_cluster.client.operators import ask_report
from iotdb_cluster.errors import CommandRefused
from iotdb_cluster.types.counting import counted
from iotdb_cluster.types.report import Report

POLL_S = 0.25


@dataclass(slots=True)
class Arrival:
    """The joining of the node at `address` (ip and meta port), whose process was started already.

    `is_running` says whether it still is, `last_words` why not. `say` is told what is left, in words; each sentence
    once until it changes.
    """

    address: Address
    is_running: Callable[[], bool]
    say: Callable[[str], None]
    last_words: Callable[[], str] = lambda: "the last line of its log says why"
    now_s: Callable[[], float] = time.monotonic
    pause: Callable[[float], None] = time.sleep
    _said: str = field(default="", init=False)

    def wait(self, timeout_s: float) -> Report:
        """Returns the node's report when it is in, and in every group it belongs to; raises `CommandRefused`."""
        ends_at_s = self.now_s() + timeout_s
        while self.now_s() < ends_at_s:
            report = ask_report(self.address, timeout_ms=2_000)
            if report is None and not self.is_running():
                raise CommandRefused(f"the new node has ended: {self.last_words()}")
            left = what_is_left(report)
            if report is not None and left is None:
                self._tell(f"node {report.node.identifier} is in: {_share(report)}")
                return report
            self._tell(left or "")
            self.pause(POLL_S)
        raise CommandRefused(f"not in after {timeout_s:.0f} s: {self._said}; the node goes on trying")

    def _tell(self, what: str) -> None:
        if what != self._said:
            self._said = what
            self.say(what)


def what_is_left(report: Report | None) -> str | None:
    """What a joining node waits for, by its own report, in words; None when it has arrived."""
    if report is None:
        return "the node starts"
    me = report.node.identifier
    state = report.states.get(me)
    if report.blind or state is None:
        return "it asks the seed nodes to be added"
    if me not in report.slots:
        part = "is known to the cluster" if state == "joining" else f"catches up with the meta log as a {state}"
        return f"it {part}; one node is taken in at a time"
    wanted = {header for header, members in report.group_members.items() if me in members}
    held = {group.header for group in report.groups if me in group.members}
    missing = len(wanted - held)
    if not missing and report.slots_to_move:
        copied = moves_in_words(report.moves)
        moved = f"slots move: it has {report.slots[me]}, {report.slots_to_move} still to move"
        return f"{moved}; {copied}" if copied else moved
    if missing or report.change is not None:
        behind = f"it catches up in {counted(missing, 'data group')}" if missing else "it has caught up"
        return f"it is on the ring; {behind} ({report.change or 'members change'})"
    return None


def _share(report: Report) -> str:
    me = report.node.identifier
    groups = sum(me in members for members in report.group_members.values())
    return f"{counted(report.slots.get(me, 0), 'slot')}, a replica of {counted(groups, 'data group')}"
