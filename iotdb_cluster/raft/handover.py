"""A leadership on its way to another member (thesis 3.10)."""

from collections.abc import Mapping
from dataclasses import dataclass

from iotdb_cluster.raft.effects import Send
from iotdb_cluster.raft.messages import AppendRequest, Heartbeat, HeartbeatAnswer, TimeoutNow, Verdict
from iotdb_cluster.raft.progress import Progress
from iotdb_cluster.raft.state import GroupState
from iotdb_cluster.types.identity import NodeId


@dataclass(slots=True)
class Handover:
    """`target` is caught up, then told to campaign; meanwhile nothing new is taken into the log.

    `leaves`: this leader is no voter of the committed membership any more, so it ends with the hand-over, done or not
    (rule 4.6).
    """

    target: NodeId | None
    deadline_ms: int
    leaves: bool = False
    sent: TimeoutNow | None = None


class Succession:
    """Who leads after this leader, and how far the hand-over to it is; one at a time."""

    def __init__(self, state: GroupState, progress: Mapping[NodeId, Progress]) -> None:
        self._state = state
        self._progress = progress
        self._handover: Handover | None = None
        self.is_over = False
        """True once a leader that leaves has handed over, or could not: the group goes on without it."""

    @property
    def is_under_way(self) -> bool:
        """True while nothing new may be taken into the log."""
        return self._handover is not None

    def begin(self, to: NodeId | None) -> None:
        """Begin to hand over, to `to` or to the best follower; nothing happens where there is none."""
        if self._handover is not None or not self._state.is_founded:
            return
        target = to if to is not None and to in self._successors() else None
        if to is None:
            target = self._best_successor()
        if target is not None:
            self._handover = Handover(target, self._deadline_ms())

    def begin_to_leave(self) -> None:
        """Hand over because the committed membership leaves this leader out, whatever was begun before."""
        if self._handover is None or not self._handover.leaves:
            self._handover = Handover(target=None, deadline_ms=self._deadline_ms(), leaves=True)

    def go_on(self) -> None:
        """Tell the target to campaign as soon as it holds the whole log; once at the end of each step."""
        handover, state = self._handover, self._state
        if handover is None or handover.sent is not None:
            return
        if handover.leaves:
            if state.commit_index < state.log.last_index:
                return  # whoever waits for these entries hears of them here, and nowhere else any more
            handover.target = self._best_successor()
        target = self._progress.get(handover.target) if handover.target is not None else None
        if target is None or handover.target is None or target.match_index < state.log.last_index:
            return
        handover.sent = TimeoutNow(state.term, state.me)
        state.emit(Send(handover.target, handover.sent))
        if handover.leaves:
            self.is_over = True

    def call_failed(self, message: AppendRequest | Heartbeat | TimeoutNow) -> None:
        """A call was not answered; where it was the hand-over's, that came to nothing."""
        if self._handover is not None and self._handover.sent is message:
            self._end()

    def answered(self, message: TimeoutNow, answer: HeartbeatAnswer) -> None:
        """The target took it, or did not."""
        if answer.verdict is not Verdict.AGREE:
            self.call_failed(message)

    def tick(self) -> None:
        """A hand-over that takes too long comes to nothing."""
        if self._handover is not None and self._state.now_ms >= self._handover.deadline_ms:
            self._end()

    def _end(self) -> None:
        """It came to nothing: lead on, unless the group goes on without this member."""
        if self._handover is not None and self._handover.leaves:
            self.is_over = True
        self._handover = None

    def _deadline_ms(self) -> int:
        return self._state.now_ms + self._state.settings.transfer_timeout_ms

    def _successors(self) -> frozenset[NodeId]:
        membership = self._state.membership
        return membership.voters - {self._state.me} if membership is not None else frozenset()

    def _best_successor(self) -> NodeId | None:
        heard_after = self._state.now_ms - self._state.settings.election_timeout_min_ms
        live = [
            (self._progress[peer].match_index, -peer, peer)
            for peer in self._successors()
            if self._progress[peer].last_contact_ms > heard_after and not self._progress[peer].has_regressed
        ]
        return max(live)[2] if live else None
