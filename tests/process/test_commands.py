"""What people type: import, read, status, and the scripts."""

import ctypes
import json
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from iotdb_cluster.cli.local_cluster import LOOPBACK, choose_ports
from iotdb_cluster.client.operators import ask_report
from tests.process.conftest import PROJECT, is_alive, wait_for

pytestmark = pytest.mark.process

PR_SET_CHILD_SUBREAPER = 36
"""From linux/prctl.h."""

CSV = """\
time,root.farm.field.temperature,root.farm.field.wet,root.farm.field.note
2020-01-01T00:00:00+01:00,1.5,true,"a ""word"", or two"
2020-01-01T01:00:00+01:00,,false,
2020-01-01T02:00:00+01:00,-3.25,,last
"""


def test_a_file_comes_in_and_goes_out_again(cluster_of, run_command, tmp_path):
    cluster = cluster_of(3)
    file = tmp_path / "field.csv"
    file.write_text(CSV)
    node = f"127.0.0.1:{cluster.nodes[0].client_port}"
    types = "temperature=FLOAT,wet=BOOLEAN,note=TEXT"
    done = run_command("import", str(file), "--types", types, "--node", node)
    assert (0, "6 points\n") == (done.returncode, done.stdout)
    # Any node gives the same answer.
    for each in cluster.nodes:
        done = run_command("read", "root.farm.field.temperature", "--node", f"127.0.0.1:{each.client_port}")
        assert 0 == done.returncode, done.stderr
        assert [
            "time,root.farm.field.temperature",
            "2019-12-31T23:00:00.000+00:00,1.5",
            "2020-01-01T01:00:00.000+00:00,-3.25",
        ] == done.stdout.splitlines()
    done = run_command("read", "root.farm.field.note", "--node", node, "--end", "2020-01-01T00:00:00Z")
    assert '2019-12-31T23:00:00.000+00:00,"a ""word"", or two"' == done.stdout.splitlines()[1]


def test_what_goes_wrong_is_one_line(cluster_of, run_command, tmp_path):
    node = f"127.0.0.1:{cluster_of(1).nodes[0].client_port}"
    file = tmp_path / "bad.csv"
    file.write_text("time,root.a.b.c\n1,x\n")
    for arguments, expected in (
        (("read", "root.no.such.series", "--node", node), "root.no.such.series"),
        (("read", "root.a.b.c", "--node", node, "--password", "wrong"), "600 WRONG_LOGIN_PASSWORD_ERROR"),
        (("import", str(file), "--types", "c=INT32", "--node", node), "line 2, column 'root.a.b.c': 'x' is no INT32"),
        (("import", str(file), "--types", "c=NUMBER", "--node", node), "is not name=TYPE"),
        (("import", str(tmp_path / "none.csv"), "--types", "c=INT32", "--node", node), "No such file"),
        (("status", "--meta", "127.0.0.1:1"), "127.0.0.1:1 does not answer"),
        (("status", "--meta", "nowhere"), "host:port is needed"),
    ):
        done = run_command(*arguments)
        assert (1, "") == (done.returncode, done.stdout), done
        assert expected in done.stderr.splitlines()[-1]
        assert "Traceback" not in done.stderr


def test_status_shows_a_lost_node_and_the_groups_that_go_on(cluster_of, run_command):
    cluster = cluster_of(3)
    lost, asked = cluster.nodes[0], cluster.nodes[1]
    cluster.kill(lost)

    def others_lead():
        report = ask_report((asked.ip, asked.meta_port))
        return all(group.leader not in (None, lost.identifier) for group in report.groups)

    wait_for(others_lead, "leaders among the others")
    done = run_command("status", "--json", "--meta", f"127.0.0.1:{asked.meta_port}")
    status = json.loads(done.stdout)
    alive = {node["identifier"]: node["alive"] for node in status["nodes"]}
    assert {lost.identifier: False, **{node.identifier: True for node in cluster.nodes[1:]}} == alive
    assert 10_000 == sum(node["slots"] for node in status["nodes"])
    assert 4 == len(status["groups"])
    for group in status["groups"]:
        assert {"group", "header", "leader", "term", "commit", "members"} == set(group)
        assert alive[group["leader"]]
    text = run_command("status", "--meta", f"127.0.0.1:{asked.meta_port}").stdout
    assert "2 of 3 nodes alive" in text
    assert "no answer" in text


@pytest.fixture
def alone(tmp_path):
    """The configuration folder, in the original's form, of a node that is its own cluster."""
    ((meta, data, client),) = choose_ports(1, None)
    conf = tmp_path / "home" / "conf"
    conf.mkdir(parents=True)
    (conf / "iotdb-cluster.properties").write_text(
        f"LOCAL_IP={LOOPBACK}\nLOCAL_META_PORT={meta}\nLOCAL_DATA_PORT={data}\nLOCAL_CLIENT_PORT={client}\n"
        f"SEED_NODES={LOOPBACK}:{meta}:{data}\nREPLICA_NUM=1\nENABLE_THRIFT_COMPRESSION=true\n"
    )
    return conf, meta, tmp_path / "home" / "run" / f"node-{meta}"


def script(name, *arguments):
    return subprocess.run(
        [PROJECT / "sbin" / name, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=os.environ | {"IOTDB_PYTHON": sys.executable},
    )


@pytest.fixture
def nothing_reaps():
    """Orphans become children of this process and stay zombies when they end, as in a container without an init."""
    prctl = ctypes.CDLL(None).prctl
    assert 0 == prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    before = {child.pid for child in psutil.Process().children()}
    yield
    prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
    for child in psutil.Process().children():
        if child.pid not in before:
            child.wait(10)


@pytest.mark.parametrize("reaped", [True, False])
def test_a_node_is_started_and_stopped_by_script(alone, reaped, request):
    if not reaped:
        request.getfixturevalue("nothing_reaps")
    conf, meta, folder = alone
    begun = script("start-node.sh", "-c", str(conf), "-d")
    assert 0 == begun.returncode, begun.stderr
    pid = int((folder / "node.pid").read_text())
    try:
        assert f"process {pid}" in begun.stdout
        report = ask_report((LOOPBACK, meta))
        assert pid == report.pid
        again = script("start-node.sh", "-c", str(conf), "-d")
        assert (1, True) == (again.returncode, f"runs already as process {pid}" in again.stderr)
        assert any((folder / "log").iterdir())
    finally:
        stopped = script("stop-node.sh", "-c", str(conf))
    assert (0, f"node stopped (process {pid})\n") == (stopped.returncode, stopped.stdout)
    assert not is_alive(pid)
    none = script("stop-node.sh", "-c", str(conf))
    assert (1, True) == (none.returncode, "no node runs in" in none.stderr)


def test_a_start_behind_the_scenes_that_is_refused_says_why(alone):
    conf, _, _ = alone
    path = Path(conf, "iotdb-cluster.properties")
    path.write_text(path.read_text() + "REPLICA_NUM=none\n")
    done = script("start-node.sh", "-c", str(conf), "-d")
    assert 2 == done.returncode
    assert "REPLICA_NUM = 'none': must be a whole number" in done.stderr
