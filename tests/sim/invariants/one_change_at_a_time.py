"""Invariants 15 and 16: membership changes one at a time, each overlapping the last, after an own-term commit."""

from collections.abc import Iterable

from iotdb_cluster.raft.effects import SaveEntries
from iotdb_cluster.types.entries import EntryKind
from iotdb_cluster.types.membership import Membership
from tests.sim.invariants.view import Violation, World

_MEMBERSHIP = int(EntryKind.MEMBERSHIP)


def check(world: World) -> Iterable[Violation]:
    """Look at the membership entries that a leader creates."""
    step = world.step
    raft = step.raft
    if not raft.is_leader:
        return
    for effect in step.effects:
        if type(effect) is not SaveEntries:
            continue
        for entry in effect.entries:
            if entry.kind != _MEMBERSHIP or entry.term != raft.term or entry.index == 1:
                continue
            before, after = raft.log.membership_at(entry.index - 1), entry.membership
            assert after is not None
            if raft.term not in world.ledger.committed_terms | _committed_now(world):
                yield Violation(
                    16, f"leader {step.node} changes the membership before its term {raft.term} has a commit"
                )
            if before is None or not overlaps(before, after):
                yield Violation(15, f"leader {step.node}: {after} does not follow {before}")
            newest_before = max((at for at in _positions(world) if at < entry.index), default=0)
            if newest_before > raft.commit_index:
                yield Violation(15, f"leader {step.node}: {entry.id} follows the uncommitted change at {newest_before}")


def _committed_now(world: World) -> set[int]:
    raft = world.step.raft
    term = raft.log.term_at(raft.commit_index)
    return set() if term is None else {term}


def _positions(world: World) -> Iterable[int]:
    return [at for at, _ in world.step.raft.log.memberships]


def overlaps(before: Membership, after: Membership) -> bool:
    """True when every quorum of one meets every quorum of the other."""
    if before.is_joint:
        return not after.is_joint and after.voters == before.voters
    if after.is_joint:
        return after.outgoing == before.voters
    return len(before.voters ^ after.voters) <= 1
