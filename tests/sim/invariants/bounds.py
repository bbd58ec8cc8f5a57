"""Invariant 31, of one group: a leader has no more calls under way to a peer, and none larger, than settings say."""

from collections.abc import Iterable

from iotdb_cluster.raft.effects import Send
from iotdb_cluster.raft.events import Propose
from iotdb_cluster.raft.messages import AppendRequest
from tests.sim.invariants.view import Violation, World

HEADER_BYTES = 33
"""Of an entry that is proposed only the body counts."""


def check(world: World) -> Iterable[Violation]:
    """Look at what a leader has under way, and at what it sends."""
    step = world.step
    raft, settings = step.raft, step.raft.settings
    for peer, progress in raft.progress.items():
        under_way = len(progress.appends)
        if under_way > settings.inflight_appends_max:
            yield Violation(31, f"leader {step.node} has {under_way} appends under way to {peer}")
    if len(step.events) == 1 and type(step.events[0]) is Propose:
        # What is proposed when nothing waits is taken whatever its size; a new leader may inherit more.
        before = step.before
        has_waited, has_grown = before.last_id.index > before.commit_index, raft.last_id.index > before.last_id.index
        uncommitted = raft.last_id.index - raft.commit_index
        if raft.is_leader and has_waited and has_grown and uncommitted > settings.uncommitted_max_entries:
            yield Violation(31, f"leader {step.node} has taken {uncommitted} entries that are not committed")
        new = raft.last_id.index - before.last_id.index
        waiting_bytes = raft.log.bytes_behind(raft.commit_index) - new * HEADER_BYTES
        if raft.is_leader and has_waited and has_grown and waiting_bytes > settings.uncommitted_max_bytes:
            yield Violation(31, f"leader {step.node} has taken {waiting_bytes} bytes that are not committed")
    for effect in step.effects:
        if type(effect) is Send and type(effect.message) is AppendRequest:
            count = len(effect.message.entries)
            if count > settings.append_max_entries:
                yield Violation(31, f"leader {step.node} sends {count} entries at once to {effect.to}")
            size = sum(entry.size_bytes for entry in effect.message.entries)
            if count > 1 and size > settings.append_max_bytes:
                yield Violation(31, f"leader {step.node} sends {size} bytes at once to {effect.to}")
