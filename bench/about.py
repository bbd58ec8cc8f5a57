"""What figures were measured on."""

import os
import platform
import statistics
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any

from iotdb_cluster.version import VERSION


def about(folder: Path) -> dict[str, Any]:
    """The machine, its disk under `folder`, and the versions."""
    return {
        "version": VERSION,
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "fdatasync_us": round(_sync_us(folder / "probe"), 1),
    }


def _sync_us(path: Path) -> float:
    """The median time of a small append with fdatasync, on the disk that is measured."""
    times = []
    with path.open("wb", buffering=0) as file:
        for _ in range(500):
            begin = perf_counter()
            file.write(b"x" * 200)
            os.fdatasync(file.fileno())
            times.append(perf_counter() - begin)
    return statistics.median(times) * 1e6
