"""What operators read, and which exit status they get, while a node leaves or arrives."""

import pytest

from iotdb_cluster.client import arrival, removal
from iotdb_cluster.client.arrival import Arrival, what_is_left
from iotdb_cluster.client.removal import Removal, Removed
from iotdb_cluster.errors import CommandRefused, RemoteError, Unreachable
from iotdb_cluster.types.identity import Node, NodeId
from iotdb_cluster.types.report import GroupReport, MoveReport, Report

SEEDS = [("a", 1), ("b", 1)]
TARGET = ("c", 1)
ME, OTHER, LEAVER = NodeId(1), NodeId(2), NodeId(3)


class Clock:
    """Time that passes only in pauses."""

    def __init__(self):
        self.now = 0.0

    def now_s(self):
        return self.now

    def pause(self, seconds):
        self.now += seconds


def report(members, me=1, **known):
    return Report(
        node=Node("a", 1, NodeId(me), 2),
        client_port=3,
        pid=4,
        blind=False,
        version="1",
        cluster_name="cluster",
        cluster_id="00",
        table_version=5,
        members=tuple(Node("c" if each == LEAVER else "a", 1, NodeId(each), 2) for each in members),
        **known,
    )


def move(source, target):
    return MoveReport(1, source, target, 256, "copying", 4_000_000, 1_000_000, 500_000)


@pytest.fixture
def play(monkeypatch):
    """Runs a removal against nodes that answer as they are told; gives its outcome and what was said."""

    def run(answers, reports=(), *, wait=True, timeout_s=60.0, **more):
        calls, reports = iter(answers), iter(reports)
        last = report([1, 2, 3])
        clock, said = Clock(), []

        class Client:
            def __init__(self, address, *, timeout_ms):
                pass

            def __enter__(self):
                return self

            def __exit__(self, *_):
                pass

            def remove_node(self, ip, meta_port, identifier):
                answer = next(calls)
                if isinstance(answer, Exception):
                    raise answer
                return answer

        def ask(address, *, timeout_ms):
            nonlocal last
            last = next(reports, last)
            return last

        monkeypatch.setattr(removal, "MetaClient", Client)
        monkeypatch.setattr(removal, "ask_report", ask)
        asked = Removal(TARGET, SEEDS, said.append, now_s=clock.now_s, pause=clock.pause, **more)
        return asked.run(timeout_s, wait=wait), said

    return run


def test_a_removal_shows_what_is_left_and_ends_with_0_when_the_node_is_gone(play):
    leaving = {"states": {LEAVER: "leaving"}, "group_members": {NodeId(1): (NodeId(1), LEAVER)}}
    draining = report([1, 2, 3], slots={LEAVER: 40}, moves=(move(LEAVER, OTHER), move(OTHER, ME)), **leaving)
    outcome, said = play(
        [-1],
        [
            report([1, 2, 3]),
            draining,
            report([1, 2, 3], slots={LEAVER: 20}, **leaving),
            report([1, 2, 3]),
            report([1, 2]),
        ],
    )
    assert 0 == outcome == Removed.GONE
    left = "leaving: it owns {} slots and is in 1 data group of others"
    assert [
        f"{left.format(40)}; 1.0 of 4.0 MB copied at 0.5 MB/s, 3.0 MB left in 1 move",
        left.format(20),
        "leaving",
        "removed",
    ] == said


def test_a_removal_names_who_else_does_not_answer(play):
    leaving = {"states": {LEAVER: "leaving"}, "slots": {LEAVER: 1}}
    led = {"groups": (group(None, (ME, OTHER, LEAVER), leader=ME),)}
    silent = report([1, 2, 3], silent_ms={OTHER: 9_000, LEAVER: 9_000}, **leaving, **led)
    # Who does not lead the meta group does not know, and names who does.
    asked = report([1, 2, 3], me=2, **leaving, **led)
    outcome, said = play([-1], [asked, asked, silent, report([1, 2], **led)])
    assert Removed.GONE == outcome
    assert [
        "leaving: it owns 1 slot and is in 0 data groups of others; no answer from a:1:2#2, for which groups may wait",
        "removed",
    ] == said


def test_a_removal_waits_for_another_change_and_goes_on_to_the_next_node(play):
    outcome, said = play([-10, Unreachable("nobody there"), -10, -1], [report([1, 2, 3]), report([1, 2])])
    assert Removed.GONE == outcome
    assert "another change of the cluster is under way; this one waits" in said
    assert "b:1: nobody there" in said


@pytest.mark.parametrize(("answer", "words"), [(-9, "no more nodes than it keeps replicas"), (-3, "no node with this")])
def test_what_the_cluster_refuses_ends_with_1_and_the_reason(play, answer, words):
    outcome, said = play([answer])
    assert 1 == outcome == Removed.REFUSED
    assert words in said[-1]


def test_a_refusal_in_words_counts_when_it_stands(play):
    refusal = RemoteError("of the 3 members of the meta group too many do not answer", type=6)
    outcome, said = play([refusal] * 1_000)
    assert Removed.REFUSED == outcome
    assert f"not removed: {refusal.message}" == said[-1]
    # A group that finds a leader meanwhile refuses nothing.
    outcome, _ = play([refusal, refusal, -1], [report([1, 2, 3]), report([1, 2])])
    assert Removed.GONE == outcome


def test_a_removal_that_is_not_waited_for_ends_with_3(play):
    assert (3, Removed.LEAVING) == (play([-1], wait=False)[0], play([-1], wait=False)[0])
    outcome, said = play([-1], timeout_s=2.0)
    assert (Removed.LEAVING, "the time is over; the node goes on leaving") == (outcome, said[-1])


def test_of_two_nodes_with_one_address_the_named_one_is_waited_for(play):
    both = report([1, 2, 3])
    twin = Node("c", 1, NodeId(9), 2)
    with_twin = Report.from_json(both.to_json())
    object.__setattr__(with_twin, "members", (*both.members, twin))
    only_twin = Report.from_json(both.to_json())
    object.__setattr__(only_twin, "members", (*both.members[:2], twin))
    outcome, said = play([-1], [with_twin, with_twin, only_twin], identifier=LEAVER)
    assert (Removed.GONE, "removed") == (outcome, said[-1])


def group(header, members, leader=None):
    return GroupReport(
        header=header, role="follower", leader=leader, term=1, commit_index=1, last_applied=1, last_index=1,
        members=members,
    )  # fmt: skip


MEMBERS = {ME: (ME, OTHER), OTHER: (ME, OTHER)}
STAGES = [
    (None, "the node starts"),
    (report([], states={}), "asks the seed nodes"),
    (report([1, 2], states={ME: "learner"}, slots={OTHER: 10}), "as a learner"),
    (
        report([1, 2], states={ME: "voter"}, slots={ME: 0}, group_members=MEMBERS, groups=(group(ME, (ME, OTHER)),)),
        "it catches up in 1 data group (members change)",
    ),
    (
        report(
            [1, 2],
            states={ME: "voter"},
            slots={ME: 3},
            slots_to_move=2,
            moves=(move(OTHER, ME),),
            group_members=MEMBERS,
            groups=(group(ME, (ME, OTHER)), group(OTHER, (ME, OTHER))),
        ),
        "it has 3, 2 still to move; 1.0 of 4.0 MB copied at 0.5 MB/s, 3.0 MB left in 1 move",
    ),
    (
        report(
            [1, 2],
            states={ME: "voter"},
            slots={ME: 0},
            group_members=MEMBERS,
            groups=(group(ME, (ME, OTHER)), group(OTHER, (ME, OTHER))),
        ),
        None,
    ),
]


@pytest.mark.parametrize(("seen", "words"), STAGES)
def test_what_is_left_for_a_joining_node(seen, words):
    left = what_is_left(seen)
    assert left is None if words is None else words in left


def test_an_arrival_is_told_stage_by_stage(monkeypatch):
    reports = iter([seen for seen, _ in STAGES for _ in range(3)])
    monkeypatch.setattr(arrival, "ask_report", lambda address, *, timeout_ms: next(reports))
    clock, said = Clock(), []
    arrived = Arrival(("a", 1), lambda: True, said.append, now_s=clock.now_s, pause=clock.pause).wait(60.0)
    assert ME == arrived.node.identifier
    assert len(STAGES) == len(said)
    assert "node 1 is in: 0 slots, a replica of 2 data groups" == said[-1]


def test_a_node_that_ends_before_it_is_in_is_told_at_once(monkeypatch):
    monkeypatch.setattr(arrival, "ask_report", lambda address, *, timeout_ms: None)
    clock = Clock()
    with pytest.raises(CommandRefused, match="the new node has ended"):
        Arrival(("a", 1), lambda: False, print, now_s=clock.now_s, pause=clock.pause).wait(60.0)
    assert 0 == clock.now


def test_a_new_node_that_ends_is_quoted(monkeypatch):
    monkeypatch.setattr(arrival, "ask_report", lambda address, *, timeout_ms: None)
    with pytest.raises(CommandRefused, match="the new node has ended: replica_num is 2 there and 3 here"):
        Arrival(("a", 1), lambda: False, print, lambda: "replica_num is 2 there and 3 here").wait(60.0)
