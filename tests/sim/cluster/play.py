"""Which world a cluster seed is played in."""

from collections.abc import Callable

from tests.sim.cluster.growth import GrowingWorld, MovingWorld
from tests.sim.cluster.world import Result, World

GROWING_EVERY = 8
"""Of so many seeds one has nodes that join and leave among its faults."""

MOVING_EVERY = 50
"""Of so many seeds one has slots besides that follow the nodes; founders leave, too."""


def play(seed: int, show: Callable[[str], None] | None = None) -> Result:
    """One cluster seed from its beginning to its judgement."""
    if seed % MOVING_EVERY == MOVING_EVERY // 2:
        return MovingWorld(str(seed), show).run()
    world = GrowingWorld if seed % GROWING_EVERY == 0 else World
    return world(str(seed), show).run()
