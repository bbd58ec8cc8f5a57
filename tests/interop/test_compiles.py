"""The Thrift files are good for Apache's compiler, in the languages that clients are written in."""

import shutil
import subprocess
from pathlib import Path

import pytest

from iotdb_cluster.wire.idl import thrift_folder

COMPILER = shutil.which("thrift")
MADE = {
    "java": ("TSIService.java", "RaftService.java", "MetaExtension.java"),
    "py": ("TSIService.py", "RaftService.py", "MetaExtension.py"),
    "go": ("rpc.go", "cluster.go", "extension.go"),
    "js:node": ("TSIService.js", "RaftService.js", "MetaExtension.js"),
    "cpp": ("TSIService.cpp", "RaftService.cpp", "MetaExtension.cpp"),
}


@pytest.mark.skipif(COMPILER is None, reason="Apache's compiler is not installed (Debian package thrift-compiler)")
@pytest.mark.parametrize("language", MADE)
def test_the_interface_compiles(language: str, tmp_path: Path) -> None:
    assert COMPILER is not None
    done = subprocess.run(
        [
            COMPILER,
            "-strict",
            "-r",
            "-out",
            str(tmp_path),
            "--gen",
            language,
            str(thrift_folder() / "extension.thrift"),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert 0 == done.returncode, done.stderr
    assert "" == done.stderr + done.stdout  # no warnings either
    made = {path.name for path in tmp_path.rglob("*")}
    assert set(MADE[language]) <= made


@pytest.mark.skipif(COMPILER is None, reason="Apache's compiler is not installed (Debian package thrift-compiler)")
@pytest.mark.parametrize("file", ["cluster", "rpc"])
def test_a_mirrored_file_compiles_without_our_extension(file: str, tmp_path: Path) -> None:
    assert COMPILER is not None
    for name in ("cluster", "rpc"):
        shutil.copy(thrift_folder() / f"{name}.thrift", tmp_path)
    for language in MADE:
        command = [COMPILER, "-strict", "-out", str(tmp_path), "--gen", language, f"{file}.thrift"]
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=60)
