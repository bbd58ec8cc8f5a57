"""The examples of docs/clients.md, carried out as they stand against a real node."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.services.rig import RunningNode, one_node

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "clients.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
PRINTED = (
    ["1600005940000 29.9", "('avg(root.farm.field.temperature)',) ['DOUBLE']"],
    ["5 points", "2024-01-01 02:00:00+00:00"],
    ["['Time', 'root.farm.barn.temperature']", "[(1704146400000, 42.5), (1704150000000, 43.5)]"],
)


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    with one_node(tmp_path_factory.mktemp("node"), enable_auto_create_schema=True) as running:
        yield running


@pytest.mark.parametrize("number", range(len(PRINTED)))
def test_an_example_prints_what_it_should(node: RunningNode, number: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert len(PRINTED) == len(EXAMPLES)
    host, port = node.client_address
    exec(EXAMPLES[number].replace("127.0.0.1:55560", f"{host}:{port}"), {})  # noqa: S102
    printed = capsys.readouterr().out
    for expected in PRINTED[number]:
        assert expected in printed
