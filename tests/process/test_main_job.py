"""`make run KEEP=1`: the cluster goes on, and is reached and stopped in the way that is printed."""

import re
import shlex
import subprocess

import pytest

from iotdb_cluster.client.session import Session
from iotdb_cluster.demo import __main__ as main_job
from tests.process.conftest import COMMAND, is_alive, wait_for

pytestmark = pytest.mark.process


def test_a_kept_cluster_is_reached_and_stopped_as_it_says(monkeypatch, tmp_path, capsys):
    def play(cluster, data, plot, console):
        cluster.start()
        cluster.wait_until_ready()
        with Session([(cluster.nodes[0].ip, cluster.nodes[0].client_port)]) as session:
            session.insert_row("root.site00.greensboro", 1, ["temperature"], [21.5])
        return True

    monkeypatch.setitem(main_job.SCENES, "load-and-lose", play)
    assert 0 == main_job.main(["--dir", str(tmp_path), "--keep"])
    said = capsys.readouterr().out
    pids = [int(pid) for pid in re.search(r"to stop it: kill ([\d ]+);", said).group(1).split()]
    try:
        assert [True] * 3 == [is_alive(pid) for pid in pids]
        commands = [
            shlex.split(line)[1:] for line in said.splitlines() if line.startswith("  /") and "iotdb-cluster" in line
        ]
        assert ["status", "read"] == [command[0] for command in commands]
        shown, read = (
            subprocess.run([*COMMAND, *each], capture_output=True, text=True, check=True) for each in commands
        )
        assert "3 of 3 nodes alive" in shown.stdout
        assert "21.5" in read.stdout
    finally:
        subprocess.run(["kill", *map(str, pids)], check=True)
    wait_for(lambda: not any(map(is_alive, pids)), "they have stopped")
