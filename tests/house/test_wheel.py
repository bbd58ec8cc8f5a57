"""What is installed from a wheel is whole, without anything that only people and tests need."""

import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--quiet", "--no-deps", "-w", str(folder), str(PROJECT)], check=True)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def bare_python(wheel, tmp_path_factory):
    """A fresh environment with the wheel and what a node needs."""
    folder = tmp_path_factory.mktemp("venv")
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    command = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([python, *command, "-c", PROJECT / "constraints.txt", wheel], check=True)
    return python


def test_the_idl_travels_in_the_wheel(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    for name in ("cluster.thrift", "rpc.thrift", "extension.thrift"):
        assert f"iotdb_cluster/idl/{name}" in names
    assert not [name for name in names if name.startswith(("tests/", "bench/", "data/"))]


def test_a_node_runs_from_it_and_loads_nothing_of_the_extras(bare_python, tmp_path):
    code = (
        "import sys, iotdb_cluster.server.node, iotdb_cluster.wire.idl as idl;"
        "assert 'site-packages' in str(idl.thrift_folder()), idl.thrift_folder();"
        "extras = {'pandas', 'duckdb', 'matplotlib', 'rich', 'typer'} & set(sys.modules);"
        "assert not extras, extras"
    )
    subprocess.run([bare_python, "-c", code], check=True, cwd=tmp_path)


def test_without_its_extra_the_command_says_what_to_install(bare_python, tmp_path):
    command = bare_python.parent / "iotdb-cluster"
    done = subprocess.run([command, "--help"], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert (1, "") == (done.returncode, done.stdout)
    assert "iotdb-cluster: this command needs more: pip install 'iotdb-cluster[cli]'" == done.stderr.strip()
