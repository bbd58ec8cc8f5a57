"""`python -m bench.queries`: how fast SQL answers from sealed files, beside DuckDB on the same Parquet files.

Every answer is compared with the one that numpy or DuckDB gives. Writes JSON to a file and to standard output.
"""

import argparse
import json
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

from bench.about import about
from bench.small_selects import PROCESSES, selects_per_s
from iotdb_cluster.cli.local_cluster import LocalCluster, LocalNode
from iotdb_cluster.client.operators import ask_report
from iotdb_cluster.client.session import Session
from iotdb_cluster.sql.parse import parse

BASE_MS = 1_600_000_000_000
STEP_MS = 1_000
TABLET_ROWS = 50_000
PAGE_ROWS = 10_000
SERIES = 10
DEVICES = 1_000
REPEATS = 3
SMALL_CLIENTS = 32
HOUR_MS = 3_600_000
TYPICAL = "SELECT s0, avg FROM root.q.d1, root.q.d2 WHERE time > 2020-01-01T00:00:00+08:00 AND s0 > 5.5 LIMIT 100"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and write the figures."""
    parser = argparse.ArgumentParser(prog="python -m bench.queries", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of the ten series that are selected")
    parser.add_argument("--long-rows", type=int, default=10_000_000, help="points of the series that is aggregated")
    parser.add_argument("--seconds", type=float, default=5.0, help="length of the burst of small selects")
    parser.add_argument("--nodes", type=int, default=1, help="how many nodes")
    parser.add_argument("--out", type=Path, default=Path("bench/queries.json"))
    parser.add_argument("--dir", type=Path, help="folder for the data (default: temporary)")
    options = parser.parse_args(arguments)
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir=options.dir))
    cluster = LocalCluster.open(folder / "cluster", node_count=options.nodes, ask=ask_report)
    try:
        cluster.start()
        cluster.wait_until_ready()
        results = {"about": about(folder), "queries": _measure(cluster, options)}
    finally:
        cluster.stop()
        shutil.rmtree(folder)
    text = json.dumps(results, indent=2)
    options.out.write_text(text + "\n", encoding="utf-8")
    print(text)
    return 0


def _measure(cluster: LocalCluster, options: argparse.Namespace) -> dict[str, Any]:
    node = cluster.nodes[0]
    with Session([(node.ip, node.client_port)], timeout_ms=120_000) as session:
        _load(session, options)
        session.execute("flush")
        results = {
            "select_one_series": _select(session, options.rows, 1, 12_000_000),
            "select_ten_series": _select(session, options.rows, SERIES, 17_000_000),
            **_aggregates(session, options.long_rows, node.folder),
            "last_of_1000_series": _last(session),
            "parse": {"ms": round(_parse_ms(), 4), "to_reach_ms": 0.5},
        }
    results["small_selects"] = _small(node, options.seconds)
    return results


def _load(session: Session, options: argparse.Namespace) -> None:
    _say("loading")
    values = np.random.default_rng(11).normal(20, 5, options.long_rows)
    for device, count, names in (
        ("root.q.ten", options.rows, [f"s{number}" for number in range(SERIES)]),
        ("root.long.d", options.long_rows, ["v"]),
    ):
        for first in range(0, count, TABLET_ROWS):
            part = slice(first, min(first + TABLET_ROWS, count))
            times = BASE_MS + STEP_MS * np.arange(part.start, part.stop)
            session.insert_tablet(device, names, ["DOUBLE"] * len(names), times, [values[part]] * len(names))
    for number in range(DEVICES):
        session.insert_tablet(f"root.many.d{number}", ["s"], ["DOUBLE"], [BASE_MS, BASE_MS + 1], [[1.0, number]])


def _select(session: Session, rows: int, series: int, to_reach: int) -> dict[str, Any]:
    _say(f"selecting {rows} rows of {series} series")
    names = ", ".join(f"s{number}" for number in range(series))

    def ask() -> int:
        with session.query(f"SELECT {names} FROM root.q.ten", fetch_size=PAGE_ROWS) as result:
            return sum(len(page) for page in result.pages())

    seconds, found = _best(ask)
    _same(rows, found)
    return {"points": rows * series, "points_per_s": round(rows * series / seconds), "to_reach": to_reach}


def _aggregates(session: Session, rows: int, folder: Path) -> dict[str, Any]:
    _say(f"aggregating {rows} points, beside DuckDB")
    last = BASE_MS + STEP_MS * rows - 1
    first_hour = BASE_MS // HOUR_MS * HOUR_MS
    files = [str(path) for path in folder.glob("data/*/root.long/*.parquet")]
    database = duckdb.connect()
    # The same two cores for both.
    database.execute(f"CREATE VIEW long AS SELECT epoch_ms(time) AS t, v FROM read_parquet({files!r})")

    def ours(sql: str) -> list[tuple[Any, ...]]:
        with session.query(sql) as result:
            return list(result)

    def theirs(sql: str) -> list[tuple[Any, ...]]:
        return database.execute(sql).fetchall()

    count_ms, count = _timed(lambda: ours("SELECT count(v), avg(v) FROM root.long.d"))
    duck_count_ms, duck_count = _timed(lambda: theirs("SELECT count(v), avg(v) FROM long"))
    _same(duck_count[0][0], count[0][0])
    _near(duck_count[0][1], count[0][1])
    grouped = f"SELECT count(v), avg(v), max_value(v) FROM root.long.d GROUP BY([{first_hour}, {last}], 1h)"
    hour_ms, hours = _timed(lambda: ours(grouped))
    duck = "SELECT t // 3600000 * 3600000 AS h, count(v), avg(v), max(v) FROM long GROUP BY h ORDER BY h"
    duck_hour_ms, duck_hours = _timed(lambda: theirs(duck))
    _same(len(duck_hours), len(hours))
    for one, other in zip(duck_hours, hours, strict=True):
        _same((one[0], one[1], one[3]), (other[0], other[1], other[3]))
        _near(one[2], other[2])
    return {
        "count_avg": _beside(count_ms, duck_count_ms, "2 x DuckDB + 2 ms", 2 * duck_count_ms + 2),
        "group_by_hour": _beside(hour_ms, duck_hour_ms, "3 x DuckDB", 3 * duck_hour_ms),
    }


def _beside(ours_ms: float, duck_ms: float, rule: str, to_reach_ms: float) -> dict[str, Any]:
    figures = {"ms": round(ours_ms, 2), "duckdb_ms": round(duck_ms, 2), "to_reach": rule}
    return {**figures, "to_reach_ms": round(to_reach_ms, 2), "reached": ours_ms <= to_reach_ms}


def _last(session: Session) -> dict[str, Any]:
    _say(f"last values of {DEVICES} series")
    ms, rows = _timed(lambda: list(session.query("SELECT last_value(s) FROM root.many.*")))
    _same(sorted(float(number) for number in range(DEVICES)), sorted(rows[0]))
    return {"ms": round(ms, 1), "to_reach_ms": 50}


def _parse_ms() -> float:
    """With another number each time, so that no cache of whole texts helps."""
    from datetime import UTC

    times = []
    for number in range(500):
        text = TYPICAL.replace("5.5", f"{number}.5")
        begin = time.perf_counter()
        parse(text, zone=UTC, now_ms=0)
        times.append(time.perf_counter() - begin)
    return statistics.median(times) * 1000


def _small(node: LocalNode, seconds: float) -> dict[str, Any]:
    _say(f"{SMALL_CLIENTS} clients with small selects")
    selects = [
        (f"SELECT s FROM root.many.d{number}", [(BASE_MS, 1.0), (BASE_MS + 1, float(number))])
        for number in range(SMALL_CLIENTS)
    ]
    found = selects_per_s((node.ip, node.client_port), selects, seconds)
    note = f"the clients are threads of {PROCESSES} Python processes on the same machine"
    return {"queries_per_s": round(found), "to_reach": 2_000, "note": note}


def _best(work: Callable[[], int]) -> tuple[float, int]:
    """Seconds of the fastest of three runs, and what it found."""
    runs = []
    for _ in range(REPEATS):
        begin = time.perf_counter()
        found = work()
        runs.append((time.perf_counter() - begin, found))
    return min(runs)


def _timed(work: Callable[[], list[tuple[Any, ...]]]) -> tuple[float, list[tuple[Any, ...]]]:
    """Milliseconds of the median of some runs behind a first one, and what the last one found."""
    found = work()
    times = []
    for _ in range(REPEATS + 2):
        begin = time.perf_counter()
        found = work()
        times.append(time.perf_counter() - begin)
    return statistics.median(times) * 1000, found


def _same(expected: object, actual: object) -> None:
    if expected != actual:
        raise RuntimeError(f"{str(actual)[:200]} where there should be {str(expected)[:200]}")


def _near(expected: float, actual: float) -> None:
    if abs(expected - actual) > 1e-9 * abs(expected):
        raise RuntimeError(f"{actual} where there should be {expected}")


def _say(what: str) -> None:
    print(f"measuring: {what}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
