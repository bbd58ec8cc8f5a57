"""Reads every series back from each node and compares every point with the files."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from iotdb_cluster.demo.stations import Points, Site

Read = Callable[[int, str], Points]
"""Reads a series, by its full path, from the data port of the node with this number."""

READERS = 4


@dataclass(frozen=True, slots=True)
class Comparison:
    """One site on one node: points found, and how many are missing, too many, or have another value."""

    site: Site
    node: int
    points: int
    missing: int
    extra: int
    different: int
    temperature: Points
    """As read from this node."""

    @property
    def is_equal(self) -> bool:
        return self.missing == self.extra == self.different == 0 and self.points == self.site.station.point_count


def compare_all(sites: list[Site], node_count: int, read: Read) -> list[Comparison]:
    """Every site on every node, by site and node."""
    pairs = [(site, node) for site in sites for node in range(node_count)]
    with ThreadPoolExecutor(max_workers=READERS) as pool:
        return list(pool.map(lambda pair: _compare(pair[0], pair[1], read), pairs))


def _compare(site: Site, node: int, read: Read) -> Comparison:
    points = missing = extra = different = 0
    temperature = None
    for measurement, expected in sorted(site.station.points.items()):
        found = read(node, f"{site.device}.{measurement}")
        if measurement == "temperature":
            temperature = found
        points += len(found.times)
        if not expected.equals(found):
            missing += len(np.setdiff1d(expected.times, found.times))
            extra += len(found.times) - len(np.intersect1d(expected.times, found.times))
            different += _different(expected, found)
    if temperature is None:
        raise ValueError(f"{site.station.name} has no temperature")
    return Comparison(site, node, points, missing, extra, different, temperature)


def _different(expected: Points, found: Points) -> int:
    """Common times whose values are not the same bits; all of them when the types differ."""
    _, left, right = np.intersect1d(expected.times, found.times, return_indices=True)
    if expected.values.dtype != found.values.dtype:
        return len(left)
    bits = f"u{expected.values.dtype.itemsize}"
    return int(np.count_nonzero(expected.values[left].view(bits) != found.values[right].view(bits)))
