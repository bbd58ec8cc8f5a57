"""Says what the comparison with the files found, as a table and in a line."""

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from iotdb_cluster.demo.comparing import Comparison
from iotdb_cluster.demo.stations import Site


def comparison_table(sites: Sequence[Site], comparisons: Sequence[Comparison], nodes: Sequence[str]) -> Table:
    """A row for each site: its temperatures, and what was found on each node, in the order of the names."""
    title = "temperature in °C, and every point of 12 series compared with the files"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for name in ("site", "station"):
        table.add_column(name, no_wrap=True)
    for name in ("points", "min", "mean", "max"):
        table.add_column(name, justify="right", no_wrap=True)
    for name in nodes:
        table.add_column(name, justify="center")
    for site in sites:
        of_site = [each for each in comparisons if each.site is site]
        values = of_site[0].temperature.values.astype(float)
        figures = (values.min(), values.mean(), values.max()) if len(values) else (float("nan"),) * 3
        table.add_row(
            site.storage_group,
            site.station.name,
            f"{of_site[0].points:,}",
            *(f"{figure:.1f}" for figure in figures),
            *("[green]equal[/]" if each.is_equal else f"[red]{_fault(each)}[/]" for each in of_site),
        )
    return table


def tell_verdict(comparisons: Sequence[Comparison], console: Console) -> bool:
    """Print whether all are equal; True when they are."""
    points = sum(each.points for each in comparisons)
    count = len({each.node for each in comparisons})
    bad = [each for each in comparisons if not each.is_equal]
    if bad:
        console.print(f"[bold red]{len(bad)} of {len(comparisons)} comparisons found a difference[/]")
    else:
        console.print(f"[bold green]{points:,} points read from {count} nodes, all equal[/]")
    return not bad


def _fault(comparison: Comparison) -> str:
    return f"{comparison.missing} missing, {comparison.extra} extra, {comparison.different} different"
