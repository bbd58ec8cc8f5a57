"""What stops a start, in one clear line; and how a node ends."""

import signal
import socket
import subprocess
import sys
import time

import pytest

from tests.process.conftest import wait_for

pytestmark = pytest.mark.process


def start(conf):
    """Run `python -m iotdb_cluster -s` to its end."""
    command = [sys.executable, "-m", "iotdb_cluster", "-s", "-c", str(conf)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def refusal(done):
    """The one line of a refused start."""
    assert 2 == done.returncode, done.stderr
    lines = [line for line in done.stderr.splitlines() if not line.startswith("{")]
    assert 1 == len(lines), done.stderr
    assert lines[0].startswith("iotdb-cluster: ")
    return lines[0]


def test_an_unknown_setting_stops_the_start(tmp_path):
    (tmp_path / "iotdb-cluster.yaml").write_text("replica_numb: 3\n")
    line = refusal(start(tmp_path))
    assert f"{tmp_path / 'iotdb-cluster.yaml'}: replica_numb: there is no such setting" in line


def test_a_port_in_use_stops_the_start(cluster_of):
    cluster = cluster_of(1)
    node = cluster.nodes[0]
    cluster.kill(node)
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", node.data_port))
        taken.listen()
        line = refusal(start(node.folder / "conf"))
    assert str(node.data_port) in line


def test_a_disk_that_fails_is_worth_another_start(tmp_path):
    (tmp_path / "file").write_text("where a folder should be")
    (tmp_path / "iotdb-cluster.yaml").write_text(f"data_dir: {tmp_path / 'file' / 'data'}\n")
    done = start(tmp_path)
    assert 1 == done.returncode, done.stderr
    assert str(tmp_path / "file" / "data") in done.stderr


def test_a_folder_of_a_running_node_stops_the_start(cluster_of, tmp_path):
    node = cluster_of(1).nodes[0]
    conf = tmp_path / "other" / "conf"
    conf.mkdir(parents=True)
    text = (node.folder / "conf" / "iotdb-cluster.yaml").read_text()
    for port in (node.meta_port, node.data_port, node.client_port):
        text = text.replace(str(port), str(port + 1))
    (conf / "iotdb-cluster.yaml").write_text(text.replace("data_dir: .", f"data_dir: {node.folder}"))
    assert str(node.folder) in refusal(start(conf))


@pytest.mark.parametrize("stop_signal", [signal.SIGTERM, signal.SIGINT])
def test_a_node_ends_within_five_seconds_when_told(cluster_of, stop_signal):
    cluster = cluster_of(3)
    node = cluster.nodes[1]
    assert (node.folder / "node.pid").read_text().strip() == str(node.pid)
    begun = time.monotonic()
    node.process.send_signal(stop_signal)
    assert 0 == node.process.wait(timeout=10)
    assert time.monotonic() - begun < 5
    assert not (node.folder / "node.pid").exists()


def test_a_damaged_log_stops_the_start_with_file_and_offset(cluster_of, run_command):
    cluster = cluster_of(1)
    node = cluster.nodes[0]
    cluster.stop()
    segment = max(
        (path for path in (node.folder / "raft").rglob("*") if path.is_file()), key=lambda p: p.stat().st_size
    )
    data = bytearray(segment.read_bytes())
    data[len(data) // 3] ^= 0x40
    segment.write_bytes(data)
    line = refusal(start(node.folder / "conf"))
    assert segment.name in line
    assert "offset" in line
    # The way out that the message names says the same.
    done = run_command("check", str(node.folder))
    assert 1 == done.returncode
    assert f"damaged: raft/{segment.name}, offset " in done.stdout


def test_a_folder_in_order_is_said_to_be(cluster_of, run_command, tmp_path):
    cluster = cluster_of(1)
    node = cluster.nodes[0]
    done = run_command("check", str(node.folder))
    assert (1, True) == (done.returncode, "the node runs; stop it first" in done.stderr)
    cluster.stop()
    done = run_command("check", str(node.folder))
    assert (0, f"{node.folder}: nothing is damaged\n") == (done.returncode, done.stdout)
    done = run_command("check", str(tmp_path))
    assert (1, True) == (done.returncode, "is not the folder of a node" in done.stderr)


def test_the_log_goes_to_the_nodes_folder(cluster_of):
    node = cluster_of(1).nodes[0]
    wait_for(lambda: (node.folder / "log" / "node.log").stat().st_size > 0, "a line in the log")
