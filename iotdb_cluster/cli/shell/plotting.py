"""A chart of a result: in the terminal, or as a PNG."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import plotext
from numpy.typing import NDArray
from rich.text import Text

from iotdb_cluster.cli.people import EPOCH
from iotdb_cluster.client.pages import Column
from iotdb_cluster.client.result import Result, needed
from iotdb_cluster.errors import CommandRefused
from iotdb_cluster.types.schema import DataType

HEIGHT = 20
TICKS = 4
DAY_MS = 86_400_000
POINTS_MAX = 2_000
"""More points than that, of one curve, are no better to see in a terminal."""

Curve = tuple[str, NDArray[np.datetime64], NDArray[np.float64]]


def curves_of(result: Result) -> list[Curve]:
    """The numeric columns over time; raises `CommandRefused` when there is nothing to draw."""
    if not result.has_time:
        result.close()
        raise CommandRefused("only a result with times can be drawn: raw values, FILL or GROUP BY a time window")
    page = result.read()
    curves = []
    for label, kind, column in zip(result.columns, result.types, page.columns, strict=True):
        if kind is DataType.TEXT or not len(page):
            continue
        times, values = _present(page.times, column)
        if len(values):
            curves.append((label, times.astype("datetime64[ms]"), values))
    if not curves:
        raise CommandRefused("there are no numbers to draw")
    return curves


def draw_in_terminal(curves: list[Curve], width: int, height: int = HEIGHT) -> Text:
    """The curves in colours, at most so many characters wide."""
    figure = plotext.figure
    figure.clear()
    figure.theme("simple")
    figure.plot_size(width, height)
    for label, times, values in curves:
        step = max(1, len(times) // POINTS_MAX)
        signal = figure.signal(times[::step].astype(np.int64).tolist(), values[::step].tolist(), marker="braille")
        signal.lines()
        signal.label(label)
        figure.draw(signal)
    low = min(times[0] for _, times, _ in curves).astype(np.int64)
    high = max(times[-1] for _, times, _ in curves).astype(np.int64)
    ticks = [int(low + (high - low) * share // TICKS) for share in range(TICKS + 1)]
    shape = "%Y-%m-%d" if high - low >= TICKS * DAY_MS else "%m-%d %H:%M:%S"
    labels = [f"{(EPOCH + timedelta(milliseconds=tick)):{shape}}" for tick in ticks]
    figure.ruler("x").ticks(ticks, labels)
    return Text.from_ansi(str(figure.build()))


def draw_png(curves: list[Curve], path: Path) -> None:
    """The curves as a picture; needs matplotlib."""
    try:
        needed("matplotlib").use("Agg")
    except CommandRefused:
        raise CommandRefused("a PNG needs matplotlib: pip install 'iotdb-cluster[demo]'") from None
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(11, 5.5), layout="constrained")
    for label, times, values in curves:
        axes.plot(times, values, linewidth=0.8, label=label)
    axes.grid(visible=True, alpha=0.25)
    axes.legend(loc="best")
    figure.savefig(path, dpi=120, format="png")
    plt.close(figure)


def _present(times: NDArray[Any], column: Column) -> tuple[NDArray[Any], NDArray[np.float64]]:
    values = column.values.astype(np.float64)
    keep = np.isfinite(values) if column.valid is None else np.isfinite(values) & column.valid
    return times[keep], values[keep]
