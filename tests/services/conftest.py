"""One cluster of one node and one of three, for the whole run; each test writes to storage groups of its own."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from iotdb_cluster.partition.slots import slot_of
from iotdb_cluster.types.identity import Slot
from tests.services.rig import LoggedIn, RunningNode, code, logged_in, new_nodes, one_node, running, stock

FETCH_SIZE = 100


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    """A cluster of one node."""
    with one_node(tmp_path_factory.mktemp("one"), fetch_size=FETCH_SIZE) as started:
        yield started


@pytest.fixture(scope="session")
def trio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sequence[RunningNode]]:
    """A cluster of three nodes of which two keep each point."""
    calm = {"heartbeat_interval_ms": 100, "election_timeout_min_ms": 600, "election_timeout_max_ms": 1_200}
    with running(new_nodes(tmp_path_factory.mktemp("three"), 3, replica_num=2, **calm)) as nodes:
        yield nodes


@pytest.fixture
def meta(node: RunningNode) -> Iterator[Any]:
    """A plain client of the meta port."""
    with stock("TSMetaService", node.meta_address) as client:
        yield client


@pytest.fixture
def data(node: RunningNode) -> Iterator[Any]:
    """A plain client of the data port."""
    with stock("TSDataService", node.data_address) as client:
        yield client


@pytest.fixture
def session(node: RunningNode) -> Iterator[LoggedIn]:
    """A session on the client port."""
    with logged_in(node) as opened:
        yield opened


@pytest.fixture(scope="session")
def new_name() -> Callable[[], str]:
    """Names of storage groups that nobody has used, each with a slot of its own: what is in a slot is the test's."""
    numbers = itertools.count(1)
    taken: set[Slot] = set()

    def new() -> str:
        name = next(name for number in numbers if slot_of(name := f"root.g{number}") not in taken)
        taken.add(slot_of(name))
        return name

    return new


@pytest.fixture
def sg(session: LoggedIn, new_name: Callable[[], str]) -> str:
    """A storage group of the one node, empty."""
    name = new_name()
    assert 200 == code(session.set_storage_group(name))
    return name
