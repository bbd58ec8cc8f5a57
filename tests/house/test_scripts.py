"""The scripts of sbin/ say what is missing before anything is started."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
SCRIPTS = sorted(path.name for path in (PROJECT / "sbin").glob("*-node.sh"))


def complaint(script: str, python: Path, *arguments: str) -> str:
    """The one line on standard error of a script that fails."""
    done = subprocess.run(
        [PROJECT / "sbin" / script, *arguments],
        env=os.environ | {"IOTDB_PYTHON": str(python)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (1, "") == (done.returncode, done.stdout)
    (line,) = done.stderr.splitlines()
    return line


def stand_in(path: Path, body: str) -> Path:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


def arguments_of(script: str, conf: str) -> list[str]:
    return ["-c", conf, *(["127.0.0.1", "1"] if script == "remove-node.sh" else [])]


@pytest.mark.parametrize("script", SCRIPTS)
def test_an_old_python_or_none_is_named(tmp_path: Path, script: str) -> None:
    old = stand_in(tmp_path / "old", "exit 1")
    for python in (old, tmp_path / "none"):
        line = complaint(script, python, *arguments_of(script, str(tmp_path)))
        assert f"{script}: {python}: is no Python 3.11 or later; IOTDB_PYTHON names another" == line


def test_a_python_without_the_libraries_is_told_how_to_get_them(tmp_path: Path) -> None:
    bare = stand_in(tmp_path / "bare", 'case "$2" in *numpy*) exit 1 ;; esac')
    line = complaint("start-node.sh", bare, "-c", str(tmp_path))
    assert f"start-node.sh: {bare}: lacks what a node needs: say '{bare} -m pip install {PROJECT}'" in line


def test_a_configuration_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    line = complaint("start-node.sh", Path(sys.executable), "-c", str(tmp_path / "none"))
    assert f"start-node.sh: {tmp_path / 'none'}: there is no such configuration folder; -c names one" == line
