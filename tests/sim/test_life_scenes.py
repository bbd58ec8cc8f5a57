"""Nodes that come and go while slots move: scenarios 35 to 46 of docs/reliability.md, by their numbers."""

from random import Random
from typing import Any

import pytest

from iotdb_cluster.members.life import introductions
from iotdb_cluster.members.life.changes import AGREE, CLUSTER_TOO_SMALL
from iotdb_cluster.partition.moves import Deed
from iotdb_cluster.partition.slots import slot_of
from iotdb_cluster.types.identity import NodeId
from tests.sim.cluster.moving_scene import MovingScene
from tests.sim.cluster.node import SimNode
from tests.sim.disk import SimDisk

FEW: dict[str, Any] = {"storage_groups": 6, "times": 2}
MANY: dict[str, Any] = {"storage_groups": 24, "times": 2}
"""So many that slots with something in them move."""


@pytest.mark.long
@pytest.mark.parametrize("moment", ["before it is added", "before its first pull", "in a pull", "behind its install"])
def test_35_a_new_node_loses_its_power_while_it_joins(moment: str) -> None:
    scene = MovingScene(**MANY, log_keep_entries=10).boot()
    scene.write_everywhere()
    newcomer = scene.add()
    holds = {
        "before it is added": lambda: newcomer.is_alive and bool(newcomer.tasks),
        "before its first pull": lambda: scene.is_known(newcomer),
        "in a pull": lambda: scene.is_pulling(newcomer),
        "behind its install": lambda: scene.has_deed(newcomer, Deed.INSTALL),
    }
    scene.until(holds[moment])
    scene.crash(newcomer)
    scene.write_everywhere()
    scene.run_ms(20_000)
    newcomer.start()
    scene.balanced()
    scene.check_everything()


@pytest.mark.long
@pytest.mark.parametrize("moment", ["in a pull", "behind its install"])
def test_35_a_new_node_that_dies_in_mid_move_for_good_is_removed_and_the_next_one_joins(moment: str) -> None:
    """The moves to it would stand still, and every later change be answered -10 (design 4.9, 5.4)."""
    scene = MovingScene(**MANY).boot()
    scene.write_everywhere()
    lost = scene.add()
    holds = {
        "in a pull": lambda: scene.is_pulling(lost),
        "behind its install": lambda: scene.has_deed(lost, Deed.INSTALL),
    }
    scene.until(holds[moment])
    scene.crash(lost)
    scene.remove(lost)
    scene.write_everywhere()
    scene.balanced()
    assert 3 == len(scene.table.nodes)  # type: ignore[union-attr]
    scene.add()
    scene.balanced()
    assert 4 == len(scene.table.nodes)  # type: ignore[union-attr]
    scene.check_everything()


@pytest.mark.long
@pytest.mark.parametrize("what", ["crash", "cut off"])
def test_36_the_source_of_a_slot_crashes_or_loses_its_leadership_in_a_pull(what: str) -> None:
    scene = MovingScene(**MANY).boot()
    scene.write_everywhere()
    newcomer = scene.add()
    scene.until(lambda: scene.is_pulling(newcomer))
    assert newcomer.node.mover.copying
    record = next(each for each in newcomer.node.state.moves.records if each.decision is None)
    source = scene.leader(record.move.source)
    if what == "crash":
        scene.crash(source)
    else:
        scene.cut_off(source)
    scene.write_everywhere()
    scene.run_ms(3_000)
    scene.network.heal()
    source.start()
    scene.balanced()
    scene.check_everything()


@pytest.mark.long
def test_37_a_write_goes_to_a_moved_slot_through_a_coordinator_with_the_old_table() -> None:
    scene = MovingScene(**MANY).boot()
    scene.write_everywhere()
    before, late = scene.owners(), scene.nodes[2]
    scene.add()
    scene.until(lambda: bool(late.node.state.moves.records))
    with scene.old_meta_log(late):
        scene.until(lambda: scene.owners() != before)
        (path,) = [path for path, owner in scene.owners().items() if before[path] != owner][:1]
        assert late.node.state.table is not None
        assert before[path] == late.node.state.table.header_of(slot_of(path))
        for _ in range(3):
            scene.write_via(late, path)
        scene.write_until_taken(path)
    scene.balanced()
    scene.check_everything()


@pytest.mark.long
def test_38_two_nodes_join_at_once() -> None:
    scene = MovingScene(**FEW).boot()
    scene.write_everywhere()
    scene.add()
    scene.add()
    scene.balanced()
    scene.check_everything()


@pytest.mark.long
def test_38_a_node_joins_while_another_is_removed() -> None:
    scene = MovingScene(4, **FEW).boot()
    scene.write_everywhere()
    scene.add()
    scene.remove(scene.nodes[1])
    for _ in range(10):
        scene.write()
    scene.balanced()
    scene.check_everything()


def test_38_the_node_being_added_is_removed() -> None:
    scene = MovingScene(**FEW).boot()
    scene.write_everywhere()
    newcomer = scene.add()
    scene.until(lambda: newcomer.is_alive and newcomer.node.state.roster is not None and bool(_joining(scene)))
    scene.remove(newcomer)
    scene.balanced()
    assert newcomer.is_removed
    assert 3 == len(scene.table.nodes)  # type: ignore[union-attr]
    scene.check_everything()


def _joining(scene: MovingScene) -> object:
    roster = scene.growing.roster()
    return roster is not None and roster.joining


@pytest.mark.long
@pytest.mark.parametrize("who", ["the meta leader", "a header"])
def test_39_a_leader_is_removed(who: str) -> None:
    scene = MovingScene(4, **FEW).boot()
    scene.write_everywhere()
    leaving = scene.leader() if who == "the meta leader" else scene.leader(scene.owner(scene.space.storage_groups[0]))
    scene.remove(leaving)
    scene.balanced()
    assert leaving.is_removed
    scene.check_everything()


@pytest.mark.long
def test_39_a_leader_that_is_cut_off_is_removed() -> None:
    scene = MovingScene(4, **FEW).boot()
    scene.write_everywhere()
    leaving = scene.leader()
    scene.cut_off(leaving)
    scene.run_ms(3_000)
    leaving.is_removed, known = True, leaving.node.me  # for everybody else; it is told when it is heard again
    scene.growing.remove(leaving, known)
    others = [node for node in scene.nodes if node is not leaving]
    scene.run_until(lambda: _still(others, known.identifier), 300_000, "the removal")
    scene.write_everywhere()
    terms = _terms(others)
    leaving.is_removed = False
    scene.network.heal()
    scene.until(lambda: leaving.is_removed and not leaving.is_alive)
    assert terms == _terms(others)
    scene.balanced()
    scene.check_everything()


def _still(nodes: list[SimNode], identifier: NodeId) -> str | None:
    for node in nodes:
        roster = node.node.state.roster
        if roster is None or identifier in roster.membership.members or identifier in roster.table.identifiers:
            return f"{node.place} still counts {identifier}"
    return None


def _terms(nodes: list[SimNode]) -> dict[tuple[str, int], int]:
    return {
        (node.place, member.group): member.raft.term
        for node in nodes
        for member in (node.node.meta, *node.node.data_members)
        if member is not None
    }


@pytest.mark.long
def test_39_the_only_source_of_a_slot_that_answers_is_not_removed() -> None:
    scene = MovingScene(5, **FEW).boot()
    scene.write_everywhere()
    path = scene.space.storage_groups[0]
    found = scene.members_of(path)
    assert found is not None
    ring = [scene.growing.machine_of(node) for node in found[1]]
    last, *others = [node for node in ring if node is not None]
    for node in others:
        scene.crash(node)
    scene.run_ms(5_000)
    before = scene.growing.roster()
    scene.remove(last)
    scene.run_ms(10_000)
    assert [] == scene.growing.operator.answers
    assert before is not None
    assert scene.growing.roster().leaving == frozenset()  # type: ignore[union-attr]
    for node in others:
        node.start()
    scene.balanced()
    assert last.is_removed
    scene.check_everything()


def test_40_no_node_is_removed_where_the_replicas_would_not_fit_any_more() -> None:
    scene = MovingScene(**FEW).boot()
    known = scene.remove(scene.nodes[1])
    scene.balanced()
    assert [(known, CLUSTER_TOO_SMALL)] == scene.growing.operator.answers
    assert 3 == len(scene.table.nodes)  # type: ignore[union-attr]


@pytest.mark.long
def test_41_a_removed_node_that_missed_everything_starts_again_and_moves_nobody() -> None:
    scene = MovingScene(4, **FEW).boot()
    scene.write_everywhere()
    gone = next(node for node in scene.nodes if node is not scene.leader())
    others = [node for node in scene.nodes if node is not gone]
    scene.crash(gone)
    known = scene.remove(gone)
    scene.run_until(lambda: _still(others, known.identifier), 300_000, "the removal")
    scene.write_everywhere()
    gone.is_removed = False
    scene.cut_off(gone)
    gone.start()
    scene.run_ms(4_000)
    size = _bytes_of_log(gone)
    scene.run_ms(6_000)
    assert size == _bytes_of_log(gone)  # it campaigns all the time
    terms = _terms(others)
    assert not any(member.raft.is_leader for node, member in scene.members() if node is gone)
    assert None is scene.read(gone, scene.space.series[0][0])
    scene.network.heal()
    scene.until(lambda: gone.is_removed and not gone.is_alive)
    assert terms == _terms(others)
    scene.balanced()
    scene.check_everything()


def _bytes_of_log(node: SimNode) -> int:
    return sum(node.disk.size(f"raft/{name}") for name in node.disk.list_folder("raft"))


@pytest.mark.long
def test_42_a_late_exile_does_not_touch_who_has_come_back() -> None:
    scene = MovingScene(4, **FEW).boot()
    leaving = scene.nodes[3]
    known = scene.remove(leaving)
    scene.balanced()
    assert leaving.is_removed
    scene.put_disk(leaving, SimDisk(Random("a new disk")))
    leaving.is_removed = leaving.may_be_removed = False
    leaving.joins = True
    leaving.start()
    scene.balanced()
    assert known.identifier != leaving.node.me.identifier
    connection = scene.growing.operator.client.caller.connect(leaving.host, known.meta_port, "MetaExtension")
    for _ in range(2):
        answers: list[object] = []
        connection.call("exile", (known.identifier, 1), 2_000, answers.append)
        scene.until(lambda answers=answers: bool(answers))
    scene.run_ms(2_000)
    assert leaving.is_alive
    assert AGREE == scene.growing.operator.answers[0][1]
    scene.check_everything()


@pytest.mark.long
def test_44_nodes_apply_the_meta_log_at_very_different_times() -> None:
    scene = MovingScene(**MANY).boot()
    scene.write_everywhere()
    for late in (scene.nodes[0], scene.nodes[1]):
        with scene.old_meta_log(late):
            scene.add()
            for _ in range(40):
                scene.write()
                scene.do(lambda client: client.read_series())
                scene.run_ms(100)
        scene.balanced()
    scene.check_everything()


@pytest.mark.parametrize("what", ["replica_num", "cluster_name", "hash_seed", "slot_count"])
def test_45_a_node_with_other_settings_is_refused_with_both_values(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = MovingScene(**FEW).boot()
    newcomer = scene.add(later_ms=1_000)
    newcomer.may_be_refused = True
    compared = introductions._compared
    other = {"replica_num": 5, "cluster_name": "another", "hash_seed": 7, "slot_count": 12}[what]

    def differs(settings: Any) -> tuple[tuple[str, object], ...]:
        known = compared(settings)
        is_newcomer = settings.local_ip == newcomer.host
        return tuple((name, other if is_newcomer and name == what else value) for name, value in known)

    monkeypatch.setattr(introductions, "_compared", differs)
    scene.run_until(lambda: None if newcomer.refusal else "it is not refused", 60_000, "the newcomer")
    assert f"{what} is" in newcomer.refusal
    assert repr(other) in newcomer.refusal
    assert 3 == len(scene.table.nodes)  # type: ignore[union-attr]


@pytest.mark.long
@pytest.mark.parametrize("damage", ["flipped", "cut short", "empty", "beyond the end"])
def test_46_what_is_pulled_comes_damaged(damage: str) -> None:
    scene = MovingScene(**MANY).boot()
    scene.write_everywhere()
    damaged: list[int] = []
    for node in scene.nodes:
        offered = node.node.offered_files
        read = offered.read

        def read_badly(path: str, offset: int, length: int, read: Any = read) -> bytes:
            data: bytes = read(path, offset, length)
            if not data or len(damaged) >= 6:
                return data
            damaged.append(offset)
            if damage == "flipped":
                return bytes((data[0] ^ 1,)) + data[1:]
            if damage == "beyond the end":
                assert b"" == read(path, 10**15, length)
                return data + b"more"
            return data[: len(data) // 2] if damage == "cut short" else b""

        vars(offered)["read"] = read_badly
    scene.add()
    scene.balanced()
    assert damaged
    scene.check_everything()


@pytest.mark.long
def test_a_second_removal_waits_until_the_data_of_the_first_has_moved() -> None:
    scene = MovingScene(5, **FEW).boot()
    scene.write_everywhere()
    first, second = scene.nodes[1], scene.nodes[3]
    scene.remove(first)
    scene.until(lambda: bool(_leaving(scene)))
    scene.remove(second)
    both: list[object] = []
    scene.until(lambda: both.append(_leaving(scene)) or len(scene.growing.operator.answers) == 2, 300_000)
    assert all(len(leaving) < 2 for leaving in both)  # type: ignore[arg-type]
    scene.balanced()
    assert first.is_removed and second.is_removed
    scene.check_everything()


def _leaving(scene: MovingScene) -> frozenset[NodeId]:
    roster = scene.growing.roster()
    return frozenset() if roster is None else roster.leaving
