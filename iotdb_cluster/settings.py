"""Every setting of a node: name with unit, default, what it means and what is allowed.

`conf/iotdb-cluster.yaml` is made from this file (`server.config.as_yaml`), and a test keeps the two equal.
A setting that cannot be is never built: `Settings(...)` raises `StartRefused` with one line that names key and value.
"""

import ipaddress
import re
import zoneinfo
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from typing import Any, TypeVar

from iotdb_cluster.errors import StartRefused

T = TypeVar("T", int, bool, str)
Check = Callable[[Any], str | None]
"""Says what is allowed when a value is not, else None."""

MIB = 1024 * 1024


def _setting(section: str, default: T, meaning: str, check: Check | None = None, *, secret: bool = False) -> T:
    """A dataclass field that knows its section in the configuration file, its meaning and its check."""
    value: T = field(
        default=default, repr=not secret, metadata={"section": section, "meaning": meaning, "check": check}
    )
    return value


def _between(low: int, high: int) -> Check:
    def check(value: int) -> str | None:
        return None if low <= value <= high else f"must be from {low} to {high}"

    return check


def _one_of(*allowed: str) -> Check:
    def check(value: str) -> str | None:
        return None if value in allowed else f"must be one of {', '.join(allowed)}"

    return check


def _not_empty(value: str) -> str | None:
    return None if value.strip() else "must not be empty"


def _host_fault(host: str) -> str | None:
    """What is wrong with `host` as a name or an address (IPv6 without brackets), or None."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        labels = host.rstrip(".").split(".")
        named = len(host) <= 253 and all(
            re.fullmatch(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?", x) for x in labels
        )
        if not named or re.fullmatch(r"[0-9.]+", host):
            return "must be an IPv4 or IPv6 address or a host name"
    return None


def _advertised(host: str) -> str | None:
    """An address under which others reach this node, so never the one that means "every interface"."""
    fault = _host_fault(host)
    if fault is None and _is_unspecified(host):
        return "must be an address that other nodes can connect to; to listen on every interface set bind_address"
    return fault


def _is_unspecified(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


def _bindable(host: str) -> str | None:
    return None if host == "" else _host_fault(host)


def _zone(name: str) -> str | None:
    """A zone as Java's `ZoneId.of` takes it: `+08:00`, `Z`, `UTC`, `GMT+8`, `Asia/Shanghai`."""
    if re.fullmatch(r"Z|(UTC|GMT|UT)?([+-](\d|(0\d|1[0-7])(:?[0-5]\d)?|18(:?00)?))?", name, re.ASCII) and name:
        return None
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return "must be an offset such as +08:00 or a zone such as Asia/Shanghai"
    return None


@dataclass(frozen=True, slots=True, order=True)
class SeedNode:
    """One of the voters of the first meta group, as `seed_nodes` names it."""

    ip: str
    meta_port: int
    data_port: int

    def __str__(self) -> str:
        return f"[{self.ip}]:{self.meta_port}:{self.data_port}" if ":" in self.ip else self.text

    @property
    def text(self) -> str:
        return f"{self.ip}:{self.meta_port}:{self.data_port}"


def parse_seed_nodes(text: str) -> tuple[SeedNode, ...]:
    """The nodes in `ip:meta_port:data_port,...`, sorted; an IPv6 address stands in brackets. Raises `ValueError`."""
    seeds = []
    for part in (p.strip() for p in text.split(",")):
        match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.%a-z]+)\]|([^:\[\]]+)):(\d{1,5}):(\d{1,5})", part)
        if match is None:
            raise ValueError(f"'{part}' is not ip:meta_port:data_port")
        seed = SeedNode(match[1] or match[2], int(match[3]), int(match[4]))
        if fault := _advertised(seed.ip):
            raise ValueError(f"'{seed.ip}' {fault}")
        if not (0 < seed.meta_port < 65_536 and 0 < seed.data_port < 65_536):
            raise ValueError(f"'{part}' has a port that is not from 1 to 65535")
        seeds.append(seed)
    if len({(s.ip, s.meta_port) for s in seeds}) != len(seeds):
        raise ValueError("a node stands in it twice")
    return tuple(sorted(seeds))


def _seeds(text: str) -> str | None:
    try:
        parse_seed_nodes(text)
    except ValueError as error:
        return f"must be ip:meta_port:data_port of each node, separated by commas; {error}"
    return None


PORT = _between(1, 65_535)
TIME_MS = _between(1, 86_400_000)
SIZE_MB = _between(1, 1_048_576)
COUNT = _between(1, 1_000_000_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings of one node, checked. Units: `_ms` milliseconds, `_s` seconds, `_mb` MiB, `_bytes` bytes."""

    # Names and defaults of the original, in lower case.
    local_ip: str = _setting(
        "address", "127.0.0.1", "The address that this node gives to others: IPv4, IPv6 or a host name.", _advertised
    )
    local_meta_port: int = _setting(
        "address", 9003, "Port of the meta group's service (RaftService, TSMetaService).", PORT
    )
    local_data_port: int = _setting(
        "address", 40010, "Port of the data groups' service (RaftService, TSDataService).", PORT
    )
    local_client_port: int = _setting("address", 55560, "Port for clients (TSIService).", PORT)
    bind_address: str = _setting(
        "address", "", "The address to listen on; 0.0.0.0 or :: for every interface. Empty: local_ip.", _bindable
    )
    seed_nodes: str = _setting(
        "cluster",
        "127.0.0.1:9003:40010,127.0.0.1:9004:40011,127.0.0.1:9005:40012",
        "The first nodes, ip:meta_port:data_port, separated by commas; the same list on all of them. IPv6 in brackets. "
        "Only read on the very first start of a folder.",
        _seeds,
    )
    cluster_name: str = _setting(
        "cluster", "default", "Nodes of clusters with different names refuse each other.", _not_empty
    )
    replica_num: int = _setting(
        "cluster",
        3,
        "Nodes that keep each piece of data. With 3 one of them may fail, with 1 or 2 none.",
        _between(1, 99),
    )
    data_dir: str = _setting(
        "storage",
        "",
        "The node's folder; a relative path counts from the folder above the configuration folder. "
        "Empty: run/node-<local_meta_port>.",
    )

    enable_thrift_compression: bool = _setting(
        "network",
        True,
        "Speak the compact protocol to peers that are not of this project. A call is answered in its own protocol.",
    )
    max_concurrent_client_num: int = _setting(
        "network",
        1024,
        "Connections a port serves at once; the next one is refused with a message.",
        _between(1, 100_000),
    )
    connection_time_out_ms: int = _setting("network", 20_000, "How long to wait for a peer's answer.", TIME_MS)
    frame_max_mb: int = _setting("network", 64, "Largest message taken from a socket.", _between(1, 1024))
    element_max_count: int = _setting(
        "network", 1_000_000, "Most elements (of lists, maps and structs together) in one message.", COUNT
    )
    frame_timeout_ms: int = _setting("network", 20_000, "From the first byte of a message to its last.", TIME_MS)
    send_timeout_ms: int = _setting("network", 20_000, "How long a caller may leave an answer unread.", TIME_MS)

    write_deadline_ms: int = _setting(
        "clients",
        0,
        "After this long a write is answered 701 (outcome unknown). 0: connection_time_out_ms.",
        _between(0, 86_400_000),
    )
    enable_auto_create_schema: bool = _setting(
        "clients", True, "Create unknown series on insert, with the type that the value suggests."
    )
    read_consistency: str = _setting(
        "clients",
        "strong",
        "strong: linearizable; mid: at most mid_lag_max_entries behind; weak: whatever this node has.",
        _one_of("strong", "mid", "weak"),
    )
    mid_lag_max_entries: int = _setting("clients", 1000, "Log entries that a read of level mid may be behind.", COUNT)
    fetch_size: int = _setting("clients", 10_000, "Most points in one batch of a reader.", _between(1, 10_000_000))
    read_open_max_count: int = _setting("clients", 1000, "Readers open at once on this node.", COUNT)
    reader_idle_ms: int = _setting(
        "clients", 300_000, "A reader, or a query, that nobody fetches from is closed after this long.", TIME_MS
    )
    query_timeout_ms: int = _setting(
        "clients", 60_000, "How long a statement, or a fetch of further rows, may take.", TIME_MS
    )
    query_memory_limit_mb: int = _setting(
        "clients", 256, "A query that would hold more than this is ended with an error.", SIZE_MB
    )
    query_open_max_count: int = _setting("clients", 1000, "Queries open at once on this node.", COUNT)
    session_idle_ms: int = _setting("clients", 3_600_000, "A session without a call ends after this long.", TIME_MS)
    time_zone: str = _setting("clients", "+08:00", "Time zone of a new session.", _zone)
    username: str = _setting("clients", "root", "The one account.", _not_empty)
    password: str = _setting(
        "clients", "root", "Its password. Change it before listening on other than loopback.", secret=True
    )

    heartbeat_interval_ms: int = _setting("raft", 250, "A leader says this often that it lives.", _between(1, 60_000))
    commit_heartbeat_interval_ms: int = _setting(
        "raft", 50, "Followers hear at most this often, between heartbeats, of what is committed.", _between(0, 60_000)
    )
    election_timeout_min_ms: int = _setting(
        "raft", 750, "Without a leader's word for this long nobody is protected.", TIME_MS
    )
    election_timeout_max_ms: int = _setting("raft", 1_500, "Each wait for a leader is drawn between the two.", TIME_MS)
    leader_stall_timeout_ms: int = _setting(
        "raft", 5_000, "A leader whose oldest entry is not committed after this long steps down.", TIME_MS
    )
    append_max_bytes: int = _setting(
        "raft", 4 * MIB, "Most bytes of entries in one append call.", _between(1024, 512 * MIB)
    )
    append_max_entries: int = _setting("raft", 4_096, "Most entries in one append call.", COUNT)
    uncommitted_max_bytes: int = _setting("raft", 64 * MIB, "More than this uncommitted in a group: busy.", COUNT)
    uncommitted_max_entries: int = _setting("raft", 100_000, "More than this uncommitted in a group: busy.", COUNT)
    inflight_appends_max: int = _setting("raft", 1, "Append calls under way to one peer of a group.", _between(1, 64))
    transfer_timeout_ms: int = _setting("raft", 1_500, "A leadership hand-over that takes longer is given up.", TIME_MS)
    raft_call_timeout_ms: int = _setting(
        "raft", 1_500, "A heartbeat, vote or append that is not answered by then has failed.", TIME_MS
    )
    snapshot_timeout_ms: int = _setting(
        "raft", 600_000, "A snapshot that is not pulled and installed by then is sent anew.", TIME_MS
    )

    memtable_limit_mb: int = _setting(
        "storage", 64, "Points in memory, all groups together; above it they are sealed.", SIZE_MB
    )
    segment_max_mb: int = _setting(
        "storage", 32, "A log segment that is larger is followed by a new one.", _between(1, 1024)
    )
    log_keep_entries: int = _setting(
        "storage", 20_000, "Applied entries that a group's log keeps for peers behind.", COUNT
    )
    log_keep_mb: int = _setting(
        "storage", 32, "Applied entries that a group's log keeps for peers behind, by size.", SIZE_MB
    )
    catch_up_keep_mb: int = _setting(
        "storage", 256, "What is kept, beyond that, for a peer that is pulling a snapshot.", SIZE_MB
    )
    slot_move_mb_per_second: int = _setting(
        "storage", 64, "Data that moves to this node when nodes come or go is copied at this rate at most.", SIZE_MB
    )
    slot_move_call_timeout_ms: int = _setting(
        "storage",
        5_000,
        "A source of moving slots that does not answer within this is left for another one.",
        _between(100, 600_000),
    )
    slot_move_timeout_s: int = _setting(
        "storage",
        600,
        "A move of slots that stands still for so long is given up, and begun again.",
        _between(1, 86_400),
    )
    disk_reserve_mb: int = _setting(
        "storage", 512, "Below this much free disk, writes are answered 503.", _between(0, 1_048_576)
    )

    ttl_check_interval_ms: int = _setting(
        "storage", 60_000, "A group's leader looks this often for points that have outlived their time.", TIME_MS
    )

    log_level: str = _setting(
        "logging", "info", "Least severe message that is logged.", _one_of("debug", "info", "warning", "error")
    )
    log_format: str = _setting(
        "logging", "auto", "text, json, or auto: text on a terminal, else JSON.", _one_of("auto", "text", "json")
    )
    log_file: str = _setting("logging", "", "A file to log to (relative: in the node's folder). Empty: standard error.")
    log_file_max_mb: int = _setting(
        "logging", 64, "A log file that is larger is renamed and begun anew.", _between(1, 10_240)
    )
    log_file_keep_count: int = _setting("logging", 5, "Renamed log files that are kept.", _between(0, 1000))

    def __post_init__(self) -> None:
        for item in fields(self):
            _check(item.name, getattr(self, item.name), type(item.default), item.metadata["check"])
        self._check_together()
        # A setting that follows another one is resolved here, so that readers need not know.
        object.__setattr__(self, "bind_address", self.bind_address or self.local_ip)
        object.__setattr__(self, "write_deadline_ms", self.write_deadline_ms or self.connection_time_out_ms)
        object.__setattr__(self, "data_dir", self.data_dir or f"run/node-{self.local_meta_port}")

    def _check_together(self) -> None:
        ports = (self.local_meta_port, self.local_data_port, self.local_client_port)
        if len(set(ports)) != 3:
            raise StartRefused(
                f"local_meta_port, local_data_port, local_client_port = {ports}: must be three different ports"
            )
        if self.election_timeout_min_ms < 2 * self.heartbeat_interval_ms:
            raise StartRefused(
                f"election_timeout_min_ms = {self.election_timeout_min_ms}: must be at least twice "
                f"heartbeat_interval_ms ({self.heartbeat_interval_ms})"
            )
        if self.election_timeout_max_ms <= self.election_timeout_min_ms:
            raise StartRefused(
                f"election_timeout_max_ms = {self.election_timeout_max_ms}: must be more than election_timeout_min_ms "
                f"({self.election_timeout_min_ms})"
            )
        if self.append_max_bytes > self.frame_max_mb * MIB // 2:
            raise StartRefused(
                f"append_max_bytes = {self.append_max_bytes}: at most half of frame_max_mb ({self.frame_max_mb})"
            )

    @property
    def seeds(self) -> tuple[SeedNode, ...]:
        """`seed_nodes`, taken apart and sorted."""
        return parse_seed_nodes(self.seed_nodes)

    @property
    def is_loopback_only(self) -> bool:
        """True when nobody outside this machine can connect."""
        try:
            return ipaddress.ip_address(self.bind_address).is_loopback
        except ValueError:
            return self.bind_address == "localhost"


def _check(name: str, value: object, kind: type, check: Check | None) -> None:
    """Raise `StartRefused` unless `value` is of `kind` and allowed."""
    shown = "(not shown)" if name == "password" else repr(value)
    # bool is an int to Python, but `replica_num: true` is a mistake.
    if type(value) is not kind:
        wanted = {int: "a whole number", bool: "true or false", str: "a text"}[kind]
        raise StartRefused(f"{name} = {shown}: must be {wanted}")
    if check is not None and (fault := check(value)):
        raise StartRefused(f"{name} = {shown}: {fault}")


def meant(name: str, known: Iterable[str]) -> str:
    """Which setting a wrong name was probably meant to be, to be added to a message; empty where none is like it."""
    near = get_close_matches(name.lower(), sorted(known), 1)
    return f"; did you mean {near[0]}?" if near else ""


def settings_from(values: Mapping[str, object]) -> Settings:
    """Settings from names to values of the right type; raises `StartRefused` for a name that is no setting."""
    known = {item.name for item in fields(Settings)}
    for name in sorted(values, key=str):
        if name not in known:
            raise StartRefused(f"{name}: there is no such setting{meant(str(name), known)}")
    return Settings(**dict(values))  # type: ignore[arg-type]  # checked one by one in __post_init__
