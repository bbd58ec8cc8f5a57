"""A follower's side of replication: appends, and how far it may commit."""

from iotdb_cluster.errors import MalformedInput
from iotdb_cluster.raft.messages import AppendRequest, Verdict
from iotdb_cluster.raft.state import GroupState
from iotdb_cluster.types.entries import Entry, EntryKind
from iotdb_cluster.types.identity import LogIndex
from iotdb_cluster.types.membership import Membership

_MEMBERSHIP = int(EntryKind.MEMBERSHIP)


class Following:
    """What this member heard from the leader of the present term; a new term begins a new one."""

    def __init__(self, state: GroupState) -> None:
        self._state = state
        self.heard_commit: LogIndex = 0
        self.acknowledged: LogIndex = 0

    def append(self, request: AppendRequest) -> Verdict:
        """Take the entries that are not here yet; only a real conflict truncates. What is no chain is refused whole."""
        if not _is_chain(request):
            return Verdict.LOG_MISMATCH
        state, log = self._state, self._state.log
        prev, entries = request.prev, request.entries
        if prev.index < log.snapshot.index:
            # What the snapshot covers is committed, hence in the leader's log: the chain passes the snapshot point.
            entries = entries[log.snapshot.index - prev.index :]
        elif not log.contains(prev):
            return Verdict.LOG_MISMATCH
        new = self._new_entries(entries)
        if new:
            if new[0].index <= log.last_index:
                state.truncate_from(new[0].index)
            state.append(new)
        self.acknowledged = max(self.acknowledged, prev.index + len(request.entries))
        return Verdict.AGREE

    def forget_acknowledged(self) -> None:
        """The log was replaced by a snapshot: what was acknowledged stands in it only as far as the snapshot goes."""
        self.acknowledged = 0

    def _new_entries(self, entries: tuple[Entry, ...]) -> tuple[Entry, ...]:
        """What follows the longest part of `entries` that stands in the log already."""
        log = self._state.log
        last_index = log.last_index
        for position, entry in enumerate(entries):
            if entry.index > last_index or log.term_at(entry.index) != entry.term:
                return entries[position:] if position else entries
        return ()

    @property
    def matched(self) -> LogIndex:
        """Up to where the log is known to be the leader's (rule 3.4).

        What was acknowledged in this term; or the own last entry, where it is of this leader's term: then the leader
        made it, and everything before it is the leader's, too. So a restarted follower of an idle group commits.
        """
        state = self._state
        own = state.log.last_index if state.log.last_id.term == state.term else 0
        return min(max(self.acknowledged, own), state.log.last_index)

    def commit(self) -> None:
        """Commit the least of what was heard, matched and durable; to be called whenever one of them has grown."""
        index = min(self.heard_commit, self.matched, self._state.durable_index)
        if index > self._state.commit_index:
            self._state.commit_to(index)


def _is_chain(request: AppendRequest) -> bool:
    """True when the entries follow each other, none is newer than their leader, and memberships can be read."""
    index, term = request.prev.index, request.prev.term
    for entry in request.entries:
        index += 1
        if entry.index != index or entry.term < term:
            return False
        term = entry.term
        if entry.kind == _MEMBERSHIP and not _is_membership(entry.body):
            return False
    return term <= request.term


def _is_membership(body: bytes) -> bool:
    try:
        Membership.decode(body)
    except MalformedInput:
        return False
    return True
