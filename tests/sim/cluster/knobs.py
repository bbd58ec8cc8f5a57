"""What is drawn for each seed: cluster, sizes, speeds and the mix of faults.

With fixed knobs a known bug of Raft (figure 8 of the paper) once survived 1,200 seeds; with drawn ones it was found.
"""

from dataclasses import dataclass
from random import Random

from tests.sim.cluster.network import Weather
from tests.sim.cluster.scheduler import MS

FIGHT_TIMEOUTS = 14
"""The least length of the phase with faults, in the longest election time-outs; a run is half as long again."""


@dataclass(frozen=True, slots=True)
class Knobs:
    """One cluster and what happens to it. Times in milliseconds unless the name says otherwise."""

    nodes: int
    replica_num: int
    heartbeat_interval_ms: int
    election_timeout_min_ms: int
    election_timeout_max_ms: int
    leader_stall_timeout_ms: int
    append_max_entries: int
    append_max_bytes: int
    inflight_appends_max: int
    log_keep_entries: int
    segment_max_bytes: int
    memtable_limit_bytes: int
    storage_groups: int
    series: int
    times: int
    clients: int
    client_pause_ms: int
    write_deadline_ms: int
    operations: int
    faults: int
    turn_us: int
    """How long a node lets events gather before its next turn."""
    sync_us: tuple[int, ...]
    """How long a sync takes on each node."""
    drift_ppm: tuple[int, ...]
    """How much faster each node's clock goes."""
    weather: Weather

    @property
    def fault_gap_ms(self) -> int:
        """Mean time between two faults."""
        return FIGHT_TIMEOUTS * self.election_timeout_max_ms // self.faults


def draw_knobs(random: Random) -> Knobs:
    """Knobs from a generator that is used for nothing else."""
    nodes = random.choice([1, 3, 3, 3, 3, 5])
    heartbeat = random.choice([100, 150, 250, 500, 1_000])
    election_min = heartbeat * random.choice([3, 4, 5])
    election_max = election_min * 2
    return Knobs(
        nodes=nodes,
        replica_num=random.choice([1, 2, 3]) if nodes == 1 else random.choice([3, 3, 3, min(nodes, 5)]),
        heartbeat_interval_ms=heartbeat,
        election_timeout_min_ms=election_min,
        election_timeout_max_ms=election_max,
        leader_stall_timeout_ms=election_max * random.choice([2, 4]),
        append_max_entries=random.choice([1, 2, 8, 4_096]),
        append_max_bytes=random.choice([1_024, 4_096, 1 << 20]),
        inflight_appends_max=random.choice([1, 1, 2, 4]),
        log_keep_entries=random.choice([6, 15, 40, 100, 1_000]),
        segment_max_bytes=random.choice([4_096, 16_384, 1 << 20]),
        memtable_limit_bytes=random.choice([4_000, 20_000, 1 << 20]),
        storage_groups=random.choice([1, 2, 4]),
        series=random.choice([1, 2, 3]),
        times=random.choice([2, 4, 8]),
        clients=random.choice([2, 3, 5]),
        client_pause_ms=random.choice([0, 5, 50, 200]),
        write_deadline_ms=election_max * random.choice([1, 2]),
        operations=random.randint(300, 360),
        faults=random.randint(8, 12),
        turn_us=random.choice([20, 200, 500, 2 * MS]),
        sync_us=tuple(random.choice([60, 200, 1 * MS, 10 * MS]) for _ in range(nodes)),
        drift_ppm=tuple(random.choice([0, 0, 100, -100, 20_000, -20_000]) for _ in range(nodes)),
        weather=_draw_weather(random, heartbeat),
    )


def _draw_weather(random: Random, heartbeat_ms: int) -> Weather:
    """Usual days: now and then something is late, seldom anything is lost. Storms are the nemesis's business."""
    return Weather(
        delay_min_us=random.choice([50, 200]),
        delay_max_us=random.choice([500, 2 * MS, 20 * MS]),
        tail_chance=random.choice([0.0, 0.0, 0.002, 0.02]),
        tail_max_us=heartbeat_ms * MS * random.choice([1, 2, 8]) // 2,
        loss=random.choice([0.0, 0.0, 0.002, 0.01]),
        answer_loss=random.choice([0.0, 0.0, 0.002, 0.01]),
        repeat=random.choice([0.0, 0.002, 0.02]),
    )
