"""Removing a node from the outside: ask, and watch until it is gone."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

from iotdb_cluster.client.failover import Address
from iotdb_cluster.client.moving import moves_in_words
from iotdb_cluster.client.operators import MetaClient, ask_report
from iotdb_cluster.errors import OutcomeUnknown, RequestError, Unreachable
from iotdb_cluster.types.counting import counted
from iotdb_cluster.types.identity import NodeId
from iotdb_cluster.types.report import Report

AGREE = -1
ASK_AGAIN = -10

REFUSALS = {
    -3: "the cluster has no node with this address",
    -9: "the cluster has no more nodes than it keeps replicas: add one first",
}

CALL_TIMEOUT_MS = 25_000
"""Longer than a node waits for another change before it answers."""

POLL_S = 0.25
REPORT_TIMEOUT_MS = 2_000

SILENT_MS = 5_000
"""A member that has not answered the leader for so long is named: groups that get it as a member wait for it."""

REFUSED_S = 5.0
"""A refusal with a reason counts when all that is heard for so long is refusals; a group may be without a leader."""


class Removed(IntEnum):
    """How a removal ended, as exit status of a command: 0 only when the node is gone."""

    GONE = 0
    REFUSED = 1
    LEAVING = 3
    """It was begun, goes on by itself, and was not waited for any longer."""


@dataclass(slots=True)
class Removal:
    """The removal of the node at `target` (ip and meta port), asked of the nodes at `asked`, one after the other.

    `identifier` says which one is meant where a dead node and the one that took its place have one address. `say` is
    told what happens, in words; each sentence once until it changes.
    """

    target: Address
    asked: Sequence[Address]
    say: Callable[[str], None]
    identifier: NodeId | None = None
    now_s: Callable[[], float] = time.monotonic
    pause: Callable[[float], None] = time.sleep
    _said: str = field(default="", init=False)
    _refused_since_s: float | None = field(default=None, init=False)
    _reason: str = field(default="", init=False)

    def run(self, timeout_s: float, *, wait: bool) -> Removed:
        """Ask until there is an answer that counts; with `wait` until the node is gone."""
        ends_at_s = self.now_s() + timeout_s
        known = self._members_meant()
        refusal = self._ask(ends_at_s)
        if refusal is not None:
            self._tell(f"not removed: {refusal}")
            return Removed.REFUSED
        if not wait:
            self._tell("it leaves by itself from here on; 'iotdb-cluster status' shows how far it is")
            return Removed.LEAVING
        return self._watch(known, ends_at_s)

    def _ask(self, ends_at_s: float) -> str | None:
        """Ask until the removal is agreed to; else why it is not."""
        while True:
            answer = self._ask_each(ends_at_s)
            if answer == AGREE:
                return None
            if answer is not None and answer in REFUSALS:
                return REFUSALS[answer]
            now_s = self.now_s()
            if self._refused_since_s is not None and now_s - self._refused_since_s >= REFUSED_S:
                return self._reason
            if now_s >= ends_at_s:
                return "the time is over"
            self.pause(POLL_S)

    def _ask_each(self, ends_at_s: float) -> int | None:
        """The first answer that is more than "ask again"; None when nobody gave one."""
        for address in self.asked:
            timeout_ms = min(CALL_TIMEOUT_MS, int(max(1.0, ends_at_s - self.now_s()) * 1000))
            try:
                with MetaClient(address, timeout_ms=timeout_ms) as client:
                    answer = client.remove_node(*self.target, self.identifier)
            except (Unreachable, OutcomeUnknown) as error:
                self._tell(f"{address[0]}:{address[1]}: {error.message}")
                continue
            except RequestError as refusal:
                self._refused_since_s = self.now_s() if self._refused_since_s is None else self._refused_since_s
                self._reason = refusal.message
                self._tell(f"{address[0]}:{address[1]}: {refusal.message}")
                continue
            self._refused_since_s = None
            if answer != ASK_AGAIN:
                return answer
            self._tell("another change of the cluster is under way; this one waits")
        return None

    # -- watching ----------------------------------------------------------------------------------------------------

    def _watch(self, known: frozenset[NodeId], ends_at_s: float) -> Removed:
        """Wait until one of the nodes that were `known` at the address is gone; there may be two, one of them dead."""
        while self.now_s() < ends_at_s:
            report = self._report()
            if report is not None:
                left = known & {node.identifier for node in report.members}
                if left != known or not known:
                    self._tell("removed")
                    return Removed.GONE
                leaving = [identifier for identifier in sorted(left) if report.states.get(identifier) == "leaving"]
                self._tell(_progress(report, leaving[0]) + self._waiting(report, known) if leaving else "leaving")
            self.pause(POLL_S)
        self._tell("the time is over; the node goes on leaving")
        return Removed.LEAVING

    def _waiting(self, report: Report, known: frozenset[NodeId]) -> str:
        """Which other members do not answer, as the meta group's leader has it."""
        leader = None if report.meta is None else report.meta.leader
        if leader is not None and leader != report.node.identifier:
            address = next((node.meta_address for node in report.members if node.identifier == leader), None)
            found = None if address is None else ask_report(address, timeout_ms=REPORT_TIMEOUT_MS)
            silent_ms = {} if found is None else found.silent_ms
        else:
            silent_ms = report.silent_ms
        silent = [node for node in report.members if silent_ms.get(node.identifier, 0) >= SILENT_MS]
        names = ", ".join(str(node) for node in silent if node.identifier not in known)
        return f"; no answer from {names}, for which groups may wait" if names else ""

    def _members_meant(self) -> frozenset[NodeId]:
        report = self._report()
        members = () if report is None else report.members
        found = frozenset(node.identifier for node in members if node.meta_address == self.target)
        return found if self.identifier is None else found & {self.identifier}

    def _report(self) -> Report | None:
        """What a node other than the one that goes says; that one may stop at any moment."""
        for address in sorted(self.asked, key=lambda each: each == self.target):
            report = ask_report(address, timeout_ms=REPORT_TIMEOUT_MS)
            if report is not None and not report.blind:
                return report
        return None

    def _tell(self, what: str) -> None:
        if what != self._said:
            self._said = what
            self.say(what)


def _progress(report: Report, identifier: NodeId) -> str:
    slots = report.slots.get(identifier, 0)
    groups = sum(identifier in members for header, members in report.group_members.items() if header != identifier)
    copied = moves_in_words([move for move in report.moves if move.source == identifier])
    others = counted(groups, "data group")
    drained = f"leaving: it owns {counted(slots, 'slot')} and is in {others} of others"
    return f"{drained}; {copied}" if copied else drained
