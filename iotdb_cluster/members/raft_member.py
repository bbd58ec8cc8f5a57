"""A member of one Raft group: the pure core, tied to the runtime, the peers and the waiting callers."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, assert_never

import structlog

from iotdb_cluster.errors import MalformedInput, OutcomeUnknown, RequestError
from iotdb_cluster.members import convert
from iotdb_cluster.members.clock import Deadline
from iotdb_cluster.members.context import Context
from iotdb_cluster.members.pending import Pending, growing_ms, pause
from iotdb_cluster.members.transport import Lane, Port
from iotdb_cluster.members.waiting import (
    NotLeader,
    Outcome,
    Proposal,
    ProposalBatch,
    WaitingProposals,
    WaitingReads,
)
from iotdb_cluster.raft import effects as fx
from iotdb_cluster.raft.core import Raft
from iotdb_cluster.raft.events import Answered, CallFailed, Event, ReadIndex, Received
from iotdb_cluster.raft.messages import Answer, AppendAnswer, AppendRequest, Message, Verdict
from iotdb_cluster.types.entries import Entry, Payload
from iotdb_cluster.types.identity import META_GROUP, EntryId, GroupId, LogIndex, Node, NodeId

log = structlog.get_logger()

FAR_AWAY_MS = 1 << 62
FROM_A_STRANGER = "a snapshot is installed only from a node of this cluster, which says hello on its connection first"

RETRY_MS = 20
"""First pause before a read asks again who leads; later ones grow."""


class RaftMember(ABC):
    """What the meta group's and the data groups' members have in common.

    `step`, `after_turn` and everything with an underscore run in the runtime's thread; the coroutines run in the
    threads of their callers and meet the core only through the runtime's inbox.
    """

    def __init__(self, context: Context, group: GroupId, header: Node | None, raft: Raft) -> None:
        self.context = context
        self.group = group
        self.header = header
        self.raft = raft
        self.applied = raft.log.snapshot
        self.port = Port.META if group == META_GROUP else Port.DATA
        self._waiting = WaitingProposals()
        self._reads = WaitingReads()
        self._held_back: list[Event] | None = None
        self.is_closed = False
        """The replica was dropped; whoever still holds this object gets nothing done with it."""
        self._log = log.bind(group="meta" if group == META_GROUP else group)

    # -- what a group does with its log ------------------------------------------------------------------------------

    @abstractmethod
    def apply_entry(self, entry: Entry) -> Outcome:
        """Apply one committed entry; the outcome depends on the group's own log alone (DESIGN 3.8)."""

    @abstractmethod
    def send_snapshot(self, to: Node, at_least: LogIndex) -> None:
        """Send a snapshot that reaches at least to `at_least`, then post `SnapshotSent`."""

    def role_changed(self, change: fx.RoleChanged) -> None:  # noqa: B027 - nothing to do is a good default
        """Role, term or leader is another one now."""

    def after_apply(self) -> None:  # noqa: B027 - as above
        """Something was applied in this step."""

    def after_turn(self, now_ms: int) -> None:  # noqa: B027 - as above
        """Look after what grows."""

    def entries_saved(self, entries: Sequence[Entry]) -> None:  # noqa: B027 - as above
        """Entries were put into the log, committed or not."""

    # -- stepping ----------------------------------------------------------------------------------------------------

    @property
    def next_deadline_ms(self) -> int:
        return FAR_AWAY_MS if self._held_back is not None else self.raft.next_deadline_ms

    @property
    def gathers_proposals(self) -> bool:
        return self._held_back is None and not self.is_closed and self.raft.is_busy_appending

    def step_all(self, events: Sequence[Event], now_ms: int) -> None:
        """Step the core and carry out what it asks for, in its order; later, while the member is held back."""
        if self.is_closed:
            return
        if self._held_back is not None:
            self._held_back.extend(events)
            return
        for effect in self.raft.step_all(events, now_ms):
            self._carry_out(effect)

    def hold_back(self) -> None:
        """Step nothing until `go_on`: the state machine is being replaced. Who calls meanwhile waits."""
        self._held_back = []

    def go_on(self) -> None:
        """Step what has come since `hold_back`."""
        held, self._held_back = self._held_back or [], None
        self.step_all(held, self.context.clock.now_ms())

    def close(self) -> None:
        """The replica is dropped: nothing is stepped any more, and who waits for it is told."""
        self.is_closed = True
        gone = OutcomeUnknown("this node left the group; whether the call took effect is known to its members")
        self._waiting.fail_all(gone)
        self._reads.fail_all(gone)

    def step(self, event: Event) -> None:
        """Step one event now; only in the runtime's thread."""
        self.step_all((event,), self.context.clock.now_ms())

    def _carry_out(self, effect: fx.Effect) -> None:
        runtime = self.context.runtime
        match effect:
            case fx.Send():
                if effect.durable:
                    runtime.after_sync(lambda: self._send(effect.to, effect.message))
                else:
                    self._send(effect.to, effect.message)
            case fx.Reply():
                token, answer = effect.token, effect.answer
                assert isinstance(token, Pending)
                if effect.durable:
                    runtime.after_sync(lambda: _settle(token, answer))
                else:
                    token.resolve(answer)
            case fx.Committed():
                self._apply(effect.entries)
            case fx.SaveEntries():
                runtime.journal.save_entries(self.group, effect.entries)
                runtime.entries_saved(self.group, effect.entries[-1].id)
                self.entries_saved(effect.entries)
            case fx.SaveHardState():
                runtime.journal.save_hard_state(self.group, effect.hard_state)
                # A candidate's own vote counts when it is durable, so it wants to hear of it.
                runtime.entries_saved(self.group, self.raft.last_id)
            case fx.SaveSnapshotPoint():
                runtime.journal.save_snapshot_point(self.group, effect.last, effect.membership, effect.drop_log)
            case fx.Accepted():
                assert isinstance(effect.token, ProposalBatch)
                self._waiting.accepted(effect.token, effect.ids)
            case fx.Refused():
                self._refused(effect)
            case fx.ReadConfirmed():
                assert isinstance(effect.token, Pending)
                effect.token.resolve(effect.index)
            case fx.RoleChanged():
                self._log.info("role_changed", role=effect.role.value, term=effect.term, leader=effect.leader)
                self.role_changed(effect)
            case fx.SendSnapshot():
                self._send_snapshot(effect)
            case fx.PeerRegressed():
                self._log.error(
                    "peer_regressed", peer=effect.peer, acknowledged=effect.acknowledged, found=effect.found,
                    way_out="its folder is an old copy: remove the node and add it again with an empty folder",
                )  # fmt: skip
            case _:
                assert_never(effect)

    def _apply(self, entries: Sequence[Entry]) -> None:
        answered = 0
        for entry in entries:
            outcome = self.apply_entry(entry)
            # What is replayed behind a restart is in the files already, which reach further.
            self.applied = max(self.applied, entry.id)
            answered += self._waiting.applied(entry, outcome)
        if answered:
            self.context.runtime.callers_answered(self.group, answered)
        self._reads.applied(self.applied.index)
        self.after_apply()

    def _refused(self, effect: fx.Refused) -> None:
        error = NotLeader(f"{effect.reason.value}; leader: {effect.leader}", effect.leader)
        if isinstance(effect.token, ProposalBatch):
            effect.token.fail(error)
        else:
            assert isinstance(effect.token, Pending)
            effect.token.fail(error)

    def _send(self, to: NodeId, message: Message) -> None:
        node = self.context.directory.find(to)
        if node is None:
            self.context.runtime.post(self.group, CallFailed(to, message))
            return
        lane = (Lane.APPEND, self.group) if isinstance(message, AppendRequest) else (Lane.CONTROL, 0)

        def done(result: Any) -> None:
            self.context.runtime.post(self.group, self._event_of(to, message, result))

        self.context.transport.send(
            node,
            self.port,
            lane,
            lambda: convert.invocation(message, self.context.me, self.header),
            self.context.settings.raft_call_timeout_ms,
            done,
        )

    @staticmethod
    def _event_of(to: NodeId, message: Message, result: Any) -> Event:
        if isinstance(result, Exception):
            return CallFailed(to, message)
        try:
            return Answered(to, message, convert.answer(message, result))
        except MalformedInput:
            return CallFailed(to, message)

    def _send_snapshot(self, effect: fx.SendSnapshot) -> None:
        node = self.context.directory.find(effect.to)
        if node is not None:
            self.send_snapshot(node, effect.at_least)

    def snapshot_installed(self, last: EntryId) -> None:
        """The state machine jumped to `last`: who waited for an entry up to there can't know what became of it."""
        self.applied = last
        self._waiting.skipped_to(last.index)
        self._reads.applied(last.index)

    # -- calls -------------------------------------------------------------------------------------------------------

    async def receive(self, message: Message) -> Answer:
        """A request of another member, answered when what the answer stands on is durable."""
        token: Pending[Answer] = Pending()
        self.context.runtime.post(self.group, Received(message, token))
        return await token.within(self._raft_deadline())

    async def receive_from_stranger(self, request: AppendRequest) -> Answer:
        """Entries from who has not proved to be a node: taken as any; what contradicts a committed entry is refused.

        Of a leader of this group that would mean that a replica is damaged, and stop the node (rule 3.4).
        """
        token: Pending[Answer] = Pending()
        self.context.runtime.call_soon(lambda: self._take_from_stranger(request, token))
        return await token.within(self._raft_deadline())

    def _take_from_stranger(self, request: AppendRequest, token: Pending[Answer]) -> None:
        log, committed = self.raft.log, self.raft.commit_index
        known = [(log.term_at(entry.index), entry.term) for entry in request.entries if entry.index <= committed]
        if request.term >= self.raft.term and any(here not in (None, theirs) for here, theirs in known):
            token.resolve(AppendAnswer(Verdict.LOG_MISMATCH, self.raft.term))
        else:
            self.step(Received(request, token))

    async def propose(
        self, payloads: Sequence[Payload], deadline: Deadline, plans: Sequence[object | None] | None = None
    ) -> list[Outcome]:
        """Append `payloads` next to each other and wait until they are applied.

        Raises `NotLeader` (certainly nothing was appended) or `OutcomeUnknown` (it may take effect later).
        """
        proposal = Proposal(tuple(payloads), tuple(plans) if plans is not None else (None,) * len(payloads))
        self.context.runtime.propose(self.group, proposal)
        return await self.outcomes_of(proposal, deadline)

    @staticmethod
    async def outcomes_of(proposal: Proposal, deadline: Deadline) -> list[Outcome]:
        """Wait for what becomes of a proposal."""
        return await proposal.pending.within(deadline, OutcomeUnknown("not applied in time; it may still take effect"))

    async def read_index(self, deadline: Deadline) -> LogIndex:
        """An index behind which a local read is linearizable (DESIGN 3, ReadIndex); asks the leader if need be."""
        attempt = 0
        while True:
            token: Pending[LogIndex] = Pending()
            self.context.runtime.post(self.group, ReadIndex(token))
            try:
                return await token.within(deadline)
            except NotLeader as refusal:
                index = await self._read_index_elsewhere(refusal, deadline)
                if index is not None:
                    return index
            await self._pause_before_retry(attempt, deadline)
            attempt += 1

    async def wait_applied(self, index: LogIndex, deadline: Deadline) -> None:
        """Wait until this member has applied everything up to `index`."""
        if self.applied.index >= index:
            return
        pending: Pending[LogIndex] = Pending()
        self.context.runtime.call_soon(lambda: self._await_applied(index, pending))
        await pending.within(deadline, OutcomeUnknown(f"entry {index} was not applied here in time"))

    def _await_applied(self, index: LogIndex, pending: Pending[LogIndex]) -> None:
        if self.is_closed:
            pending.fail(OutcomeUnknown("this node left the group"))
        else:
            self._reads.add(index, self.applied.index, pending)

    async def _read_index_elsewhere(self, refusal: NotLeader, deadline: Deadline) -> LogIndex | None:
        leader = None if refusal.leader is None else self.context.directory.find(refusal.leader)
        if leader is None or leader.identifier == self.context.me.identifier:
            return None
        left_ms = deadline.left_ms(self.context.clock.now_ms())
        arguments = convert.read_index_arguments(self.header, left_ms)
        try:
            answer = await self.context.transport.call(leader, self.port, "readIndex", arguments, left_ms)
        except RequestError as error:
            self._log.debug("read_index_failed", leader=str(leader), error=str(error))
            return None
        return None if answer.not_leader else int(answer.index)

    async def local_read_index(self, deadline: Deadline) -> LogIndex:
        """As `read_index`, but only where this member leads; raises `NotLeader`."""
        token: Pending[LogIndex] = Pending()
        self.context.runtime.post(self.group, ReadIndex(token))
        return await token.within(deadline)

    async def _pause_before_retry(self, attempt: int, deadline: Deadline) -> None:
        now_ms = self.context.clock.now_ms()
        left_ms = deadline.left_ms(now_ms)
        if left_ms <= RETRY_MS:
            raise NotLeader(f"no leader of group {self.group} answered in time", None)
        pause_ms = growing_ms(attempt, RETRY_MS, self.context.settings.election_timeout_min_ms // 6)
        await pause(Deadline(now_ms + min(pause_ms, left_ms - RETRY_MS)))

    def _raft_deadline(self) -> Deadline:
        return Deadline.after(self.context.clock, self.context.settings.raft_call_timeout_ms)


def _settle(token: Pending[Answer], answer: Answer) -> None:
    token.resolve(answer)
