"""The section of the figures page about slots that move (`bench.moves`)."""

from collections.abc import Callable
from typing import Any

HEAD = """
## A node is added

Made by `make bench-moves`, which also writes `bench/moves.json`. Three nodes hold {points:,} points in 64 storage
groups; 16 clients write single rows into 16 of them, each connected to the node that leads its group at the beginning.
Then a fourth node is added, and a quarter of the slots move to it. All processes share one machine.

Measured {measured_at} with version {version}: {cores} cores ({machine}).

| | at most 64 MB/s | unlimited | to reach |
|---|---|---|---|
"""

Figures = dict[str, Any]

ROWS: tuple[tuple[str, Callable[[Figures], str], str], ...] = (
    ("from the start of the node until it has its share", lambda each: f"{each['seconds']:.1f} s", ""),
    (
        "copied, on all nodes of the new group",
        lambda each: f"{each['copied_mb']:.0f} MB in {each['moves']} moves",
        "",
    ),
    (
        "rate while anything is copied, all nodes of the new group / one of them",
        lambda each: f"{each['copied_mb_per_s']:.0f} MB/s / {each['copied_mb_per_s_by_one_node']:.0f} MB/s",
        "20 MB/s when not limited",
    ),
    ("longest wait of a write", lambda each: f"{each['longest_client_wait_s']:.2f} s", "1.5 s"),
    (
        "a slot takes no writes (fence to open), median / longest",
        lambda each: f"{each['slot_pause_s']['median']:.2f} s / {each['slot_pause_s']['longest']:.2f} s",
        "",
    ),
    (
        "writes before / meanwhile",
        lambda each: f"{each['calls_per_s']['before']:,} / {each['calls_per_s']['during']:,} calls/s",
        "half",
    ),
)


def moves_section(moves: dict[str, Any]) -> str:
    """Markdown of what `python -m bench.moves` measured."""
    rows = (
        f"| {name} | {cell(moves['limited'])} | {cell(moves['unlimited'])} | {target} |\n"
        for name, cell, target in ROWS
    )
    return HEAD.format(points=moves["points"], **moves["about"]) + "".join(rows)
