"""What a leader knows of one peer: how far its log matches, which calls are under way, what is due."""

from dataclasses import dataclass

from iotdb_cluster.raft.log import RaftLog
from iotdb_cluster.raft.messages import AppendRequest, Heartbeat
from iotdb_cluster.types.identity import EntryId, LogIndex


@dataclass(frozen=True, slots=True)
class CallUnderWay:
    """An append or heartbeat that is not answered yet, and what the peer had acknowledged when it was sent."""

    message: AppendRequest | Heartbeat
    match_index: LogIndex


class Progress:
    """One peer, seen from the leader. A peer that leaves and comes back gets a new one.

    Invariants: `match_index < next_index`; `match_index` never falls, except that it is forgotten when the peer
    `has_regressed`. While `is_probing`, one append at a time looks for where the logs meet.
    """

    __slots__ = (
        "_backoff",
        "acked_round",
        "appends",
        "catch_up_started_ms",
        "catch_up_target",
        "commit_told",
        "counts_from",
        "has_regressed",
        "heartbeat",
        "heartbeat_failed",
        "heartbeat_sent_ms",
        "installed_index",
        "is_beat_due",
        "is_caught_up",
        "is_paused",
        "is_probing",
        "is_sure",
        "last_contact_ms",
        "match_index",
        "needs_snapshot",
        "next_index",
        "retry_at_ms",
        "round_asked",
    )

    def __init__(self, *, next_index: LogIndex, now_ms: int, counts_from: LogIndex | None) -> None:
        self.next_index = next_index
        self.counts_from = counts_from
        """Index of the membership that made the peer a voter, for as long as it stays in the group; None for one that
        never was: what it acknowledged before that never counted."""
        self.match_index: LogIndex = 0
        self.appends: list[CallUnderWay] = []
        self.heartbeat: CallUnderWay | None = None
        self.heartbeat_sent_ms = 0
        self.is_probing = True
        self.is_sure = False
        """The next append is known to fit, so it may be a large one."""
        self.is_paused = False
        """A call failed: nothing but heartbeats until one is answered, and not before `retry_at_ms`."""
        self.retry_at_ms = now_ms
        self.needs_snapshot = False
        """A snapshot is on its way: no appends until `SnapshotSent`."""
        self.installed_index: LogIndex = 0
        """Up to where the peer took a snapshot; which is no match, but a hint from before it is out of date."""
        self.has_regressed = False
        self.last_contact_ms = now_ms
        self.is_beat_due = True
        self.heartbeat_failed = False
        self.commit_told: LogIndex = -1
        self.round_asked = 0
        self.acked_round = 0
        self.is_caught_up = False
        self.catch_up_target: LogIndex = 0
        self.catch_up_started_ms = now_ms
        self._backoff = 1

    # ---- appends ----

    def may_append(self, inflight_max: int) -> bool:
        """True when another append may be sent now."""
        if self.is_paused or self.needs_snapshot or self.has_regressed:
            return False
        return len(self.appends) < (1 if self.is_probing else inflight_max)

    def append_sent(self, message: AppendRequest) -> None:
        """An append is under way; what follows it is sent without waiting, once the logs are known to meet."""
        self.appends.append(CallUnderWay(message, self.match_index))
        if not self.is_probing:
            self.next_index = message.entries[-1].index + 1

    def take_append(self, message: AppendRequest) -> CallUnderWay | None:
        """The call that `message` belongs to, which is over now; None for one that is not, or no longer, counted.

        The message is found by identity: an answer to a call from before the peer left the group and came back must
        not count for its new replica.
        """
        for position, call in enumerate(self.appends):
            if call.message is message:
                del self.appends[position]
                return call
        return None

    def note_match(self, index: LogIndex) -> bool:
        """The peer holds the leader's log durably up to `index`; True when that is news."""
        self.is_probing = False
        self.is_sure = True
        self._backoff = 1
        self.next_index = max(self.next_index, index + 1)
        if index <= self.match_index:
            return False
        self.match_index = index
        return True

    def note_mismatch(self, call: CallUnderWay, log: RaftLog) -> None:
        """The peer lacks the entry before those sent: look further back, twice as far each time."""
        assert isinstance(call.message, AppendRequest)
        tried = call.message.prev.index
        was_probing, self.is_probing = self.is_probing, True
        if self.match_index > 0:
            # Only the order of calls that overtook each other; what is matched stays matched.
            self.next_index = self.match_index + 1
            return
        self.is_sure = False
        if was_probing and tried >= self.next_index:
            return  # a heartbeat's answer has led further back in the meantime
        if tried <= log.snapshot.index:
            self.next_index = max(1, tried)  # not even the snapshot point is there: only a snapshot helps
            return
        self.next_index = max(tried - self._backoff, log.snapshot.index) + 1
        self._backoff *= 2

    def note_hint(self, last: EntryId, log: RaftLog, sendable: LogIndex) -> None:
        """The peer's last entry, as a heartbeat's answer tells it, while nothing is matched yet."""
        if self.match_index == 0 and self.is_probing and last.index >= self.installed_index:
            self._look_at(last, log, sendable)

    def note_snapshot(self, last: EntryId, log: RaftLog, sendable: LogIndex) -> None:
        """The peer took a snapshot up to `last`; the next append shows whether the log goes on there."""
        self.needs_snapshot = False
        self.is_probing = True
        self._backoff = 1
        self.installed_index = max(self.installed_index, last.index)
        self._look_at(last, log, sendable)

    def _look_at(self, last: EntryId, log: RaftLog, sendable: LogIndex) -> None:
        """If the peer's last entry is in the log, the logs meet there; else where terms are not newer than its."""
        if log.contains(last):
            # At least one entry must go, for only an append's answer is a match.
            meet = min(last.index, max(sendable - 1, log.snapshot.index))
            self.next_index = max(self.match_index, meet) + 1
            self.is_sure = True
        elif last.index < log.snapshot.index:
            self.next_index = max(self.match_index, last.index) + 1
        else:
            meet = log.last_index_of_term_at_most(last.term, last.index)
            self.next_index = max(self.match_index, min(self.next_index - 1, meet)) + 1

    def note_append_failed(self, message: AppendRequest | None, now_ms: int, pause_ms: int) -> None:
        """Nobody knows whether the append (or snapshot) was carried out: send it again after a pause."""
        self.is_probing = True
        self.is_paused = True
        self.retry_at_ms = now_ms + pause_ms
        if message is not None:
            self.next_index = max(self.match_index, min(self.next_index - 1, message.prev.index)) + 1

    def note_regressed(self) -> None:
        """The peer lost what it had acknowledged: it counts for nothing any more."""
        self.has_regressed = True
        self.match_index = 0
        self.acked_round = 0
        self.is_caught_up = False

    # ---- heartbeats ----

    def heartbeat_due_at_ms(self, commit_index: LogIndex, asked_round: int, commit_interval_ms: int) -> int | None:
        """When a heartbeat is to go: one at a time, and after a failed one only at the next beat (None).

        A read that waits for a round, and a beat, go at once. That the commit index moved is told at most once in
        `commit_interval_ms`: while entries flow, one heartbeat tells of many (rule "sent at once, coalesced").
        """
        if self.heartbeat is not None or self.has_regressed:
            return None
        if self.is_beat_due:
            return 0
        if self.heartbeat_failed:
            return None
        if asked_round > self.round_asked:
            return 0
        return self.heartbeat_sent_ms + commit_interval_ms if commit_index > self.commit_told else None

    def heartbeat_sent(self, message: Heartbeat, now_ms: int) -> None:
        """A heartbeat is under way."""
        self.heartbeat = CallUnderWay(message, self.match_index)
        self.heartbeat_sent_ms = now_ms
        self.is_beat_due = False
        self.commit_told = message.commit_index
        self.round_asked = message.round

    def take_heartbeat(self, message: Heartbeat) -> CallUnderWay | None:
        """The call that `message` belongs to, which is over now; None for one that is not, or no longer, counted."""
        call = self.heartbeat
        if call is None or call.message is not message:
            return None
        self.heartbeat = None
        return call

    def note_contact(self, now_ms: int) -> None:
        """The peer answered as a follower of this leader."""
        self.last_contact_ms = now_ms

    # ---- learners ----

    def note_catching_up(self, commit_index: LogIndex, now_ms: int, round_ms: int) -> None:
        """Rounds of catching up (thesis 4.2.1): level is who fetched what was committed within `round_ms`."""
        if self.match_index >= self.catch_up_target:
            self.is_caught_up = self.match_index > 0 and now_ms - self.catch_up_started_ms <= round_ms
            self.catch_up_target = commit_index
            self.catch_up_started_ms = now_ms
        elif now_ms - self.catch_up_started_ms > round_ms:
            self.is_caught_up = False

    def check(self, last_index: LogIndex) -> None:
        """Raise AssertionError unless the invariants of this class hold."""
        assert self.match_index < self.next_index, f"{self.match_index} < {self.next_index}"
        assert self.match_index <= last_index, f"{self.match_index} <= {last_index}"
        assert not (self.is_probing and len(self.appends) > 1 and self.is_sure and self.match_index == 0)
