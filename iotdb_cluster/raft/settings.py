"""The times and sizes of one group's protocol."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RaftSettings:
    """Every time-out, size and count of the core; the defaults are those of `conf/iotdb-cluster.yaml`."""

    heartbeat_interval_ms: int = 250
    commit_heartbeat_interval_ms: int = 50
    """A commit index that moves is told by a heartbeat of its own at most this often; 0: each time."""
    election_timeout_min_ms: int = 750
    election_timeout_max_ms: int = 1_500
    leader_stall_timeout_ms: int = 5_000
    append_max_bytes: int = 4 * 1024 * 1024
    append_max_entries: int = 4_096
    uncommitted_max_bytes: int = 64 * 1024 * 1024
    uncommitted_max_entries: int = 100_000
    inflight_appends_max: int = 1
    """Append calls under way to one peer; what comes meanwhile goes with the next one, together."""
    transfer_timeout_ms: int = 1_500
