"""What the process tests see of a cluster from the outside: writers, reports, and every point on every member."""

import random
import threading

from iotdb_cluster.client.operators import MetaClient, ask_report
from iotdb_cluster.client.series import SeriesReader
from iotdb_cluster.client.session import Session
from iotdb_cluster.errors import RequestError

GROUPS = tuple(f"root.s{number:02}" for number in range(8))


class Writer:
    """Writes rows with ascending times and unique values to one device, and keeps what was acknowledged."""

    def __init__(self, cluster, group):
        self.group = group
        self.acknowledged = {}
        self.unknown = {}
        self._nodes = [(node.ip, node.client_port) for node in cluster.nodes]
        random.shuffle(self._nodes)
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self):
        with Session(self._nodes, timeout_ms=30_000) as session:
            number = 0
            while not self._end.is_set():
                number += 1
                try:
                    session.insert_row(f"{self.group}.d", number, ["v"], [number * 3])
                except RequestError:
                    # It may still take effect, at most once.
                    self.unknown[number] = number * 3
                else:
                    self.acknowledged[number] = number * 3

    def stop(self):
        self._end.set()
        self._thread.join()


class Watcher:
    """Counts the rows of writers again and again; `missing` is what a strong read did not see, `failed` what failed."""

    def __init__(self, cluster, rows):
        self._rows = rows
        self._nodes = [(node.ip, node.client_port) for node in cluster.nodes]
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.looks = 0
        self.missing = []
        self.failed = []
        self._thread.start()

    def _run(self):
        with Session(self._nodes, timeout_ms=30_000) as session:
            while not self._end.is_set():
                for writer in self._rows:
                    promised = len(writer.acknowledged)
                    try:
                        ((found,),) = session.query(f"SELECT count(v) FROM {writer.group}.d")
                    except RequestError as error:
                        self.failed.append(f"{writer.group}: {error}")
                        continue
                    if found < promised:
                        self.missing.append((writer.group, promised, found))
                self.looks += 1

    def stop(self):
        self._end.set()
        self._thread.join()


def all_written(writers, more):
    """True when each writer has so many more acknowledgements than when this was first asked."""
    begun = {writer.group: len(writer.acknowledged) for writer in writers}
    return lambda: all(len(writer.acknowledged) >= begun[writer.group] + more for writer in writers)


def report_of(node):
    return ask_report((node.ip, node.meta_port))


def running(cluster):
    """The nodes that answer, by identifier."""
    reports = {node.name: report_of(node) for node in cluster.nodes if node.is_running}
    return {reports[node.name].node.identifier: node for node in cluster.nodes if reports.get(node.name) is not None}


def has_settled(cluster, size):
    """True when so many nodes are members, and every group is on exactly the nodes that it should be on."""
    nodes = running(cluster)
    reports = [report_of(node) for node in nodes.values()]
    if len(nodes) != size or any(each is None or each.blind or each.change for each in reports):
        return False
    if any(len(each.members) != size or set(each.states.values()) != {"voter"} for each in reports):
        return False
    held = {each.node.identifier: {group.header for group in each.groups if group.members} for each in reports}
    wanted = reports[0].group_members
    return all(
        held[identifier] == {None, *(header for header, members in wanted.items() if identifier in members)}
        for identifier in nodes
    )


def owners_of_slots(cluster):
    """The owner of each slot, as a node that runs has it."""
    node = next(iter(running(cluster).values()))
    with MetaClient((node.ip, node.meta_port)) as client:
        table = client.partition_table()
    return {slot: owner.identifier for owner, slots in table.nodes for slot in slots}


def orphans(cluster):
    """Folders with data of a group that the node is not in, or of a storage group that the group does not own."""
    found = []
    for node in running(cluster).values():
        report = report_of(node)
        for group in (node.folder / "data").iterdir():
            members = report.group_members.get(int(group.name), ())
            if report.node.identifier not in members:
                found.append(group)
                continue
            found.extend(group.glob("moves/*"))
            owned = {path for path, header in report.storage_groups.items() if header == int(group.name)}
            found.extend(
                folder for folder in group.glob("root.*") if folder.name not in owned and any(folder.iterdir())
            )
    return found


def check_on_every_member(cluster, rows):
    """Each acknowledged row is on each member of its group, and nothing that nobody wrote."""
    nodes = running(cluster)
    report = report_of(next(iter(nodes.values())))
    for writer in rows:
        for member in report.group_members[report.storage_groups[writer.group]]:
            node = nodes[member]
            promised = dict(writer.acknowledged)  # the writer may go on
            with SeriesReader([(node.ip, node.meta_port)], at=(node.ip, node.data_port)) as reader:
                series = reader.read(f"{writer.group}.d.v")
            found = dict(zip(series.times.tolist(), series.values.tolist(), strict=True))
            missing = promised.keys() - found.keys()
            assert not missing, f"{writer.group} on {node.name}: {len(missing)} rows are lost"
            assert {number * 3 for number in found} == set(found.values()), f"{writer.group} on {node.name}"


def address(node):
    return f"{node.ip}:{node.meta_port}"


def last_line(node):
    return (node.folder / "output.txt").read_text().strip().splitlines()[-1]


def log_of(node):
    path = node.folder / "log" / "node.log"
    return path.read_text() if path.exists() else ""
