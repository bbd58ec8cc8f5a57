"""Invariant 5: a leader only appends to its log, and one identity of an entry is created once."""

from collections.abc import Iterable

from iotdb_cluster.raft.effects import Role, SaveEntries
from tests.sim.invariants.view import Violation, World


def check(world: World) -> Iterable[Violation]:
    """Look at what a leader of this term saves."""
    step = world.step
    raft, before = step.raft, step.before
    if not raft.is_leader:
        return
    has_led = before.role is Role.LEADER and before.term == raft.term
    if has_led and raft.last_id.index < before.last_id.index:
        yield Violation(5, f"leader {step.node} shortens its log from {before.last_id} to {raft.last_id}")
    for effect in step.effects:
        if type(effect) is SaveEntries:
            if has_led and effect.entries[0].index <= before.last_id.index:
                yield Violation(5, f"leader {step.node} rewrites {effect.entries[0].id}")
            for entry in effect.entries:
                if entry.term == raft.term and (entry.term, entry.index) in world.ledger.entries:
                    yield Violation(5, f"leader {step.node} creates {entry.id} a second time")
