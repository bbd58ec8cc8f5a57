"""Every Raft group of the cluster under the same invariants as a single group alone (`tests/sim/invariants`).

Production code runs unchanged; what is seen is hooked in where it passes: the core's steps, the calls and answers that
leave, what the log is told to save, and its syncs.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from iotdb_cluster.members.data.member import DataGroupMember
from iotdb_cluster.members.meta.member import MetaGroupMember
from iotdb_cluster.members.pending import Pending
from iotdb_cluster.members.raft_member import RaftMember
from iotdb_cluster.raft.effects import Effect, Reply, SaveEntries, SaveHardState, SaveSnapshotPoint, Send
from iotdb_cluster.raft.events import Event, Received, SnapshotInstalled
from iotdb_cluster.raft.left_mark import LeftMark
from iotdb_cluster.raft.messages import Message
from iotdb_cluster.storage.group_log import RecoveredGroup
from iotdb_cluster.storage.journal import Journal
from iotdb_cluster.types.entries import Entry
from iotdb_cluster.types.identity import BEFORE_FIRST, META_GROUP, EntryId, GroupId, HardState, LogIndex, NodeId
from iotdb_cluster.types.membership import Membership
from tests.sim.cluster.meta_watch import MetaWatch
from tests.sim.cluster.move_watch import MoveWatch
from tests.sim.group.disk import SimulatedDisk
from tests.sim.invariants.ledger import Ledger
from tests.sim.invariants.registry import BEFORE_SPEECH, checks_after
from tests.sim.invariants.view import Before, Speech, Step

Fault = Callable[[str], None]


class GroupWatch:
    """One group over all nodes: a world as the invariants want it."""

    step: Step
    speech: Speech

    def __init__(self, name: str, ledger: Ledger, fault: Fault, tell: Fault) -> None:
        self.name = name
        self.ledger = ledger
        self.shadows: dict[NodeId, SimulatedDisk] = {}
        self._fault = fault
        self._tell = tell

    @property
    def disks(self) -> Mapping[NodeId, SimulatedDisk]:
        """What would be left of each member if the power went now."""
        return self.shadows

    def entries(self) -> Sequence[Entry]:
        """The committed log."""
        return self.ledger.committed

    def stepped(self, step: Step) -> None:
        """A member took a step."""
        self.step = step
        if step.became_leader:
            self._tell(f"{step.node} leads {self.name} in term {step.raft.term}")
        for check in checks_after(step):
            for violation in check(self):
                self._fault(f"{self.name}: {violation}")
        self.ledger.note_step(step)

    def said(self, speech: Speech) -> None:
        """A call or an answer leaves a member."""
        self.speech = speech
        for check in BEFORE_SPEECH:
            for violation in check(self):
                self._fault(f"{self.name}: {violation}")
        self.ledger.note_speech(speech)


class Watch:
    """All groups of a world. `fault` is told of each violation, `tell` of who comes to lead."""

    def __init__(self, fault: Fault, tell: Fault) -> None:
        self._fault = fault
        self._tell = tell
        self.groups: dict[GroupId, GroupWatch] = {}
        self.moves = MoveWatch(fault)
        self._meta = MetaWatch(fault, self.moves.heard)
        self._applied: dict[tuple[NodeId, int, GroupId], LogIndex] = {}

    @property
    def elections(self) -> int:
        """Leaders there were, over all groups."""
        return sum(len(group.ledger.leaders) for group in self.groups.values())

    def attach(self, member: RaftMember, incarnation: int) -> None:
        """Watch a member from now on; called before its first step."""
        raft, node = member.raft, member.raft.me
        watch = self._group(member)
        self._applied.pop((node, incarnation, member.group), None)  # a replica that was made again begins anew
        step_all = raft.step_all

        def watched_step(events: Iterable[Event], now_ms: int) -> list[Effect]:
            before, taken = Before(raft), tuple(events)
            if (
                not taken or type(taken[0]) is not SnapshotInstalled
            ):  # then the store is ahead of the core, which hears of it now
                self.look_at(member, incarnation)
            for event in taken:
                if type(event) is Received:
                    self._hear_answer(watch, node, incarnation, event)
            effects = step_all(taken, now_ms)
            watch.stepped(Step(node, incarnation, before, taken, effects, raft))
            return effects

        send = member._send

        def watched_send(to: NodeId, message: Message) -> None:
            watch.said(Speech(node, incarnation, Send(to, message)))
            send(to, message)

        # Methods of these objects alone are replaced: the classes, and so what is tested, stay as they are.
        vars(raft)["step_all"] = watched_step
        vars(member)["_send"] = watched_send
        if isinstance(member, MetaGroupMember):
            self._meta.attach(member)
        elif isinstance(member, DataGroupMember):
            self.moves.attach(member)

    def look_at(self, member: RaftMember, incarnation: int) -> None:
        """A member before its next step, when everything of the last one is carried out (invariants 8 and 12)."""
        raft, log = member.raft, member.raft.log
        # After a start the files may reach further than what is known to be committed again.
        known = max(raft.commit_index, _covered_index(member))
        applied = member.applied.index
        if not log.snapshot.index <= applied <= known <= raft.durable_index <= log.last_index:
            self._fault(
                f"12: {raft.me} in {_name(member.group)}: snapshot {log.snapshot.index}, applied {applied}, "
                f"committed {raft.commit_index}, durable {raft.durable_index}, last {log.last_index}"
            )
        key = raft.me, incarnation, member.group
        if applied < self._applied.get(key, 0):
            self._fault(f"8: {raft.me} in {_name(member.group)} has applied {applied}, before {self._applied[key]}")
        self._applied[key] = applied
        for peer, progress in raft.progress.items():
            if progress.match_index > log.last_index or progress.next_index <= progress.match_index:
                self._fault(f"12: {raft.me} takes {peer} for matched at {progress.match_index} of {log.last_id}")

    def shadow(self, node: NodeId, group: GroupId) -> SimulatedDisk:
        """What a node has durably of a group."""
        watch = self.groups.get(group)
        if watch is None:
            watch = self.groups[group] = GroupWatch(_name(group), Ledger(), self._fault, self._tell)
        shadow = watch.shadows.get(node)
        if shadow is None:
            shadow = watch.shadows[node] = Shadow()
        return shadow

    def renamed(self, before: NodeId, node: NodeId) -> None:
        """What is durable of a node is another's from now on."""
        for group in self.groups.values():
            if before != node and before in group.shadows:
                group.shadows[node] = group.shadows.pop(before)

    def recovered(self, node: NodeId, found: Mapping[GroupId, RecoveredGroup], *, same_disk: bool) -> None:
        """A node has read its log: it is what was durable, or that and the batch that was being written (14, 9)."""
        for group in sorted(found):
            shadow = self.shadow(node, group)
            after = deepcopy(shadow)
            after.sync()
            recovered = found[group]
            if same_disk and _content(recovered) not in (_shadow_content(shadow), _shadow_content(after)):
                self._fault(
                    f"14: {node} in {_name(group)} starts with {_content(recovered)[:2]}, durable was "
                    f"{_shadow_content(shadow)[:2]}, or with the last batch {_shadow_content(after)[:2]}"
                )
            shadow.unsynced.clear()
            shadow.hard_state, shadow.snapshot = recovered.hard_state, recovered.snapshot
            shadow.membership, shadow.entries = recovered.snapshot_membership, list(recovered.entries)

    def _group(self, member: RaftMember) -> GroupWatch:
        watch = self.groups[member.group]
        if member.group != META_GROUP and watch.ledger.founding is None:
            log = member.raft.log
            watch.ledger = Ledger(base=log.snapshot, founding=log.membership_at(log.snapshot.index))
        return watch

    @staticmethod
    def _hear_answer(watch: GroupWatch, node: NodeId, incarnation: int, event: Received) -> None:
        token = event.token
        assert isinstance(token, Pending)

        def answered(settled: Pending[Any]) -> None:
            if settled.error is None:
                watch.said(Speech(node, incarnation, Reply(token, settled.result()), event.message))

        token.add_done_callback(answered)


@dataclass(frozen=True, slots=True)
class Dropped:
    """The replica goes, and leaves a mark."""

    mark: LeftMark


class Shadow(SimulatedDisk):
    """What is durable of a group, where a replica may be dropped and made again."""

    def drop(self, mark: LeftMark) -> None:
        """Take a drop, which is not durable yet."""
        self.unsynced.append(Dropped(mark))  # type: ignore[arg-type]

    def _carry_out(self, save: object) -> None:
        if not isinstance(save, Dropped):
            super()._carry_out(save)  # type: ignore[arg-type]
            return
        self.entries, self.snapshot, self.membership = [], BEFORE_FIRST, None
        self.hard_state, self.mark = save.mark.hard_state, save.mark


class WatchedJournal(Journal):
    """The production log, with a shadow of what is durable of each group."""

    watch: Watch
    node: NodeId = NodeId(0)
    same_disk = True
    """False when the machine came back with another disk than it had."""

    def become(self, node: NodeId) -> None:
        """This log is another node's from now on: one that joins may take a new identifier, and keeps its promises."""
        self.watch.renamed(self.node, node)
        self.node = node

    def recover(self) -> dict[GroupId, RecoveredGroup]:
        found = super().recover()
        present = {group: log for group, log in found.items() if log.present}
        self.watch.recovered(self.node, present, same_disk=self.same_disk)
        return found

    def create_group(self, group: GroupId) -> HardState:
        self.watch.shadow(self.node, group)
        return super().create_group(group)

    def drop_group(self, group: GroupId, mark: LeftMark) -> None:
        super().drop_group(group, mark)
        shadow = self.watch.shadow(self.node, group)
        assert isinstance(shadow, Shadow)
        shadow.drop(mark)

    def save_hard_state(self, group: GroupId, state: HardState) -> None:
        super().save_hard_state(group, state)
        self.watch.shadow(self.node, group).write(SaveHardState(state))

    def save_entries(self, group: GroupId, entries: Sequence[Entry]) -> None:
        super().save_entries(group, entries)
        self.watch.shadow(self.node, group).write(SaveEntries(tuple(entries)))

    def save_snapshot_point(self, group: GroupId, last: EntryId, membership: Membership, drop_log: bool) -> None:
        super().save_snapshot_point(group, last, membership, drop_log)
        self.watch.shadow(self.node, group).write(SaveSnapshotPoint(last, membership, drop_log))

    def sync(self) -> None:
        super().sync()
        for group in self.watch.groups.values():
            if self.node in group.shadows:
                group.shadows[self.node].sync()


def _content(found: RecoveredGroup) -> tuple[object, ...]:
    last = found.entries[-1].id if found.entries else found.snapshot
    return found.hard_state, last, found.snapshot, tuple(found.entries)


def _shadow_content(shadow: SimulatedDisk) -> tuple[object, ...]:
    last = shadow.entries[-1].id if shadow.entries else shadow.snapshot
    return shadow.hard_state, last, shadow.snapshot, tuple(shadow.entries)


def _covered_index(member: RaftMember) -> LogIndex:
    """What the files of a data group cover; the meta group's snapshot is where its log begins."""
    store = getattr(member, "store", None)
    return 0 if store is None else int(store.covered.index)


def _name(group: GroupId) -> str:
    return "the meta group" if group == META_GROUP else f"group {group}"
