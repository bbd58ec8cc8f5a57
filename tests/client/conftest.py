"""A real node for the tests that ask queries."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.services.rig import RunningNode, one_node


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    folder: Path = tmp_path_factory.mktemp("node")
    with one_node(folder, enable_auto_create_schema=True) as running:
        yield running
