"""Nodes join and leave a running cluster while clients write, and nothing acknowledged is lost."""

import subprocess
import sys

import pytest

from iotdb_cluster.cli.local_cluster import LocalCluster
from iotdb_cluster.client.operators import ask_report
from iotdb_cluster.client.series import SeriesReader
from tests.process.conftest import PROJECT, wait_for
from tests.process.test_losses import GROUPS, Writer, all_written

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def grown(tmp_path_factory):
    """A cluster that begins with three nodes and keeps what the tests add."""
    cluster = LocalCluster.open(tmp_path_factory.mktemp("cluster"), node_count=3, ask=ask_report)
    try:
        cluster.start()
        cluster.wait_until_ready()
        yield cluster
    finally:
        for node in cluster.nodes:
            cluster.kill(node)
        cluster.stop()


@pytest.fixture
def cluster(grown):
    """All of its nodes run, and nothing changes."""
    for node in grown.nodes:
        if not node.is_running:
            grown.start_node(node)
    wait_for(lambda: has_settled(grown, len(grown.nodes)), "nothing changes", 60)
    return grown


@pytest.fixture
def writers():
    """Starts writers, and stops them at the end of the test at the latest."""
    started = []

    def start(cluster, groups=GROUPS[:4]):
        started.extend(Writer(cluster, group) for group in groups)
        return started[-len(groups) :]

    yield start
    for writer in started:
        writer.stop()


def report_of(node):
    return ask_report((node.ip, node.meta_port))


def running(cluster):
    """The nodes that answer, by identifier."""
    reports = {node.name: report_of(node) for node in cluster.nodes if node.is_running}
    return {reports[node.name].node.identifier: node for node in cluster.nodes if reports.get(node.name) is not None}


def has_settled(cluster, size):
    """True when so many nodes are members, and every group is on exactly the nodes that it should be on."""
    nodes = running(cluster)
    reports = [report_of(node) for node in nodes.values()]
    if len(nodes) != size or any(each is None or each.blind or each.change for each in reports):
        return False
    if any(len(each.members) != size or set(each.states.values()) != {"voter"} for each in reports):
        return False
    held = {each.node.identifier: {group.header for group in each.groups if group.members} for each in reports}
    wanted = reports[0].group_members
    return all(
        held[identifier] == {None, *(header for header, members in wanted.items() if identifier in members)}
        for identifier in nodes
    )


def check_on_every_member(cluster, rows):
    """Each acknowledged row is on each member of its group, and nothing that nobody wrote."""
    nodes = running(cluster)
    report = report_of(next(iter(nodes.values())))
    for writer in rows:
        for member in report.group_members[report.storage_groups[writer.group]]:
            node = nodes[member]
            promised = dict(writer.acknowledged)  # the writer may go on
            with SeriesReader([(node.ip, node.meta_port)], at=(node.ip, node.data_port)) as reader:
                series = reader.read(f"{writer.group}.d.v")
            found = dict(zip(series.times.tolist(), series.values.tolist(), strict=True))
            missing = promised.keys() - found.keys()
            assert not missing, f"{writer.group} on {node.name}: {len(missing)} rows are lost"
            assert {number * 3 for number in found} == set(found.values()), f"{writer.group} on {node.name}"


def address(node):
    return f"{node.ip}:{node.meta_port}"


def last_line(node):
    return (node.folder / "output.txt").read_text().strip().splitlines()[-1]


def test_a_node_joins_and_leaves_while_clients_write(cluster, writers, run_command):
    size = len(cluster.nodes)
    rows = writers(cluster)
    wait_for(all_written(rows, 50), "rows before")
    added = cluster.add_node()
    wait_for(lambda: has_settled(cluster, size + 1), "the new node is in", 60)
    assert {4} == {len(report_of(added).groups)}  # the meta group, and as many data groups as there are replicas
    wait_for(all_written(rows, 50), "rows with one node more")
    check_on_every_member(cluster, rows)

    unknown = run_command("remove", "127.0.0.1:1", "--meta", address(cluster.nodes[0]))
    assert (1, True) == (unknown.returncode, "no node with this address" in unknown.stdout)
    gone = run_command("remove", address(added), "--meta", address(cluster.nodes[0]))
    assert 0 == gone.returncode, gone.stdout + gone.stderr
    assert "removed" == gone.stdout.splitlines()[-1]
    assert 0 == added.process.wait(20)
    cluster.nodes.remove(added)
    wait_for(lambda: has_settled(cluster, size), "the others are settled", 60)
    wait_for(all_written(rows, 20), "rows without it")
    for writer in rows:
        writer.stop()
    check_on_every_member(cluster, rows)
    # Its folder is never started again, and says why.
    for mode in ("-s", "-a"):
        cluster.start_node(added, mode=mode)
        assert 2 == added.process.wait(30)
        assert "was removed from its cluster" in last_line(added)


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
