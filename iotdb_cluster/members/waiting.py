"""Who waits for the log: proposals for their entries to be applied, reads for an index to be reached."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from iotdb_cluster.errors import NoLeader, OutcomeUnknown, RequestError
from iotdb_cluster.members.pending import Pending
from iotdb_cluster.types.entries import Entry, Payload
from iotdb_cluster.types.identity import EntryId, LogIndex, NodeId

Outcome = RequestError | None
"""What applying an entry came to: None for done, or the error that every replica reports alike."""


class NotLeader(NoLeader):
    """This member does not lead its group; the call was certainly not appended. `leader` is who is thought to."""

    def __init__(self, message: str, leader: NodeId | None) -> None:
        super().__init__(message)
        self.leader = leader


@dataclass(slots=True)
class Proposal:
    """Payloads on their way through the log; `pending` gets one outcome for each.

    `plans` are the decoded plans of the payloads where the proposer has them already, else None.
    """

    payloads: tuple[Payload, ...]
    plans: tuple[object | None, ...]
    pending: Pending[list[Outcome]] = field(default_factory=Pending)
    outcomes: list[Outcome] = field(default_factory=list)
    left: int = 0

    def settle(self, position: int, outcome: Outcome) -> bool:
        """The payload at `position` was applied; when all were, whoever waits goes on, and this is True."""
        self.outcomes[position] = outcome
        self.left -= 1
        if self.left == 0:
            self.pending.resolve(self.outcomes)
        return self.left == 0


@dataclass(slots=True)
class ProposalBatch:
    """Everything that was proposed to one group since the last turn; the token of one `Propose` event."""

    proposals: list[Proposal] = field(default_factory=list)

    def payloads(self) -> tuple[Payload, ...]:
        """All payloads in order."""
        if len(self.proposals) == 1:
            return self.proposals[0].payloads
        return tuple(payload for proposal in self.proposals for payload in proposal.payloads)

    def fail(self, error: RequestError) -> None:
        """Nothing of it was appended."""
        for proposal in self.proposals:
            proposal.pending.fail(error)


class WaitingProposals:
    """Proposals by the position of their entries. Belongs to the runtime's thread."""

    def __init__(self) -> None:
        self._by_index: dict[LogIndex, tuple[int, Proposal, int]] = {}

    def __len__(self) -> int:
        return len(self._by_index)

    def accepted(self, batch: ProposalBatch, ids: Sequence[EntryId]) -> None:
        """The payloads of `batch` stand in the log as `ids`, in order."""
        position = 0
        for proposal in batch.proposals:
            count = len(proposal.payloads)
            proposal.outcomes = [None] * count
            proposal.left = count
            for offset in range(count):
                entry_id = ids[position + offset]
                self._by_index[entry_id.index] = (entry_id.term, proposal, offset)
            position += count

    def plan_of(self, entry: Entry) -> object | None:
        """The decoded plan of an entry that was proposed here, so that it need not be decoded again."""
        waiting = self._by_index.get(entry.index)
        if waiting is None or waiting[0] != entry.term:
            return None
        return waiting[1].plans[waiting[2]]

    def applied(self, entry: Entry, outcome: Outcome) -> bool:
        """An entry was applied; True when a caller was answered by that.

        A proposal whose place another leader's entry took certainly had no effect.
        """
        waiting = self._by_index.pop(entry.index, None)
        if waiting is None:
            return False
        term, proposal, position = waiting
        if term == entry.term:
            return proposal.settle(position, outcome)
        return proposal.settle(
            position, NoLeader("another leader's entry took the place of this one; it had no effect")
        )

    def skipped_to(self, index: LogIndex) -> None:
        """A snapshot took the place of the log up to `index`: what waited there may or may not be in it."""
        for waiting_index in sorted(i for i in self._by_index if i <= index):
            _, proposal, _ = self._by_index.pop(waiting_index)
            proposal.pending.fail(OutcomeUnknown("the log went on by a snapshot; the call may have taken effect"))

    def fail_all(self, error: RequestError) -> None:
        """The member is gone: nobody hears any more what becomes of the entries."""
        waiting, self._by_index = self._by_index, {}
        for _, proposal, _ in waiting.values():
            proposal.pending.fail(error)


class WaitingReads:
    """Reads that wait for an index to be applied. Belongs to the runtime's thread."""

    def __init__(self) -> None:
        self._waiting: list[tuple[LogIndex, Pending[LogIndex]]] = []

    def add(self, index: LogIndex, applied: LogIndex, pending: Pending[LogIndex]) -> None:
        """Settle `pending` once `index` is applied; at once when it is."""
        if index <= applied:
            pending.resolve(applied)
        else:
            self._waiting.append((index, pending))

    def applied(self, applied: LogIndex) -> None:
        """Everything up to `applied` is applied."""
        if not self._waiting:
            return
        ready = [pending for index, pending in self._waiting if index <= applied]
        self._waiting = [(index, pending) for index, pending in self._waiting if index > applied and not pending.done]
        for pending in ready:
            pending.resolve(applied)

    def fail_all(self, error: RequestError) -> None:
        """The member is gone: the index will not be reached."""
        waiting, self._waiting = self._waiting, []
        for _, pending in waiting:
            pending.fail(error)
