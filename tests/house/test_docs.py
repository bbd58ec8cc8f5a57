"""What README and docs say exists, does."""

import re
import shutil
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
import typer.main

from iotdb_cluster.cli.main import app
from iotdb_cluster.settings import Settings

PROJECT = Path(__file__).resolve().parents[2]
OWN_PAGES = [PROJECT / "README.md", *sorted((PROJECT / "docs").glob("*.md"))]
PAGES = [*OWN_PAGES, *sorted((PROJECT / "docs" / "interface").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        if not target.startswith(("http://", "https://")):
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", OWN_PAGES, ids=lambda page: page.name)
def test_make_targets_exist(page):
    targets = set(re.findall(r"(?m)^([a-z-]+):", (PROJECT / "Makefile").read_text()))
    # docs/design.md and its like name what is to come, too.
    if page.name in ("README.md", "operations.md", "architecture.md", "compatibility.md"):
        for name in re.findall(r"(?m)(?:`|^)make ([a-z][a-z-]*)", page.read_text()):
            assert name in targets, name


@pytest.mark.parametrize("name", ["README.md", "docs/operations.md", "docs/architecture.md", "docs/compatibility.md"])
def test_commands_and_settings_exist(name):
    text = (PROJECT / name).read_text()
    commands = set(typer.main.get_command(app).commands)
    for command in re.findall(r"(?m)(?:`|^|\$ )iotdb-cluster ([a-z]+)", text):
        assert command in commands, command
    settings = {item.name for item in fields(Settings)}
    for word in re.findall(r"`([a-z]+(?:_[a-z]+)*_(?:ms|mb|bytes|entries|count|num|port|size|nodes))`", text):
        assert word in settings, word


def test_scripts_that_are_named_exist():
    for page in OWN_PAGES[:1] + [PROJECT / "docs" / "operations.md"]:
        for script in re.findall(r"sbin/[a-z-]+\.sh", page.read_text()):
            assert (PROJECT / script).is_file(), script


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_the_systemd_unit_is_one(tmp_path):
    unit = (PROJECT / "docs" / "iotdb-cluster.service").read_text()
    assert "python -m iotdb_cluster -s -c /etc/iotdb-cluster" in unit
    unit = unit.replace("/opt/iotdb-cluster/.venv/bin/python", sys.executable).replace("User=iotdb\n", "")
    path = tmp_path / "iotdb-cluster.service"
    path.write_text(unit.replace("/opt/iotdb-cluster", str(tmp_path)))
    done = subprocess.run(["systemd-analyze", "verify", path], capture_output=True, text=True, check=False, timeout=60)
    # It also speaks of units of the machine itself.
    assert [] == [line for line in done.stderr.splitlines() if "iotdb-cluster" in line]


def test_ci_runs_the_test_command_that_the_readme_names():
    assert "make test " in (PROJECT / "README.md").read_text()
    assert re.search(r"(?m)^stage test \d+ make test$", (PROJECT / ".ci" / "run").read_text())


def test_python_in_the_readme_imports(tmp_path):
    for block in re.findall(r"```python\n(.*?)```", (PROJECT / "README.md").read_text(), re.DOTALL):
        compile(block, "README.md", "exec")
        imports = "\n".join(line for line in block.splitlines() if line.startswith("from iotdb_cluster"))
        exec(imports, {})  # noqa: S102
