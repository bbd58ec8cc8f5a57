"""Everything that was ever seen of one group: the memory against which each new step is judged."""

from collections.abc import Iterator

from iotdb_cluster.raft.effects import Committed, Reply, Role, SaveEntries, Send
from iotdb_cluster.raft.messages import Verdict, VoteAnswer, VoteRequest
from iotdb_cluster.types.entries import Entry
from iotdb_cluster.types.identity import BEFORE_FIRST, EntryId, LogIndex, NodeId, Term
from iotdb_cluster.types.membership import Membership
from tests.sim.invariants.view import Speech, Step


class Ledger:
    """Filled by `note_step` and `note_speech`, in the order of events, after the checks have seen the same.

    `committed[k]` is the entry at index `first_index + k`; a group that began with a membership of its own has that
    as `founding`, behind `base`.
    """

    def __init__(self, *, base: EntryId = BEFORE_FIRST, founding: Membership | None = None) -> None:
        self.base = base
        self.founding = founding
        self.leaders: dict[Term, tuple[NodeId, int]] = {}
        self.entries: dict[tuple[Term, LogIndex], tuple[Entry, Term | None]] = {}
        """Each entry that was ever saved, with the term of the one before it."""
        self.committed: list[Entry] = []
        self.committed_terms: set[Term] = set()
        self.committed_by: dict[Term, LogIndex] = {}
        """How far the leader of each term has committed."""
        self.memberships: list[tuple[LogIndex, Membership]] = [] if founding is None else [(base.index, founding)]
        """The committed ones, oldest first."""
        self.known_commits: dict[NodeId, LogIndex] = {}
        """How far each member knew the log to be committed behind its last step."""
        self.grants: dict[tuple[Term, NodeId], NodeId] = {}
        self.votes: dict[tuple[Term, NodeId], set[NodeId]] = {}

    @property
    def committed_index(self) -> LogIndex:
        return self.base.index + len(self.committed)

    @property
    def membership(self) -> Membership | None:
        """The newest committed membership."""
        return self.memberships[-1][1] if self.memberships else None

    def committed_before(self, term: Term) -> LogIndex:
        """How far leaders of lower terms have committed: a leader of `term` must have all of that, and no more."""
        return max((index for by, index in self.committed_by.items() if by < term), default=self.base.index)

    def removed_before(self, term: Term, node: NodeId) -> LogIndex | None:
        """Where the membership stands that leaders of lower terms committed and that leaves the node out for good."""
        reach = self.committed_before(term)
        removed_at: LogIndex | None = None
        for index, membership in reversed(self.memberships):
            if index > reach:
                continue
            if node in membership.members:
                break
            removed_at = index
        return removed_at

    def committed_at(self, index: LogIndex) -> Entry | None:
        """The committed entry at `index`, if there is one."""
        position = index - self.base.index - 1
        return self.committed[position] if 0 <= position < len(self.committed) else None

    def is_committed(self, entry_id: EntryId) -> bool:
        """True for the identity of a committed entry (or of the base)."""
        entry = self.committed_at(entry_id.index)
        return entry_id == self.base if entry is None else entry.term == entry_id.term

    def note_step(self, step: Step) -> None:
        """Take in what a member did."""
        raft = step.raft
        self.known_commits[step.node] = raft.commit_index
        if raft.role is Role.LEADER:
            self.leaders.setdefault(raft.term, (step.node, step.incarnation))
        for effect in step.effects:
            if type(effect) is SaveEntries:
                for entry, previous in with_previous(step, effect.entries):
                    self.entries.setdefault((entry.term, entry.index), (entry, previous))
            elif type(effect) is Committed:
                self._note_committed(step.before.term, effect.entries)

    def _note_committed(self, by: Term, entries: tuple[Entry, ...]) -> None:
        # A follower only repeats what the leader of its term has committed; so the first who says it tells by whom.
        if entries[-1].index > self.committed_index:
            self.committed_by[by] = entries[-1].index
        new = entries[max(0, self.committed_index + 1 - entries[0].index) :]
        for entry in new:
            self.committed.append(entry)
            self.committed_terms.add(entry.term)
            membership = entry.membership
            if membership is not None:
                self.memberships.append((entry.index, membership))

    def note_speech(self, speech: Speech) -> None:
        """Take in what a member said."""
        effect = speech.effect
        if type(effect) is Send:
            message = effect.message
            if type(message) is VoteRequest and not message.pre:
                self._note_grant(message.term, speech.node, speech.node)
        elif type(effect) is Reply and type(speech.request) is VoteRequest:
            request, answer = speech.request, effect.answer
            assert isinstance(answer, VoteAnswer)
            if answer.verdict is Verdict.AGREE and not request.pre:
                self._note_grant(request.term, speech.node, request.candidate)

    def _note_grant(self, term: Term, voter: NodeId, candidate: NodeId) -> None:
        self.grants.setdefault((term, voter), candidate)
        self.votes.setdefault((term, candidate), set()).add(voter)


def with_previous(step: Step, entries: tuple[Entry, ...]) -> Iterator[tuple[Entry, Term | None]]:
    """Each entry with the term of the one before it, None where the log has forgotten that one."""
    previous = step.raft.log.term_at(entries[0].index - 1)
    for entry in entries:
        yield entry, previous
        previous = entry.term
