"""The network between nodes and clients: it loses, delays, repeats, reorders and cuts, by chance and by order.

It carries messages as bytes. A message is a *send*: what the receiver does with it, and the answer, are sends of their
own, so a lost answer is a call that was carried out.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from random import Random

from tests.sim.cluster.scheduler import MS, Act, Scheduler
from tests.sim.cluster.trace import Trace

Place = str
"""Who sends and receives: a node by its number, or a client."""


@dataclass(slots=True)
class Weather:
    """How the network behaves for everyone; drawn per seed, all calm in the quiet phases."""

    delay_min_us: int = 100
    delay_max_us: int = 1_000
    tail_chance: float = 0.0
    tail_max_us: int = 200 * MS
    loss: float = 0.0
    answer_loss: float = 0.0
    repeat: float = 0.0
    repeat_late_max_us: int = 120_000 * MS


@dataclass(slots=True)
class Network:
    """Links between places. `cut` holds pairs in the direction in which nothing passes any more."""

    scheduler: Scheduler
    random: Random
    trace: Trace
    weather: Weather = field(default_factory=Weather)
    cut: set[tuple[Place, Place]] = field(default_factory=set)
    slow: dict[Place, int] = field(default_factory=dict)
    """Places whose messages take so many times longer."""
    busy_us: dict[Place, int] = field(default_factory=dict)
    """How far a place is ahead of now in what it is doing: it is in the middle of a turn that takes time."""
    crashed_us: dict[Place, int] = field(default_factory=dict)
    """When a place crashed last: what it would have sent after that never leaves it."""
    carried: int = 0
    lost: int = 0
    connections: int = 0

    def passes(self, source: Place, target: Place) -> bool:
        """False while the link is cut in this direction."""
        return (source, target) not in self.cut

    def next_number(self) -> int:
        """A number for a connection, unlike that of any other."""
        self.connections += 1
        return self.connections

    def send(
        self, source: Place, target: Place, deliver: Act, *, is_answer: bool = False, can_repeat: bool = True
    ) -> None:
        """Bring a message over, or lose it; `deliver` may be called twice, the second time much later."""
        weather, random = self.weather, self.random
        if not self.passes(source, target) or random.random() < (weather.answer_loss if is_answer else weather.loss):
            self.lost += 1
            return
        self.carried += 1
        arrival = self._arrival(source, target, deliver)
        self.scheduler.after(self.busy_us.get(source, 0) + self._delay_us(source, target), arrival)
        if can_repeat and random.random() < weather.repeat:
            late_us = random.choice([weather.delay_max_us, weather.tail_max_us, weather.repeat_late_max_us])
            again_us = self._delay_us(source, target) + random.randint(0, late_us)
            self.scheduler.after(self.busy_us.get(source, 0) + again_us, arrival)

    def _arrival(self, source: Place, target: Place, deliver: Act) -> Act:
        sent_us = self.scheduler.now_us
        leaves_us = sent_us + self.busy_us.get(source, 0)

        def arrive() -> None:
            never_left = sent_us <= self.crashed_us.get(source, -1) < leaves_us
            # A cut takes with it what is on its way.
            if self.passes(source, target) and not never_left:
                deliver()

        return arrive

    def _delay_us(self, source: Place, target: Place) -> int:
        weather, random = self.weather, self.random
        delay_us = random.randint(weather.delay_min_us, weather.delay_max_us)
        if weather.tail_chance and random.random() < weather.tail_chance:
            delay_us += random.randint(0, weather.tail_max_us)
        return delay_us * max(self.slow.get(source, 1), self.slow.get(target, 1))

    # -- what a nemesis does -------------------------------------------------------------------------------------------

    def cut_one_way(self, sources: Iterable[Place], targets: Iterable[Place]) -> None:
        """Nothing passes from any of `sources` to any of `targets`."""
        receivers = sorted(targets)
        self.cut |= {(source, target) for source in sources for target in receivers if source != target}

    def split(self, one_side: Iterable[Place], other_side: Iterable[Place]) -> None:
        """Nothing passes between the sides."""
        left, right = sorted(one_side), sorted(other_side)
        self.cut_one_way(left, right)
        self.cut_one_way(right, left)

    def heal(self) -> None:
        """Every link works again, at its usual pace."""
        self.cut.clear()
        self.slow.clear()
