"""Asks the loaded stations in SQL, and works the same answers out from the files."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from iotdb_cluster.client.session import Session
from iotdb_cluster.demo.stations import Points, Site

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
DAYS = 14
WARM = 25
RELATIVE_TOLERANCE = 1e-6
"""FLOAT values are added up in another order here and there."""

Row = tuple[float | int | None, ...]


@dataclass(frozen=True, slots=True)
class Asked:
    """A question, what the cluster answered, and what the files say. Rows begin with the time where there is one."""

    question: str
    site: Site
    sql: str
    answer: tuple[Row, ...]
    expected: tuple[Row, ...]
    has_time: bool

    @property
    def is_right(self) -> bool:
        """Every value, the measured ones but for rounding."""
        return len(self.answer) == len(self.expected) and all(map(_same, self.answer, self.expected))


def ask_site(session: Session, site: Site) -> list[Asked]:
    """The warmest hour, the hours above 25 degrees, daily means around the warmest hour, and a gap that is filled."""
    temperature = site.station.points["temperature"]
    values = temperature.values.astype(np.float64)
    select = f"SELECT temperature FROM {site.device}"
    (top,) = _first(session, f"SELECT max_value(temperature) FROM {site.device}")
    warmest = np.flatnonzero(values == values.max())
    return [
        _ask(
            session, "the warmest hour", site, f"{select} WHERE temperature >= {top} LIMIT 1",
            [(int(temperature.times[warmest[0]]), float(values[warmest[0]]))],
        ),
        _ask(
            session, f"hours above {WARM} °C", site,
            f"SELECT count(temperature) FROM {site.device} WHERE temperature > {WARM}",
            [(int(np.count_nonzero(values > WARM)),)],
        ),
        daily_means(session, site, int(temperature.times[warmest[0]])),
        filled_gap(session, site),
    ]  # fmt: skip


def daily_means(session: Session, site: Site, around_ms: int) -> Asked:
    """The mean of each of fourteen days (UTC) around a time; None for a day without a value."""
    points = site.station.points["temperature"]
    first = around_ms // DAY_MS * DAY_MS - DAYS // 2 * DAY_MS
    last = first + DAYS * DAY_MS - 1
    expected: list[Row] = []
    for day in range(first, last, DAY_MS):
        inside = points.values[(points.times >= day) & (points.times < day + DAY_MS)].astype(np.float64)
        expected.append((day, float(inside.mean()) if len(inside) else None))
    sql = f"SELECT avg(temperature) FROM {site.device} GROUP BY([{first}, {last}], 1d)"
    return _ask(session, f"the daily mean of {DAYS} days around it", site, sql, expected)


def filled_gap(session: Session, site: Site) -> Asked:
    """What the wind was at a time between two hours: drawn straight from one to the other."""
    points = site.station.points["wind_speed"]
    at = _between(points)
    low, high = points.times[at], points.times[at + 1]
    time = int(low + (high - low) // 3)
    share = (time - low) / (high - low)
    value = float(points.values[at]) + share * (float(points.values[at + 1]) - float(points.values[at]))
    sql = f"SELECT wind_speed FROM {site.device} WHERE time = {time} FILL(float[linear, 1h, 1h])"
    return _ask(session, "the wind between two hours, its gap filled", site, sql, [(time, value)])


def _between(points: Points) -> int:
    """The first hour whose wind differs from that of the next."""
    steps = np.flatnonzero((np.diff(points.times) == HOUR_MS) & (np.diff(points.values.astype(np.float64)) != 0))
    return int(steps[0])


def _ask(session: Session, question: str, site: Site, sql: str, expected: Sequence[Row]) -> Asked:
    with session.query(sql) as result:
        return Asked(question, site, sql, tuple(result), tuple(expected), result.has_time)


def _first(session: Session, sql: str) -> Row:
    with session.query(sql) as result:
        return next(iter(result))


def _same(left: Row, right: Row) -> bool:
    return len(left) == len(right) and all(
        one == other
        or (None not in (one, other) and math.isclose(float(one or 0), float(other or 0), rel_tol=RELATIVE_TOLERANCE))
        for one, other in zip(left, right, strict=True)
    )
