"""Paths of storage groups, devices and series, and the patterns that match them (interface page "SQL", "Path").

A path is `root` and nodes joined by `.`; the last node may stand in quotes and then hold dots. In a pattern `*` stands
for exactly one node, and a pattern that ends above a series means everything below it.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

from iotdb_cluster.errors import PathIllegal

ROOT = "root"
WILDCARD = "*"
MAX_LEVELS = 64
MAX_PATH_CHARACTERS = 2048
MAX_STORAGE_GROUP_BYTES = 200
"""A storage group names a folder; the rest of 255 bytes is left to suffixes."""

# Written out rather than asked of the Unicode tables: replicas with other versions of Python must agree.
_REFUSED = re.compile(r"[\x00-\x1f\x7f-\x9f/\\*\"'\ud800-\udfff]")
_REFUSED_IN_QUOTES = re.compile(r"[\x00-\x1f\x7f-\x9f/\\*\ud800-\udfff]")
_QUOTES = "\"'"
_SHOWN_CHARACTERS = 80


def nodes_of(path: str) -> tuple[str, ...]:
    """The nodes of a path, unchecked; a quoted last node stays one node and keeps its quotes."""
    quote = path[-1:]
    if quote and quote in _QUOTES:
        opening = path.find("." + quote)
        if opening >= 0:
            return (*path[:opening].split("."), path[opening + 1 :])
    return tuple(path.split("."))


def split_series(path: str) -> tuple[str, str]:
    """Device and measurement of a series; the device is empty when the path has one node only."""
    quote = path[-1:]
    if quote and quote in _QUOTES:
        opening = path.find("." + quote)
        if opening >= 0:
            return path[:opening], path[opening + 1 :]
    device, _, measurement = path.rpartition(".")
    return device, measurement


def series_path(device: str, measurement: str) -> str:
    """The full path of a device's measurement."""
    return f"{device}.{measurement}"


def check_storage_group(path: str) -> tuple[str, ...]:
    """The nodes of a storage group; raises `PathIllegal` when no storage group can have this path."""
    nodes = _checked(path, "storage group", least_levels=2, wildcards=False)
    if nodes[-1][0] in _QUOTES:
        raise PathIllegal(f"storage group {_shown(path)}: only a series may end in quotes")
    if len(path.encode()) > MAX_STORAGE_GROUP_BYTES:
        raise PathIllegal(f"storage group {_shown(path)}: longer than {MAX_STORAGE_GROUP_BYTES} bytes")
    return nodes


@lru_cache(maxsize=4096)
def check_device(path: str) -> tuple[str, ...]:
    """The nodes of a device; raises `PathIllegal` when no device can have this path. Remembered: each row asks."""
    nodes = _checked(path, "device", least_levels=2, wildcards=False)
    if nodes[-1][0] in _QUOTES:
        raise PathIllegal(f"device {_shown(path)}: only a series may end in quotes")
    return nodes


def check_series(path: str) -> tuple[str, ...]:
    """The nodes of a series; raises `PathIllegal` when no series can have this path."""
    return _checked(path, "series", least_levels=3, wildcards=False)


def check_pattern(path: str) -> tuple[str, ...]:
    """The nodes of a pattern, prefix or full path; raises `PathIllegal` when it can match nothing."""
    return _checked(path, "path", least_levels=1, wildcards=True)


def is_prefix(above: str, path: str) -> bool:
    """True when `path` is `above` or lies below it, node by node."""
    return path.startswith(above) and (len(path) == len(above) or path[len(above)] == ".")


@dataclass(frozen=True, slots=True)
class Pattern:
    """A checked pattern; matching a path compares node by node."""

    path: str
    nodes: tuple[str, ...]

    @classmethod
    def parse(cls, path: str) -> "Pattern":
        """The pattern that `path` is; raises `PathIllegal`."""
        return _parsed(path)

    @property
    def has_wildcard(self) -> bool:
        return WILDCARD in self.nodes

    def matches(self, path: str) -> bool:
        """True for a series that the pattern names or that lies below it."""
        nodes = nodes_of(path)
        return len(self.nodes) <= len(nodes) and self._agrees(nodes)

    def may_match_below(self, nodes: tuple[str, ...]) -> bool:
        """True when something at or below the path with these nodes can match: a storage group worth looking into."""
        return self._agrees(nodes)

    def measurement_of(self, device_nodes: tuple[str, ...]) -> str | None:
        """Which measurements of a device match: one name, `*` for all, None for none."""
        levels = len(device_nodes)
        if len(self.nodes) > levels + 1 or not self._agrees(device_nodes):
            return None
        return self.nodes[levels] if len(self.nodes) == levels + 1 else WILDCARD

    def _agrees(self, nodes: tuple[str, ...]) -> bool:
        return all(mine in (WILDCARD, theirs) for mine, theirs in zip(self.nodes, nodes, strict=False))


@lru_cache(1024)
def _parsed(path: str) -> Pattern:
    # One query asks for the same pattern again and again, and so does one client.
    return Pattern(path, check_pattern(path))


def match(pattern: str, path: str) -> bool:
    """True when the series `path` is matched; raises `PathIllegal` for a pattern that is none."""
    return Pattern.parse(pattern).matches(path)


def _checked(path: str, what: str, *, least_levels: int, wildcards: bool) -> tuple[str, ...]:
    if not path:
        raise PathIllegal(f"{what}: the path is empty")
    if len(path) > MAX_PATH_CHARACTERS:
        raise PathIllegal(f"{what} {_shown(path)}: longer than {MAX_PATH_CHARACTERS} characters")
    if path.count(".") >= MAX_LEVELS:
        raise PathIllegal(f"{what} {_shown(path)}: more than {MAX_LEVELS} levels")
    nodes = nodes_of(path)
    if nodes[0] != ROOT:
        raise PathIllegal(f"{what} {_shown(path)}: does not begin with '{ROOT}'")
    for node in nodes[1:]:
        _check_node(node, path, what, wildcards=wildcards, may_be_quoted=node is nodes[-1])
    if len(nodes) < least_levels:
        raise PathIllegal(f"{what} {_shown(path)}: needs at least {least_levels} levels")
    return nodes


def _check_node(node: str, path: str, what: str, *, wildcards: bool, may_be_quoted: bool) -> None:
    if not node:
        raise PathIllegal(f"{what} {_shown(path)}: has an empty node")
    if node == WILDCARD and wildcards:
        return
    if node[0] in _QUOTES and may_be_quoted:
        inner = node[1:-1]
        if len(node) < 3 or node[-1] != node[0] or node[0] in inner:
            raise PathIllegal(f"{what} {_shown(path)}: the quotes of {_shown(node)} do not fit")
        found = _REFUSED_IN_QUOTES.search(inner)
    else:
        found = _REFUSED.search(node)
    if found:
        raise PathIllegal(f"{what} {_shown(path)}: the node {_shown(node)} has the character {found.group()!r}")


def _shown(text: str) -> str:
    return repr(text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "...")
