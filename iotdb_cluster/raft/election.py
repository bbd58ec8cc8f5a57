"""Votes: how a request is judged, and what a candidate has collected."""

from iotdb_cluster.raft.effects import Role
from iotdb_cluster.raft.messages import Verdict, VoteRequest
from iotdb_cluster.raft.state import GroupState
from iotdb_cluster.types.identity import NodeId


class Ballot:
    """One campaign or pre-vote of this member. Votes are a set of identifiers: a repeated answer adds nothing."""

    def __init__(self, request: VoteRequest) -> None:
        self.request = request
        self.granted: set[NodeId] = set()
        self.refused: dict[NodeId, Verdict] = {}

    def note(self, peer: NodeId, verdict: Verdict) -> None:
        """`peer` answered this ballot's request."""
        if verdict is Verdict.AGREE:
            self.granted.add(peer)
        else:
            self.refused[peer] = verdict


class LeaderWatch:
    """When this member last heard of a live leader, and since when it has none.

    `heard_at_ms` is None when no leader of the present term was heard; `leaderless_since_ms` then says since when.
    """

    def __init__(self, now_ms: int) -> None:
        self.heard_at_ms: int | None = None
        self.leaderless_since_ms = now_ms
        self.has_heard_leader = False

    def heard(self, now_ms: int) -> None:
        """A leader of the present term called, or this member leads and has its quorum."""
        self.heard_at_ms = now_ms
        self.has_heard_leader = True

    def lost(self, now_ms: int, grace_ms: int) -> None:
        """The leader that was heard last leads no more, or its silence has outlasted `grace_ms`."""
        if self.heard_at_ms is not None:
            self.leaderless_since_ms = min(now_ms, self.heard_at_ms + grace_ms)
            self.heard_at_ms = None

    def is_live(self, now_ms: int, grace_ms: int) -> bool:
        """True when a leader was heard within `grace_ms`."""
        return self.heard_at_ms is not None and now_ms - self.heard_at_ms < grace_ms

    def lost_within(self, now_ms: int, grace_ms: int, window_ms: int) -> bool:
        """True for `window_ms` from the moment the leader counts as lost."""
        since = self.leaderless_since_ms if self.heard_at_ms is None else self.heard_at_ms + grace_ms
        return since <= now_ms < since + window_ms


def refuses_without_term(state: GroupState, watch: LeaderWatch, request: VoteRequest) -> Verdict | None:
    """The refusals that do not even adopt the candidate's term (rule 3.5), or None."""
    if not request.handover and watch.is_live(state.now_ms, state.settings.election_timeout_min_ms):
        return Verdict.LEADER_STILL_ONLINE
    if request.candidate in state.context.tombstones:
        return Verdict.NOT_IN_GROUP
    if not _is_known(state, request.candidate) and request.last <= state.voting_position:
        return Verdict.NOT_IN_GROUP
    return None


def _is_known(state: GroupState, candidate: NodeId) -> bool:
    """True for members, old or new; where no membership is known, everybody may be one."""
    membership, committed = state.membership, state.committed_membership
    if membership is None or candidate in membership.members:
        return True
    return committed is not None and candidate in committed.members


def judge(state: GroupState, watch: LeaderWatch, request: VoteRequest) -> Verdict:
    """The verdict on a request whose term is not behind: the vote, the log, then the preference of rule 3.7.

    The candidate's membership decides who may vote, so a learner that is asked answers like anyone.
    """
    # A pre-vote for a later term is judged as that term would begin: without a vote.
    vote = state.hard_state.vote if request.term == state.term else None
    if vote not in (None, request.candidate) or (state.role is Role.LEADER and request.term == state.term):
        return Verdict.STALE_TERM
    if request.last < state.voting_position:
        return Verdict.LOG_MISMATCH
    if request.meta_last is not None and request.meta_last < state.context.meta_applied:
        settings = state.settings
        if watch.lost_within(state.now_ms, settings.election_timeout_min_ms, settings.election_timeout_max_ms):
            return Verdict.META_LOG_STALE
    return Verdict.AGREE
