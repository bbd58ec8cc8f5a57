"""While a node leaves: it forwards what it can't do itself, or says 704; who wants to come in meanwhile asks again."""

import pytest

from iotdb_cluster.errors import StatusCode
from tests.process.clusters import address, has_settled, log_of, report_of
from tests.process.conftest import wait_for
from tests.process.moving import leader_of, moving_groups, random_points, written
from tests.services.rig import LoggedIn, said, stock, stranger

pytestmark = pytest.mark.process

POINTS = 800_000
MORE_POINTS = 2 * POINTS
IDENTIFIER_CONFLICT = -5


@pytest.mark.timeout(300)
def test_a_write_to_a_leaving_node_is_forwarded_or_answered_704_when_that_is_impossible(cluster_of, run_command):
    cluster = cluster_of(4, slot_move_mb_per_second=1, write_deadline_ms=2_000)
    leaving, *others = cluster.nodes
    gone = report_of(leaving).node.identifier
    moving = next(name for name, source, _ in moving_groups(cluster, without=gone) if source == gone)
    elsewhere = next(name for name, source, _ in moving_groups(cluster) if leader_of(cluster, source) in others)
    written(cluster, {**random_points([moving], POINTS), elsewhere: [1.5]})
    asked = run_command("remove", address(leaving), "--meta", address(others[0]), "--no-wait")
    assert 3 == asked.returncode, asked.stdout + asked.stderr
    wait_for(lambda: is_leaving(leaving), "it knows that it leaves")
    with stock("TSIService", (leaving.ip, leaving.client_port)) as client:
        session = LoggedIn(client)
        assert StatusCode.SUCCESS_STATUS == said(session.insert(f"{elsewhere}.bulk", 10, v="2.5"))[0]
        for node in others:
            cluster.kill(node)
        code, message = said(session.insert(f"{elsewhere}.bulk", 11, v="3.5"))
    assert (StatusCode.NODE_READ_ONLY, True) == (code, "this node leaves the cluster" in message), message
    assert "it had no effect" in message
    for node in others:
        cluster.start_node(node)
    assert 0 == leaving.process.wait(90)
    cluster.nodes.remove(leaving)
    wait_for(lambda: has_settled(cluster, 3), "the others are settled", 60)
    with stock("TSIService", (others[0].ip, others[0].client_port)) as client:
        assert StatusCode.SUCCESS_STATUS == said(LoggedIn(client).insert(f"{moving}.bulk", POINTS, v="4.5"))[0]


@pytest.mark.timeout(300)
def test_who_wants_to_come_in_while_another_leaves_is_told_to_ask_again_and_gets_in(cluster_of, run_command):
    cluster = cluster_of(4, slot_move_mb_per_second=1, connection_time_out_ms=3_000)
    leaving, *others = cluster.nodes
    gone = report_of(leaving).node.identifier
    moving = next(name for name, source, _ in moving_groups(cluster, without=gone) if source == gone)
    written(cluster, random_points([moving], MORE_POINTS))
    asked = run_command("remove", address(leaving), "--meta", address(others[0]), "--no-wait")
    assert 3 == asked.returncode, asked.stdout + asked.stderr
    with stock("TSMetaService", (others[0].ip, others[0].meta_port)) as meta:
        assert IDENTIFIER_CONFLICT == meta.addNode(stranger(report_of(others[0]).node.identifier)).respNum
    added = cluster.add_node()
    wait_for(lambda: "answers -10" in log_of(added), "it is told to ask again", 60)
    assert 0 == leaving.process.wait(90)
    cluster.nodes.remove(leaving)
    wait_for(lambda: has_settled(cluster, 4), "the new one is in, the other is gone", 90)


def is_leaving(node):
    report = report_of(node)
    return report is not None and report.states.get(report.node.identifier) == "leaving"
