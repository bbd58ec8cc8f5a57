"""`iotdb-cluster status` puts what each node knows into one picture."""

import dataclasses
import json

import pytest
from rich.console import Console

from iotdb_cluster.cli.main import address_of
from iotdb_cluster.cli.show import show_status
from iotdb_cluster.cli.status import ask_cluster, put_together
from iotdb_cluster.errors import CommandRefused, MalformedInput
from iotdb_cluster.types.identity import Node, NodeId
from iotdb_cluster.types.report import GroupReport, MoveReport, Report

NODES = tuple(Node("127.0.0.1", 9000 + n, NodeId(n), 40_000 + n) for n in (1, 2, 3))
LONG_NAMES = tuple(dataclasses.replace(node, identifier=NodeId(2_000_000_000 + node.identifier)) for node in NODES)


def group(header, leader, me, **changes):
    role = "leader" if leader == me else "follower"
    whole = GroupReport(header, role, leader, term=2, commit_index=50, last_applied=50, last_index=50)
    return dataclasses.replace(whole, **changes)


def report(me, *groups, **changes):
    whole = Report(
        node=NODES[me - 1],
        client_port=6667,
        pid=100 + me,
        blind=False,
        version="1",
        cluster_name="weather",
        cluster_id="ab",
        table_version=5,
        members=NODES,
        groups=groups,
        slots={NodeId(1): 3334, NodeId(2): 3333, NodeId(3): 3333},
        storage_groups={"root.a": NodeId(2), "root.b": NodeId(1), "root.c": NodeId(2)},
    )
    return dataclasses.replace(whole, **changes)


def test_a_report_survives_its_way_over_the_wire():
    sent = report(1, group(None, 1, 1), group(2, 3, 1, members=(1, 2, 3)))
    assert sent == Report.from_json(sent.to_json())


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"node": 1}', "nonsense"])
def test_what_is_no_report_is_refused(text):
    with pytest.raises(MalformedInput, match="not the report of a node"):
        Report.from_json(text)


def test_a_node_that_does_not_answer_is_shown_with_what_others_know_of_it():
    status = put_together([report(1, group(None, 1, 1)), report(3, group(None, 1, 3))])
    assert [(1, True), (2, False), (3, True)] == [(node.identifier, node.alive) for node in status.nodes]
    assert (3333, ("root.a", "root.c"), None) == (
        status.nodes[1].slots,
        status.nodes[1].storage_groups,
        status.nodes[1].pid,
    )


def test_a_group_is_what_the_members_with_the_highest_term_say():
    old = group(2, 2, 2, term=2, commit_index=50, last_applied=50)
    new = group(2, 3, 1, term=4, commit_index=60, last_applied=58)
    status = put_together([report(1, new), report(2, old)])
    (only,) = status.groups
    assert ("data 2", 3, 4, 60) == (only.group, only.leader, only.term, only.commit)
    assert [(1, 58), (2, 50)] == [(member.node, member.applied) for member in only.members]


def test_the_newest_table_decides_who_is_a_member():
    behind = report(1, table_version=4, members=NODES[:2])
    assert 3 == len(put_together([behind, report(2)]).nodes)


def test_all_members_are_asked_whichever_is_named():
    reports = {9001: report(1, group(None, 1, 1)), 9003: report(3, group(None, 1, 3))}
    status = ask_cluster(lambda address, timeout_ms: reports.get(address[1]), ("127.0.0.1", 9003))
    assert [True, False, True] == [node.alive for node in status.nodes]


def test_a_cluster_that_does_not_answer_is_said_so():
    with pytest.raises(CommandRefused, match="somewhere:9003 does not answer"):
        ask_cluster(lambda address, timeout_ms: None, ("somewhere", 9003))


def test_the_status_is_shown_and_is_json():
    status = put_together([report(1, group(None, 1, 1), group(2, None, 1))])
    console = Console(width=160, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    show_status(status, console)
    text = console.export_text()
    for expected in ("weather", "1 of 3 nodes alive", "no answer", "data 2", "none", "root.a, root.c"):
        assert expected in text
    assert "weather" == json.loads(json.dumps(status.as_json()))["cluster_name"]


def test_identifiers_are_whole_on_a_narrow_terminal():
    known = {"silent_ms": {node.identifier: 600_000 for node in LONG_NAMES}}
    status = put_together([report(1, group(None, 1, 1), members=LONG_NAMES, **known)])
    console = Console(width=80, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    show_status(status, console)
    text = console.export_text()
    for node in LONG_NAMES:
        assert str(node.identifier) in text
    assert "…" not in text


@pytest.mark.parametrize(
    ("text", "expected"), [("a:1", ("a", 1)), ("[::1]:9003", ("::1", 9003)), ("10.0.0.1:65535", ("10.0.0.1", 65535))]
)
def test_an_address_is_host_and_port(text, expected):
    assert expected == address_of(text)


@pytest.mark.parametrize("text", ["", "a", "a:", ":1", "a:x", "a:0", "a:65536"])
def test_what_is_no_address_is_refused(text):
    with pytest.raises(CommandRefused, match="is no address"):
        address_of(text)


def test_what_a_member_is_and_since_when_it_is_silent():
    known = {
        "states": {NodeId(1): "voter", NodeId(2): "leaving", NodeId(3): "learner"},
        "silent_ms": {NodeId(2): 65_000, NodeId(3): 20},
        "change": "node 2 is leaving",
        "group_members": {NodeId(1): (NodeId(1), NodeId(3))},
    }
    sent = report(1, group(None, 1, 1, learners=(2, 3)), **known)
    assert sent == Report.from_json(sent.to_json())
    status = put_together([sent, report(3)])
    assert [("voter", None), ("leaving", 65.0), ("learner", 0.02)] == [(n.state, n.silent_s) for n in status.nodes]
    console = Console(width=160, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    show_status(status, console)
    text = console.export_text()
    for expected in ("no answer since", ", leaving", "alive, learner", "under way: node 2 is leaving"):
        assert expected in text


def test_moves_are_shown_with_what_each_member_of_the_target_has_copied():
    move = MoveReport(7, NodeId(1), NodeId(2), 256, "copying")
    known = [
        report(1, group(None, 1, 1), moves=(move,), slots_to_move=833),
        report(2, moves=(dataclasses.replace(move, total_bytes=30_000_000, copied_bytes=12_000_000),)),
        report(3, moves=(dataclasses.replace(move, total_bytes=9, copied_bytes=9, bytes_per_second=5_000_000),)),
    ]
    assert known[1] == Report.from_json(known[1].to_json())
    status = put_together(known)
    (only,) = status.moves
    assert [(2, 18_000_000, 0), (3, 0, 5_000_000)] == [(c.node, c.left_bytes, c.bytes_per_second) for c in only.copies]
    console = Console(width=160, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    show_status(status, console)
    text = console.export_text()
    for expected in (
        "moves (833 slots still to move)",
        "copying",
        "12.0 of 30.0 MB on 2",
        "5.0 MB/s, 0.0 MB left",
    ):
        assert expected in text
