"""What others may see of one member of a group: asked between steps, never changed from outside."""

from collections.abc import Mapping

from iotdb_cluster.raft.effects import Role
from iotdb_cluster.raft.election import LeaderWatch
from iotdb_cluster.raft.following import Following
from iotdb_cluster.raft.left_mark import LeftMark
from iotdb_cluster.raft.log import RaftLog
from iotdb_cluster.raft.progress import Progress
from iotdb_cluster.raft.replication import Leadership
from iotdb_cluster.raft.settings import RaftSettings
from iotdb_cluster.raft.state import GroupState
from iotdb_cluster.types.identity import EntryId, HardState, LogIndex, NodeId, Term
from iotdb_cluster.types.membership import Membership


class Visible:
    """Properties alone; `Raft` keeps what they show."""

    _state: GroupState
    _watch: LeaderWatch
    _following: Following
    _leading: Leadership | None
    _election_deadline_ms: int

    @property
    def me(self) -> NodeId:
        return self._state.me

    @property
    def settings(self) -> RaftSettings:
        return self._state.settings

    @property
    def role(self) -> Role:
        return self._state.role

    @property
    def is_leader(self) -> bool:
        return self._leading is not None

    @property
    def leader(self) -> NodeId | None:
        """Who leads the present term, as far as this member has heard."""
        return self._state.leader

    @property
    def term(self) -> Term:
        return self._state.hard_state.term

    @property
    def hard_state(self) -> HardState:
        return self._state.hard_state

    @property
    def log(self) -> RaftLog:
        return self._state.log

    @property
    def left_mark(self) -> LeftMark:
        """What the node keeps when it drops this replica (rule 3.12).

        A replica that was made again and is dropped before it reached its mark hands that mark on.
        """
        return LeftMark(self._state.hard_state, self._state.voting_position)

    @property
    def last_id(self) -> EntryId:
        return self._state.log.last_id

    @property
    def commit_index(self) -> LogIndex:
        """Also what is applied, once the effects of the last step are carried out."""
        return self._state.commit_index

    @property
    def known_commit_index(self) -> LogIndex:
        """The highest commit index that this member has heard of in the present term, or has itself."""
        return max(self.commit_index, self._following.heard_commit)

    @property
    def durable_index(self) -> LogIndex:
        return self._state.durable_index

    @property
    def membership(self) -> Membership | None:
        """The newest membership of the log, committed or not; the seed nodes where there is none; else None."""
        return self._state.membership

    @property
    def committed_membership(self) -> Membership | None:
        return self._state.committed_membership

    @property
    def is_founded(self) -> bool:
        """False while the first membership is not known to be committed."""
        return self._state.is_founded

    @property
    def has_heard_leader(self) -> bool:
        """True once this member has heard of a leader since it started; before that it serves nothing of the group."""
        return self._watch.has_heard_leader

    @property
    def has_committed_own_term(self) -> bool:
        """True for a leader that may serve reads and membership changes."""
        return self._leading is not None and self._leading.has_committed_own_term

    @property
    def is_handing_over(self) -> bool:
        return self._leading is not None and self._leading.succession.is_under_way

    @property
    def is_busy_appending(self) -> bool:
        """True for a leader with append calls under way to whom nobody could be sent another one just now."""
        return self._leading is not None and self._leading.is_busy_appending

    @property
    def progress(self) -> Mapping[NodeId, Progress]:
        """A leader's view of its peers, to be read only; empty for others."""
        return self._leading.progress if self._leading is not None else {}

    @property
    def next_deadline_ms(self) -> int:
        """When a `Tick` is due at the latest."""
        return self._leading.next_beat_ms if self._leading is not None else self._election_deadline_ms
