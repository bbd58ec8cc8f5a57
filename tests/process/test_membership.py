"""Nodes join and leave a running cluster while clients write, and nothing acknowledged is lost."""

import subprocess
import sys
from collections import Counter

import pytest

from tests.process.clusters import (
    GROUPS,
    address,
    all_written,
    check_on_every_member,
    has_settled,
    last_line,
    orphans,
    owners_of_slots,
    report_of,
    running,
)
from tests.process.conftest import COMMAND, PROJECT, wait_for
from tests.process.moving import leader_of

pytestmark = pytest.mark.process


def test_a_node_joins_and_the_meta_leader_leaves_while_clients_write_and_read(cluster, writers, watchers, run_command):
    size = len(cluster.nodes)
    rows = writers(cluster, GROUPS[:4])
    watcher = watchers(cluster, rows)
    wait_for(all_written(rows, 20), "rows before")
    before = owners_of_slots(cluster)
    added = cluster.add_node()
    wait_for(lambda: has_settled(cluster, size + 1), "the new node is in", 90)
    assert {4} == {len(report_of(node).groups) for node in cluster.nodes}  # meta, and as many as there are replicas
    after = owners_of_slots(cluster)
    moved = {slot for slot in after if after[slot] != before[slot]}
    assert {report_of(added).node.identifier} == {after[slot] for slot in moved}
    assert len(after) // (size + 1) == len(moved)
    assert differ_by_one(after)
    wait_for(all_written(rows, 20), "rows with one node more")
    check_on_every_member(cluster, rows)

    leader = next(node for node in cluster.nodes if report_of(node).meta.role == "leader")
    gone = report_of(leader).node.identifier
    cluster.nodes.remove(leader)
    unknown = run_command("remove", "127.0.0.1:1", "--meta", address(cluster.nodes[0]))
    assert (1, True) == (unknown.returncode, "no node with this address" in unknown.stdout)
    done = run_command("remove", address(leader), "--meta", address(cluster.nodes[0]), timeout_s=90)
    assert 0 == done.returncode, done.stdout + done.stderr
    assert "removed" == done.stdout.splitlines()[-1]
    assert f"it owns {list(after.values()).count(gone)} slots" in done.stdout
    assert 0 == leader.process.wait(20)
    wait_for(lambda: has_settled(cluster, size), "the others are settled", 60)
    last = owners_of_slots(cluster)
    assert {gone} == {after[slot] for slot in last if last[slot] != after[slot]}
    assert differ_by_one(last)
    wait_for(all_written(rows, 20), "rows without it")
    for each in (watcher, *rows):
        each.stop()
    check_on_every_member(cluster, rows)
    assert [] == watcher.missing
    wait_for(lambda: not orphans(cluster), f"nothing is left of released slots: {orphans(cluster)}")
    # Its folder is never started again, and says why.
    for mode in ("-s", "-a"):
        cluster.start_node(leader, mode=mode)
        assert 2 == leader.process.wait(30)
        assert "was removed from its cluster" in last_line(leader)


def differ_by_one(owners):
    """True when the nodes own equally many slots, but for one."""
    counts = Counter(owners.values()).values()
    return max(counts) - min(counts) <= 1


def test_a_removed_node_that_was_down_learns_of_it_when_it_starts(cluster, run_command):
    size = len(cluster.nodes)
    added = cluster.add_node()
    wait_for(lambda: has_settled(cluster, size + 1), "the new node is in", 60)
    cluster.kill(added)
    gone = run_command("remove", address(added), "--meta", address(cluster.nodes[1]), timeout_s=90)
    assert 0 == gone.returncode, gone.stdout + gone.stderr
    cluster.nodes.remove(added)
    wait_for(lambda: has_settled(cluster, size), "the others are settled", 60)
    term = report_of(cluster.nodes[0]).groups[0].term
    cluster.start_node(added)
    assert 0 == added.process.wait(60)
    assert term == report_of(cluster.nodes[0]).groups[0].term
    cluster.start_node(added)
    assert 2 == added.process.wait(30)
    assert "was removed from its cluster" in last_line(added)


def test_a_join_that_is_cut_off_goes_on_however_the_node_is_started(cluster):
    size = len(cluster.nodes)
    added = cluster.add_node()
    wait_for(lambda: (added.folder / "identity").exists(), "it has begun")
    cluster.kill(added)
    cluster.start_node(added)
    wait_for(lambda: has_settled(cluster, size + 1), "the new node is in", 60)
    cluster.kill(added)
    cluster.start_node(added)
    wait_for(lambda: has_settled(cluster, size + 1), "the new node is back", 60)


def test_two_nodes_join_at_once_and_are_taken_in_one_after_the_other(cluster, writers):
    size = len(cluster.nodes)
    rows = writers(cluster, GROUPS[:2])
    cluster.add_node()
    cluster.add_node()
    wait_for(lambda: has_settled(cluster, size + 2), "both are in", 90)
    wait_for(all_written(rows, 10), "rows with two nodes more")
    for writer in rows:
        writer.stop()
    check_on_every_member(cluster, rows)


@pytest.mark.timeout(400)
def test_leader_and_header_of_a_data_group_leave_also_when_they_are_asked_themselves(cluster, writers, run_command):
    size = max(5, len(cluster.nodes))
    while len(cluster.nodes) < size:
        cluster.add_node()
    wait_for(lambda: has_settled(cluster, size), "enough nodes are in", 90)
    rows = writers(cluster, GROUPS[:4])
    wait_for(all_written(rows, 10), "rows before")
    # The leader of a group without its header: that one is lost, and comes back when the other leaves already.
    coordinator = leader_of(cluster, None)
    asked = report_of(coordinator)
    header = next(each for each, members in asked.group_members.items() if asked.node.identifier not in members)
    lost = running(cluster)[header]
    cluster.kill(lost)
    wait_for(lambda: leader_of(cluster, header), "another one leads its group")
    leading = leader_of(cluster, header)
    leaving = subprocess.Popen(
        [*COMMAND, "remove", address(leading), "--meta", address(coordinator)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        wait_for(lambda: "leaving" in report_of(coordinator).states.values(), "it leaves")
        cluster.start_node(lost)
        said, _ = leaving.communicate(timeout=90)
    finally:
        leaving.kill()
        leaving.wait()
    assert (0, "removed") == (leaving.returncode, said.splitlines()[-1]), said
    assert 0 == leading.process.wait(20)
    cluster.nodes.remove(leading)
    wait_for(lambda: has_settled(cluster, size - 1), "the others are settled", 60)
    wait_for(all_written(rows, 10), "rows without it")

    # A header that leads its own group and nothing else, by its own word.
    coordinator = leader_of(cluster, None)
    going = next(node for node in cluster.nodes if node is not coordinator)
    identifier = report_of(going).node.identifier
    wait_for(lambda: leader_of(cluster, identifier) is going, "it leads its own group", 60)
    done = run_command("remove", address(going), "--meta", address(going), timeout_s=90)
    assert (0, "removed") == (done.returncode, done.stdout.splitlines()[-1]), done
    assert 0 == going.process.wait(20)
    cluster.nodes.remove(going)
    wait_for(lambda: has_settled(cluster, size - 2), "the others are settled", 60)
    wait_for(all_written(rows, 10), "rows without both")
    for writer in rows:
        writer.stop()
    check_on_every_member(cluster, rows)


def removal_of(cluster, node):
    """`iotdb-cluster remove`, asked of the first node; goes on meanwhile."""
    command = [*COMMAND, "remove", address(node), "--meta", address(cluster.nodes[0])]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def leaving_until_done(cluster, removals):
    """How many nodes were leaving at once, at each look until all removals have ended."""
    counts = []

    def are_done():
        report = report_of(cluster.nodes[0])
        counts.append(0 if report is None else list(report.states.values()).count("leaving"))
        return all(removal.poll() is not None for removal in removals)

    wait_for(are_done, "the removals have ended", 90)
    return counts


@pytest.mark.timeout(400)
def test_changes_that_are_asked_for_at_once_take_turns(cluster, writers):
    while len(cluster.nodes) < 5:
        cluster.add_node()
    size = len(cluster.nodes)
    wait_for(lambda: has_settled(cluster, size), "enough nodes are in", 90)
    rows = writers(cluster, GROUPS[4:6])
    wait_for(all_written(rows, 10), "rows before")

    def removed(nodes, meanwhile):
        removals = [removal_of(cluster, node) for node in nodes]
        try:
            meanwhile()
            counts = leaving_until_done(cluster, removals)
            for removal, node in zip(removals, nodes, strict=True):
                said, _ = removal.communicate(timeout=10)
                assert (0, "removed") == (removal.returncode, said.splitlines()[-1]), said
                assert 0 == node.process.wait(20)
                cluster.nodes.remove(node)
        finally:
            for removal in removals:
                removal.kill()
                removal.wait()
        return counts

    removed([cluster.nodes[-1]], cluster.add_node)
    wait_for(lambda: has_settled(cluster, size), "one has come, and one is gone", 90)
    assert 1 == max(removed(cluster.nodes[-2:], lambda: None))
    wait_for(lambda: has_settled(cluster, size - 2), "two are gone", 90)
    wait_for(all_written(rows, 10), "rows behind all of it")
    for writer in rows:
        writer.stop()
    check_on_every_member(cluster, rows)


def test_a_node_with_other_settings_is_told_both_values(cluster):
    size = len(cluster.nodes)
    other = cluster.add_node(replica_num=2)
    assert 1 == other.process.wait(60)
    cluster.nodes.remove(other)
    log = (other.folder / "log" / "node.log").read_text()
    assert "replica_num is 2 there and 3 here" in log
    assert has_settled(cluster, size)


def test_what_can_not_be_removed_is_said_in_words(cluster_of, run_command):
    (node,) = cluster_of(1).nodes
    refused = run_command("remove", address(node), "--meta", address(node))
    assert (1, True) == (refused.returncode, "no more nodes than it keeps replicas" in refused.stdout)
    refused = script("remove-node.sh", node, node.ip, str(node.meta_port))
    assert (1, True) == (refused.returncode, "no more nodes than it keeps replicas" in refused.stdout), refused


def script(name, node, *arguments):
    """Run a script with a node's configuration, in an environment as poor as that of a service."""
    return subprocess.run(
        [str(PROJECT / "sbin" / name), "-c", str(node.folder / "conf"), *arguments],
        env={"IOTDB_PYTHON": sys.executable, "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
    )


def test_the_scripts_add_a_node_in_the_background_and_remove_it(cluster):
    size = len(cluster.nodes)
    node = cluster.prepare_node()
    try:
        done = script("add-node.sh", node, "-d")
        assert 0 == done.returncode, done.stderr
        wait_for(lambda: report_of(node) and len(report_of(node).groups) == 4, "the new node is in", 60)
        done = script("remove-node.sh", cluster.nodes[1], node.ip, str(node.meta_port))
        assert (0, "removed") == (done.returncode, done.stdout.splitlines()[-1]), done
        wait_for(lambda: not (node.folder / "node.pid").exists(), "the node has stopped itself")
    finally:
        script("stop-node.sh", node)
    wait_for(lambda: has_settled(cluster, size), "the others are settled", 60)
