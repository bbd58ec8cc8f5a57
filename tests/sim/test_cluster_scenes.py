"""Executions that break a careless design of this system, each told step by step (docs: reliability, section 4)."""

from dataclasses import replace
from random import Random

import pytest

from iotdb_cluster.types.identity import META_GROUP
from tests.sim.cluster.oracle import Fate
from tests.sim.cluster.scene import Scene


def test_a_calm_cluster_takes_everything() -> None:
    scene = Scene().boot()
    scene.write_everywhere()
    scene.check_everything()


def test_a_node_with_an_empty_disk_at_its_old_address_is_nobody() -> None:
    # "wiped node on the old address: votes and acknowledges as the old member"
    scene = Scene().boot()
    scene.write_everywhere()
    wiped, other, last = scene.nodes
    before = wiped.node.me.identifier
    scene.wipe(wiped)
    wiped.may_be_refused = True
    wiped.start()
    scene.run_until(lambda: None if wiped.refusal else "it is not refused", 20_000, "the wiped node")
    assert "add it" in str(wiped.refusal)
    assert before not in [member.raft.me for node, member in scene.members() if node is wiped]
    # With one more node gone there is no majority, whatever the wiped one says.
    other.crash(power_loss=False)
    wiped.start()
    scene.run_ms(10_000)
    assert not any(member.raft.is_leader for _, member in scene.members())
    other.start()
    scene.write_everywhere()
    assert last.is_alive


def test_an_old_copy_of_a_disk_is_refused_by_whoever_knows_of_a_later_start() -> None:
    scene = Scene().boot()
    scene.write_everywhere()
    copied, *others = scene.nodes
    copied.crash(power_loss=False)
    old = copied.disk.copy(Random("copy"))
    copied.start()
    scene.settle()  # this start is known to the meta group from now on
    scene.write(times=20)
    copied.crash(power_loss=False)
    scene.put_disk(copied, old)
    copied.may_be_refused = True
    copied.start()
    scene.run_ms(15_000)
    leaders = {group: scene.leader(group) for group in (META_GROUP, *scene.data_groups())}
    assert all(leader in others for leader in leaders.values())
    assert not copied.is_alive
    assert "old copy" in copied.refusal
    scene.write_everywhere()


def test_a_power_cut_anywhere_in_the_first_start_leaves_a_folder_that_starts() -> None:
    cuts = 0
    for step in range(0, 45, 4):
        scene = Scene(nodes=1, seed=f"first start {step}")
        (node,) = scene.nodes
        node.disk.crash_at(step)
        node.start()
        scene.run_ms(3_000)
        cuts += not node.is_alive
        node.start()
        scene.run_until(scene._objection_to_founding, 60_000, "the cluster is not founded")
        scene.settle()
        scene.write_everywhere()
    assert cuts >= 5


def test_seed_lists_that_differ_found_no_second_cluster() -> None:
    # "seed lists {1,2,3} and {3,4,5}: two leaders in one term"
    scene = Scene(nodes=5)
    hosts = scene.hosts
    for node, seeds in zip(scene.nodes, (hosts[:3], hosts[:3], hosts[:3], hosts[2:], hosts[2:]), strict=True):
        node.settings = replace(node.settings, seed_nodes=",".join(f"{host}:9003:40010" for host in seeds))
        node.may_be_refused = True
        node.start()
    scene.run_ms(30_000)
    founded = [node for node in scene.nodes if node.is_alive and node.node.state.is_founded]
    assert scene.nodes[:3] == founded
    assert 1 == len({node.node.state.cluster_id for node in founded})


def test_seed_lists_of_which_none_is_agreed_on_found_nothing() -> None:
    scene = Scene()
    one, two, three = scene.hosts
    for node, seeds in zip(scene.nodes, ((one, two), (two, three), (one, three)), strict=True):
        node.settings = replace(node.settings, seed_nodes=",".join(f"{host}:9003:40010" for host in seeds))
        node.start()
    scene.run_ms(30_000)
    assert not any(node.node.state.is_founded for node in scene.nodes)


def test_a_seed_that_loses_its_disk_before_the_founding_makes_no_second_leader() -> None:
    # "seed wiped after voting": until the first membership is committed a quorum is all seed nodes
    for seed in range(6):
        scene = Scene(seed=f"founding/{seed}")
        for node in scene.nodes:
            node.start()
        moment = Random(f"moment/{seed}").randint(0, 2_500)
        scene.run_ms(moment)
        victim = scene.nodes[seed % 3]
        if any(node.node.state.is_founded for node in scene.nodes):
            continue
        scene.wipe(victim)
        victim.may_be_refused = True
        victim.start()
        scene.run_ms(20_000)
        founded = {node.node.state.cluster_id for node in scene.nodes if node.is_alive and node.node.state.is_founded}
        assert len(founded) <= 1


def test_a_follower_that_restarts_in_an_idle_group_serves_strong_reads() -> None:
    # "follower restarts in an idle group: commits nothing, strong reads hang"
    scene = Scene().boot()
    scene.write_everywhere()
    scene.settle()
    series = scene.space.series[0][0]
    found = scene.members_of(scene.space.storage_group_of(series))
    assert found is not None
    for node in scene.nodes:
        node.crash(power_loss=True)
        node.start()
        scene.settle()
        reading = scene.read(node, series)
        assert reading is not None
        assert len(reading.values) > 0


def test_a_leader_whose_disk_hangs_gives_way_although_its_heartbeats_pass() -> None:
    # "leader whose disk hangs while heartbeats pass: group stands still" (rule 3.6)
    scene = Scene().boot()
    group = scene.data_groups()[0]
    leader = scene.leader(group)
    leader.slow_disk(100_000)  # a sync takes ten seconds
    scene.write_everywhere()
    leader.slow_disk(1)
    scene.check_everything()


def test_the_newest_data_log_and_the_newest_meta_log_on_different_nodes_elect_somebody() -> None:
    # "newest data log and newest meta log on different nodes: -7 for ever" (rule 3.7)
    scene = Scene().boot()
    scene.write_everywhere()
    one, two, three = scene.nodes
    # `three` misses entries of the meta group, `two` those of the data groups.
    scene.network.split([three.place], [one.place, two.place])
    scene.run_ms(3_000)
    assert scene.do(lambda client: client.make_storage_group("root.only_meta")) in (True, False)
    scene.network.heal()
    scene.network.split([two.place], [one.place, three.place])
    scene.run_ms(100)
    scene.network.heal()
    one.crash(power_loss=True)
    scene.write_everywhere()
    one.start()
    scene.check_everything()


def test_a_cut_off_leader_serves_no_strong_read() -> None:
    scene = Scene().boot()
    scene.write_everywhere()
    series = scene.space.series[0][0]
    found = scene.members_of(scene.space.storage_group_of(series))
    assert found is not None
    group = next(g for g in scene.data_groups() if g == found[0].identifier)
    leader = scene.leader(group)
    scene.network.split([leader.place], [node.place for node in scene.nodes if node is not leader])
    assert None is scene.read(leader, series)
    scene.network.heal()
    assert scene.read(leader, series) is not None


def test_a_paused_leader_that_wakes_up_leads_nobody() -> None:
    scene = Scene().boot()
    group = scene.data_groups()[0]
    leader = scene.leader(group)
    leader.pause()
    scene.run_ms(10_000)
    leader.resume()
    scene.check_everything()


@pytest.mark.parametrize("which", [0, -1])
def test_a_damaged_data_file_is_set_aside_and_pulled_again(which: int) -> None:
    scene = Scene(log_keep_entries=10).boot()
    for _ in range(15):
        scene.write_everywhere()
    scene.settle()
    victim = scene.nodes[0]
    groups = len(victim.node.data_members)
    victim.crash(power_loss=False)
    chosen = sorted(name for name in victim.disk.files() if name.startswith("data/") and not name.endswith(".tmp"))[
        which
    ]
    victim.disk.flip_somewhere(chosen)
    victim.start()
    assert len(victim.node.data_members) == groups - 1
    scene.run_until(lambda: None if len(victim.node.data_members) == groups else "not repaired", 60_000, "the repair")
    assert f"damaged/{chosen}" in victim.disk.files()
    scene.write_everywhere()
    scene.check_everything()


@pytest.mark.parametrize("path", ["identity", "raft/"])
def test_a_damaged_file_is_refused_and_named(path: str) -> None:
    scene = Scene(log_keep_entries=10).boot()
    for _ in range(15):
        scene.write_everywhere()
    scene.settle()
    victim = scene.nodes[0]
    victim.crash(power_loss=False)
    names = sorted(name for name in victim.disk.files() if name.startswith(path) and not name.endswith(".tmp"))
    assert names
    chosen = names[0]  # an older segment
    identity = victim.disk.read("identity")
    refused = 0
    for flip in range(5):
        kept = victim.disk.copy(Random(f"kept/{flip}"))
        offset = victim.disk.flip_somewhere(chosen)
        victim.may_be_refused = True
        victim.refusal = None
        victim.start()
        if victim.refusal is not None:
            refused += 1
            assert chosen.rsplit("/", 1)[0] in victim.refusal, victim.refusal
            # A supervisor tries for ever: what is refused must not be one more start to be remembered.
            assert chosen == "identity" or identity == victim.disk.read("identity")
        else:
            # Only what lies behind the last durable mark may be cut off.
            assert chosen.startswith("raft/"), (chosen, offset)
            victim.crash(power_loss=False)
        scene.put_disk(victim, kept)
    assert refused >= 3
    victim.may_be_refused = False
    victim.start()
    scene.check_everything()


def test_a_disk_that_is_nearly_full_refuses_writes_and_recovers_alone() -> None:
    scene = Scene(nodes=1).boot()
    scene.write_everywhere()
    (node,) = scene.nodes
    node.fill_disk()
    scene.run_ms(2_000)
    refused = scene.do(lambda client: client.insert_row())
    assert refused is not None
    assert Fate.REFUSED is refused.fate
    assert "503" in refused.answer
    deleted = scene.do(lambda client: client.delete())
    assert deleted is not None
    assert deleted.fate is Fate.ACKED or "301" in deleted.answer
    node.empty_disk()
    scene.run_ms(2_000)
    scene.check_everything()


def test_a_follower_whose_disk_is_full_stays_behind_and_catches_up_by_itself() -> None:
    scene = Scene(heartbeat_interval_ms=200).boot()
    scene.write_everywhere()
    full = scene.nodes[2]
    starts = full.starts
    full.disk.capacity_bytes = full.disk.used_bytes + 16 * 1024
    scene.run_ms(2_000)
    attempts = [scene.do(lambda client: client.insert_row()) for _ in range(400)]
    assert full.disk.free_bytes() > 8 * 1024
    groups = {
        member.group for _, member in scene.members() if member.header and member.raft.me != full.node.me.identifier
    }
    assert len(groups) == 3
    assert sum(attempt is not None and attempt.fate is Fate.ACKED for attempt in attempts) > 200
    full.empty_disk()
    scene.run_ms(2_000)
    scene.check_everything()
    assert starts + 1 == full.starts, "only the cold restart of the check"


def test_a_leader_whose_disk_is_nearly_full_lets_another_one_lead() -> None:
    scene = Scene().boot()
    full = scene.leader(scene.data_groups()[0])
    full.fill_disk()
    scene.run_ms(15_000)
    assert full not in [scene.leader(group) for group in scene.data_groups()]
    scene.write_everywhere()
    full.empty_disk()
    home = next(group for group in scene.data_groups() if group == full.node.me.identifier)
    scene.run_until(lambda: None if scene.leader(home) is full else "not yet", 60_000, "the group comes home")
    scene.check_everything()


def test_without_a_quorum_of_disks_with_room_writes_are_refused_and_deletes_go_on() -> None:
    scene = Scene().boot()
    scene.write_everywhere()
    starts = [node.starts for node in scene.nodes]
    leaders = {group: scene.leader(group) for group in scene.data_groups()}
    roomy = leaders[scene.data_groups()[0]]
    for node in scene.nodes:
        if node is not roomy:
            node.fill_disk()
    scene.run_ms(3_000)
    for storage_group in scene.space.storage_groups:
        refused = scene.do(lambda client, group=storage_group: client.insert_row(group))
        assert refused is not None
        assert Fate.REFUSED is refused.fate
        assert "503" in refused.answer
        assert scene.read(roomy, f"{scene.space.device(storage_group)}.{scene.space.measurements[0][0]}") is not None
    deleted = scene.do(lambda client: client.delete())
    assert deleted is not None
    assert deleted.fate is Fate.ACKED or "301" in deleted.answer
    for node in scene.nodes:
        node.empty_disk()
    scene.run_ms(5_000)
    scene.write_everywhere()
    assert starts == [node.starts for node in scene.nodes]
    scene.check_everything()


def test_a_planned_stop_of_each_node_in_turn_loses_nothing() -> None:
    scene = Scene().boot()
    for node in scene.nodes:
        scene.write_everywhere()
        node.stop_politely()
        scene.write_everywhere()
        node.start()
        scene.settle()
    scene.check_everything()


def test_all_nodes_killed_at_once_come_back_with_everything() -> None:
    scene = Scene(nodes=5).boot()
    scene.write_everywhere()
    for node in scene.nodes:
        node.crash(power_loss=True)
    for node in reversed(scene.nodes):
        node.start()
        scene.run_ms(300)
    scene.check_everything()
