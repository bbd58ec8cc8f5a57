"""The invariants of one group, by when they are checked."""

from collections.abc import Callable, Iterable
from itertools import product

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
from tests.sim.invariants.view import Step, Violation, World

Check = Callable[[World], Iterable[Violation]]


def checks_after(step: Step) -> tuple[Check, ...]:
    """What a step may have broken: most are of followers, and many have no effect."""
    if step.is_quiet:
        return ()
    return _CHECKS[step.became_leader, step.led, bool(step.effects)]


def _always(became_leader: bool, led: bool, has_effects: bool) -> bool:
    return True


def _of_effects(became_leader: bool, led: bool, has_effects: bool) -> bool:
    return has_effects


def _of_leaders(became_leader: bool, led: bool, has_effects: bool) -> bool:
    return led


def _of_leaders_or_effects(became_leader: bool, led: bool, has_effects: bool) -> bool:
    return led or has_effects  # who comes to lead, sends, and leads no more leads neither before nor behind the step


def _of_elected(became_leader: bool, led: bool, has_effects: bool) -> bool:
    return became_leader


AFTER_STEP: tuple[tuple[Check, Callable[[bool, bool, bool], bool]], ...] = (
    (monotonic.check, _always),
    (election_safety.check, _of_leaders),
    (only_voters_count.check, _of_elected),
    (learners_follow_commits.check, _of_leaders),
    (leader_completeness.check, _of_elected),
    (log_matching.check, _of_effects),
    (leader_append_only.check, _of_leaders),
    (state_machine_safety.check, _of_effects),
    (committed_on_quorum.check, _of_effects),
    (one_change_at_a_time.check, _of_leaders),
    (removed_stays_out.check, _always),
    (bounds.check, _of_leaders_or_effects),
)
"""Each check, and which steps it has anything to say about."""

_CHECKS: dict[tuple[bool, bool, bool], tuple[Check, ...]] = {
    kind: tuple(check for check, concerns in AFTER_STEP if concerns(*kind)) for kind in product((False, True), repeat=3)
}

BEFORE_SPEECH: tuple[Check, ...] = (single_vote.check, durable_before_speech.check)
