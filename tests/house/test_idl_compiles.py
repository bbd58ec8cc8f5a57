"""The IDL is good for Apache's compiler, too, so that clients in other languages can be generated from it."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

IDL = Path(__file__).resolve().parents[2] / "thrift"


@pytest.fixture(scope="module")
def compiler():
    found = shutil.which("thrift")
    if found is None:
        if os.environ.get("CI"):
            pytest.fail("the thrift compiler is not installed")
        pytest.skip("the thrift compiler is not installed")
    return found


@pytest.mark.parametrize("language", ["java", "py", "go", "js:node", "cpp"])
@pytest.mark.parametrize("name", ["rpc.thrift", "cluster.thrift", "extension.thrift"])
def test_the_idl_compiles(tmp_path, compiler, name, language):
    command = [compiler, "-strict", "-r", "--gen", language, "-out", str(tmp_path), str(IDL / name)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert 0 == done.returncode, done.stderr
    assert any(path.is_file() for path in tmp_path.rglob("*"))
