"""What a member knows of its group whatever its role, and the effects that the present step has gathered."""

from collections.abc import Callable

from iotdb_cluster.errors import LogDiverged
from iotdb_cluster.raft.effects import Committed, Effect, Role, SaveEntries, SaveHardState, SaveSnapshotPoint
from iotdb_cluster.raft.events import ContextChanged
from iotdb_cluster.raft.left_mark import LeftMark
from iotdb_cluster.raft.log import RaftLog
from iotdb_cluster.raft.settings import RaftSettings
from iotdb_cluster.types.entries import Entry
from iotdb_cluster.types.identity import BEFORE_FIRST, EntryId, HardState, LogIndex, NodeId, Term
from iotdb_cluster.types.membership import Membership

Draw = Callable[[int, int], int]
"""`draw(low, high)`: a random number, both ends included."""


class GroupState:
    """Term, vote, log and positions of one member, and how they change.

    Invariants: `log.snapshot.index <= commit_index <= durable_index <= log.last_index`; the term never falls; what is
    committed is applied, since `Committed` is carried out before the step's answer is (so there is no `last_applied`).
    """

    def __init__(
        self,
        *,
        me: NodeId,
        settings: RaftSettings,
        log: RaftLog,
        hard_state: HardState,
        draw: Draw,
        founders: frozenset[NodeId],
        founded: bool,
        mark: LeftMark | None,
        now_ms: int,
    ) -> None:
        self.me = me
        self.settings = settings
        self.log = log
        self.draw = draw
        self.now_ms = now_ms
        self.hard_state = _first_hard_state(log, hard_state, mark)
        self.mark = mark
        self.role = Role.FOLLOWER
        self.leader: NodeId | None = None
        self.commit_index: LogIndex = log.snapshot.index
        self.durable_index: LogIndex = log.last_index
        self.context = ContextChanged(BEFORE_FIRST, BEFORE_FIRST)
        self.knows_meta = False
        self._founding = Membership(voters=founders) if founders else None
        self._is_founded = founded or not founders
        self._effects: list[Effect] = []
        self._save_from: LogIndex | None = None
        self.note_founding()

    # ---- what is known ----

    @property
    def term(self) -> Term:
        return self.hard_state.term

    @property
    def membership(self) -> Membership | None:
        """The membership in force: the log's newest, else the seed nodes'."""
        return self.log.membership or self._founding

    @property
    def committed_membership(self) -> Membership | None:
        """The newest membership that this member knows to be committed."""
        return self.log.membership_at(self.commit_index)

    @property
    def is_founded(self) -> bool:
        """False while the first membership is not known to be committed: a quorum is then all seed nodes."""
        return self._is_founded

    def note_founding(self) -> None:
        """Latch `is_founded`: an entry behind the first one proves that the first one was committed (DESIGN 3)."""
        if not self._is_founded and (self.commit_index >= 1 or self.log.last_index >= 2):
            self._is_founded = True

    def has_quorum(self, who: set[NodeId]) -> bool:
        """True when `who` can elect, commit or confirm in the membership in force."""
        membership = self.membership
        if membership is None:
            return False
        if not self._is_founded:
            return membership.all_voters <= who
        return membership.has_quorum(who)

    @property
    def is_voter(self) -> bool:
        membership = self.membership
        return membership is not None and self.me in membership.all_voters

    @property
    def has_reached_mark(self) -> bool:
        """False while a replica that was made again is behind what its node once held here (rule 3.12)."""
        return self.mark is None or self.log.last_id >= self.mark.last

    @property
    def voting_position(self) -> EntryId:
        """What a candidate's log is compared with: the last entry, or the mark as long as that is newer."""
        return self.log.last_id if self.mark is None else max(self.log.last_id, self.mark.last)

    @property
    def may_campaign(self) -> bool:
        """Rule 4.1: voters, and whoever does not know the membership that leaves it out to be committed."""
        if self.membership is None or not self.has_reached_mark:
            return False
        return self.is_voter or self.log.membership_index > self.commit_index

    # ---- what changes ----

    def emit(self, effect: Effect) -> None:
        """Add to the effects of this step."""
        self._effects.append(effect)

    def save_hard_state(self, hard_state: HardState) -> None:
        """Take another term or vote, and ask for it to be made durable."""
        assert hard_state.term >= self.hard_state.term
        self.hard_state = hard_state
        self.emit(SaveHardState(hard_state))

    def append(self, entries: tuple[Entry, ...] | list[Entry]) -> None:
        """Put entries behind the log's last one; they are saved together at the end of the step."""
        if self._save_from is None:
            self._save_from = entries[0].index
        self.log.append(entries)
        self.note_founding()

    def truncate_from(self, index: LogIndex) -> None:
        """Drop entries that contradict the leader's; raises `LogDiverged` when one of them is committed (rule 3.4)."""
        if index <= self.commit_index:
            raise LogDiverged(
                f"node {self.me}: entry {self.log.id_at(index)} is committed (up to {self.commit_index}), "
                f"but the leader of term {self.term} holds another one there"
            )
        self.log.truncate_from(index)
        self.durable_index = min(self.durable_index, index - 1)
        if self._save_from is not None:
            self._save_from = min(self._save_from, index)

    def note_durable(self, last: EntryId) -> None:
        """The log is durable up to and with `last`; an entry that was replaced since says nothing."""
        if last.index > self.durable_index and self.log.contains(last):
            self.durable_index = last.index

    def commit_to(self, index: LogIndex) -> None:
        """Commit up to and with `index`, which is durable here, and have it applied."""
        assert self.commit_index < index <= self.durable_index
        entries = self.log.entries(self.commit_index + 1, index)
        self.commit_index = index
        self.note_founding()
        self.emit(Committed(entries))

    def compact(self, upto: LogIndex) -> None:
        """Forget the log up to `upto`, as far as it is applied.

        The last entry always stays: a leader needs one to send, since only an append's answer shows a match.
        """
        upto = min(upto, self.commit_index, self.log.last_index - 1)
        if upto <= self.log.snapshot.index:
            return
        self._flush_entries()
        self.log.compact(upto)
        membership = self.log.membership_at(upto)
        if membership is None:
            raise LogDiverged(f"node {self.me}: the log holds no membership up to its applied entry {upto}")
        self.emit(SaveSnapshotPoint(self.log.snapshot, membership))

    def install(self, last: EntryId, membership: Membership) -> bool:
        """Begin at a snapshot: everything up to `last` is committed, durable and applied.

        True when the log had to go, since it does not lead up to the snapshot.
        """
        self._flush_entries()
        drop_log = self.log.install(last, membership)
        self.commit_index = last.index
        self.durable_index = last.index if drop_log else max(self.durable_index, last.index)
        self.note_founding()
        self.emit(SaveSnapshotPoint(last, membership, drop_log))
        return drop_log

    def _flush_entries(self) -> None:
        if self._save_from is not None and self._save_from <= self.log.last_index:
            self.emit(SaveEntries(self.log.entries(self._save_from, self.log.last_index)))
        self._save_from = None

    def take_effects(self) -> list[Effect]:
        """The effects of the step that ends here."""
        self._flush_entries()
        effects, self._effects = self._effects, []
        return effects

    def check(self) -> None:
        """Raise AssertionError unless the invariants of this class hold."""
        log = self.log
        assert log.snapshot.index <= self.commit_index <= self.durable_index <= log.last_index, (
            f"{log.snapshot.index} <= {self.commit_index} <= {self.durable_index} <= {log.last_index}"
        )
        assert log.last_id.term <= self.hard_state.term


def _first_hard_state(log: RaftLog, saved: HardState, mark: LeftMark | None) -> HardState:
    """Term and vote at a start: what was saved, never behind the log's last term or an earlier replica's mark."""
    # A crash may keep entries of a term and lose the term, which was saved before them but nobody had been told of.
    if saved.term < log.last_id.term:
        saved = HardState(log.last_id.term)
    if mark is None or saved.term > mark.hard_state.term:
        return saved
    if saved.term == mark.hard_state.term and saved.vote is not None:
        return saved
    return mark.hard_state
