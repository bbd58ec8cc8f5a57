"""Known mistakes, put into the core one at a time: the group simulator must find each within its budget of seeds.

The name of a function is the name of the mistake; the rule that it breaks stands in RELIABILITY 4 and 5.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from iotdb_cluster.raft import core, election, replication
from iotdb_cluster.raft.core import Raft
from iotdb_cluster.raft.effects import Refusal, Reply, SaveHardState
from iotdb_cluster.raft.election import LeaderWatch
from iotdb_cluster.raft.following import Following
from iotdb_cluster.raft.left_mark import LeftMark
from iotdb_cluster.raft.log import RaftLog
from iotdb_cluster.raft.messages import Answer, AppendAnswer, AppendRequest, Verdict, VoteRequest
from iotdb_cluster.raft.progress import CallUnderWay, Progress
from iotdb_cluster.raft.replication import Leadership
from iotdb_cluster.raft.state import GroupState
from iotdb_cluster.raft.visible import Visible
from iotdb_cluster.types.entries import Entry
from iotdb_cluster.types.identity import BEFORE_FIRST, EntryId, HardState, LogIndex, NodeId
from iotdb_cluster.types.membership import Membership


@dataclass(frozen=True)
class Bug:
    """A mistake as a replacement of one attribute, and within how many seeds it must be found."""

    name: str
    owner: Any
    attribute: str
    replacement: Any
    budget: int

    @contextmanager
    def planted(self) -> Iterator[None]:
        """The core has the mistake as long as this lasts."""
        original = vars(self.owner)[self.attribute]
        setattr(self.owner, self.attribute, self.replacement)
        try:
            yield
        finally:
            setattr(self.owner, self.attribute, original)


BUGS: list[Bug] = []


def bug(owner: Any, attribute: str, *, budget: int) -> Callable[[Any], Any]:
    """Enter the decorated function as a mistake at that place."""
    original = vars(owner)[attribute]

    def enter(function: Any) -> Any:
        replacement = property(function) if isinstance(original, property) else function
        BUGS.append(Bug(function.__name__, owner, attribute, replacement, budget))
        return function

    return enter


# ---- durability ----


@bug(GroupState, "save_hard_state", budget=5)
def vote_is_not_persisted(self: GroupState, hard_state: HardState) -> None:
    self.hard_state = hard_state
    if hard_state.vote is None:
        self.emit(SaveHardState(hard_state))


@bug(Raft, "_reply", budget=5)
def append_is_acknowledged_before_its_sync(self: Raft, token: object, answer: Answer, *, durable: bool = False) -> None:
    self._state.emit(Reply(token, answer, durable and not isinstance(answer, AppendAnswer)))


@bug(Leadership, "commit", budget=50)
def leader_counts_itself_before_its_sync(self: Leadership) -> None:
    self._state.durable_index = self._state.log.last_index
    _commit(self)


_commit = Leadership.commit


# ---- elections ----


@bug(core, "judge", budget=50)
def vote_without_log_check(state: GroupState, watch: LeaderWatch, request: VoteRequest) -> Verdict:
    vote = state.hard_state.vote if request.term == state.term else None
    return Verdict.AGREE if vote in (None, request.candidate) else Verdict.STALE_TERM


@bug(core, "judge", budget=50)
def second_vote_in_a_term(state: GroupState, watch: LeaderWatch, request: VoteRequest) -> Verdict:
    return Verdict.AGREE if request.last >= state.voting_position else Verdict.LOG_MISMATCH


@bug(Raft, "_count_vote", budget=60)
def repeated_answers_are_counted(self: Raft, voter: NodeId, verdict: Verdict) -> None:
    ballot, membership = self._ballot, self._state.membership
    if ballot is None or membership is None or verdict is not Verdict.AGREE:
        return
    # A list in the place of a set.
    votes: Any = ballot.refused.setdefault(NodeId(0), [])  # type: ignore[arg-type]
    votes.append(voter)
    if 2 * len(votes) > len(membership.voters):
        if ballot.request.pre:
            self._ask_for_votes(pre=False)
        else:
            self._become_leader()


@bug(Raft, "_vote_answered", budget=800)
def votes_of_an_earlier_campaign_count(self: Raft, peer: NodeId, message: VoteRequest, verdict: Verdict) -> None:
    ballot = self._ballot
    if ballot is not None and message.pre == ballot.request.pre:
        ballot.note(self._state.me, Verdict.AGREE)
        self._count_vote(peer, verdict)


@bug(election, "_is_known", budget=400)
def removed_members_are_heard(state: GroupState, candidate: NodeId) -> bool:
    return True


@bug(core, "judge", budget=300)
def learners_refuse_votes(state: GroupState, watch: LeaderWatch, request: VoteRequest) -> Verdict:
    return _judge(state, watch, request) if state.is_voter else Verdict.NOT_IN_GROUP


@bug(GroupState, "may_campaign", budget=500)
def only_voters_campaign(self: GroupState) -> bool:
    return self.membership is not None and self.has_reached_mark and self.is_voter


@bug(core, "judge", budget=300)
def stale_meta_log_is_refused_for_ever(state: GroupState, watch: LeaderWatch, request: VoteRequest) -> Verdict:
    if request.meta_last is not None and request.meta_last < state.context.meta_applied:
        return Verdict.META_LOG_STALE
    return _judge(state, watch, request)


_judge = election.judge


@bug(Visible, "left_mark", budget=800)
def left_node_keeps_no_mark(self: Raft) -> LeftMark:
    return LeftMark(HardState(), BEFORE_FIRST)


@bug(GroupState, "voting_position", budget=1_000)
def left_node_votes_by_its_new_log(self: GroupState) -> EntryId:
    return self.log.last_id


@bug(GroupState, "has_reached_mark", budget=800)
def left_node_campaigns_at_once(self: GroupState) -> bool:
    return True


# ---- replication ----


@bug(Following, "_new_entries", budget=20)
def matching_suffix_is_truncated(self: Following, entries: tuple[Entry, ...]) -> tuple[Entry, ...]:
    return entries


@bug(Following, "matched", budget=60)
def follower_commits_past_its_match(self: Following) -> LogIndex:
    return self._state.log.last_index


@bug(Following, "matched", budget=20)
def restarted_follower_of_an_idle_group_commits_nothing(self: Following) -> LogIndex:
    return min(self.acknowledged, self._state.log.last_index)


@bug(RaftLog, "contains", budget=20)
def previous_term_is_not_compared(self: RaftLog, entry_id: EntryId) -> bool:
    return self.term_at(entry_id.index) is not None


@bug(Leadership, "commit", budget=500)
def old_term_is_committed_by_counting(self: Leadership) -> None:
    group = self._state
    index = min(self._quorum_index(), group.durable_index)
    if group.is_founded and index > group.commit_index and group.log.term_at(index) != group.term:
        group.commit_to(index)
    _commit(self)


@bug(Progress, "take_append", budget=250)
def late_acknowledgement_counts(self: Progress, message: AppendRequest) -> CallUnderWay | None:
    return _take_append(self, message) or CallUnderWay(message, self.match_index)


_take_append = Progress.take_append


@bug(Leadership, "_sendable", budget=60)
def learners_are_sent_everything(self: Leadership, peer: NodeId) -> LogIndex:
    return self._state.log.last_index


@bug(Progress, "may_append", budget=20)
def appends_do_not_wait_for_each_other(self: Progress, inflight_max: int) -> bool:
    may = not (self.is_paused or self.needs_snapshot or self.has_regressed)
    return may and not (self.is_probing and self.appends)


# ---- reads ----


@bug(Leadership, "_is_confirmed", budget=500)
def read_without_confirmation(self: Leadership, round_: int) -> bool:
    return True


@bug(Leadership, "_is_confirmed", budget=800)
def read_confirmed_by_a_round_that_began_before_it(self: Leadership, round_: int) -> bool:
    who = {peer for peer, progress in self.progress.items() if progress.acked_round >= round_ - 1}
    return self._state.has_quorum(who | {self._state.me})


@bug(Leadership, "read_index", budget=60)
def read_before_an_own_term_commit(self: Leadership, token: object) -> None:
    self.reads.add(token, self._state.commit_index, self._state.now_ms)
    self._confirm_reads()


# ---- membership ----


@bug(GroupState, "membership", budget=60)
def membership_takes_effect_when_committed(self: GroupState) -> Membership | None:
    return self.committed_membership or self._founding


@bug(GroupState, "has_quorum", budget=60)
def learners_count(self: GroupState, who: set[NodeId]) -> bool:
    membership = self.membership
    return membership is not None and 2 * len(membership.members & who) > len(membership.members)


@bug(Leadership, "_majority_index", budget=100)
def learners_count_for_commits(self: Leadership, voters: frozenset[NodeId]) -> LogIndex:
    membership = self._state.membership
    everybody = voters | (membership.learners if membership is not None else frozenset())
    held = sorted((self._held_by(voter) for voter in everybody), reverse=True)
    return held[(len(voters)) // 2]


@bug(Leadership, "_quorum_index", budget=100)
def joint_commits_need_only_the_new_majority(self: Leadership) -> LogIndex:
    membership = self._state.membership
    return 0 if membership is None else self._majority_index(membership.voters)


@bug(replication, "first_step", budget=80)
def several_voters_change_at_once(
    current: Membership, wanted: Membership, caught_up: frozenset[NodeId]
) -> Membership | Refusal:
    return Refusal.CHANGE_PENDING if current.is_joint else wanted


@bug(Leadership, "has_committed_own_term", budget=200)
def change_before_an_own_term_commit(self: Leadership) -> bool:
    return True


@bug(Leadership, "_go_on_with_change", budget=100)
def joint_membership_is_never_finished(self: Leadership) -> None:
    return None


# ---- snapshots ----


@bug(Raft, "_snapshot_installed", budget=1_000)
def snapshot_behind_the_log_is_taken(self: Raft, last: EntryId, membership: Membership) -> None:
    self._state.install(last, membership)
