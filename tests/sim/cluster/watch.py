"""Invariants 1 to 14 of every Raft group of the cluster, checked after each turn of each node.

Each check costs as much as has changed since the last one. Only a leader's commit makes an entry committed here: a
follower that is ahead of every leader is a violation in itself.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from iotdb_cluster.raft.core import Raft
from iotdb_cluster.types.entries import Entry
from iotdb_cluster.types.identity import BEFORE_FIRST, META_GROUP, EntryId, GroupId, HardState, LogIndex, NodeId, Term

Fault = Callable[[str], None]


class WatchedMember(Protocol):
    """A member of a group, as production code has it."""

    group: GroupId
    raft: Raft
    applied: EntryId


@dataclass(slots=True)
class GroupTruth:
    """What one group has agreed on, over all its members."""

    committed: dict[LogIndex, Entry | None] = field(default_factory=dict)
    """None for a founding entry, which stands in no log."""
    last_committed: EntryId = BEFORE_FIRST
    created: dict[EntryId, tuple[Entry, EntryId]] = field(default_factory=dict)
    """Every entry that ever stood in a log, and what it stood behind."""
    leaders: dict[Term, NodeId] = field(default_factory=dict)
    grants: dict[tuple[Term, NodeId], NodeId] = field(default_factory=dict)

    def entries(self) -> list[Entry]:
        """The committed log."""
        return [entry for _, entry in sorted(self.committed.items()) if entry is not None]


@dataclass(slots=True)
class Sight:
    """What was last seen of a member in one incarnation of its node."""

    raft: Raft
    compared: EntryId
    """Up to here its log was compared."""
    commit_index: LogIndex
    term: Term
    led: Term | None = None
    durable: tuple[HardState, EntryId] | None = None
    """After the last turn that ended: nothing of it may be forgotten by a restart."""


class Watch:
    """All groups of a world. `fault` is told of each violation."""

    def __init__(self, fault: Fault) -> None:
        self._fault = fault
        self.groups: dict[GroupId, GroupTruth] = {}
        self.sights: dict[tuple[NodeId, GroupId], Sight] = {}
        self.elections = 0

    def truth(self, group: GroupId) -> GroupTruth:
        """What a group has agreed on."""
        truth = self.groups.get(group)
        if truth is None:
            truth = self.groups[group] = GroupTruth()
        return truth

    # -- events --------------------------------------------------------------------------------------------------------

    def turned(self, members: Iterable[WatchedMember], *, ended: bool) -> None:
        """A node's turn is over, or was cut off by a crash (then what it had not synced may be lost)."""
        for member in members:
            raft = member.raft
            key = raft.me, member.group
            sight = self.sights.get(key)
            if sight is None or sight.raft is not raft:
                sight = self._first_sight(member, sight)
                self.sights[key] = sight
            self._compare(member, sight)
            if ended:
                sight.durable = raft.hard_state, raft.last_id

    def granted(self, group: GroupId, term: Term, voter: NodeId, candidate: NodeId) -> None:
        """A vote went out on the wire (invariant 10)."""
        before = self.truth(group).grants.setdefault((term, voter), candidate)
        if before != candidate:
            self._fault(f"10: {voter} voted for {before} and {candidate} in term {term} of {_name(group)}")

    # -- checks --------------------------------------------------------------------------------------------------------

    def _first_sight(self, member: WatchedMember, before: Sight | None) -> Sight:
        """A member after its node's start (invariants 8, 9 and 14)."""
        raft, name = member.raft, f"{member.raft.me} in {_name(member.group)}"
        if before is not None and before.durable is not None:
            hard_state, last = before.durable
            same_term = raft.hard_state.term == hard_state.term
            if raft.hard_state.term < hard_state.term or (
                same_term and hard_state.vote not in (None, raft.hard_state.vote)
            ):
                self._fault(f"9: {name} had {hard_state} durably and starts with {raft.hard_state}")
            if last.index > raft.log.snapshot.index and not raft.log.contains(last) and raft.last_id <= last:
                self._fault(f"14: {name} had {last} durably and starts with {raft.last_id}")
        return Sight(raft, raft.log.snapshot, raft.log.snapshot.index, raft.term)

    def _compare(self, member: WatchedMember, sight: Sight) -> None:
        raft, truth = member.raft, self.truth(member.group)
        name = f"{raft.me} in {_name(member.group)}"
        log = raft.log
        if raft.term < sight.term:
            self._fault(f"9: the term of {name} falls from {sight.term} to {raft.term}")
        sight.term = raft.term
        if (
            sight.led == raft.term
            and raft.is_leader
            and not (log.contains(sight.compared) or sight.compared.index < log.snapshot.index)
        ):
            self._fault(f"5: leader {name} replaced its own entry {sight.compared}")
        self._compare_log(truth, raft, sight, name)
        self._compare_commit(truth, member, sight, name)
        if raft.is_leader and sight.led != raft.term:
            sight.led = raft.term
            self._elected(truth, raft, name)
        # After a start the files may reach further than what is known to be committed again.
        known = max(raft.commit_index, _covered_index(member))
        if not log.snapshot.index <= member.applied.index <= known <= raft.durable_index <= log.last_index:
            self._fault(
                f"12: {name}: snapshot {log.snapshot.index}, applied {member.applied.index}, committed "
                f"{raft.commit_index}, durable {raft.durable_index}, last {log.last_index}"
            )
        for peer, progress in raft.progress.items():
            if progress.match_index > log.last_index or progress.next_index <= progress.match_index:
                self._fault(
                    f"12: {name} takes {peer} for matched at {progress.match_index}, next {progress.next_index}"
                )

    def _compare_log(self, truth: GroupTruth, raft: Raft, sight: Sight, name: str) -> None:
        """Invariant 2: the same index and term is the same entry behind the same entry."""
        log = raft.log
        start = sight.compared
        if start.index < log.snapshot.index or not log.contains(start):
            start = log.id_at(max(log.snapshot.index, min(raft.commit_index, sight.commit_index)))
        previous = start
        for entry in log.entries(start.index + 1, log.last_index) if log.last_index > start.index else ():
            known = truth.created.get(entry.id)
            if known is None:
                truth.created[entry.id] = entry, previous
            elif known[1] != previous or known[0] != entry:
                self._fault(f"2: {entry.id} of {name} stands behind {previous} there and behind {known[1]} elsewhere")
            previous = entry.id
        sight.compared = log.last_id

    def _compare_commit(self, truth: GroupTruth, member: WatchedMember, sight: Sight, name: str) -> None:
        """Invariants 4, 6, 7, 8 and 13."""
        raft, log = member.raft, member.raft.log
        commit = raft.commit_index
        if commit < sight.commit_index:
            self._fault(f"8: the commit index of {name} falls from {sight.commit_index} to {commit}")
        for index in range(max(sight.commit_index, log.snapshot.index) + 1, commit + 1):
            (entry,) = log.entries(index, index)
            known = truth.committed.get(index)
            if known is None:
                self._newly_committed(truth, raft, entry, name)
            elif known != entry:
                self._fault(f"6: {known.id} was committed at {index}, {name} commits {entry.id}")
        point = log.snapshot
        if point.index > sight.commit_index:
            known = truth.committed.get(point.index)
            if known is not None and known.id != point:
                self._fault(f"4: {name} begins behind {point}, committed there is {known.id}")
            if known is None and point.index > truth.last_committed.index and point.term > 0:
                self._fault(f"4: {name} begins behind {point}, which nobody committed")
        sight.commit_index = commit

    def _newly_committed(self, truth: GroupTruth, raft: Raft, entry: Entry, name: str) -> None:
        if not raft.is_leader:
            self._fault(f"13: {name} commits {entry.id} before any leader does")
        truth.committed[entry.index] = entry
        truth.last_committed = entry.id
        if entry.term != raft.term:
            return
        membership = raft.membership
        holders = {
            node
            for node in (membership.all_voters if membership else ())
            if self._holds_durably(node, self._group_of(raft), entry.id)
        }
        if membership is None or not membership.has_quorum(holders):
            self._fault(f"7: {name} committed {entry.id}, which is durable on {sorted(holders)} only")

    def _group_of(self, raft: Raft) -> GroupId:
        for (node, group), sight in self.sights.items():
            if sight.raft is raft and node == raft.me:
                return group
        return META_GROUP

    def _holds_durably(self, node: NodeId, group: GroupId, entry_id: EntryId) -> bool:
        sight = self.sights.get((node, group))
        if sight is None:
            return False
        log = sight.raft.log
        if entry_id.index <= log.snapshot.index:
            return True
        return log.contains(entry_id) and entry_id.index <= sight.raft.durable_index

    def _elected(self, truth: GroupTruth, raft: Raft, name: str) -> None:
        """Invariants 1 and 3."""
        self.elections += 1
        other = truth.leaders.setdefault(raft.term, raft.me)
        if other != raft.me:
            self._fault(f"1: {other} and {raft.me} lead term {raft.term} of {name}")
        last = truth.last_committed
        if last.index > raft.log.snapshot.index and not raft.log.contains(last):
            self._fault(f"3: {name} leads term {raft.term} without {last}, which is committed")


def _covered_index(member: WatchedMember) -> LogIndex:
    """What the files of a data group cover; the meta group's snapshot is where its log begins."""
    store = getattr(member, "store", None)
    return 0 if store is None else int(store.covered.index)


def _name(group: GroupId) -> str:
    return "the meta group" if group == META_GROUP else f"group {group}"
