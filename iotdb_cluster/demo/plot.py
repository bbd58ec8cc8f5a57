"""Draws the temperatures that were read back."""

from datetime import UTC, datetime
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib import dates

from iotdb_cluster.demo.stations import Points

HOURS_SMOOTHED = 24


def draw_temperatures(curves: dict[str, Points], path: Path) -> None:
    """Write a PNG with one curve for each name: hourly values, and their daily mean on top.

    A typical year is put together from months of different years; here each point stands at its day of the year.
    """
    figure, axes = plt.subplots(figsize=(11, 5.5), layout="constrained")
    for name, points in curves.items():
        days, values = _by_day_of_year(points)
        (line,) = axes.plot(days, values, linewidth=0.4, alpha=0.35)
        window = np.ones(HOURS_SMOOTHED) / HOURS_SMOOTHED
        mean = np.convolve(values, window, mode="valid")
        centre = days[HOURS_SMOOTHED // 2 : HOURS_SMOOTHED // 2 + len(mean)]
        axes.plot(centre, mean, linewidth=1.4, color=line.get_color(), label=f"{name}, daily mean")
    axes.xaxis.set_major_locator(dates.MonthLocator())
    axes.xaxis.set_major_formatter(dates.DateFormatter("%b"))
    axes.set_ylabel("temperature, °C")
    axes.set_title("A year at two stations, read back from the cluster")
    axes.grid(visible=True, alpha=0.25)
    axes.legend(loc="upper left")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def _by_day_of_year(points: Points) -> tuple[np.ndarray, np.ndarray]:
    moments = [datetime.fromtimestamp(int(at) / 1000, tz=UTC).replace(year=2001) for at in points.times
               if not _is_leap_day(int(at))]  # fmt: skip
    kept = np.array([not _is_leap_day(int(at)) for at in points.times])
    days = np.array([dates.date2num(moment) for moment in moments])
    order = np.argsort(days, kind="stable")
    return days[order], np.asarray(points.values, dtype=np.float64)[kept][order]


def _is_leap_day(at_ms: int) -> bool:
    moment = datetime.fromtimestamp(at_ms / 1000, tz=UTC)
    return (moment.month, moment.day) == (2, 29)
