"""The two stations' years of weather, and the sites that they feed."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from iotdb_cluster.cli.csv_file import CsvFile, Rows
from iotdb_cluster.errors import StartRefused
from iotdb_cluster.types.schema import DataType

SITE_COUNT = 16
STATIONS = ("greensboro", "sand_point")
TABLET_ROWS = 96
"""Four days a tablet: small enough that loading takes seconds, so that a node can be lost half way."""

TYPES = {
    **dict.fromkeys(("ghi", "dni", "dhi", "total_sky_cover", "relative_humidity"), DataType.INT32),
    **dict.fromkeys(("pressure", "wind_direction", "visibility"), DataType.INT32),
    **dict.fromkeys(("temperature", "dew_point", "wind_speed", "precipitation"), DataType.FLOAT),
}


@dataclass(frozen=True, slots=True)
class Points:
    """A series: strictly ascending times (ms), and a value for each."""

    times: NDArray[np.int64]
    values: NDArray[np.generic]

    def equals(self, other: "Points") -> bool:
        """Every time and every bit of every value."""
        return (
            np.array_equal(self.times, other.times)
            and self.values.dtype == other.values.dtype
            and self.values.tobytes() == other.values.tobytes()
        )


@dataclass(frozen=True, slots=True)
class Station:
    """What a file holds: tablets in file order, and what a database must hold after all of them."""

    name: str
    tablets: tuple[Rows, ...]
    points: dict[str, Points]
    """By measurement."""

    @property
    def point_count(self) -> int:
        return sum(len(points.times) for points in self.points.values())


@dataclass(frozen=True, slots=True)
class Site:
    """A storage group with one device, fed by a station."""

    storage_group: str
    station: Station

    @property
    def device(self) -> str:
        return f"{self.storage_group}.{self.station.name}"

    @property
    def tablets(self) -> list[Rows]:
        """The station's tablets under this site's name."""
        return [replace(rows, device=self.device) for rows in self.station.tablets]


def load_station(path: Path, rows_max: int = TABLET_ROWS) -> Station:
    """The station in a CSV file; raises `StartRefused` when the file is not there."""
    if not path.is_file():
        raise StartRefused(f"{path}: there is no such file")
    tablets = tuple(rows for chunk in CsvFile(path, TYPES).chunks(rows_max) for rows in chunk)
    names = sorted({name for rows in tablets for name in rows.measurements})
    return Station(path.stem, tablets, {name: _last_written(tablets, name) for name in names})


def sites_of(stations: list[Station]) -> list[Site]:
    """Sixteen sites, fed by the stations in turn."""
    return [Site(f"root.site{number:02}", stations[number % len(stations)]) for number in range(SITE_COUNT)]


def _last_written(tablets: tuple[Rows, ...], measurement: str) -> Points:
    """The points of one column by time; of equal times the one that was written last."""
    columns = [(rows.times, rows.columns[rows.measurements.index(measurement)]) for rows in tablets
               if measurement in rows.measurements]  # fmt: skip
    times = np.concatenate([times for times, _ in columns])
    values = np.concatenate([np.asarray(column) for _, column in columns])
    order = np.argsort(times, kind="stable")
    times, values = times[order], values[order]
    last = np.append(times[1:] != times[:-1], True)
    return Points(times[last], values[last])
