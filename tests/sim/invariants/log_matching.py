"""Invariant 2: entries of the same index and term are the same, and so is everything before them.

Each new entry is compared with the one of its identity and with what that one followed; the rest is induction.
"""

from collections.abc import Iterable

from iotdb_cluster.raft.effects import SaveEntries
from tests.sim.invariants.ledger import with_previous
from tests.sim.invariants.view import Violation, World


def check(world: World) -> Iterable[Violation]:
    """Look at the entries that a member saves."""
    step, known = world.step, world.ledger.entries
    for effect in step.effects:
        if type(effect) is SaveEntries:
            for entry, previous in with_previous(step, effect.entries):
                seen = known.get((entry.term, entry.index))
                if seen is None:
                    continue
                if seen[0] is not entry and seen[0] != entry:
                    yield Violation(2, f"node {step.node} saves {entry}, elsewhere it is {seen[0]}")
                if previous is not None and seen[1] is not None and previous != seen[1]:
                    yield Violation(2, f"node {step.node}: {entry.id} follows term {previous}, elsewhere {seen[1]}")
