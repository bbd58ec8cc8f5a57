"""The two checkers of histories agree with each other, and with what was made on purpose."""

from dataclasses import replace
from math import inf
from random import Random

import pytest

from tests.sim.linearizability import ABSENT, Operation, Undecided, by_search, by_zones, read, written


def test_a_read_sees_the_write_that_ended_before_it() -> None:
    assert None is by_zones([written("a", 0, 1), read("a", 2, 3)])
    assert "'a'" in str(by_zones([written("a", 0, 1), read("a", 5, 6), written("b", 2, 3), read("b", 4, 4.5)]))
    assert None is not by_zones([written("a", 0, 1), read(ABSENT, 2, 3)])


def test_overlapping_operations_may_go_either_way() -> None:
    for seen in (ABSENT, "a"):
        history = [written("a", 0, 10), read(seen, 5, 6)]
        assert None is by_zones(history)
        assert None is by_search(history)


def test_reads_never_go_back() -> None:
    history = [written("a", 0, 10), read("a", 1, 2), read(ABSENT, 3, 4)]
    assert None is not by_zones(history)
    assert None is not by_search(history)


def test_an_unknown_write_may_happen_late_or_never_but_not_twice() -> None:
    late = [written("a", 0), written("b", 1, 2), read("b", 3, 4), read("a", 100, 101)]
    never = [written("a", 0), written("b", 1, 2), read("b", 3, 4)]
    twice = [*late, read("b", 102, 103)]
    for history, fine in ((late, True), (never, True), (twice, False)):
        assert fine == (by_zones(history) is None) == (by_search(history) is None)


def test_a_deletion_is_a_write_of_nothing() -> None:
    fine = [written("a", 0, 1), written(ABSENT, 2, 3), read(ABSENT, 4, 5)]
    assert None is by_search(fine)
    assert None is not by_search([*fine, read("a", 6, 7)])


def test_what_nobody_wrote_is_a_phantom() -> None:
    assert None is not by_zones([read("a", 0, 1)])
    assert None is not by_search([read("a", 0, 1)])


def test_a_search_that_runs_out_of_budget_says_so() -> None:
    history = [written(number, 0, 100) for number in range(12)] + [read("never", 101, 102)]
    with pytest.raises(Undecided):
        by_search(history, budget=100)


def random_history(random: Random) -> list[Operation]:
    """Operations on a register that really is one, with random times around the moment at which each takes effect."""
    history = []
    value: object = ABSENT
    for number in range(random.randint(1, 9)):
        moment = number * 10
        began = moment - random.choice([0, 1, 4, 15, 40])
        ended = moment + random.choice([0, 1, 4, 15, 40])
        if random.random() < 0.45:
            value = f"w{number}"
            history.append(written(value, began, inf if random.random() < 0.2 else ended))
        else:
            history.append(read(value, began, ended))
    if random.random() < 0.3:
        history.append(written("never", random.randint(0, 80)))
    return history


def tampered(random: Random, history: list[Operation]) -> list[Operation]:
    """One read is answered otherwise, or one operation moved; often that is still linearizable."""
    changed = history[:]
    position = random.randrange(len(changed))
    operation = changed[position]
    if operation.is_write:
        shift = random.choice([-30, -10, 10, 30])
        changed[position] = replace(operation, began=operation.began + shift, ended=operation.ended + shift)
    else:
        changed[position] = replace(operation, value=random.choice([each.value for each in history]))
    return changed


def test_both_checkers_agree_on_thousands_of_histories() -> None:
    random = Random(8)
    verdicts = {True: 0, False: 0}
    for _ in range(6_000):
        history = random_history(random)
        assert None is by_zones(history), history
        assert None is by_search(history), history
        other = tampered(random, history)
        fine = by_zones(other) is None
        assert fine == (by_search(other) is None), other
        verdicts[fine] += 1
    assert min(verdicts.values()) > 500


def test_unknown_writes_that_nobody_saw_cost_no_search() -> None:
    unknown = [written(f"v{number}", number) for number in range(40)] + [written(None, number) for number in range(12)]
    history = [*unknown, written("a", 1, 2), read("a", 3, 4), read(None, 50, 51), read("v39", 60, 61)]
    assert by_search(history, budget=1_000) is None
    assert by_search([*history, read("a", 70, 71)], budget=1_000) is not None
