"""Proposals before they are proposed: what waits for one group goes together, as one step, one record and one call."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from iotdb_cluster.members.waiting import Proposal, ProposalBatch
from iotdb_cluster.types.identity import GroupId

FOR_AN_EVENT = 1 << 30
"""So many proposals never come: the group waits for an event, which brings a turn."""

WAIT_MAX_MS = 10
"""Callers who were just answered are waited for at most so long, whatever their batch took."""

DISTRUST_MAX_BATCHES = 16
"""Callers who did not come back are not waited for in the next two batches, in four when it happens again, and so on
up to this many."""


@dataclass(slots=True)
class _Group:
    """What waits for one group, and whom it still expects."""

    batch: ProposalBatch = field(default_factory=ProposalBatch)
    proposed_at_ms: int = 0
    wanted: int = 0
    """So many proposals are to be there before they are proposed, if they come in time."""
    wanted_until_ms: int = 0
    missed: int = 0
    """How often in a row most of those who were waited for did not come."""
    distrusted: int = 0
    """So many batches are not waited for."""


class Gathering:
    """What was proposed and is not yet stepped, by group. `add` may be called from any thread, the rest in a turn.

    Callers mostly come back with their next call when they were answered. Proposing at once what came meanwhile would
    split them into two halves that take turns, each with a sync and a call of its own on every member: so the callers
    of a batch that was just answered are waited for, for no longer than twice what their batch took.
    """

    def __init__(self) -> None:
        self._arrived: deque[tuple[GroupId, Proposal]] = deque()
        self._groups: dict[GroupId, _Group] = {}
        # Replaced as a whole at the end of each turn, so other threads see one state or the other.
        self._lacking: dict[GroupId, int] = {}
        self.is_due = False
        """Something came that a turn would propose."""

    def add(self, group: GroupId, proposal: Proposal) -> bool:
        """One more; True when a turn should be taken for it, False when another event or the time will bring one."""
        self._arrived.append((group, proposal))
        if len(self._arrived) < self._lacking.get(group, 0):
            return False
        self.is_due = True
        return True

    def take_in(self) -> None:
        """Sort what came by group."""
        self.is_due = False
        for _ in range(len(self._arrived)):
            group, proposal = self._arrived.popleft()
            self._of(group).batch.proposals.append(proposal)

    def waiting_groups(self) -> list[GroupId]:
        """Groups for which something waits."""
        return [group for group, each in self._groups.items() if each.batch.proposals]

    def lack(self, group: GroupId, now_ms: int) -> int:
        """How many proposals are still waited for; 0: what is there may go."""
        of_group = self._groups.get(group)
        if of_group is None or not of_group.wanted:
            return 0
        lack = of_group.wanted - len(of_group.batch.proposals)
        if lack > 0 and now_ms < of_group.wanted_until_ms:
            return lack
        of_group.missed = of_group.missed + 1 if lack > of_group.wanted // 2 else 0
        of_group.distrusted = min(1 << of_group.missed, DISTRUST_MAX_BATCHES) if of_group.missed else 0
        of_group.wanted = 0
        return 0

    def take(self, group: GroupId, now_ms: int) -> ProposalBatch:
        """Everything that waits for a group, to be proposed now."""
        of_group = self._of(group)
        batch, of_group.batch = of_group.batch, ProposalBatch()
        of_group.proposed_at_ms = now_ms
        return batch

    def forget(self, group: GroupId) -> ProposalBatch | None:
        """The group is gone; what waited for it."""
        of_group = self._groups.pop(group, None)
        return None if of_group is None else of_group.batch

    def answered(self, group: GroupId, count: int, now_ms: int) -> None:
        """So many callers of a group were answered together."""
        of_group = self._of(group)
        if count < 2:
            return  # who is alone is waited for by nobody
        if of_group.distrusted:
            of_group.distrusted -= 1
            return
        of_group.wanted = len(of_group.batch.proposals) + count
        took_ms = now_ms - of_group.proposed_at_ms
        of_group.wanted_until_ms = now_ms + min(max(1, 2 * took_ms), WAIT_MAX_MS)

    def hold(self, busy: Iterable[GroupId], now_ms: int) -> int | None:
        """At the end of a turn: proposals of `busy` groups wait for an event, others for who is expected.

        Returns when the first of these waits ends, None for never; `is_due` says whether something need not wait.
        """
        lacking = dict.fromkeys(busy, FOR_AN_EVENT)
        due_ms: int | None = None
        for group, of_group in self._groups.items():
            if of_group.wanted and group not in lacking and (lack := self.lack(group, now_ms)):
                lacking[group] = lack
                until_ms = of_group.wanted_until_ms
                due_ms = until_ms if due_ms is None else min(due_ms, until_ms)
        self._lacking = lacking
        # Who added something before it saw this may have relied on what was said before.
        if any(group not in lacking for group in self.waiting_groups()) or any(
            len(self._arrived) >= lacking.get(group, 0) for group, _ in tuple(self._arrived)
        ):
            self.is_due = True
        return due_ms

    def _of(self, group: GroupId) -> _Group:
        of_group = self._groups.get(group)
        if of_group is None:
            of_group = self._groups[group] = _Group()
        return of_group
