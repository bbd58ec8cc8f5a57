"""One member of one Raft group as a value: `step(event)` says what should happen, and never does it."""

from collections.abc import Iterable
from typing import assert_never

from iotdb_cluster.raft.effects import Effect, Refusal, Refused, Reply, Role, RoleChanged, Send
from iotdb_cluster.raft.election import Ballot, LeaderWatch, judge, refuses_without_term
from iotdb_cluster.raft.events import (
    Answered,
    CallFailed,
    ChangeMembership,
    Compact,
    ContextChanged,
    Event,
    Persisted,
    Propose,
    ReadIndex,
    Received,
    SnapshotInstalled,
    SnapshotSent,
    Tick,
    Token,
    TransferLeadership,
)
from iotdb_cluster.raft.following import Following
from iotdb_cluster.raft.left_mark import LeftMark
from iotdb_cluster.raft.log import RaftLog
from iotdb_cluster.raft.messages import (
    Answer,
    AppendAnswer,
    AppendRequest,
    Heartbeat,
    HeartbeatAnswer,
    Message,
    TimeoutNow,
    Verdict,
    VoteAnswer,
    VoteRequest,
)
from iotdb_cluster.raft.replication import Leadership
from iotdb_cluster.raft.settings import RaftSettings
from iotdb_cluster.raft.state import Draw, GroupState
from iotdb_cluster.raft.visible import Visible
from iotdb_cluster.types.identity import EntryId, HardState, NodeId, Term
from iotdb_cluster.types.membership import Membership


class Raft(Visible):
    """The door of the core: terms and roles change here and nowhere else.

    Invariants: `_leading` exists exactly while the role is LEADER; a `_ballot` only while it is not; `_following`
    belongs to the present term.
    """

    def __init__(
        self,
        *,
        me: NodeId,
        settings: RaftSettings,
        log: RaftLog,
        hard_state: HardState,
        draw: Draw,
        founders: frozenset[NodeId] = frozenset(),
        founded: bool = True,
        mark: LeftMark | None = None,
        now_ms: int = 0,
    ) -> None:
        self._state = GroupState(
            me=me,
            settings=settings,
            log=log,
            hard_state=hard_state,
            draw=draw,
            founders=founders,
            founded=founded,
            mark=mark,
            now_ms=now_ms,
        )
        self._watch = LeaderWatch(now_ms)
        self._following = Following(self._state)
        self._leading: Leadership | None = None
        self._ballot: Ballot | None = None
        self._announced: tuple[Role, Term, NodeId | None] = (Role.FOLLOWER, self.term, None)
        self._election_deadline_ms = 0
        self._reset_election_timer()

    # ---- the door ----

    def step(self, event: Event, now_ms: int) -> list[Effect]:
        """Take one event in; what should happen now comes out, in order."""
        return self.step_all((event,), now_ms)

    def step_all(self, events: Iterable[Event], now_ms: int) -> list[Effect]:
        """Take in everything that waits: what is saved and sent because of it goes out together.

        `Persisted` comes in a step of its own, right after the sync.
        """
        self._state.now_ms = now_ms
        for event in events:
            self._handle(event)
            if self._leading is not None and self._leading.is_over:
                self._become_follower(None)
            self._announce()
        if self._leading is not None:
            self._leading.send_what_is_due()
            if self._leading.is_over:
                self._become_follower(None)
                self._announce()
        return self._state.take_effects()

    def _handle(self, event: Event) -> None:
        leading = self._leading
        match event:
            case Answered(peer, message, answer):
                self._answered(peer, message, answer)
            case Received(message, token):
                self._received(message, token)
            case Persisted(last):
                self._persisted(last)
            case Propose(token) | ChangeMembership(token) | ReadIndex(token) if leading is None:
                self._state.emit(Refused(token, Refusal.NOT_LEADER, self.leader))
            case Propose():
                self._lead().propose(event)
            case ReadIndex(token):
                self._lead().read_index(token)
            case Tick():
                self._tick()
            case CallFailed(peer, message):
                if leading is not None and message.term == self.term and not isinstance(message, VoteRequest):
                    leading.call_failed(peer, message)
            case ChangeMembership():
                self._lead().change_membership(event)
            case TransferLeadership(to):
                if leading is not None:
                    leading.succession.begin(to)
            case SnapshotSent():
                if leading is not None:
                    leading.snapshot_sent(event)
            case SnapshotInstalled(last, membership):
                self._snapshot_installed(last, membership)
            case Compact(upto):
                self._state.compact(upto)
            case ContextChanged():
                self._state.context = event
                self._state.knows_meta = True
            case _:
                assert_never(event)

    def _lead(self) -> Leadership:
        assert self._leading is not None
        return self._leading

    def _received(self, message: Message, token: Token) -> None:
        """The term is dealt with here, for every request."""
        if message.term < self.term:
            self._reply(token, _refusal(message, Verdict.STALE_TERM, self.term))
        elif isinstance(message, VoteRequest):
            self._vote_asked(message, token)
        else:
            if message.term > self.term:
                self._adopt_term(message.term)
            match message:
                case AppendRequest():
                    self._append_received(message, token)
                case Heartbeat():
                    self._heartbeat_received(message, token)
                case TimeoutNow():
                    self._timeout_now_received(message, token)
                case _:
                    assert_never(message)

    def _answered(self, peer: NodeId, message: Message, answer: Answer) -> None:
        """An answer belongs to the term in which its call was sent and counts in no other (rule 3.1)."""
        if answer.verdict is Verdict.STALE_TERM and answer.term > self.term:
            membership = self._state.membership
            if membership is not None and peer in membership.members:
                self._adopt_term(answer.term)
                return
        leading = self._leading
        match message, answer:
            case VoteRequest(), VoteAnswer(verdict):
                self._vote_answered(peer, message, verdict)
            case _ if leading is None or message.term != self.term:
                pass
            case AppendRequest(), AppendAnswer():
                leading.append_answered(peer, message, answer)
            case Heartbeat(), HeartbeatAnswer():
                leading.heartbeat_answered(peer, message, answer)
            case TimeoutNow(), HeartbeatAnswer():
                leading.timeout_now_answered(message, answer)
            case _:
                raise TypeError(f"{answer!r} is no answer to {message!r}")

    def _adopt_term(self, term: Term) -> None:
        """The only place where a term comes from outside."""
        self._state.save_hard_state(HardState(term))
        self._become_follower(None)
        self._following = Following(self._state)

    def _become_follower(self, leader: NodeId | None) -> None:
        state = self._state
        if self._leading is not None:
            self._leading.end()
            self._leading = None
            self._watch.heard(state.now_ms)
            self._reset_election_timer()
        self._ballot = None
        state.role = Role.FOLLOWER
        state.leader = leader
        if leader is None:
            self._watch.lost(state.now_ms, state.settings.election_timeout_min_ms)

    def _announce(self) -> None:
        """Say so when role, term or leader is another one than last time."""
        state = self._state
        now = (state.role, state.hard_state.term, state.leader)
        if now != self._announced:
            self._announced = now
            state.emit(RoleChanged(*now))

    def _reply(self, token: Token, answer: Answer, *, durable: bool = False) -> None:
        self._state.emit(Reply(token, answer, durable))

    # ---- elections ----

    def _reset_election_timer(self) -> None:
        state = self._state
        low, high = state.settings.election_timeout_min_ms, state.settings.election_timeout_max_ms
        self._election_deadline_ms = state.now_ms + state.draw(low, high)

    def _tick(self) -> None:
        if self._leading is not None:
            self._leading.tick()
        elif self._state.now_ms >= self._election_deadline_ms:
            self._become_follower(None)
            self._reset_election_timer()
            if self._state.may_campaign:
                self._ask_for_votes(pre=True)

    def _ask_for_votes(self, *, pre: bool, handover: bool = False) -> None:
        """Ask all voters of the own membership; a real campaign begins a new term with a vote for oneself."""
        state = self._state
        if not pre:
            state.save_hard_state(HardState(state.term + 1, state.me))
            self._following = Following(state)
            state.role, state.leader = Role.CANDIDATE, None
            self._watch.lost(state.now_ms, state.settings.election_timeout_min_ms)
            self._reset_election_timer()
        request = VoteRequest(
            term=state.term + 1 if pre else state.term,
            candidate=state.me,
            last=state.log.last_id,
            meta_last=state.context.meta_last if state.knows_meta else None,
            pre=pre,
            handover=handover,
        )
        self._ballot = Ballot(request)
        membership = state.membership
        voters = membership.all_voters if membership is not None else frozenset()
        for voter in sorted(voters - {state.me}):
            # A vote for oneself is a vote: it is durable before anybody hears of it.
            state.emit(Send(voter, request, durable=not pre))
        if pre:
            self._count_vote(state.me, Verdict.AGREE)

    def _vote_answered(self, peer: NodeId, message: VoteRequest, verdict: Verdict) -> None:
        if self._ballot is not None and message == self._ballot.request:
            # The request went out when our own vote was durable.
            self._ballot.note(self._state.me, Verdict.AGREE)
            self._count_vote(peer, verdict)

    def _count_vote(self, voter: NodeId, verdict: Verdict) -> None:
        ballot = self._ballot
        if ballot is None:
            return
        ballot.note(voter, verdict)
        if self._state.has_quorum(ballot.granted):
            if ballot.request.pre:
                self._ask_for_votes(pre=False)
            else:
                self._become_leader()

    def _become_leader(self) -> None:
        state = self._state
        self._ballot = None
        state.role, state.leader = Role.LEADER, state.me
        self._watch.heard(state.now_ms)
        self._leading = Leadership(state)
        self._leading.commit()  # a lone seed node may hold the first entry already, and nobody will answer it

    def _vote_asked(self, request: VoteRequest, token: Token) -> None:
        """Judge a request in the order of rule 3.5; what is refused without its term changes nothing here."""
        state = self._state
        if self._leading is not None and self._leading.has_contact(state.settings.election_timeout_min_ms):
            self._watch.heard(state.now_ms)
        verdict = refuses_without_term(state, self._watch, request)
        if verdict is None:
            if not request.pre and request.term > state.term:
                self._adopt_term(request.term)
            verdict = judge(state, self._watch, request)
        answer = VoteAnswer(verdict, state.term)
        if verdict is not Verdict.AGREE or request.pre:
            self._reply(token, answer)
            return
        if state.hard_state.vote is None:
            state.save_hard_state(HardState(state.term, request.candidate))
        self._ballot = None  # a pre-vote of our own would only disturb the candidate
        self._reset_election_timer()
        self._reply(token, answer, durable=True)

    def _timeout_now_received(self, message: TimeoutNow, token: Token) -> None:
        """The leader wishes this voter to take over at once; voters may then pass over that it is still live."""
        state = self._state
        verdict = Verdict.NOT_IN_GROUP
        if self._leading is None and state.is_voter and state.has_reached_mark and state.role is Role.FOLLOWER:
            verdict = Verdict.AGREE
            self._ask_for_votes(pre=False, handover=True)
        self._reply(token, HeartbeatAnswer(verdict, message.term, state.log.last_id))

    # ---- following ----

    def _follow(self, leader: NodeId | None) -> bool:
        """A call of this term's leader: False when it cannot be one, because another one leads this term."""
        state = self._state
        if self._leading is not None or (leader is not None and state.leader not in (None, leader)):
            return False
        if state.role is not Role.FOLLOWER or self._ballot is not None:
            self._become_follower(None)
        state.leader = leader if leader is not None else state.leader
        self._watch.heard(state.now_ms)
        self._reset_election_timer()
        return True

    def _append_received(self, request: AppendRequest, token: Token) -> None:
        """An append names no leader, but only the leader of its term sends any."""
        if not self._follow(None):
            self._reply(token, AppendAnswer(Verdict.NOT_IN_GROUP, self.term))
            return
        verdict = self._following.append(request)
        self._following.commit()
        self._reply(token, AppendAnswer(verdict, self.term), durable=verdict is Verdict.AGREE)

    def _heartbeat_received(self, message: Heartbeat, token: Token) -> None:
        if not self._follow(message.leader):
            self._reply(token, HeartbeatAnswer(Verdict.NOT_IN_GROUP, self.term))
            return
        self._following.heard_commit = max(self._following.heard_commit, message.commit_index)
        self._following.commit()
        self._reply(token, HeartbeatAnswer(Verdict.AGREE, self.term, self._state.log.last_id))

    # ---- durability and snapshots ----

    def _persisted(self, last: EntryId) -> None:
        """What was saved is durable: it counts now, a candidate's vote for itself included."""
        state = self._state
        state.note_durable(last)
        if self._leading is not None:
            self._leading.commit()
        elif self._ballot is not None and not self._ballot.request.pre:
            self._count_vote(state.me, Verdict.AGREE)
        else:
            self._following.commit()

    def _snapshot_installed(self, last: EntryId, membership: Membership) -> None:
        """Only what reaches further than the commit index is a step forward; anything else is left alone."""
        state = self._state
        if last.index <= state.commit_index:
            return
        if last.term > state.term:
            self._adopt_term(last.term)  # the group has had a leader of that term
        elif self._leading is not None:
            self._become_follower(None)  # others have committed what this leader has not: it was deposed
        if state.install(last, membership):
            self._following.forget_acknowledged()
        self._following.commit()

    def check(self, *, whole_log: bool = False) -> None:
        """Raise AssertionError unless the invariants of this member's state hold; for tests, after every step.

        `whole_log` walks over all entries, too.
        """
        state = self._state
        state.check()
        if whole_log:
            state.log.check()
        assert (self._leading is not None) == (state.role is Role.LEADER)
        assert self._leading is None or self._ballot is None
        assert state.role is not Role.LEADER or state.leader == state.me
        assert state.role is not Role.CANDIDATE or state.hard_state.vote == state.me
        if self._leading is not None:
            self._leading.check()


def _refusal(message: Message, verdict: Verdict, term: Term) -> Answer:
    """An answer of the type that belongs to `message`, saying no."""
    match message:
        case VoteRequest():
            return VoteAnswer(verdict, term)
        case AppendRequest():
            return AppendAnswer(verdict, term)
        case Heartbeat() | TimeoutNow():
            return HeartbeatAnswer(verdict, term)
        case _:
            assert_never(message)
