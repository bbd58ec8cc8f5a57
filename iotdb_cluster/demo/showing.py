"""Shows what the cluster answers in SQL about the stations, beside what the files say."""

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from iotdb_cluster.cli.local_cluster import LocalCluster
from iotdb_cluster.cli.people import text_of_time
from iotdb_cluster.cli.shell.plotting import Curve, draw_in_terminal
from iotdb_cluster.client.session import Session
from iotdb_cluster.demo.asking import Asked, ask_site
from iotdb_cluster.demo.stations import Site

CHART_HEIGHT = 12


def ask_in_sql(cluster: LocalCluster, sites: list[Site], console: Console) -> bool:
    """Ask about one site of each station, print tables and a chart; True when every answer is what the files say."""
    asked: list[Asked] = []
    with Session([(node.ip, node.client_port) for node in cluster.nodes]) as session:
        for site in one_of_each(sites):
            asked += ask_site(session, site)
    short = [each for each in asked if len(each.answer) == 1]
    series = [each for each in asked if len(each.answer) != 1]
    console.print(_answers(short))
    console.print(_days(series))
    for each in series:
        console.print(f"{each.site.device}, daily mean (iotdb-cluster sql draws any query by \\plot):", style="dim")
        console.print(draw_in_terminal([_curve(each)], min(console.width, 100), CHART_HEIGHT))
    wrong = [each for each in asked if not each.is_right]
    for each in wrong:
        console.print(f"[bold red]{each.sql}[/]: {each.answer} where the files say {each.expected}")
    if not wrong:
        console.print(f"[bold green]{len(asked)} SQL queries, every answer as worked out from the files[/]")
    return not wrong


def one_of_each(sites: list[Site]) -> list[Site]:
    """The first site of each station."""
    return list({site.station.name: site for site in reversed(sites)}.values())[::-1]


def _answers(asked: list[Asked]) -> Table:
    table = Table(title="asked in SQL", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("site", "question", "answer", "as in the files"):
        table.add_column(name)
    for each in asked:
        (row,) = each.answer
        value = f"{row[-1]:.1f}" if isinstance(row[-1], float) else str(row[-1])
        when = f" at {text_of_time(int(row[0] or 0))[:19]}Z" if each.has_time else ""
        table.add_row(each.site.device, each.question, value + when, _verdict(each))
    return table


def _days(series: list[Asked]) -> Table:
    title = f"{series[0].question}, in °C: SELECT avg(temperature) ... GROUP BY([...], 1d)"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for each in series:
        table.add_column("day")
        table.add_column(each.site.station.name, justify="right")
    for rows in zip(*(each.answer for each in series), strict=True):
        cells = ((text_of_time(int(day or 0))[:10], "-" if mean is None else f"{mean:.2f}") for day, mean in rows)
        table.add_row(*(cell for pair in cells for cell in pair))
    table.add_row(*(cell for each in series for cell in ("as in the files", _verdict(each))))
    return table


def _curve(asked: Asked) -> Curve:
    days = [(time, mean) for time, mean in asked.answer if mean is not None]
    times = np.array([time for time, _ in days], np.int64)
    return "°C", times.astype("datetime64[ms]"), np.array([mean for _, mean in days], np.float64)


def _verdict(asked: Asked) -> str:
    return "[green]equal[/]" if asked.is_right else "[red]different[/]"
