"""The journal against the plainest model: whatever is done, and wherever it crashes, it says what was saved."""

from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iotdb_cluster.types.identity import EntryId, GroupId
from tests.sim.disk import SimDisk, SimulatedCrash
from tests.storage.journal_world import World, entries_from, last_index, last_term

GROUPS = (1, 2, 1 << 32)

numbers = st.integers(0, 999)
steps = st.tuples(
    st.sampled_from(
        ("append", "append", "append", "vote", "compact", "replace_all", "leave", "sync", "sync", "maintain")
    ),
    st.sampled_from(GROUPS),
    numbers,
    numbers,
)
crashes = st.tuples(st.integers(1, 60), st.booleans())


def do(world: World, what: str, group: int, a: int, b: int) -> None:
    """One step of a history; the numbers choose among what is possible just then."""
    state = world.saved.get(GroupId(group))
    if what == "sync":
        world.sync()
    elif what == "maintain":
        world.maintain()
    elif state is None or not state.present:
        world.create(group)
    elif what == "append":
        back = min(a % 4, len(state.entries)) if a % 3 == 0 else 0
        world.append(group, entries_from(last_index(state) + 1 - back, 1 + b % 5, last_term(state) + (back > 0), a))
    elif what == "vote":
        world.vote(group, state.hard_state.term + 1, a if b % 2 else None)
    elif what == "compact" and state.entries:
        world.compact(group, state.entries[a % len(state.entries)].id)
    elif what == "replace_all":
        world.compact(group, EntryId(last_term(state) + 1, last_index(state) + a), drop_log=True)
    elif what == "leave":
        world.drop(group)


@settings(max_examples=250, deadline=None)
@given(st.integers(0, 1 << 32), st.lists(st.tuples(st.lists(steps, max_size=60), crashes), min_size=1, max_size=4))
def test_after_any_crash_the_log_is_what_was_durable_or_what_was_being_synced(
    seed: int, lives: list[tuple[list[tuple[str, int, int, int]], tuple[int, bool]]]
) -> None:
    world = World(SimDisk(Random(seed)))
    for history, (crash_after, power_loss) in lives:
        world.disk.crash_at(crash_after)
        try:
            world.start()
            for step in history:
                do(world, *step)
        except SimulatedCrash:
            world.crash(power_loss=power_loss)
        else:
            world.crash(power_loss=True)
    world.start()


def busy_story(world: World) -> None:
    """Some of everything, with segments that end and are carried over."""
    for group in GROUPS:
        world.create(group)
    world.append(2, entries_from(1, 30, size=60))
    for turn in range(12):
        for group in (1, 1 << 32):
            state = world.saved[GroupId(group)]
            world.append(group, entries_from(last_index(state) + 1, 4, last_term(state) or 1, size=150))
            world.vote(group, turn + 1, vote=turn)
        world.sync()
        if turn % 3 == 2:
            world.compact(1, world.saved[GroupId(1)].entries[-2].id)
        while world.maintain():
            pass
    world.drop(1)
    world.sync()


def quiet_end(world: World) -> None:
    """The log is marked and closed."""
    world.maintain()
    world.maintain()
    world.journal.close()


def steps_of(story: Callable[[World], None]) -> int:
    world = World(SimDisk(Random(0)))
    world.start()
    before = world.disk.steps
    story(world)
    return world.disk.steps - before


@pytest.mark.parametrize("power_loss", [True, False])
def test_a_crash_at_every_durable_step_loses_nothing_durable(power_loss: bool) -> None:
    def story(world: World) -> None:
        busy_story(world)
        quiet_end(world)

    for at in range(1, steps_of(story) + 1):
        world = World(SimDisk(Random(at)))
        world.start()
        world.disk.crash_at(at)
        with pytest.raises(SimulatedCrash):
            story(world)
        world.restart(power_loss=power_loss)
        # And once more at another place of the start itself.
        world.disk.crash_at(1 + at % 12)
        try:
            world.restart(power_loss=False)
        except SimulatedCrash:
            world.restart(power_loss=True)
        world.settle()


def test_a_crash_at_every_step_of_a_start_changes_nothing() -> None:
    world = World(SimDisk(Random(7)))
    world.start()
    busy_story(world)
    world.append(2, entries_from(31, 3))
    world.disk.crash_at(2)
    with pytest.raises(SimulatedCrash):
        world.sync()
    at, ended = 0, False
    while not ended:
        at += 1
        disk = world.disk.copy(Random(at))
        disk.crash()
        again = World(disk, durable=world.durable, saved=world.saved)
        disk.crash_at(at)
        try:
            found = again.start()
            ended = True
        except SimulatedCrash:
            disk.crash()
            found = again.start()
        assert last_index(found[GroupId(2)]) in (30, 33)
    assert at > 5
