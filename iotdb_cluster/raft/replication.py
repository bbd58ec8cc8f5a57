"""A leader's side: what it takes into the log, sends to its peers, and commits. One object per leadership."""

from collections import deque

from iotdb_cluster.raft.changes import first_step, last_step
from iotdb_cluster.raft.effects import (
    Accepted,
    PeerRegressed,
    ReadConfirmed,
    Refusal,
    Refused,
    Send,
    SendSnapshot,
)
from iotdb_cluster.raft.events import ChangeMembership, Propose, SnapshotSent, Token
from iotdb_cluster.raft.handover import Succession
from iotdb_cluster.raft.messages import (
    AppendAnswer,
    AppendRequest,
    Heartbeat,
    HeartbeatAnswer,
    TimeoutNow,
    Verdict,
)
from iotdb_cluster.raft.progress import CallUnderWay, Progress
from iotdb_cluster.raft.reads import WaitingReads
from iotdb_cluster.raft.state import GroupState
from iotdb_cluster.types.entries import Entry, EntryKind, Payload
from iotdb_cluster.types.identity import EntryId, LogIndex, NodeId
from iotdb_cluster.types.membership import Membership

_MEMBERSHIP = int(EntryKind.MEMBERSHIP)


class Leadership:
    """What a member knows and does as the leader of one term.

    Invariant: `progress` holds exactly the other members of the newest membership, so a member that a newer one leaves
    out is sent nothing from the moment that one is appended (rule 4.3).
    """

    def __init__(self, state: GroupState) -> None:
        self._state = state
        self.progress: dict[NodeId, Progress] = {}
        self.reads = WaitingReads()
        self.succession = Succession(state, self.progress)
        self._must_step_down = False
        self._next_beat_ms = state.now_ms
        self._next_telling_ms = state.now_ms
        """When a peer is to hear of a commit index of which it was not told at once."""
        self.first_own_index: LogIndex = 0
        """Where the first entry of this term stands; nothing before it is committed by counting, no read before it."""
        # (last index, appended at): one pair for what was appended within one millisecond, oldest first.
        self._waiting: deque[tuple[LogIndex, int]] = deque()
        if state.is_founded:
            self._append_empty()
        elif state.log.last_index > 0:
            self._waiting.append((state.log.last_index, state.now_ms))
        self._sync_progress()

    @property
    def is_over(self) -> bool:
        """The door makes a follower of this member after the event (check-quorum, stall, or it left the group)."""
        return self._must_step_down or self.succession.is_over

    # ---- what comes into the log ----

    def propose(self, event: Propose) -> None:
        """Append a client's payloads, or refuse them."""
        refusal = self._refusal_of(event.payloads)
        if refusal is None:
            self._state.emit(Accepted(event.token, self._append(event.payloads)))
            if not self._state.is_founded:
                self._sync_progress()
        else:
            self._refuse(event.token, refusal)

    def _refusal_of(self, payloads: tuple[Payload, ...]) -> Refusal | None:
        if self.succession.is_under_way:
            return Refusal.NOT_LEADER
        state, kinds = self._state, [payload.kind for payload in payloads]
        if not state.is_founded:
            # The first entry is the first membership, alone; everything else waits until it is committed (DESIGN 3).
            return None if state.log.last_index == 0 and kinds == [_MEMBERSHIP] else Refusal.NOT_READY
        if _MEMBERSHIP in kinds:
            return Refusal.NOT_ALLOWED
        waiting = state.log.last_index - state.commit_index
        if waiting > 0:
            new_bytes = sum(len(payload.body) for payload in payloads)
            if waiting + len(payloads) > state.settings.uncommitted_max_entries:
                return Refusal.BUSY
            if state.log.bytes_behind(state.commit_index) + new_bytes > state.settings.uncommitted_max_bytes:
                return Refusal.BUSY
        return None

    def change_membership(self, event: ChangeMembership) -> None:
        """Append the first step of a membership change, or refuse it (rule 4.2)."""
        state = self._state
        current = state.log.membership
        step: Membership | Refusal
        if self.succession.is_under_way:
            step = Refusal.NOT_LEADER
        elif current is None or not self.has_committed_own_term:
            step = Refusal.NOT_READY
        elif state.log.membership_index > state.commit_index:
            step = Refusal.CHANGE_PENDING
        else:
            step = first_step(current, event.membership, self._caught_up())
        if isinstance(step, Refusal):
            self._refuse(event.token, step)
        else:
            payload = Payload(EntryKind.MEMBERSHIP, step.encode() + event.rest)
            state.emit(Accepted(event.token, self._append((payload,))))
            self._sync_progress()

    def _caught_up(self) -> frozenset[NodeId]:
        heard_after = self._state.now_ms - self._state.settings.election_timeout_max_ms
        return frozenset(
            peer
            for peer, progress in self.progress.items()
            if progress.is_caught_up and progress.last_contact_ms > heard_after
        )

    def read_index(self, token: Token) -> None:
        """Take in a strong read: it waits for a round of heartbeats that begins after it."""
        if self.first_own_index == 0:
            self._refuse(token, Refusal.NOT_READY)
            return
        # An earlier leader may have committed anything before our first entry, so a read never sees less than that.
        index = max(self._state.commit_index, self.first_own_index)
        self.reads.add(token, index, self._state.now_ms)
        self._confirm_reads()

    def _refuse(self, token: Token, reason: Refusal) -> None:
        leader = None if reason is Refusal.NOT_LEADER else self._state.me
        self._state.emit(Refused(token, reason, leader))

    def _append(self, payloads: tuple[Payload, ...]) -> tuple[EntryId, ...]:
        state = self._state
        term, index, now_ms = state.term, state.log.last_index, state.now_ms
        entries = [Entry(term, at, payload.kind, payload.body) for at, payload in enumerate(payloads, index + 1)]
        if not entries:
            return ()
        state.append(entries)
        if self._waiting and self._waiting[-1][1] == now_ms:
            self._waiting.pop()
        self._waiting.append((state.log.last_index, now_ms))
        return tuple([EntryId(term, entry.index) for entry in entries])

    def _append_empty(self) -> None:
        """Only entries of the own term are committed by counting, so every leadership begins with one (rule 3.2)."""
        self._append((Payload(EntryKind.EMPTY_CONTENT, b""),))
        self.first_own_index = self._state.log.last_index

    def _sync_progress(self) -> None:
        membership = self._state.membership
        members = membership.members - {self._state.me} if membership is not None else frozenset()
        for peer in [peer for peer in self.progress if peer not in members]:
            del self.progress[peer]
        for peer in sorted(members - self.progress.keys()):
            self.progress[peer] = self._new_progress(peer)
        for peer, progress in self.progress.items():
            if progress.counts_from is None:
                progress.counts_from = self._counts_from(peer)

    def _new_progress(self, peer: NodeId) -> Progress:
        # The last entry is always sent: only an append's answer shows a match.
        next_index = max(1, self._state.log.last_index)
        return Progress(next_index=next_index, now_ms=self._state.now_ms, counts_from=self._counts_from(peer))

    def _counts_from(self, peer: NodeId) -> LogIndex | None:
        """Where the membership stands that made the peer a voter, as far as the log knows; None for a learner."""
        first: LogIndex | None = None
        for at, membership in reversed(self._state.log.memberships):
            if peer not in membership.all_voters:
                break
            first = at
        return first

    # ---- what comes back ----

    def append_answered(self, peer: NodeId, message: AppendRequest, answer: AppendAnswer) -> None:
        """An append of this term was answered by a member."""
        progress = self.progress.get(peer)
        call = progress.take_append(message) if progress is not None else None
        if progress is None or call is None:
            return
        state = self._state
        if answer.verdict is Verdict.AGREE:
            progress.note_contact(state.now_ms)
            progress.is_paused = False
            if progress.note_match(message.entries[-1].index):
                self._note_catching_up(progress)
                self.commit()
        elif answer.verdict is Verdict.LOG_MISMATCH and message.prev.index > 0:
            progress.note_contact(state.now_ms)
            if message.prev.index <= call.match_index:
                self._regressed(peer, progress, call, message.prev.index - 1)
            else:
                progress.note_mismatch(call, state.log)
        else:
            progress.note_append_failed(message, state.now_ms, state.settings.heartbeat_interval_ms)

    def heartbeat_answered(self, peer: NodeId, message: Heartbeat, answer: HeartbeatAnswer) -> None:
        """A heartbeat of this term was answered by a member."""
        progress = self.progress.get(peer)
        call = progress.take_heartbeat(message) if progress is not None else None
        if progress is None or call is None:
            return
        if answer.verdict is not Verdict.AGREE:
            progress.heartbeat_failed = True
            return
        state = self._state
        progress.note_contact(state.now_ms)
        progress.heartbeat_failed = False
        progress.acked_round = max(progress.acked_round, message.round)
        if answer.last is not None and answer.last.index < call.match_index:
            self._regressed(peer, progress, call, answer.last.index)
            return
        if answer.last is not None:
            progress.note_hint(answer.last, state.log, self._sendable(peer))
        if progress.is_paused and state.now_ms >= progress.retry_at_ms:
            progress.is_paused = False
        self._note_catching_up(progress)
        self._confirm_reads()

    def _regressed(self, peer: NodeId, progress: Progress, call: CallUnderWay, found: LogIndex) -> None:
        """A voter's log shorter than what it acknowledged is an old copy of a disk: refused (DESIGN 3, "Starts").

        A learner may have dropped the replica of an earlier membership just now: it counts for nothing and starts over.
        So does a voter that has not acknowledged the membership which made it one: what it acknowledged before that, as
        a learner, was committed without it, and the replica that did so may be gone since.
        """
        counts_from = progress.counts_from
        if self._counts(peer) and counts_from is not None and call.match_index >= counts_from:
            progress.note_regressed()
            self._state.emit(PeerRegressed(peer, call.match_index, found))
        else:
            self.progress[peer] = self._new_progress(peer)

    def call_failed(self, peer: NodeId, message: AppendRequest | Heartbeat | TimeoutNow) -> None:
        """A call of this term was not answered."""
        self.succession.call_failed(message)
        progress = self.progress.get(peer)
        if progress is None:
            return
        if isinstance(message, AppendRequest) and progress.take_append(message) is not None:
            progress.note_append_failed(message, self._state.now_ms, self._state.settings.heartbeat_interval_ms)
        elif isinstance(message, Heartbeat) and progress.take_heartbeat(message) is not None:
            progress.heartbeat_failed = True

    def timeout_now_answered(self, message: TimeoutNow, answer: HeartbeatAnswer) -> None:
        """The target of a hand-over took it, or did not."""
        self.succession.answered(message, answer)

    def snapshot_sent(self, event: SnapshotSent) -> None:
        """A snapshot was taken by a peer, or was not; its answer is no match (DESIGN 3)."""
        progress = self.progress.get(event.peer)
        if progress is None or not progress.needs_snapshot:
            return
        if event.ok:
            progress.note_snapshot(event.last, self._state.log, self._sendable(event.peer))
        else:
            progress.needs_snapshot = False
            progress.note_append_failed(None, self._state.now_ms, self._state.settings.heartbeat_interval_ms)

    def _note_catching_up(self, progress: Progress) -> None:
        state = self._state
        progress.note_catching_up(state.commit_index, state.now_ms, state.settings.election_timeout_min_ms)

    @property
    def is_busy_appending(self) -> bool:
        """True while calls are under way and no voter could be sent another one: what is proposed now would wait."""
        inflight_max = self._state.settings.inflight_appends_max
        is_under_way = False
        for peer, progress in self.progress.items():
            if not self._counts(peer):
                continue
            if progress.may_append(inflight_max):
                return False
            is_under_way = is_under_way or bool(progress.appends)
        return is_under_way

    # ---- commit ----

    @property
    def has_committed_own_term(self) -> bool:
        """True once an entry of this term is committed."""
        return 0 < self.first_own_index <= self._state.commit_index

    def commit(self) -> None:
        """Commit what a quorum holds durably, this member included where it is a voter.

        Nothing is committed before it is durable here, too: what is applied must be in the own log after a restart.
        """
        state = self._state
        index = min(self._quorum_index(), state.durable_index)
        if index <= state.commit_index:
            return
        if not state.is_founded:
            # All seed nodes hold the first entry, so whoever is elected by all of them does: its term does not matter.
            state.commit_to(index)
            self._append_empty()
            return
        # Only an entry of our own term proves a quorum for everything before it (Raft 5.4.2, figure 8).
        if state.log.term_at(index) != state.term:
            return
        state.commit_to(index)
        while self._waiting and self._waiting[0][0] <= index:
            self._waiting.popleft()
        self._confirm_reads()
        self._go_on_with_change()

    def _quorum_index(self) -> LogIndex:
        """The greatest index that a quorum of the membership in force holds durably."""
        membership = self._state.membership
        if membership is None:
            return 0
        if not self._state.is_founded:
            return min(self._held_by(voter) for voter in membership.all_voters)
        index = self._majority_index(membership.voters)
        return min(index, self._majority_index(membership.outgoing)) if membership.outgoing else index

    def _majority_index(self, voters: frozenset[NodeId]) -> LogIndex:
        held = sorted(self._held_by(voter) for voter in voters)
        return held[(len(held) - 1) // 2]

    def _held_by(self, voter: NodeId) -> LogIndex:
        return self._state.durable_index if voter == self._state.me else self.progress[voter].match_index

    def _go_on_with_change(self) -> None:
        """A committed joint membership is followed by its uniform one; a leader that it leaves out hands over."""
        state = self._state
        membership = state.log.membership
        if membership is None or state.log.membership_index > state.commit_index or not self.has_committed_own_term:
            return
        if membership.is_joint:
            self._append((Payload(EntryKind.MEMBERSHIP, last_step(membership).encode()),))
            self._sync_progress()
        elif state.me not in membership.voters:
            self.succession.begin_to_leave()

    # ---- reads ----

    def _confirm_reads(self) -> None:
        for read in self.reads.take_confirmed(self._is_confirmed, self._state.commit_index):
            self._state.emit(ReadConfirmed(read.token, read.index))

    def _is_confirmed(self, round_: int) -> bool:
        """True when a quorum has answered heartbeats of this round or a later one."""
        who = {peer for peer, progress in self.progress.items() if progress.acked_round >= round_}
        return self._state.has_quorum(who | {self._state.me})

    # ---- time ----

    @property
    def next_beat_ms(self) -> int:
        """When a tick is due."""
        return min(self._next_beat_ms, self._next_telling_ms)

    def has_contact(self, within_ms: int) -> bool:
        """True when a quorum answered within that time."""
        heard_after = self._state.now_ms - within_ms
        who = {peer for peer, progress in self.progress.items() if progress.last_contact_ms > heard_after}
        return self._state.has_quorum(who | {self._state.me})

    def tick(self) -> None:
        """At each beat: heartbeats fall due, and what has waited too long ends."""
        state, settings = self._state, self._state.settings
        if state.now_ms < self._next_beat_ms:
            return
        self._next_beat_ms = state.now_ms + settings.heartbeat_interval_ms
        for progress in self.progress.values():
            progress.is_beat_due = True
            self._note_catching_up(progress)
        stalled_before = state.now_ms - settings.leader_stall_timeout_ms
        if not self.has_contact(settings.election_timeout_max_ms):
            self._must_step_down = True
        elif self._waiting and self._waiting[0][1] < stalled_before:
            self._must_step_down = True  # a quorum answers, yet nothing is committed: a disk hangs (rule 3.6)
        for read in self.reads.take_older_than(state.now_ms - settings.election_timeout_max_ms):
            self._refuse(read.token, Refusal.NOT_READY)
        self.succession.tick()

    # ---- what is sent ----

    def send_what_is_due(self) -> None:
        """Emit the appends, heartbeats and snapshots that may go now; once at the end of each step."""
        self.succession.go_on()
        heartbeat: Heartbeat | None = None
        self._next_telling_ms = self._next_beat_ms
        interval_ms = self._state.settings.commit_heartbeat_interval_ms
        for peer, progress in self.progress.items():
            self._send_appends(peer, progress)
            asked_round = self.reads.asked_round if self._counts(peer) else 0
            state = self._state
            due_at_ms = progress.heartbeat_due_at_ms(state.commit_index, asked_round, interval_ms)
            if due_at_ms is None:
                continue
            if due_at_ms > state.now_ms:
                self._next_telling_ms = min(self._next_telling_ms, due_at_ms)
            else:
                if heartbeat is None:
                    heartbeat = Heartbeat(state.term, state.me, state.commit_index, self.reads.round)
                    self.reads.heartbeat_sent()
                progress.heartbeat_sent(heartbeat, state.now_ms)
                state.emit(Send(peer, heartbeat))

    def _counts(self, peer: NodeId) -> bool:
        membership = self._state.membership
        return membership is not None and (peer in membership.voters or peer in membership.outgoing)

    def _sendable(self, peer: NodeId) -> LogIndex:
        """Learners are sent committed entries only: their logs must not outrun all voters' (rule 4.1)."""
        return self._state.log.last_index if self._counts(peer) else self._state.commit_index

    def _send_appends(self, peer: NodeId, progress: Progress) -> None:
        settings, log = self._state.settings, self._state.log
        sendable = self._sendable(peer)
        while progress.may_append(settings.inflight_appends_max) and progress.next_index <= sendable:
            if progress.next_index <= log.snapshot.index:
                progress.needs_snapshot = True
                self._state.emit(SendSnapshot(peer, log.snapshot.index))
                return
            entries = log.entries_within(
                progress.next_index,
                sendable,
                max_bytes=settings.append_max_bytes,
                max_entries=settings.append_max_entries if progress.is_sure else 1,
            )
            request = AppendRequest(self._state.term, log.id_at(progress.next_index - 1), entries)
            progress.append_sent(request)
            self._state.emit(Send(peer, request))

    def end(self) -> None:
        """This member leads no more: nobody waits here for an answer."""
        for read in self.reads.take_all():
            self._state.emit(Refused(read.token, Refusal.NOT_LEADER, None))

    def check(self) -> None:
        """Raise AssertionError unless the invariants of this class hold."""
        state = self._state
        assert state.membership is not None
        assert self.progress.keys() == state.membership.members - {state.me}
        for progress in self.progress.values():
            progress.check(state.log.last_index)
        assert not self._waiting or self._waiting[-1][0] == state.log.last_index
