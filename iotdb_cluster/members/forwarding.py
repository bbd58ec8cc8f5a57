"""Plans on their way to another node: what waits for the same leader goes in one call.

A few calls to each target are under way at a time; what comes meanwhile waits and goes with the next. No thread
of its own does that: whoever's call ends hands the turn to the first that waits, who sends for all that wait.
"""

import threading
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from iotdb_cluster.errors import NoLeader, OutcomeUnknown
from iotdb_cluster.members.clock import Deadline
from iotdb_cluster.members.pending import Pending
from iotdb_cluster.members.waiting import Outcome
from iotdb_cluster.types.identity import GroupId, NodeId

Target = tuple[GroupId, NodeId]
Send = Callable[[Target, Sequence[bytes], Deadline], Awaitable[list[Outcome]]]
"""One call with all plans; an outcome for each, or an error for all of them."""

CALLS_MAX_COUNT = 2
"""Calls under way to one target: while one is being answered the next is on its way."""

BATCH_MAX_BYTES = 4 * 1024 * 1024
BATCH_MAX_PLANS = 1_024


@dataclass(slots=True)
class _Waiting:
    """Plans that wait for a turn. `settled` gets their outcomes, or None: it is their turn to send."""

    plans: Sequence[bytes]
    deadline: Deadline
    settled: Pending[list[Outcome] | None] = field(default_factory=Pending)

    @property
    def size_bytes(self) -> int:
        return sum(map(len, self.plans))


@dataclass(slots=True)
class _Line:
    """What goes to one target: how many calls are under way, who waits, and the batches whose turn has come."""

    under_way: int = 0
    waiting: list[_Waiting] = field(default_factory=list)
    batches: dict[int, list[_Waiting]] = field(default_factory=dict)


class Forwarding:
    """Gathers plans by target. May be used from any thread.

    Invariant: a line with somebody waiting has `CALLS_MAX_COUNT` calls under way; each ends by giving its place
    on; so nobody waits for ever.
    """

    def __init__(self, send: Send) -> None:
        self._send = send
        self._guard = threading.Lock()
        self._lines: dict[Target, _Line] = {}

    async def forward(self, target: Target, plans: Sequence[bytes], deadline: Deadline) -> list[Outcome]:
        """Bring plans to a target; raises what the call raised, or `NoLeader` when its turn never came."""
        mine = _Waiting(plans, deadline)
        with self._guard:
            line = self._lines.setdefault(target, _Line())
            if line.under_way < CALLS_MAX_COUNT:
                line.under_way += 1
                line.batches[id(mine)] = [mine]
            else:
                line.waiting.append(mine)
        if id(mine) not in line.batches:
            outcomes = await self._wait(line, mine)
            if outcomes is not None:
                return outcomes
        return await self._send_batch(target, line, mine)

    async def _wait(self, line: _Line, mine: _Waiting) -> list[Outcome] | None:
        """The outcomes that another one's call brought, or None when it is this one's turn."""
        late = OutcomeUnknown("not answered in time; it may still take effect")
        try:
            return await mine.settled.within(mine.deadline, late)
        except OutcomeUnknown as error:
            if error is not late:
                raise
        with self._guard:
            if mine in line.waiting:
                line.waiting.remove(mine)
                raise NoLeader("the call was not sent in time: too many waited for the same leader")
            if id(mine) in line.batches:
                return None  # the turn came in the last moment, and others count on it
        raise late

    async def _send_batch(self, target: Target, line: _Line, mine: _Waiting) -> list[Outcome]:
        with self._guard:
            batch = line.batches.pop(id(mine))
        plans = [plan for each in batch for plan in each.plans]
        deadline = max(each.deadline for each in batch)
        try:
            outcomes = await self._send(target, plans, deadline)
        except BaseException as error:
            for each in batch[1:]:
                each.settled.fail(error)
            raise
        finally:
            self._give_turn(target, line)
        start = len(mine.plans)
        for each in batch[1:]:
            each.settled.resolve(outcomes[start : start + len(each.plans)])
            start += len(each.plans)
        return outcomes[: len(mine.plans)]

    def _give_turn(self, target: Target, line: _Line) -> None:
        with self._guard:
            batch: list[_Waiting] = []
            size, count = 0, 0
            while line.waiting and count < BATCH_MAX_PLANS and (not batch or size < BATCH_MAX_BYTES):
                batch.append(line.waiting.pop(0))
                size += batch[-1].size_bytes
                count += len(batch[-1].plans)
            if not batch:
                line.under_way -= 1
                if line.under_way == 0:
                    del self._lines[target]
                return
            line.batches[id(batch[0])] = batch
        batch[0].settled.resolve(None)
