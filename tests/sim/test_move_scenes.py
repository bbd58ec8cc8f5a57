"""Slots that move while the cluster grows and shrinks, told step by step."""

from dataclasses import replace

import pytest

from iotdb_cluster.errors import RequestError, SlotMoving
from iotdb_cluster.members.data.slot_reads import check_held
from iotdb_cluster.members.query.finding import Finder
from iotdb_cluster.members.query.running import Running
from iotdb_cluster.partition.moves import Deed
from iotdb_cluster.partition.slots import slot_of
from iotdb_cluster.settings import Settings
from iotdb_cluster.types.identity import GroupId
from tests.sim.cluster.moving_scene import MINUTE_MS, MovingScene
from tests.sim.cluster.node import SimNode
from tests.sim.cluster.scheduler import MS


def find_everything(scene: MovingScene, node: SimNode) -> list[str] | None:
    """The series that a statement over all of them finds at a node; None when it is refused."""
    context = node.node.context
    running = Running(1, context.clock, context.settings, "strong")

    async def find() -> list[str] | None:
        try:
            catalog = await Finder(node.node, running).find(["root"])
        except RequestError:
            return None  # a node that just left a group says so
        return sorted(series.path for series in catalog["root"])

    over: list[list[str] | None] = []
    node.run(find(), lambda answer, _: over.append(answer))
    scene.run_until(lambda: None if over else "a statement hangs", MINUTE_MS, "a statement")
    return over[0]


def test_a_statement_over_all_series_misses_none_and_names_none_twice_while_slots_move() -> None:
    scene = MovingScene().boot()
    scene.write_everywhere()
    written = find_everything(scene, scene.nodes[0])
    assert written is not None
    assert len(scene.space.storage_groups) == len({path.rsplit(".", 2)[0] for path in written})
    newcomer = scene.add()
    answered = refused = 0
    while scene._objection() is not None or answered < 20:
        for node in (scene.nodes[0], scene.nodes[2]):
            found = find_everything(scene, node)
            answered += found is not None
            refused += found is None
            assert found in (None, written), node.host
        assert answered < 6_000
    assert refused < answered // 2
    assert written == find_everything(scene, newcomer)


def test_what_was_released_is_refused_and_never_found_empty() -> None:
    scene = MovingScene().boot()
    scene.write_everywhere()
    before = {path: scene.owner(path) for path in scene.space.storage_groups}
    scene.add()
    scene.balanced()
    moved = next(path for path in before if scene.owner(path) != before[path])
    (old, new) = (scene.member(scene.leader(group), group) for group in (before[moved], scene.owner(moved)))
    check_held(new, [slot_of(moved)])
    with pytest.raises(SlotMoving):
        check_held(old, [slot_of(moved)])


class PatientScene(MovingScene):
    """Who pulls files has all the time of the world."""

    def _settings(self, number: int) -> Settings:
        return replace(super()._settings(number), snapshot_timeout_ms=600_000)


def test_files_of_released_slots_go_at_once() -> None:
    # They were kept for as long as a snapshot may take, though nobody may ask for them any more.
    scene = PatientScene().boot()
    scene.write_everywhere()
    before = {path: scene.owner(path) for path in scene.space.storage_groups}
    scene.add()
    scene.balanced()
    scene.run_ms(scene.short_ms)
    moved = [path for path in before if scene.owner(path) != before[path]]
    assert moved, "no slot with data moved: choose another seed"
    folders = [(node, f"data/{before[path]}/{path}") for path in moved for node in scene.nodes]
    assert [] == [(node.host, folder) for node, folder in folders if node.disk.list_folder(folder)]


def test_a_node_that_joins_gets_its_share_with_what_is_in_it() -> None:
    scene = MovingScene().boot()
    scene.write_everywhere()
    before = {path: scene.owner(path) for path in scene.space.storage_groups}
    scene.add()
    scene.balanced()
    moved = [path for path in before if scene.owner(path) != before[path]]
    assert moved, "no slot with data moved: choose another seed"
    scene.write_everywhere()
    scene.check_everything()


def moved_files(node: SimNode, group: GroupId) -> list[str]:
    """The files in a node's folder of a group that came with slots."""
    named = (name for name in node.disk.files() if name.startswith(f"data/{group}/root."))
    return sorted(name for name in named if "/move-" in name and name.endswith(".parquet"))


def test_a_damaged_file_of_a_slot_that_has_moved_is_pulled_again_with_all_that_belongs_to_it() -> None:
    scene = MovingScene(log_keep_entries=10).boot()
    for _ in range(3):
        scene.write_everywhere()
    newcomer = scene.add()
    scene.balanced()
    group = GroupId(newcomer.node.me.identifier)
    victim = next(node for node in scene.nodes[:3] if node.node.data(group) is not None and moved_files(node, group))
    groups = len(victim.node.data_members)
    victim.crash(power_loss=False)
    chosen = moved_files(victim, group)[0]
    victim.disk.flip_somewhere(chosen)
    victim.start()
    assert len(victim.node.data_members) == groups - 1
    scene.run_until(
        lambda: None if len(victim.node.data_members) == groups else "not repaired", MINUTE_MS, "the repair"
    )
    assert f"damaged/{chosen}" in victim.disk.files()
    scene.write_everywhere()
    scene.check_everything()


def test_a_file_that_is_damaged_before_its_install_is_entered_is_pulled_again() -> None:
    scene = MovingScene().boot()
    scene.write_everywhere()
    scene.add()

    def pulled() -> list[tuple[SimNode, str]]:
        """What lies where it will be installed, while the source still serves."""
        found = []
        for node in scene.nodes:
            for member in node.node.data_members if node.is_alive else ():
                for path in moved_files(node, member.group):
                    record = node.node.state.moves.record(int(path.rsplit("/move-", 1)[1].split("-")[0]))
                    if record is not None and not record.copied:
                        found.append((node, path))
        return found

    scene._run(scene.scheduler.now_us + 5 * MINUTE_MS * MS, lambda: bool(pulled()))
    (victim, path), *_ = pulled()
    victim.disk.flip_somewhere(path)
    starts = victim.starts
    scene.balanced()
    assert starts == victim.starts, "it stopped itself for what nobody needs yet"
    scene.write_everywhere()
    scene.check_everything()


@pytest.mark.parametrize("is_lost", [False, True])
def test_a_file_that_is_damaged_before_its_install_is_replayed_is_pulled_again(is_lost: bool) -> None:
    scene = MovingScene().boot()
    scene.write_everywhere()
    newcomer = scene.add()
    victims: list[tuple[SimNode, GroupId]] = []

    def has_installed() -> str | None:
        for node in scene.nodes[:3]:
            for member in node.node.data_members if node.is_alive else ():
                held = member.slots.states.known.values()
                if any(state.deed is Deed.INSTALL for state in held) and moved_files(node, member.group):
                    victims.append((node, member.group))
                    return None
        return "nothing is installed"

    scene.run_until(has_installed, 5 * MINUTE_MS, "no slot with data moves")
    ((victim, group),) = victims
    victim.crash(power_loss=False)
    chosen = moved_files(victim, group)[0]
    if is_lost:
        victim.disk.remove(chosen)
    else:
        victim.disk.flip_somewhere(chosen)
    victim.start()
    assert newcomer.is_alive
    assert victim.node.data(group) is None, "it has a replica whose log it can't apply"
    scene.balanced()
    scene.write_everywhere()
    scene.check_everything()


def test_a_group_of_a_single_member_ends_with_its_header() -> None:
    # Its leader has nobody to hand over to: the replica stayed behind for ever.
    scene = MovingScene(2, replica_num=1).boot()
    scene.write_everywhere()
    leaving = scene.nodes[1]
    scene.growing.remove(leaving, leaving.node.me)
    scene.balanced()
    scene.check_everything()


@pytest.mark.long
def test_a_founder_that_owns_slots_is_drained_and_removed() -> None:
    scene = MovingScene(4).boot()
    scene.write_everywhere()
    leader = scene.leader()
    known = leader.node.me
    scene.growing.remove(leader, known)
    scene.balanced()
    assert leader.is_removed
    scene.write_everywhere()
    scene.check_everything()


@pytest.mark.long
def test_a_dead_node_that_owns_slots_is_removed_and_its_slots_move() -> None:
    scene = MovingScene(4).boot()
    scene.write_everywhere()
    victim = scene.nodes[2]
    known = victim.node.me
    victim.crash(power_loss=True)
    victim.is_removed = victim.may_be_removed = True
    scene.growing.remove(victim, known)
    scene.balanced()
    scene.write_everywhere()
    scene.check_everything()


@pytest.mark.long
def test_a_second_node_joins_while_slots_move_to_the_first_and_a_founder_leaves_after_both() -> None:
    scene = MovingScene().boot()
    scene.write_everywhere()
    scene.add()
    scene.add()
    for _ in range(10):
        scene.write()
    scene.balanced()
    founder = scene.nodes[0]
    scene.growing.remove(founder, founder.node.me)
    for _ in range(10):
        scene.write()
    scene.balanced()
    scene.write_everywhere()
    scene.check_everything()
