"""Clients delete, and let expire, what lies in slots that are moving: afterwards every replica has the same of it."""

import hashlib
import itertools
import threading
import time

import numpy as np
import pytest

from iotdb_cluster.client.series import SeriesReader
from iotdb_cluster.client.session import Session
from iotdb_cluster.errors import MetadataRefused, OutcomeUnknown, PathNotFound, RequestError, StatusCode
from iotdb_cluster.types.schema import DataType
from tests.process.clusters import has_settled, report_of, running
from tests.process.conftest import wait_for
from tests.process.moving import copying, groups_that_will_move, random_points, written

pytestmark = pytest.mark.process

POINTS = 200_000
FEW_POINTS = 20_000
DAY_MS = 86_400_000
TTL_DAYS = 3650
SERIES_MADE_AGAIN = 8
STEP = 97


class Changer:
    """Writes and deletes in one storage group, round after round, and knows what has to be there at the end.

    What may not have been carried out is repeated until it has been, and nothing comes behind it: the first attempt may
    still take effect.
    """

    def __init__(self, cluster, group, column):
        self.points = {f"{group}.bulk.v": dict(enumerate(column.tolist()))}
        self.rounds = 0
        self.error = None
        self._group = group
        self._end = threading.Event()
        self._session = session_of(cluster)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self):
        try:
            with self._session:
                while not self._end.is_set():
                    self._round(self.rounds + 1)
                    self.rounds += 1
        except RequestError as error:
            self.error = error

    def _round(self, number):
        self._insert("rows", "v", number, number)
        self._delete_points("bulk", number * STEP)
        self._insert("bulk", "v", number * STEP - 5, number)
        series = f"s{number % SERIES_MADE_AGAIN}"
        if number > SERIES_MADE_AGAIN:
            self._delete_series("turn", series)
        self._insert("turn", series, number, number)

    def _insert(self, device, measurement, at, value):
        path = f"{self._group}.{device}"
        if self._carry_out(lambda: self._session.insert_row(path, at, [measurement], [value])):
            self.points.setdefault(f"{path}.{measurement}", {})[at] = value

    def _delete_points(self, device, until):
        path = f"{self._group}.{device}.v"
        if self._carry_out(lambda: self._session.delete_data(path, until)):
            self.points[path] = later_than(until, self.points[path])

    def _delete_series(self, device, measurement):
        path = f"{self._group}.{device}.{measurement}"
        if self._carry_out(lambda: self._session.execute(f"DELETE TIMESERIES {path}")):
            del self.points[path]

    def _carry_out(self, what):
        if self._end.is_set():
            return False
        if not carried_out_once(what):
            self._end.set()
        return True

    def has_gone_on(self, rounds):
        """A condition: so many rounds more than now are done, or there will be no more."""
        enough = self.rounds + rounds
        return lambda: self.rounds >= enough or not self._thread.is_alive()

    def stop(self):
        self._end.set()
        self._thread.join()


def session_of(cluster):
    return Session([(node.ip, node.client_port) for node in cluster.nodes], timeout_ms=60_000)


def carried_out_once(what):
    """Repeat until it is known to be carried out; False when that may have happened more than once."""
    for attempt in itertools.count():
        try:
            what()
        except OutcomeUnknown:
            continue
        except (PathNotFound, MetadataRefused):
            if attempt == 0:
                raise
        return attempt == 0


def later_than(until, points):
    return {at: value for at, value in points.items() if at > until}


def write(session, device, times):
    """Write to `device.v`, each time as its own value; what was written."""
    points = {at: float(at) for at in times}
    columns = np.array(list(points), dtype=np.int64), [np.array(list(points.values()))]
    session.insert_tablet(device, ["v"], ["DOUBLE"], *columns)
    return points


def digest(times, values):
    """One for all points of a series, whatever type it has here."""
    order = np.argsort(times, kind="stable")
    columns = np.asarray(times, dtype=np.int64)[order], np.asarray(values, dtype=np.float64)[order]
    return hashlib.md5(b"".join(column.tobytes() for column in columns), usedforsecurity=False).hexdigest()


def check_every_replica(cluster, points, deleted):
    """Each series has the same points on each member of its group; those that are `deleted` have none."""
    nodes = running(cluster)
    report = report_of(cluster.nodes[-1])
    wanted = {path: digest(list(found), list(found.values())) for path, found in points.items()}
    for path in (*points, *deleted):
        group = path.rsplit(".", 2)[0]
        for member in report.group_members[report.storage_groups[group]]:
            node = nodes[member]
            with SeriesReader([(node.ip, node.meta_port)], at=(node.ip, node.data_port)) as reader:
                if path in points:
                    series = reader.read(path)
                    assert wanted[path] == digest(series.times, series.values), difference(node, points[path], series)
                else:
                    assert 0 == len(reader.read(path, data_type=DataType.DOUBLE)), f"{path} on {node.name}"
                    with pytest.raises(PathNotFound):
                        reader.data_type(path)


def difference(node, points, series):
    found = dict(zip(series.times.tolist(), series.values.tolist(), strict=True))
    missing, more = sorted(points.keys() - found.keys()), sorted(found.keys() - points.keys())
    return f"{series.path} on {node.name}: {len(missing)} points miss {missing[:5]}, {len(more)} too many {more[:5]}"


@pytest.mark.timeout(400)
def test_what_is_deleted_while_its_slot_moves_is_gone_on_every_replica_and_nothing_else(cluster_of):
    cluster = cluster_of(3, slot_move_mb_per_second=1)
    steady, busy, expiring, dropped = moving = groups_that_will_move(cluster, 4)
    groups = (*moving, "root.other")
    columns = random_points(groups, POINTS)
    columns[groups[-1]] = columns[groups[-1]][:FEW_POINTS]
    written(cluster, columns)
    points = {f"{group}.bulk.v": dict(enumerate(column.tolist())) for group, column in columns.items()}
    with session_of(cluster) as session:
        for group in groups:
            points[f"{group}.shared.v"] = write(session, f"{group}.shared", range(1_000))
            points[f"{group}.gone.v"] = write(session, f"{group}.gone", range(10))
        tomorrow = int(time.time() * 1_000) + DAY_MS
        points[f"{expiring}.bulk.v"] |= write(session, f"{expiring}.bulk", range(tomorrow, tomorrow + 100))
        session.delete_data(f"{steady}.bulk.v", 999)
        session.execute("flush")
        changer = Changer(cluster, busy, columns[busy])
        try:
            cluster.add_node()
            wait_for(lambda: copying(cluster), "a move in the middle of its copy", 60)
            wait_for(changer.has_gone_on(3), "changes while files are copied")
            deleted = change_everything(session, points, groups)
            untils = itertools.count(500)

            def has_settled_meanwhile():
                until = next(untils)
                carried_out_once(lambda: session.delete_data("root.*.shared.v", until))
                for group in set(groups) - {dropped}:
                    points[f"{group}.shared.v"] = later_than(until, points[f"{group}.shared.v"])
                return has_settled(cluster, 4)

            wait_for(has_settled_meanwhile, "every slot is where it belongs", 90)
            wait_for(changer.has_gone_on(3), "changes behind the moves")
        finally:
            changer.stop()
        assert changer.error is None
        points |= changer.points
        with pytest.raises(RequestError) as refused:
            session.insert_row(f"{expiring}.bulk", 7, ["v"], [7])
        assert StatusCode.OUT_OF_TTL_ERROR == refused.value.code, refused.value
        session.execute(f"UNSET TTL TO {expiring}")
        points[f"{expiring}.shared.v"] = write(session, f"{expiring}.shared", [7])
        assert {report_of(cluster.nodes[-1]).node.identifier} == {
            report_of(cluster.nodes[0]).storage_groups[group] for group in moving
        }
        check_every_replica(cluster, points, deleted)
        assert sorted(points) == sorted(session.paths("root"))


def change_everything(session, points, groups):
    """Delete points, a series of each storage group, and a storage group; let one expire. The series that are gone."""
    steady, _, expiring, dropped, _ = groups
    carried_out_once(lambda: session.delete_data(f"{steady}.bulk.v", 1_999))
    points[f"{steady}.bulk.v"] = later_than(1_999, points[f"{steady}.bulk.v"])
    carried_out_once(lambda: session.execute("DELETE TIMESERIES root.*.gone.v"))
    deleted = [f"{group}.gone.v" for group in groups]
    carried_out_once(lambda: session.execute(f"SET TTL TO {expiring} {TTL_DAYS * DAY_MS}"))
    oldest = int(time.time() * 1_000) - TTL_DAYS * DAY_MS
    for path in (f"{expiring}.bulk.v", f"{expiring}.shared.v"):
        points[path] = later_than(oldest, points[path])
    is_certain = carried_out_once(lambda: session.execute(f"DELETE STORAGE GROUP {dropped}"))
    deleted += [f"{dropped}.shared.v", f"{dropped}.bulk.v"]
    for path in deleted:
        points.pop(path)
    if is_certain:
        deleted.remove(f"{dropped}.bulk.v")
        points[f"{dropped}.bulk.v"] = write(session, f"{dropped}.bulk", [5])
    return deleted
