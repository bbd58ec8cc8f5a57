"""Which world a cluster seed is played in."""

from collections.abc import Callable

from tests.sim.cluster.growth import GrowingWorld
from tests.sim.cluster.world import Result, World

GROWING_EVERY = 8
"""Of so many seeds one has nodes that join and leave among its faults."""


def play(seed: int, show: Callable[[str], None] | None = None) -> Result:
    """One cluster seed from its beginning to its judgement."""
    world = GrowingWorld if seed % GROWING_EVERY == 0 else World
    return world(str(seed), show).run()
