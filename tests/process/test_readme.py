"""The README's first minute, as a newcomer types it."""

import json
import os
import re
import subprocess
import sys

import pytest

from iotdb_cluster.cli.local_cluster import choose_ports
from tests.process.conftest import COMMAND, PROJECT

pytestmark = pytest.mark.process


@pytest.fixture
def shell(tmp_path):
    """Runs a line of shell where `iotdb-cluster` is this project's command."""
    script = tmp_path / "bin" / "iotdb-cluster"
    script.parent.mkdir()
    script.write_text(f'#!/bin/sh\nexec {" ".join(COMMAND)} "$@"\n')
    script.chmod(0o755)
    environment = os.environ | {"PATH": f"{script.parent}:{os.environ['PATH']}", "PYTHONPATH": str(PROJECT)}

    def run(line, **more):
        return subprocess.Popen(
            ["bash", "-c", line], cwd=PROJECT, env=environment | more, stdout=subprocess.PIPE, text=True
        )

    return run


def test_the_first_minute(shell, tmp_path):
    text = (PROJECT / "README.md").read_text()
    (block,) = re.findall(r"## One minute to a first query\n\n```sh\n(.*?)```", text, re.DOTALL)
    _, start, _, *rest = block.replace("\\\n", "").splitlines()
    ((_, _, port),) = choose_ports(1, None)
    start = start.replace("55560", str(port)).replace("/tmp/my-cluster", str(tmp_path / "c")).removesuffix(" &")
    cluster = shell(f"exec {start}")
    try:
        assert 3 == len(json.loads(cluster.stdout.readline())["nodes"])
        node = f"127.0.0.1:{port}"
        out, _ = shell("set -e\n" + "\n".join(rest), IOTDB_NODE=node).communicate(timeout=60)
        points, header, *lines = out.splitlines()
        rows, table = lines[:25], lines[25:]
        assert ("94122 points", "time,root.weather.sand_point.temperature") == (points, header)
        assert "1995-02-02T09:00:00.000+00:00" == rows[0].split(",")[0]
        assert "1495 19.4" == " ".join(table[-1].split())
        (python,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
        python = python.replace("127.0.0.1:55560", node)
        done = subprocess.run([sys.executable, "-c", python], capture_output=True, text=True, timeout=60, check=False)
        assert ["1600000000000 21.5", "1600000001000 21.6"] == done.stdout.splitlines(), done.stderr
    finally:
        cluster.terminate()
        cluster.wait(30)
