"""The main job can tell good from bad: what it expects, what it finds missing, and what it calls an outage."""

import contextlib
import dataclasses
import io
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console

from iotdb_cluster.demo import __main__ as main_job
from iotdb_cluster.demo import load_and_lose
from iotdb_cluster.demo.beats import Beats
from iotdb_cluster.demo.comparing import compare_all
from iotdb_cluster.demo.loading import Loader, LoadReport
from iotdb_cluster.demo.plot import draw_temperatures
from iotdb_cluster.demo.slot_watch import SlotWatch
from iotdb_cluster.demo.stations import STATIONS, Points, load_station, sites_of
from iotdb_cluster.demo.time_line import TimeLine
from iotdb_cluster.errors import CommandRefused, OutcomeUnknown, StartRefused
from iotdb_cluster.partition.slots import slot_of
from iotdb_cluster.partition.table import PartitionTable
from iotdb_cluster.types.identity import Node, NodeId
from iotdb_cluster.types.report import Report
from iotdb_cluster.wire.tables import TableLayout

DATA = Path(__file__).resolve().parents[2] / "data"


@pytest.fixture(scope="module")
def sites():
    return sites_of([load_station(DATA / f"{name}.csv") for name in STATIONS])


def expected_reader(sites):
    """Reads what the files hold."""
    stations = {site.device: site.station for site in sites}

    def read(_node, path):
        device, _, measurement = path.rpartition(".")
        return stations[device].points[measurement]

    return read


# ---- what is expected


def test_every_cell_of_the_files_is_expected(sites):
    for site in sites[:2]:
        lines = (DATA / f"{site.station.name}.csv").read_text().splitlines()[1:]
        assert 8760 == len(lines)
        assert sum(cell != "" for line in lines for cell in line.split(",")[1:]) == site.station.point_count


def test_expected_times_ascend_although_the_files_go_back(sites):
    for site in sites[:2]:
        sent = np.concatenate([rows.times for rows in site.tablets if "temperature" in rows.measurements])
        assert (np.diff(sent) < 0).any()
        for points in site.station.points.values():
            assert (np.diff(points.times) > 0).all()


def test_every_data_group_of_three_nodes_holds_some_sites(sites):
    nodes = [Node("127.0.0.1", port, NodeId(port), port + 10) for port in (1, 2, 3)]
    table = PartitionTable.initial(nodes, replica_num=3)
    held = Counter(table.header_of(slot_of(site.storage_group)) for site in sites)
    assert {1, 2, 3} == set(held)
    assert 16 == held.total()


def test_a_data_group_without_a_site_stops_it(sites, monkeypatch):
    nodes = [Node("127.0.0.1", port, NodeId(port), port + 10) for port in (1, 2, 3)]
    table = PartitionTable.initial(nodes, replica_num=3)
    layout = TableLayout(10_000, tuple((node, table.slots_of(node.identifier)) for node in nodes))
    cluster = SimpleNamespace(nodes=[SimpleNamespace(ip="127.0.0.1", meta_port=1)])
    meta = SimpleNamespace(partition_table=lambda: layout)
    monkeypatch.setattr(load_and_lose, "create_storage_groups", lambda nodes, names: None)
    monkeypatch.setattr(load_and_lose, "MetaClient", lambda address: contextlib.nullcontext(meta))
    console = Console(file=io.StringIO())
    load_and_lose._spread(cluster, sites, console)
    of_two = [site for site in sites if 3 != table.header_of(slot_of(site.storage_group))]
    with pytest.raises(CommandRefused, match="data group 3 holds no site"):
        load_and_lose._spread(cluster, of_two, console)


def test_a_missing_file_stops_it():
    with pytest.raises(StartRefused, match="there is no such file"):
        load_station(DATA / "nowhere.csv")


# ---- how it ends


@pytest.mark.parametrize(("scene", "status"), [("all right", 0), ("a difference", 1), ("an error", 1)])
def test_the_exit_status_is_0_only_when_all_was_right(monkeypatch, tmp_path, scene, status):
    def play(cluster, data, plot, console):
        if scene == "an error":
            raise CommandRefused("nothing came of it")
        return scene == "all right"

    monkeypatch.setitem(main_job.SCENES, "load-and-lose", play)
    assert status == main_job.main(["--dir", str(tmp_path)])
    # What went wrong can be looked into.
    assert status == len(list(tmp_path.glob("*/cluster")))


# ---- what is found


def test_what_the_files_hold_is_equal(sites):
    assert all(each.is_equal for each in compare_all(sites, 3, expected_reader(sites)))


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (lambda p: Points(p.times[1:], p.values[1:]), (1, 0, 0)),
        (lambda p: Points(np.append(p.times, p.times[-1] + 1), np.append(p.values, p.values[-1])), (0, 1, 0)),
        (lambda p: Points(p.times, np.nextafter(p.values, np.float32(1000))), (0, 0, 8760)),
        (lambda p: Points(p.times[:0], p.values[:0]), (8760, 0, 0)),
        (lambda p: Points(p.times, p.values.astype(np.float64)), (0, 0, 8760)),
    ],
)
def test_a_single_spoilt_point_is_found(sites, spoil, expected):
    good = expected_reader(sites)

    def read(node, path):
        points = good(node, path)
        return spoil(points) if (node, path) == (1, "root.site05.sand_point.temperature") else points

    bad = [each for each in compare_all(sites, 3, read) if not each.is_equal]
    assert [("root.site05", 1)] == [(each.site.storage_group, each.node) for each in bad]
    assert expected == (bad[0].missing, bad[0].extra, bad[0].different)


def test_the_plot_is_written(sites, tmp_path):
    draw_temperatures({site.station.name: site.station.points["temperature"] for site in sites[:2]}, tmp_path / "t.png")
    assert (tmp_path / "t.png").read_bytes().startswith(b"\x89PNG")


# ---- loading


def test_the_outage_is_the_longest_wait_after_the_loss():
    report = LoadReport([(0.0, 5.0, "a"), (9.9, 10.1, "b"), (9.9, 11.4, "c"), (11.5, 11.6, "b")])
    assert (pytest.approx(1.5), "c") == report.longest_wait_s(since=10.0)
    assert pytest.approx(1.3) == report.longest_silence_s(since=10.0, until=11.6)


class Memory:
    """Keeps what is written; fails when told."""

    def __init__(self, kept, fails_at=None):
        self.kept = kept
        self.fails_at = fails_at

    def write(self, rows):
        if len(self.kept) == self.fails_at:
            raise OutcomeUnknown("no answer")
        self.kept.append(rows)

    def close(self):
        self.kept.append("closed")


def test_each_site_is_loaded_in_the_order_of_its_file(sites):
    kept = []
    loader = Loader(sites, lambda: Memory(kept))
    loader.start()
    assert loader.total == list(loader.wait_for(1.0))[-1]
    loader.join()
    assert 4 == kept.count("closed")
    for site in sites:
        written = [rows for rows in kept if rows != "closed" and rows.device == site.device]
        assert [rows.times[0] for rows in site.tablets] == [rows.times[0] for rows in written]


def test_a_writer_that_fails_ends_the_job(sites):
    short = [dataclasses.replace(sites[0])]
    loader = Loader(short, lambda: Memory([], fails_at=5))
    loader.start()
    with pytest.raises(OutcomeUnknown):
        list(loader.wait_for(1.0))
    with pytest.raises(OutcomeUnknown):
        loader.join()


def test_a_load_that_pauses_says_which_sites_have_begun(sites):
    loader = Loader(sites[:2], lambda: Memory([]), pause_s=0.001)
    loader.start()
    for done in loader.wait_for(0.01):
        assert done <= loader.total
    assert loader.begun
    loader.pause_s = 0.0
    loader.join()
    assert {"root.site00", "root.site01"} == loader.begun


# ---- what moves


def report_of_slots(table_version, slots, owners):
    node = Node("127.0.0.1", 1, NodeId(1), 2)
    return Report(
        node=node, client_port=3, pid=4, blind=False, version="", cluster_name="", cluster_id="",
        table_version=table_version, slots=slots, storage_groups=owners,
    )  # fmt: skip


def test_slots_with_another_owner_have_moved_and_those_with_data_are_told_apart():
    watch = SlotWatch(lambda: (), lambda: {"root.a"})
    watch.take(report_of_slots(5, {1: 10, 2: 10}, {"root.a": 1, "root.b": 1}))
    watch.take(report_of_slots(6, {1: 7, 2: 10, 3: 3}, {"root.a": 3, "root.b": 3}))
    watch.take(report_of_slots(5, {1: 10, 2: 10}, {"root.a": 1, "root.b": 1}))  # a node that is behind
    watch.take(report_of_slots(8, {2: 14, 3: 6}, {"root.a": 2, "root.b": 3}))
    assert [3, 7] == [count for _, count in watch.moved]
    assert ["root.a", "root.a"] == [group for _, group in watch.moved_with_data]
    assert (10, 2) == watch.between(0.0, float("inf"))
    assert (0, 0) == watch.between(0.0, watch.moved[0][0])


def test_the_time_line_shows_what_moved_and_the_longest_wait_in_each_step():
    console = Console(width=120, record=True, file=io.StringIO())
    line = TimeLine(console)
    with line.step("a node joins") as step:
        pass
    step.begin, step.end = line.begun + 1.0, line.begun + 3.5
    watch = SlotWatch(lambda: (), set)
    watch.moved = [(line.begun + 2.0, 2500), (line.begun + 4.0, 7)]
    begun = line.begun
    report = LoadReport([(begun + 1.5, begun + 2.25, "a"), (begun + 0.5, begun + 0.75, "b")])
    console.print(line.table(watch, [report, LoadReport()]))
    assert ["1.0", "a", "node", "joins", "2.5", "2,500", "0.75"] == console.export_text().splitlines()[-2].split()


@pytest.mark.parametrize(("found", "is_good"), [([1, 2, 3], True), ([1, 3], False), ([1, 2, 3, 4], False)])
def test_a_beat_that_is_missing_or_too_many_is_found(sites, found, is_good):
    points = Points(np.array(found, np.int64), np.array(found, np.int64))
    beats = Beats(sites[:1], lambda: ())
    beats.written["root.site00"] = 3
    faults = beats.faults(2, lambda node, path: points)
    assert (0 if is_good else 2) == len(faults)
