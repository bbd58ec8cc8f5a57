"""A few Raft cores wired together by hand: what one sends, the other gets in the same moment."""

from iotdb_cluster.raft import effects as fx
from iotdb_cluster.raft.core import Raft
from iotdb_cluster.raft.events import Answered, CallFailed, Event, Persisted, Received, SnapshotSent, Tick
from iotdb_cluster.raft.log import RaftLog
from iotdb_cluster.raft.settings import RaftSettings
from iotdb_cluster.types.identity import EntryId, HardState, NodeId
from iotdb_cluster.types.membership import Membership

FOUNDING = EntryId(0, 1)
SETTINGS = RaftSettings()


class Group:
    """Members of one group on a common clock; whoever is in `silent` hears and says nothing."""

    def __init__(self, *voters: int) -> None:
        self.now_ms = 0
        self.silent: set[int] = set()
        self.founding = Membership(frozenset(NodeId(voter) for voter in voters))
        self.rafts: dict[int, Raft] = {}
        for voter in voters:
            self.add(voter, RaftLog(snapshot=FOUNDING, snapshot_membership=self.founding))

    def add(self, node: int, log: RaftLog | None = None) -> None:
        """A new replica, empty unless it comes with a log."""
        self.rafts[node] = Raft(
            me=NodeId(node),
            settings=SETTINGS,
            log=RaftLog() if log is None else log,
            hard_state=HardState(),
            draw=lambda low, high: low,
            now_ms=self.now_ms,
        )

    def elect(self, node: int) -> Raft:
        """Let this member campaign, alone, until it leads and its first entry is committed everywhere."""
        self.pass_ms(SETTINGS.election_timeout_max_ms, beats=False)
        self.step(node, Tick())
        self.pass_ms(1_000)
        assert self.rafts[node].is_leader
        return self.rafts[node]

    def pass_ms(self, duration_ms: int, *, beats: bool = True) -> None:
        """Let time pass; leaders beat meanwhile, followers do not campaign."""
        ends_ms = self.now_ms + duration_ms
        while beats and self.now_ms < ends_ms:
            self.now_ms = min(ends_ms, self.now_ms + 50)
            for node, raft in self.rafts.items():
                if raft.is_leader and node not in self.silent:
                    self.step(node, Tick())
        self.now_ms = ends_ms

    def step(self, node: int, event: Event) -> None:
        """Step one member and carry everything out that follows from it."""
        self._carry_out(node, self.rafts[node].step(event, self.now_ms))
        raft = self.rafts[node]
        if raft.durable_index < raft.last_id.index:
            self._carry_out(node, raft.step(Persisted(raft.last_id), self.now_ms))

    def _carry_out(self, node: int, effects: list[fx.Effect]) -> None:
        for effect in effects:
            match effect:
                case fx.Send(to, message):
                    self._call(node, to, message)
                case fx.SendSnapshot(to):
                    self.step(node, SnapshotSent(to, self.rafts[node].last_id, False))
                case fx.Reply(token, answer):
                    token.append(answer)
                case _:
                    pass

    def _call(self, node: int, to: int, message: object) -> None:
        if to in self.silent or node in self.silent or to not in self.rafts:
            self.step(node, CallFailed(to, message))
            return
        answers: list = []
        self.step(to, Received(message, answers))
        self.step(node, Answered(to, message, answers[0]))
