"""What is drawn for each seed: the group, its speeds and limits, the weather, the faults.

With fixed knobs figure 8 of the Raft paper once survived 1,200 seeds; with drawn ones it was found.
"""

from dataclasses import dataclass
from random import Random

from iotdb_cluster.raft.settings import RaftSettings
from iotdb_cluster.types.identity import NodeId

ELECTION_TIMEOUTS = 20
"""How long the faulty phase lasts, in maximum election time-outs."""


@dataclass(slots=True)
class Weather:
    """How the network behaves; times in milliseconds, chances from 0 to 1."""

    delay_max_ms: int = 2
    tail_chance: float = 0.0
    tail_max_ms: int = 0
    loss: float = 0.0
    answer_loss: float = 0.0
    repeat: float = 0.0
    repeat_late_max_ms: int = 0


@dataclass(slots=True)
class Knobs:
    """One group and what happens to it."""

    voters: tuple[NodeId, ...]
    learners: tuple[NodeId, ...]
    spares: tuple[NodeId, ...]
    """Nodes that may join."""
    settings: RaftSettings
    is_founding: bool
    """The group begins with its seed nodes and an empty log, as the meta group does; else as a data group does."""
    knows_meta: bool
    call_timeout_ms: int
    sync_ms: dict[NodeId, int]
    turn_delay_ms: int
    turn_max_events: int
    steps_together: bool
    """What waits is stepped by `step_all`, as the runtime does; else event by event."""
    compact_every: int
    compact_keep: int
    clients: int
    client_gap_ms: int
    client_batch_max: int
    changes_gap_ms: int
    """0: the membership never changes."""
    drop_chance: float
    """How soon a node that left drops its replica."""
    transfer_gap_ms: int
    fault_gap_ms: int
    faults: tuple[str, ...]
    weather: Weather

    @property
    def nodes(self) -> tuple[NodeId, ...]:
        """Everybody who may ever belong to the group."""
        return self.voters + self.learners + self.spares

    @property
    def faulty_ms(self) -> int:
        """Length of the faulty phase."""
        return ELECTION_TIMEOUTS * self.settings.election_timeout_max_ms


FAULTS = (
    "crash",
    "crash_leader",
    "crash_in_sync",
    "crash_quorum",
    "crash_all",
    "split",
    "isolate_leader",
    "one_way",
    "ring",
    "bridge",
    "flap",
    "pause",
    "pause_leader",
    "slow_disk",
    "hang_disk",
    "storm",
    "dance",
    "dance",
    "intrude",
)


def draw_knobs(random: Random) -> Knobs:
    """Knobs from a generator that is used for nothing else."""
    ids = [NodeId(number) for number in range(1, 8)]
    random.shuffle(ids)
    size = random.choice([1, 2, 3, 3, 3, 3, 4, 5, 5])
    changes = random.random() < 0.5
    learners = random.choice([0, 0, 1]) if changes else 0
    spares = min(7 - size - learners, random.choice([1, 2, 3])) if changes else 0
    nodes = [
        tuple(sorted(part)) for part in (ids[:size], ids[size : size + learners], ids[7 - spares :] if spares else [])
    ]
    settings = _draw_settings(random)
    election_ms = settings.election_timeout_max_ms
    kinds = set(random.sample(FAULTS, random.randint(1, 6)))
    return Knobs(
        voters=nodes[0],
        learners=nodes[1],
        spares=nodes[2],
        settings=settings,
        is_founding=random.random() < 0.2,
        knows_meta=random.random() < 0.3,
        call_timeout_ms=random.choice([settings.heartbeat_interval_ms, election_ms // 2, election_ms, 2 * election_ms]),
        sync_ms={node: random.choice([0, 0, 0, 1, 3, 20]) for node in ids},
        turn_delay_ms=random.choice([0, 0, 0, 1, 3]),
        turn_max_events=random.choice([1, 3, 100]),
        steps_together=random.random() < 0.7,
        compact_every=random.choice([0, 0, 5, 20]),
        compact_keep=random.choice([0, 3, 10]),
        clients=random.choice([1, 2, 4]),
        client_gap_ms=random.choice([election_ms // 10, election_ms // 3, election_ms]),
        client_batch_max=random.choice([1, 1, 3]),
        changes_gap_ms=random.choice([election_ms // 4, election_ms]) if changes else 0,
        drop_chance=random.choice([0.1, 0.5, 1.0]),
        transfer_gap_ms=random.choice([0, 0, 0, election_ms, 4 * election_ms]),
        fault_gap_ms=random.choice([election_ms // 2, election_ms, 2 * election_ms]),
        faults=tuple(sorted(kinds)),
        weather=_draw_weather(random, election_ms),
    )


def _draw_settings(random: Random) -> RaftSettings:
    heartbeat_ms = random.choice([20, 50, 100])
    election_min_ms = heartbeat_ms * random.choice([2, 3, 5])
    election_max_ms = random.choice([election_min_ms * 3 // 2, election_min_ms * 2])
    return RaftSettings(
        heartbeat_interval_ms=heartbeat_ms,
        commit_heartbeat_interval_ms=random.choice([0, 5, heartbeat_ms // 2]),
        election_timeout_min_ms=election_min_ms,
        election_timeout_max_ms=election_max_ms,
        leader_stall_timeout_ms=election_max_ms * random.choice([2, 4]),
        append_max_entries=random.choice([1, 1, 2, 8, 4_096]),
        append_max_bytes=random.choice([60, 400, 1 << 20]),
        uncommitted_max_entries=random.choice([5, 30, 1_000]),
        uncommitted_max_bytes=random.choice([400, 1 << 20]),
        inflight_appends_max=random.choice([1, 1, 2, 4]),
        transfer_timeout_ms=election_max_ms,
    )


def _draw_weather(random: Random, election_ms: int) -> Weather:
    return Weather(
        delay_max_ms=random.choice([1, 2, 5, max(2, election_ms // 10)]),
        tail_chance=random.choice([0.0, 0.0, 0.02, 0.1]),
        tail_max_ms=random.choice([election_ms // 4, 2 * election_ms]),
        loss=random.choice([0.0, 0.0, 0.01, 0.05, 0.2, 0.3]),
        answer_loss=random.choice([0.0, 0.0, 0.01, 0.05, 0.3]),
        repeat=random.choice([0.0, 0.0, 0.05, 0.2]),
        repeat_late_max_ms=random.choice([5, election_ms, 10 * election_ms]),
    )
