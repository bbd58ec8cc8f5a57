"""Invariants 4 and 6: all members apply the same entry at an index, each once and in order; that never changes."""

from collections.abc import Iterable

from iotdb_cluster.raft.effects import Committed, SaveSnapshotPoint
from tests.sim.invariants.view import Violation, World


def check(world: World) -> Iterable[Violation]:
    """Compare what a member applies with the one committed log."""
    step, ledger = world.step, world.ledger
    expected = step.before.commit_index
    for effect in step.effects:
        if type(effect) is Committed:
            for entry in effect.entries:
                expected += 1
                if entry.index != expected:
                    yield Violation(4, f"node {step.node} applies {entry.id} where index {expected} is next")
                known = ledger.committed_at(entry.index)
                if known is not None and known is not entry and known != entry:
                    yield Violation(6, f"node {step.node} applies {entry}, committed was {known}")
        elif type(effect) is SaveSnapshotPoint:
            expected = max(expected, effect.last.index)
            if not ledger.is_committed(effect.last):
                yield Violation(4, f"node {step.node} has a snapshot of {effect.last}, which is not committed")
