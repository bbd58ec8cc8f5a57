"""What RaftService answers by number, on both ports (interface page CLUSTER, PAYLOADS "Return values", DESIGN 3.5)."""

import pytest

from iotdb_cluster.types.entries import Entry, EntryKind
from iotdb_cluster.types.identity import EntryId
from iotdb_cluster.wire.entries import encode_entry
from tests.services.rig import (
    CLUSTER,
    code,
    logged_in,
    new_nodes,
    node_of,
    query,
    refused,
    running,
    said,
    stock,
    stranger,
    struct_of,
    wait_for,
)

AGREE, MISMATCH, NO_TABLE, META_STALE, LEADER_ONLINE, NOT_IN_GROUP = -1, -2, -4, -7, -8, -11
FAR = EntryId(99, 99)
LAST_NUMBER = 2**63 - 1
"""As a term: behind it there is none for another election."""


def heartbeat(term, leader, header=None, **more):
    flags = {"requireIdentifier": False, "regenerateIdentifier": False, "commitLogIndex": 0, **more}
    return CLUSTER.HeartBeatRequest(term=term, leader=leader, header=header, **flags)


def election(term, elector, last, header=None, data_last=None):
    data = {} if data_last is None else {"dataLogLastIndex": data_last.index, "dataLogLastTerm": data_last.term}
    return CLUSTER.ElectionRequest(
        term=term, elector=elector, lastLogTerm=last.term, lastLogIndex=last.index, header=header, **data
    )


def append(client, term, entry, prev, header=None):
    request = CLUSTER.AppendEntryRequest(term=term, entry=encode_entry(entry, prev), header=header)
    return client.appendEntry(request)


def append_all(client, term, entries, prev, header=None):
    encoded = []
    for entry in entries:
        encoded.append(encode_entry(entry, prev))
        prev = entry.id
    return client.appendEntries(CLUSTER.AppendEntriesRequest(term=term, entries=encoded, header=header))


def empty(term, index):
    return Entry(term, index, EntryKind.EMPTY_CONTENT, b"")


# -- a node that leads -----------------------------------------------------------------------------------------------


@pytest.fixture(params=["meta", "data"])
def led(request, node):
    """A port of the node that leads all its groups, the header to use there, and the group as the node reports it."""
    header = None if request.param == "meta" else node.node
    service, address = ("TSMetaService", node.meta_address) if header is None else ("TSDataService", node.data_address)
    with stock(service, address) as client:
        yield client, None if header is None else struct_of(header), node.group(header)


def test_a_lower_term_is_answered_by_the_own_one(led):
    client, head, group = led
    answer = client.sendHeartBeat(heartbeat(group.term - 1, stranger(), head))
    assert (group.term, False) == (answer.term, answer.requirePartitionTable)
    assert [None] * 4 == [answer.lastLogIndex, answer.lastLogTerm, answer.follower, answer.followerIdentifier]
    assert group.term == client.startElection(election(group.term - 1, stranger(), FAR, head, FAR))
    assert group.term == append(client, group.term - 1, empty(group.term - 1, 2), EntryId(0, 1), head)


def test_a_live_leader_keeps_its_place(led):
    client, head, group = led
    assert LEADER_ONLINE == client.startElection(election(group.term + 5, stranger(), FAR, head, FAR))
    assert NOT_IN_GROUP == client.sendHeartBeat(heartbeat(group.term, stranger(), head)).term
    assert NOT_IN_GROUP == append(client, group.term, empty(group.term, 2), EntryId(0, 1), head)


def test_the_commit_index_is_what_was_committed_when_the_question_came(led, session, sg):
    client, head, group = led
    before = client.requestCommitIndex(head)
    assert before >= group.commit_index
    session.insert(f"{sg}.d", 1, s="1")
    assert client.requestCommitIndex(head) >= (before if head is None else before + 1)


def test_the_header_is_not_looked_at_on_the_meta_port(node, meta):
    group = node.group(None)
    assert LEADER_ONLINE == meta.startElection(election(group.term + 5, stranger(), FAR, stranger()))
    assert group.term == meta.sendHeartBeat(heartbeat(group.term - 1, stranger(), stranger())).term
    assert meta.requestCommitIndex(stranger()) >= group.commit_index


def test_an_unknown_header_is_answered_not_in_group(data):
    assert NOT_IN_GROUP == data.sendHeartBeat(heartbeat(9, stranger(), stranger())).term
    assert NOT_IN_GROUP == data.startElection(election(9, stranger(), FAR, stranger(), FAR))
    assert NOT_IN_GROUP == append(data, 9, empty(9, 9), EntryId(8, 8), stranger())
    assert NOT_IN_GROUP == append_all(data, 9, [empty(9, 9)], EntryId(8, 8), stranger())


def test_a_call_never_makes_a_group(node, data):
    before = len(node.report().groups)
    data.sendHeartBeat(heartbeat(9, stranger(), stranger()))
    assert before == len(node.report().groups)


@pytest.mark.parametrize(
    "call",
    [
        lambda client: client.sendHeartBeat(heartbeat(-1, stranger())),
        lambda client: client.sendHeartBeat(heartbeat(1, stranger(), commitLogIndex=-1)),
        lambda client: client.startElection(election(-1, stranger(), EntryId(0, 0))),
        lambda client: append(client, -1, empty(1, 1), EntryId(0, 0)),
        lambda client: client.sendHeartBeat(heartbeat(LAST_NUMBER, stranger())),
        lambda client: client.startElection(election(LAST_NUMBER, stranger(), EntryId(0, 0))),
        lambda client: append(client, LAST_NUMBER, empty(1, 1), EntryId(0, 0)),
        lambda client: client.appendEntry(CLUSTER.AppendEntryRequest(term=1, entry=b"")),
        lambda client: client.appendEntry(CLUSTER.AppendEntryRequest(term=1, entry=b"\x0f" + bytes(32))),
        lambda client: client.appendEntry(CLUSTER.AppendEntryRequest(term=1, entry=b"\x04" + bytes(31))),
        lambda client: client.appendEntry(CLUSTER.AppendEntryRequest(term=1, entry=b"\x04" + bytes(33))),
        lambda client: client.appendEntries(CLUSTER.AppendEntriesRequest(term=1, entries=[])),
        lambda client: append_all(client, 9, [empty(1, 7), empty(1, 9)], EntryId(1, 6)),
        lambda client: client.sendSnapshot(CLUSTER.SendSnapshotRequest(snapshotBytes=b"")),
        lambda client: client.sendSnapshot(CLUSTER.SendSnapshotRequest(snapshotBytes=b"\x7f\xff\xff\xff")),
    ],
    ids=["heartbeat term", "commit index", "vote term", "append term", "last heartbeat term", "last vote term",
         "last append term", "no entry", "unknown type", "cut entry",
         "long entry", "no entries", "no chain", "no snapshot", "huge snapshot"],
)  # fmt: skip
def test_what_has_no_meaning_is_an_exception_and_changes_nothing(node, meta, call):
    term = node.group(None).term
    assert "400 EXECUTE_STATEMENT_ERROR" in refused(lambda: call(meta))
    assert term == node.group(None).term


def test_a_stranger_cannot_use_up_the_terms(led):
    """One heartbeat with a term that has hardly another above it would leave the group without elections for ever."""
    client, head, group = led
    most = group.term + 2**32
    for call in (
        lambda: client.sendHeartBeat(heartbeat(most + 1, stranger(), head)),
        lambda: client.startElection(election(most + 1, stranger(), FAR, head, FAR)),
        lambda: append(client, most + 1, empty(most + 1, 99), EntryId(1, 98), head),
    ):
        assert f"at most {most} is possible" in refused(call)
    assert LEADER_ONLINE == client.startElection(election(most, stranger(), FAR, head, FAR))
    assert client.requestCommitIndex(head) >= group.commit_index


def test_an_unknown_entry_type_is_named(meta):
    request = CLUSTER.AppendEntryRequest(term=1, entry=b"\x0f" + bytes(32))
    assert "15" in refused(lambda: meta.appendEntry(request))


@pytest.mark.parametrize("missing", ["header", "indexes"])
def test_a_data_group_needs_header_and_data_log(node, data, missing):
    head = struct_of(node.node) if missing == "indexes" else None
    refused(lambda: data.startElection(election(9, stranger(), EntryId(9, 9), head)))
    if missing == "header":
        refused(lambda: data.sendHeartBeat(heartbeat(9, stranger())))
        refused(lambda: append(data, 9, empty(9, 9), EntryId(8, 8)))


# -- a node whose peers are gone -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def survivor(tmp_path_factory):
    """One of three nodes, after the two others stopped, and those two as structs."""
    nodes = new_nodes(tmp_path_factory.mktemp("survivor"), 3, connection_time_out_ms=300)
    with running(nodes):
        with logged_in(nodes[0]) as session:
            for group in range(4):
                assert 200 == code(session.insert(f"root.g{group}.d", 1, s="1"))
        others = [struct_of(node.node) for node in nodes[1:]]
        applied = nodes[1].report()
        wait_for(lambda: nodes[0].report().meta.last_applied >= applied.meta.last_applied, "the survivor is level")
        for node in nodes[1:]:
            node.stop()
        wait_for(lambda: all(group.leader is None for group in nodes[0].report().groups), "no leader is left")
        yield nodes[0], others


class Group:
    """One group of the survivor, as the test's pretended leader and candidates deal with it."""

    def __init__(self, client, node, header, others):
        self.client, self.node, self.header, self.others = client, node, header, others
        self.head = None if header is None else struct_of(header)

    @property
    def term(self):
        return self.node.group(self.header).term

    def beat(self, term, leader=0, **more):
        return self.client.sendHeartBeat(heartbeat(term, self.others[leader], self.head, **more))

    def last(self):
        """The last entry of the log, as a follower tells its leader."""
        answer = self.beat(self.term)
        return EntryId(answer.lastLogTerm, answer.lastLogIndex)

    def ask(self, term, last, candidate=0, meta_last=FAR):
        """Ask for a vote, again and again while a leader counts as live."""
        elector = self.others[candidate] if isinstance(candidate, int) else candidate
        if self.head is None:
            request = election(term, elector, last)
        else:
            request = election(term, elector, meta_last, self.head, last)
        answers = []

        def judged():
            answers.append(self.client.startElection(request))
            return answers[-1] != LEADER_ONLINE

        wait_for(judged, "the leader's grace is over")
        return answers[-1]


@pytest.fixture(params=["meta", "data"])
def left(request, survivor):
    """A group of the survivor, on the port where it is addressed."""
    node, others = survivor
    service, address = (
        ("TSMetaService", node.meta_address) if request.param == "meta" else ("TSDataService", node.data_address)
    )
    header = None if request.param == "meta" else node.node
    with stock(service, address) as client:
        yield Group(client, node, header, others)


def test_a_heartbeat_of_the_leader_is_agreed_to_with_the_last_entry(left):
    term = left.term + 1
    answer = left.beat(term)
    assert (AGREE, left.node.node) == (answer.term, node_of(answer.follower))
    group = left.node.group(left.header)
    assert (term, left.others[0].nodeIdentifier) == (group.term, group.leader)
    assert group.last_index == answer.lastLogIndex
    assert (None, False) == (answer.followerIdentifier, answer.requirePartitionTable)
    assert (left.head is None) == (answer.header is None)


def test_the_identifier_is_told_and_never_changed_once_others_count_on_it(left):
    identifier = left.node.node.identifier
    answer = left.beat(left.term + 1, requireIdentifier=True, regenerateIdentifier=True)
    assert identifier == answer.followerIdentifier
    assert identifier == left.node.node.identifier


def test_of_one_term_there_is_one_leader(left):
    term = left.term + 1
    assert AGREE == left.beat(term, leader=0).term
    assert NOT_IN_GROUP == left.beat(term, leader=1).term


def test_a_vote_is_refused_while_a_leader_was_heard(left):
    last = left.last()
    term = left.term + 1
    left.beat(term)
    request = election(term + 1, left.others[1], last, left.head, last)
    assert LEADER_ONLINE == left.client.startElection(request)
    assert term == left.term


def test_a_stranger_without_a_newer_log_is_not_in_the_group_and_its_term_is_not_adopted(left):
    last = left.last()
    term = left.term
    assert NOT_IN_GROUP == left.ask(term + 7, last, candidate=stranger())
    assert term == left.term


def test_a_candidate_with_an_older_log_is_refused_but_its_term_adopted(left):
    last = left.last()
    term = left.term + 1
    assert MISMATCH == left.ask(term, EntryId(last.term, last.index - 1))
    assert term == left.term


def test_a_vote_is_given_once_a_term_and_to_the_same_candidate_again(left):
    last = left.last()
    term = left.term + 1
    assert AGREE == left.ask(term, last, candidate=0)
    assert AGREE == left.ask(term, last, candidate=0)
    assert term == left.ask(term, last, candidate=1)
    assert term == left.ask(term - 1, last, candidate=1)


def test_a_data_group_prefers_candidates_that_know_the_meta_log_for_a_while(survivor):
    node, others = survivor
    with stock("TSDataService", node.data_address) as client:
        group = Group(client, node, node.node, others)
        last = group.last()
        term = group.term + 1
        assert META_STALE == group.ask(term, last, meta_last=EntryId(0, 0))
        wait_for(lambda: group.ask(term, last, meta_last=EntryId(0, 0)) == AGREE, "the data log alone decides")


def test_entries_are_taken_once_and_only_behind_what_is_there(left):
    term = left.term + 1
    last = left.last()
    one, two = empty(term, last.index + 1), empty(term, last.index + 2)
    assert MISMATCH == append(left.client, term, two, one.id, left.head)
    assert AGREE == append(left.client, term, one, last, left.head)
    assert AGREE == append(left.client, term, one, last, left.head)
    assert AGREE == append_all(left.client, term, [one, two], last, left.head)
    assert MISMATCH == append(
        left.client, term, empty(term, last.index + 3), EntryId(last.term, last.index + 2), left.head
    )
    assert term == append(left.client, term - 1, two, one.id, left.head)
    assert two.id == left.last()


def test_a_real_conflict_truncates_and_nothing_else_does(left):
    term = left.term + 1
    last = left.last()
    entries = [empty(term, last.index + offset) for offset in (1, 2, 3)]
    assert AGREE == append_all(left.client, term, entries, last, left.head)
    assert AGREE == append(left.client, term, entries[0], last, left.head)
    assert entries[2].id == left.last()
    other = empty(term + 1, last.index + 2)
    assert AGREE == append(left.client, term + 1, other, entries[0].id, left.head)
    assert other.id == left.last()


def test_a_stranger_that_contradicts_what_is_committed_is_refused_and_the_node_goes_on(left):
    term = left.term + 1
    last = left.last()
    entry = empty(term, last.index + 1)
    assert AGREE == append(left.client, term, entry, last, left.head)
    left.beat(term, commitLogIndex=entry.index)
    wait_for(lambda: entry.index == left.node.group(left.header).commit_index, "the entry is committed")
    assert MISMATCH == append(left.client, term + 1, empty(term + 1, entry.index), last, left.head)
    assert entry.id == left.last()


@pytest.mark.parametrize("body", [b"\x02", b"\x02" + bytes(24)], ids=["cut", "no content"])
def test_an_install_that_cannot_be_read_is_an_exception_and_the_node_goes_on(survivor, body):
    node, others = survivor
    with stock("TSDataService", node.data_address) as client:
        group = Group(client, node, node.node, others)
        term, last = group.term + 1, group.last()
        install = Entry(term, last.index + 1, EntryKind.MOVE_STEP, body)
        assert "400 EXECUTE_STATEMENT_ERROR" in refused(lambda: append(client, term, install, last, group.head))
        assert last == group.last()


def test_a_chain_that_does_not_fit_changes_nothing(left):
    term = left.term + 1
    last = left.last()
    wrong = [empty(term, last.index + 5), empty(term, last.index + 6)]
    assert MISMATCH == append_all(left.client, term, wrong, EntryId(last.term, last.index + 4), left.head)
    assert last == left.last()


def test_a_follower_commits_what_it_matched_and_heard(left):
    term = left.term + 1
    last = left.last()
    before = left.node.group(left.header).commit_index
    entry = empty(term, last.index + 1)
    append(left.client, term, entry, last, left.head)
    assert before == left.node.group(left.header).commit_index
    left.beat(term, commitLogIndex=entry.index + 100)
    wait_for(lambda: entry.index == left.node.group(left.header).last_applied, "the entry is applied")


def test_without_a_leader_writes_are_702_and_reads_an_exception(survivor):
    node, _ = survivor
    wait_for(lambda: all(group.leader is None for group in node.report().groups), "no leader is left")
    with logged_in(node) as session:
        assert 200 == code(session.answer.status)
        assert 702 == code(session.insert("root.g0.d", 2, s="2"))
        assert 702 == code(session.set_storage_group("root.new"))
        assert [702] == [code(status) for status in session.insert_rows(("root.g0.d", 2, ["s"], ["2"])).statusList]
    header = node.header_of("root.g0")
    with stock("TSDataService", node.data_address) as data, stock("TSMetaService", node.meta_address) as meta:
        assert "702 NO_LEADER" in refused(lambda: data.querySingleSeries(query(header, "root.g0.d.s", 2)))
        assert "702 NO_LEADER" in refused(lambda: data.requestCommitIndex(struct_of(header)))
        assert "702 NO_LEADER" in refused(lambda: meta.requestCommitIndex(None))
        assert "702 NO_LEADER" in refused(lambda: data.getAllPaths(struct_of(header), "root"))


# -- a blind node ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def blind(tmp_path_factory):
    """The only one of three seed nodes that was started."""
    node = new_nodes(tmp_path_factory.mktemp("blind"), 3)[0].start()
    yield node
    node.stop()


def test_a_blind_node_says_so(blind):
    with (
        stock("TSMetaService", blind.meta_address) as meta,
        stock("TSDataService", blind.data_address) as data,
        logged_in(blind) as session,
    ):
        assert NO_TABLE == append(meta, 1, empty(1, 1), EntryId(0, 0))
        assert NO_TABLE == meta.addNode(meta.checkAlive()).respNum
        assert "700 PARTITION_NOT_READY" in refused(lambda: meta.removeNode(meta.checkAlive()))
        assert "700 PARTITION_NOT_READY" in refused(lambda: meta.requestCommitIndex(None))
        assert "700 PARTITION_NOT_READY" in refused(lambda: data.requestCommitIndex(stranger()))
        assert "700 PARTITION_NOT_READY" in refused(lambda: data.getAllPaths(stranger(), "root"))
        assert NOT_IN_GROUP == data.sendHeartBeat(heartbeat(1, stranger(), stranger())).term
        assert 200 == code(session.answer.status)
        assert 700 == said(session.insert("root.a.d", 1, s="1"))[0]
        assert 700 == said(session.set_storage_group("root.a"))[0]
        assert 700 == said(session.delete(1, "root.a"))[0]


def test_a_blind_node_asks_for_the_table_and_may_be_given_another_identifier(blind):
    with stock("TSMetaService", blind.meta_address) as meta:
        before = meta.checkAlive()
        answer = meta.sendHeartBeat(heartbeat(1, stranger()))
        assert (AGREE, True, None) == (answer.term, answer.requirePartitionTable, answer.followerIdentifier)
        told = meta.sendHeartBeat(heartbeat(1, stranger(), requireIdentifier=True))
        assert before.nodeIdentifier == told.followerIdentifier
        changed = meta.sendHeartBeat(heartbeat(1, stranger(), requireIdentifier=True, regenerateIdentifier=True))
        assert before.nodeIdentifier != changed.followerIdentifier
        assert changed.followerIdentifier == meta.checkAlive().nodeIdentifier
        given = meta.sendHeartBeat(heartbeat(1, stranger(), partitionTableBytes=b"anything"))
        assert (AGREE, False) == (given.term, given.requirePartitionTable)
        assert NO_TABLE == meta.addNode(meta.checkAlive()).respNum
