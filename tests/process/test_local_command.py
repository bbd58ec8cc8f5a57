"""`iotdb-cluster local`: one line when ready, runs until told, remembers its folder."""

import json
import os
import signal
import subprocess

import pytest

from iotdb_cluster.cli.local_cluster import choose_ports
from iotdb_cluster.client.operators import ask_report
from iotdb_cluster.errors import StartRefused
from tests.process.conftest import COMMAND, is_alive, wait_for

pytestmark = pytest.mark.process


@pytest.fixture
def local(tmp_path):
    """Starts `iotdb-cluster local` in tmp_path and waits for its line."""
    started = []

    def start(*arguments):
        process = subprocess.Popen(
            [*COMMAND, "local", "--dir", str(tmp_path / "c"), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process, json.loads(process.stdout.readline())["nodes"]

    yield start
    for process in started:
        if process.poll() is None:
            process.terminate()
            process.communicate(timeout=30)


def ended(process):
    """What else it printed, and its exit status."""
    out, _ = process.communicate(timeout=30)
    return out, process.returncode


@pytest.mark.parametrize("stop_signal", [signal.SIGTERM, signal.SIGINT])
def test_it_prints_one_line_and_runs_until_told(local, stop_signal):
    process, nodes = local("--nodes", "3")
    assert 3 == len(nodes) == len({node["identifier"] for node in nodes})
    for node in nodes:
        assert {"ip", "meta_port", "data_port", "client_port", "pid", "identifier", "dir"} == set(node)
        report = ask_report((node["ip"], node["meta_port"]))
        assert (node["identifier"], node["pid"]) == (report.node.identifier, report.pid)
    process.send_signal(stop_signal)
    assert ("", 0) == ended(process)
    assert not any(is_alive(node["pid"]) for node in nodes)


def test_a_node_that_dies_stays_dead_and_the_others_go_on(local):
    process, nodes = local("--nodes", "3")
    os.kill(nodes[0]["pid"], signal.SIGKILL)
    wait_for(lambda: "has ended" in process.stderr.readline(), "the message on standard error")
    assert ask_report((nodes[0]["ip"], nodes[0]["meta_port"])) is None
    assert ask_report((nodes[1]["ip"], nodes[1]["meta_port"])) is not None
    assert process.poll() is None


def first_of_two_free_ports():
    """A port that is free just now, and the next one is, too."""
    while True:
        ((_, _, port),) = choose_ports(1, None)
        try:
            choose_ports(2, port)
        except StartRefused:
            continue
        return port


def test_the_same_folder_again_is_the_same_cluster(local, run_command, tmp_path):
    first = first_of_two_free_ports()
    process, before = local("--nodes", "2", "--client-port", str(first))
    assert [first, first + 1] == [node["client_port"] for node in before]
    process.terminate()
    ended(process)
    refused = run_command("local", "--dir", str(tmp_path / "c"), "--nodes", "3")
    assert (1, "") == (refused.returncode, refused.stdout)
    assert "holds a cluster of 2 nodes, not 3" in refused.stderr
    _, after = local("--nodes", "2")
    same = ("ip", "meta_port", "data_port", "client_port", "identifier", "dir")
    assert [[node[key] for key in same] for node in before] == [[node[key] for key in same] for node in after]


def test_one_node_alone_is_a_cluster(local):
    _, nodes = local("--nodes", "1")
    report = ask_report((nodes[0]["ip"], nodes[0]["meta_port"]))
    assert {nodes[0]["identifier"]: 10_000} == report.slots
