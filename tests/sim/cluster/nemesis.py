"""Faults: each begins, lasts a while and ends; what is aimed at a leader asks the world who leads at that moment."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from random import Random
from typing import Protocol

from tests.sim.cluster.network import Network, Place
from tests.sim.cluster.scheduler import MS, Scheduler
from tests.sim.cluster.trace import Trace

DAY_MS = 24 * 3_600_000


class Victim(Protocol):
    """A node, as far as faults go."""

    place: Place

    @property
    def is_alive(self) -> bool:
        """False between a crash and the next start."""

    def crash(self, *, power_loss: bool) -> None:
        """End the process at once."""

    def start(self) -> None:
        """Start the process from its folder; nothing for one that runs."""

    def stop_politely(self) -> None:
        """What SIGTERM does."""

    def pause(self) -> None:
        """What SIGSTOP does."""

    def resume(self) -> None:
        """What SIGCONT does; nothing for one that was not paused."""

    def set_time_of_day(self, by_ms: int) -> None:
        """Put the time of day forward, or back."""

    def crash_at_step(self, steps: int) -> None:
        """Cut the power at a durable step of the disk: 1 is the next one."""

    def refuse_next_sync(self) -> None:
        """Let the next sync fail: the node must stop itself."""

    def slow_disk(self, factor: int) -> None:
        """Let syncs take so many times longer; 1 is the usual speed."""

    def fill_disk(self) -> None:
        """Leave nearly no room."""

    def empty_disk(self) -> None:
        """Give the room back."""


@dataclass(frozen=True, slots=True)
class Battlefield:
    """What a nemesis may reach."""

    scheduler: Scheduler
    random: Random
    network: Network
    trace: Trace
    nodes: Sequence[Victim]
    leaders: Callable[[], Sequence[Victim]]
    """Nodes that lead some group now, in no meaningful order."""
    short_ms: int
    """About an election time-out."""


Ending = Callable[[], None]
Fault = Callable[["Nemesis"], Ending]


class Nemesis:
    """Begins faults one after the other; several may last at the same time."""

    def __init__(self, field: Battlefield, faults: Sequence[tuple[Fault, int]]) -> None:
        self.field = field
        self._faults = list(faults)
        self._endings: dict[int, Ending] = {}
        self.begun = 0
        self.calm = field.network.weather
        self.storms = 0
        self.has_given_up = False

    def add_faults(self, faults: Sequence[tuple[Fault, int]]) -> None:
        """Draw these, too, from now on."""
        self._faults += faults

    def strike(self) -> None:
        """Begin one fault and let it end by itself."""
        field = self.field
        weights = [weight for _, weight in self._faults]
        fault = field.random.choices([fault for fault, _ in self._faults], weights)[0]
        self.begun += 1
        number = self.begun
        field.trace.note("nemesis", "begins", number, fault.__name__)
        self._endings[number] = fault(self)
        lasts_ms = field.random.choice([field.short_ms // 4, field.short_ms, 3 * field.short_ms, 8 * field.short_ms])
        field.scheduler.after(lasts_ms * MS, lambda: self._end(number))

    def _end(self, number: int) -> None:
        ending = self._endings.pop(number, None)
        if ending is not None:
            self.field.trace.note("nemesis", "ends", number)
            ending()

    def give_up(self) -> None:
        """End every fault now, and begin nothing more."""
        self.has_given_up = True
        for number in sorted(self._endings):
            self._end(number)
        self.field.network.heal()

    def later(self, delay_ms: int, act: Callable[[], None]) -> None:
        """Do a further part of a fault in a while, unless all is over by then."""
        self.field.scheduler.after(delay_ms * MS, lambda: None if self.has_given_up else act())

    # -- choosing --------------------------------------------------------------------------------------------------

    def any_node(self) -> Victim:
        """A node, a leader more often than not."""
        field = self.field
        leaders = sorted(field.leaders(), key=lambda node: node.place)
        if leaders and field.random.random() < 0.6:
            return field.random.choice(leaders)
        return field.random.choice(list(field.nodes))

    def some_nodes(self) -> list[Victim]:
        """One to all of them."""
        field = self.field
        return field.random.sample(list(field.nodes), field.random.randint(1, len(field.nodes)))

    def places(self) -> list[Place]:
        """Where all nodes are."""
        return [node.place for node in self.field.nodes]


def _nothing() -> None:
    """A fault that ends by itself."""


def _each(nodes: Sequence[Victim], act: Callable[[Victim], None]) -> Ending:
    def end() -> None:
        for node in nodes:
            act(node)

    return end


# -- the network -------------------------------------------------------------------------------------------------------


def split(nemesis: Nemesis) -> Ending:
    """Two sides that can't hear each other."""
    places = nemesis.places()
    nemesis.field.random.shuffle(places)
    cut = nemesis.field.random.randint(1, max(1, len(places) - 1))
    nemesis.field.network.split(places[:cut], places[cut:])
    return nemesis.field.network.heal


def isolate(nemesis: Nemesis) -> Ending:
    """One node alone, a leader more often than not."""
    alone = nemesis.any_node().place
    nemesis.field.network.split([alone], [place for place in nemesis.places() if place != alone])
    return nemesis.field.network.heal


def one_way(nemesis: Nemesis) -> Ending:
    """One node is heard and hears nothing, or the other way round."""
    one = nemesis.any_node().place
    others = [place for place in nemesis.places() if place != one]
    if nemesis.field.random.random() < 0.5:
        nemesis.field.network.cut_one_way([one], others)
    else:
        nemesis.field.network.cut_one_way(others, [one])
    return nemesis.field.network.heal


def ring(nemesis: Nemesis) -> Ending:
    """Every node hears its two neighbours only: a majority each, and never the same one."""
    places = nemesis.places()
    count = len(places)
    for i, place in enumerate(places):
        far = [other for j, other in enumerate(places) if (j - i) % count not in (0, 1, count - 1)]
        nemesis.field.network.split([place], far)
    return nemesis.field.network.heal


def bridge(nemesis: Nemesis) -> Ending:
    """Two sides, and one node that both can hear."""
    places = nemesis.places()
    nemesis.field.random.shuffle(places)
    half = max(1, (len(places) - 1) // 2)
    nemesis.field.network.split(places[:half], places[half + 1 :])
    return nemesis.field.network.heal


def swizzle(nemesis: Nemesis) -> Ending:
    """Clog nodes one by one, and unclog them in another order."""
    field = nemesis.field
    places = nemesis.places()
    field.random.shuffle(places)
    clogged = places[: field.random.randint(1, len(places))]
    for step, place in enumerate(clogged):
        others = [other for other in places if other != place]
        nemesis.later(step * field.short_ms // 3, partial(field.network.split, [place], others))
    return field.network.heal


def slow_node(nemesis: Nemesis) -> Ending:
    """Everything to and from one node takes a hundred times longer."""
    field = nemesis.field
    place = nemesis.any_node().place
    field.network.slow[place] = field.random.choice([10, 100])
    return lambda: field.network.slow.pop(place, None) and None


def storm(nemesis: Nemesis) -> Ending:
    """Messages are lost and late everywhere."""
    network, random = nemesis.field.network, nemesis.field.random
    network.weather = replace(
        nemesis.calm,
        loss=random.choice([0.02, 0.1, 0.3]),
        answer_loss=random.choice([0.02, 0.1, 0.3]),
        tail_chance=random.choice([0.0, 0.1, 0.3]),
        repeat=random.choice([0.0, 0.1, 0.3]),
    )

    nemesis.storms += 1

    def end() -> None:
        nemesis.storms -= 1
        if nemesis.storms == 0:
            network.weather = nemesis.calm

    return end


# -- processes ---------------------------------------------------------------------------------------------------------


def kill(nemesis: Nemesis) -> Ending:
    """kill -9 of one node; what was written stays with the operating system."""
    node = nemesis.any_node()
    node.crash(power_loss=False)
    return node.start


def cut_power(nemesis: Nemesis) -> Ending:
    """One to all nodes lose their power, and what was not synced."""
    nodes = nemesis.some_nodes()
    for node in nodes:
        node.crash(power_loss=True)
    return _each(nodes, lambda node: node.start())


def restart_storm(nemesis: Nemesis) -> Ending:
    """One node crashes again as soon as it has begun."""
    field = nemesis.field
    node = nemesis.any_node()
    for turn in range(field.random.randint(2, 5)):
        at_ms = turn * field.random.randint(20, field.short_ms)
        nemesis.later(at_ms, partial(_restart, node))
    return node.start


def _restart(node: Victim) -> None:
    node.crash(power_loss=True)
    node.start()


def crash_at_step(nemesis: Nemesis) -> Ending:
    """The power goes at some durable step of a node's disk."""
    node = nemesis.any_node()
    node.crash_at_step(nemesis.field.random.choice([1, 2, 3, 5, 10, 30, 100]))
    return node.start


def stop(nemesis: Nemesis) -> Ending:
    """A planned stop."""
    node = nemesis.any_node()
    node.stop_politely()
    return node.start


def pause(nemesis: Nemesis) -> Ending:
    """A node stands still and goes on as if nothing had been."""
    nodes = nemesis.some_nodes() if nemesis.field.random.random() < 0.3 else [nemesis.any_node()]
    for node in nodes:
        node.pause()
    return _each(nodes, lambda node: node.resume())


def jump_clock(nemesis: Nemesis) -> Ending:
    """The time of day jumps on one node, by up to a day; nothing may depend on it."""
    field = nemesis.field
    nemesis.any_node().set_time_of_day(field.random.randint(-DAY_MS, DAY_MS))
    return _nothing


# -- disks -------------------------------------------------------------------------------------------------------------


def failing_sync(nemesis: Nemesis) -> Ending:
    """A sync fails: the node must stop itself."""
    node = nemesis.any_node()
    node.refuse_next_sync()
    return node.start


def slow_disk(nemesis: Nemesis) -> Ending:
    """Syncs of one node take long, so long that it looks dead to others in the worst case."""
    node = nemesis.any_node()
    node.slow_disk(nemesis.field.random.choice([10, 100, 1_000]))
    return lambda: node.slow_disk(1)


def full_disk(nemesis: Nemesis) -> Ending:
    """A disk that is nearly full: writes are refused, nothing else happens."""
    node = nemesis.any_node()
    node.fill_disk()
    return node.empty_disk


ALONE: Sequence[tuple[Fault, int]] = (
    (kill, 2), (cut_power, 4), (restart_storm, 1), (crash_at_step, 4), (stop, 1), (pause, 2), (failing_sync, 1),
    (slow_disk, 1), (full_disk, 1), (storm, 2), (jump_clock, 1),
)  # fmt: skip
"""Faults that make sense for a single node, with how often they are drawn."""

TOGETHER: Sequence[tuple[Fault, int]] = (
    *ALONE, (split, 3), (isolate, 4), (one_way, 3), (bridge, 1), (swizzle, 2), (slow_node, 1),
)  # fmt: skip

MANY: Sequence[tuple[Fault, int]] = (*TOGETHER, (ring, 2))


def faults_for(nodes: int, random: Random) -> Sequence[tuple[Fault, int]]:
    """The mix for a cluster of so many nodes; some seeds know only a few of them, so that each is seen at work."""
    mix = list(ALONE if nodes == 1 else TOGETHER if nodes < 4 else MANY)
    if random.random() < 0.3:
        return random.sample(mix, 3)
    return mix
