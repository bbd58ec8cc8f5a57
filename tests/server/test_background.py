"""Work that nobody waits for, and work that somebody does."""

import threading
from collections.abc import Iterator

import pytest

from iotdb_cluster.server.loop import Background

PATIENCE_S = 10.0


@pytest.fixture
def background() -> Iterator[Background]:
    faults: list[BaseException] = []
    background = Background(faults.append)
    background.start()
    yield background
    assert background.stop(PATIENCE_S)
    assert [] == faults


def test_what_is_urgent_waits_for_nothing_that_is_not(background: Background) -> None:
    """A seal behind a fence, for which writers wait, once waited for a second for another group's seal."""
    done, go_on = threading.Event(), threading.Event()
    background.submit(go_on.wait)
    background.submit(done.set, is_urgent=True)
    assert done.wait(PATIENCE_S)
    go_on.set()


def test_the_rest_is_done_in_its_order(background: Background) -> None:
    order: list[int] = []
    over = threading.Event()
    for number in range(3):
        background.submit(lambda number=number: order.append(number))
    background.submit(over.set)
    assert over.wait(PATIENCE_S)
    assert [0, 1, 2] == order
