"""The invariants of one group, by when they are checked."""

from collections.abc import Callable, Iterable

from tests.sim.invariants import (
    bounds,
    committed_on_quorum,
    durable_before_speech,
    election_safety,
    leader_append_only,
    leader_completeness,
    learners_follow_commits,
    log_matching,
    monotonic,
    one_change_at_a_time,
    only_voters_count,
    removed_stays_out,
    single_vote,
    state_machine_safety,
)
from tests.sim.invariants.view import Violation, World

Check = Callable[[World], Iterable[Violation]]

AFTER_STEP: tuple[Check, ...] = (
    monotonic.check,
    election_safety.check,
    only_voters_count.check,
    learners_follow_commits.check,
    leader_completeness.check,
    log_matching.check,
    leader_append_only.check,
    state_machine_safety.check,
    committed_on_quorum.check,
    one_change_at_a_time.check,
    removed_stays_out.check,
    bounds.check,
)
BEFORE_SPEECH: tuple[Check, ...] = (single_vote.check, durable_before_speech.check)
