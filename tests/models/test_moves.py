"""The searched models of slot moves and of the install entry: what is written holds, what is left out is found."""

from typing import Any

import pytest

from iotdb_cluster.partition.moves import RANK, SERVING_AFTER
from tests.models import install_gate, slot_move
from tests.models.explore import explore


def search_move(options: dict[str, Any], limit: int) -> Any:
    model = slot_move.Model(**options)
    return explore("", model.initial(), model.steps, model.check, model.fair, model.good, limit)


def search_gate(case: str, limit: int) -> Any:
    model = install_gate.Model(**install_gate.CASES[case])
    return explore(case, model.initial(), model.steps, model.check, limit=limit)


def test_the_searched_steps_are_those_of_the_code() -> None:
    assert {deed.value: rank for deed, rank in RANK.items()} == {k: v for k, v in slot_move.RANK.items() if k != "init"}
    assert {deed.value for deed in SERVING_AFTER} == set(slot_move.SERVING) - {"init"}


def test_one_move_with_writes_and_reads_holds_in_the_whole_state_space() -> None:
    result = search_move(slot_move.WRITTEN["as written, 2 groups, 1 move, 3 ops, reads"], 60_000)
    assert result.complete and {} == result.violations and result.stuck is None


@pytest.mark.parametrize("case", sorted(slot_move.SEEDED))
def test_a_rule_of_moves_left_out_is_found(case: str) -> None:
    assert search_move(slot_move.SEEDED[case], 10_000).violations


def test_entry_and_files_as_one_unit_with_snapshots_never_wedge_a_group() -> None:
    result = search_gate("... and a snapshot for who comes late (proposed rule)", 200_000)
    assert result.complete and {} == result.violations


@pytest.mark.parametrize("case", ["as written", "seeded: acknowledged without files", "stored at once, snapshot"])
def test_an_install_entry_without_its_files_is_found(case: str) -> None:
    assert search_gate(case, 20_000).violations
