"""The figures as a page for people: `bench/RESULTS.md`."""

from collections.abc import Iterator
from typing import Any

from bench.moves_page import moves_section

NAMES = {
    "insert_1": "single-row inserts, 1 client",
    "insert_32": "single-row inserts, 32 clients",
    "tablet_1": "tablets (1,000 rows x 10 DOUBLE), 1 client",
    "tablet_32": "tablets (1,000 rows x 10 DOUBLE), 32 clients",
}

REACH = {
    "insert_1": "0.37 (800 of 2,150 calls/s)",
    "insert_32": "0.21 (4,000 of 19,000 calls/s)",
    "tablet_32": "0.25 (5 of 20 million points/s)",
}
"""What the first release is to reach of the bare log, by the figures of the machine on which that was set."""

HEAD = """\
# Figures

Made by `make bench`, which also writes `bench/results.json`. Three node processes on one machine, `replica_num` 3;
every acknowledged call is durable on a majority. The load comes from up to four other processes on the same machine, in
bursts of {seconds:g} s; each client is connected to the node that leads the group of its device. Beside each figure
stands a bare replicated log (`bench/bare_log.py`: three processes, a fixed leader, no Thrift, no elections, nothing
decoded or applied) with frames of the same size in the same run: it is what this machine, its disk and Python's threads
allow. Absolute figures depend on the machine, ratios less so: what is to be reached was set beside a bare log that does
what stands in brackets, and is held against the ratio.

Measured {measured_at} with version {version}: {cores} cores ({machine}), {memory_gb} GB, {system}, CPython {python};
one small append with fdatasync takes {fdatasync_us:g} microseconds.

| durable writes | cluster | p50 / p99 ms | bare log | ratio | ratio to reach |
|---|---|---|---|---|---|
"""


def as_page(results: dict[str, Any], moves: dict[str, Any] | None = None) -> str:
    """Markdown of what `python -m bench` measured, and `python -m bench.moves` where that is known."""
    head = HEAD.format(seconds=results["options"]["seconds"], **results["about"])
    writes = "".join(_write_row(key, results["writes"][key]) for key in NAMES)
    rest = "\n| | |\n|---|---|\n" + "".join(_other_rows(results))
    return head + writes + rest + ("" if moves is None else moves_section(moves))


def _other_rows(results: dict[str, Any]) -> Iterator[str]:
    read = results["read"]
    bare = f"a bare socket with frames of the same size: {read['bare_socket_points_per_s']:,}"
    yield f"| reading {read['points']:,} points of one series | {read['points_per_s']:,} points/s ({bare}) |\n"
    if "fail_over_s" in results:
        median, times = results["fail_over_s"]["median"], sorted(results["fail_over_s"]["all"])
        all_times = ", ".join(f"{each:.2f}" for each in times)
        what = "fail-over: from SIGKILL of a leader to the next acknowledged write"
        yield f"| {what} | median {median:.2f} s ({all_times}); to reach: 1.5 s |\n"


def _write_row(key: str, figures: dict[str, Any]) -> str:
    cluster, bare = figures["cluster"], figures["bare_log"]
    times = f"{cluster['p50_ms']:.2f} / {cluster['p99_ms']:.2f}"
    cells = (NAMES[key], _rate(cluster), times, _rate(bare), f"{figures['ratio']:.2f}", REACH.get(key, ""))
    return "| " + " | ".join(cells) + " |\n"


def _rate(figures: dict[str, Any]) -> str:
    if "points_per_s" in figures:
        return f"{figures['points_per_s']:,} points/s"
    return f"{figures['calls_per_s']:,} calls/s"
