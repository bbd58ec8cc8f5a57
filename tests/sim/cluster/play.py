"""Which world a cluster seed is played in."""

from collections.abc import Callable

from tests.sim.cluster.growth import MovingWorld
from tests.sim.cluster.world import Result, World

MOVING_EVERY = 8
"""Of so many seeds one has nodes that join and leave among its faults, and slots that follow them."""


def play(seed: int, show: Callable[[str], None] | None = None) -> Result:
    """One cluster seed from its beginning to its judgement."""
    world = MovingWorld if seed % MOVING_EVERY == 0 else World
    return world(str(seed), show).run()
