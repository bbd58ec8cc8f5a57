"""Statements of this project's own, habits of people at the original's command line, and queries that end early."""

import math
import struct
import time

import pytest

from iotdb_cluster.errors import RemoteError
from iotdb_cluster.members.query.asking import Elsewhere
from iotdb_cluster.timeseries.sealed_reader import FileReader
from iotdb_cluster.types.schema import DataType
from iotdb_cluster.wire.codec import ApplicationError
from tests.services.asking import ask, do, fetch, request
from tests.services.rig import RPC, code, logged_in, one_node, spread_names, stock, wait_for

DAY_MS = 86_400_000


def fill(session, device, count, *, names=("s",), first=0):
    """`count` rows of INT64 series: the value at a time is the time."""
    times = struct.pack(f">{count}q", *range(first, first + count))
    types = [int(DataType.INT64)] * len(names)
    answer = session.insert_batch(device, list(names), types, count, times, times * len(names))
    assert 200 == code(answer.status)


def without(method, original):
    """`Elsewhere.ask_any` among peers that do not know a call."""

    async def ask_any(self, asked, arguments, running):
        if asked == method:
            raise RemoteError("no such method", type=ApplicationError.UNKNOWN_METHOD)
        return await original(self, asked, arguments, running)

    return ask_any


# -- habits ----------------------------------------------------------------------------------------------------------


def test_all_of_a_thousand_series(session, sg):
    for device in range(10):
        fill(session, f"{sg}.d{device}", 3, names=[f"s{number}" for number in range(100)])
    result = ask(session, f"SELECT * FROM {sg};")
    assert 1_000 == len(result.columns)
    assert [[0, *[0] * 1_000], [1, *[1] * 1_000], [2, *[2] * 1_000]] == result.rows
    assert 1_000 == len(ask(session, f"select last_value(*) from {sg}").rows[0]) - 1
    assert {f"{sg}.d0.s0", f"{sg}.d9.s99"} <= set(ask(session, "select * from root limit 1").columns)


def test_the_last_day(session, sg):
    now_ms = int(time.time() * 1000)
    for age in (2 * DAY_MS, DAY_MS // 2, 1_000):
        fill(session, f"{sg}.d", 1, first=now_ms - age)
    result = ask(session, f"select s from {sg}.d where time > now() - 1d")
    assert [now_ms - DAY_MS // 2, now_ms - 1_000] == [row[0] for row in result.rows]


def test_texts_that_end_with_nul_are_themselves(session, sg):
    texts = [b"\xc3\xa9", b"\xc3\xa9\0", b"\xc3\xa9\0\0", b"\0"]
    times = struct.pack(">4q", *range(4))
    column = b"".join(struct.pack(">i", len(text)) + text for text in texts)
    assert 200 == code(session.insert_batch(f"{sg}.d", ["t"], [int(DataType.TEXT)], 4, times, column).status)
    for _ in range(2):
        assert [[1, "é\0"]] == ask(session, f"SELECT t FROM {sg}.d WHERE t = 'é\0'").rows
        assert [0, 2, 3] == [row[0] for row in ask(session, f"SELECT t FROM {sg}.d WHERE t != 'é\0'").rows]
        assert [["\0", "é\0\0", "é", "\0"]] == ask(
            session, f"SELECT min_value(t), max_value(t), first_value(t), last_value(t) FROM {sg}.d"
        ).values
        do(session, f"flush {sg}")


def test_what_is_known_of_a_large_part_of_a_file_is_read_once_or_never(session, sg, monkeypatch):
    read = []
    column = FileReader.column
    monkeypatch.setattr(FileReader, "column", lambda *args, **more: read.append(args) or column(*args, **more))
    device, count = f"{sg}.d", 5_000
    fill(session, device, count)
    halves = struct.pack(f">{count}d", *[float("nan") if at == 7 else -at / 2 for at in range(count)])
    truths = bytes(at % 2 for at in range(count))
    times = struct.pack(f">{count}q", *range(count))
    types = [int(DataType.DOUBLE), int(DataType.BOOLEAN)]
    assert 200 == code(session.insert_batch(device, ["f", "b"], types, count, times, halves + truths).status)
    do(session, f"flush {sg}")
    for functions, values, reads in (
        ("count({s}), min_time({s}), max_time({s})", [5_000, 0, 4_999], 0),
        ("min_value({s}), max_value({s})", [0, 4_999], 0),  # integers: the file's statistics
        ("sum({s}), avg({s})", [12_497_500.0, 2_499.5], 1),
        ("sum({s}), max_value({s}), min_value({s})", [12_497_500.0, 4_999, 0], 0),
        ("first_value({s}), last_value({s})", [0, 4_999], 1),
        ("min_value({f})", [-2_499.5], 1),
        ("max_value({f}), min_value({f})", [math.nan, -2_499.5], 1),  # NaN is the greatest
        ("max_value({f}), min_value({f})", [math.nan, -2_499.5], 0),
        ("min_value({b}), max_value({b}), first_value({b})", [False, True, False], 1),
    ):
        del read[:]
        found = ask(session, f"SELECT {functions.format(s='s', f='f', b='b')} FROM {device}")
        assert str(values) == str(found.rows[0][1:]), functions
        assert reads == len(read), functions
    do(session, f"DELETE FROM {device}.s WHERE time < 10")
    fill(session, device, 1, first=6_000)
    statement = f"SELECT count(s), sum(s), min_value(s), max_value(s), first_value(s), last_value(s) FROM {device}"
    assert [[4_991, 12_503_455.0, 10, 6_000, 10, 6_000]] == ask(session, statement).values


# -- own statements --------------------------------------------------------------------------------------------------


def test_explain_says_how_much_there_is_to_read(node, session, sg):
    fill(session, f"{sg}.d", 100, names=("s", "t"))
    do(session, f"flush {sg}")
    fill(session, f"{sg}.d", 10, first=100)
    result = ask(session, f"explain select s, t from {sg}.d")
    assert ["group", "read at", "series", "files", "rows in files", "rows in memory"] == result.columns
    place = "{}:{}".format(*node.data_address)
    assert [[str(node.node.identifier), place, 2, 1, 200, 10]] == result.values
    assert [[2, 0, 0, 10]] == [
        row[2:] for row in ask(session, f"explain select s, t from {sg}.d where time > 99").values
    ]
    nothing = ask(session, f"explain select s from {sg}.d where time < 0")
    assert [[str(node.node.identifier), place, 1, 0, 0, 0]] == nothing.values


def test_explain_needs_series_that_there_are(session, sg):
    assert 401 == ask(session, f"explain select nothing from {sg}").code


def test_explain_asks_the_members_of_groups_elsewhere(trio, new_name, monkeypatch):
    groups = spread_names(trio[0], new_name, 6)
    with logged_in(trio[0]) as session:
        for group in groups:
            assert 200 == code(session.set_storage_group(group))
            fill(session, f"{group}.d", 10)
        statement = f"explain select s from {', '.join(f'{group}.d' for group in groups)} where time > 2"
        rows = ask(session, statement).values
        monkeypatch.setattr(Elsewhere, "ask_any", without("extent", Elsewhere.ask_any))
        by_earlier_peers = ask(session, statement).values
    here = "{}:{}".format(*trio[0].data_address)
    assert 6 == sum(row[2] for row in rows)
    assert any(row[1] != here for row in rows), "one of three groups has no copy on one of three nodes with two copies"
    for row, other in zip(rows, by_earlier_peers, strict=True):
        assert [0, 0, 7 * row[2]] == row[3:]
        assert (row if row[1] == here else [*row[:3], None, None, None]) == other


@pytest.mark.parametrize("level", ["strong", "mid", "weak"])
def test_the_consistency_level_of_a_session(session, sg, level):
    fill(session, f"{sg}.d", 1)
    do(session, f"set consistency level {level}")
    assert [[0, 0]] == ask(session, f"select s from {sg}.d").rows
    assert 401 == ask(session, "set consistency level some").code


# -- who may do what -------------------------------------------------------------------------------------------------


@pytest.fixture
def limited(node, session, sg):
    """A session of a user without privileges, who may be granted some."""
    user = f"user_{sg.removeprefix('root.')}"
    do(session, f"create user {user} 'secret'")
    with logged_in(node, username=user, password="secret") as opened:
        yield opened, user


def test_nothing_is_allowed_that_was_not_granted(session, sg, limited):
    other, _ = limited
    fill(session, f"{sg}.d", 1)
    assert 602 == ask(other, f"select s from {sg}.d").code
    assert 602 == ask(other, f"explain select s from {sg}.d").code
    assert 602 == code(other.insert(f"{sg}.d", 1, s="1"))
    assert 602 == code(other.delete(5, f"{sg}.d.s"))
    assert 602 == code(other.create(f"{sg}.d.t"))
    assert 602 == code(other.client.deleteTimeseries(other.id, [f"{sg}.d.s"]))
    assert 602 == code(other.client.deleteStorageGroups(other.id, [sg]))
    assert [602] == [code(each) for each in other.insert_rows((f"{sg}.d", 1, ["s"], ["1"])).statusList]
    for statement in ("list user", "flush", "create user other 'secret'", "grant user root privileges 'ALL' on root"):
        assert 602 == ask(other, statement).code, statement
    assert [[0, 0]] == ask(session, f"select s from {sg}.d").rows


def test_a_privilege_in_a_condition_is_needed_too(session, sg, limited):
    other, user = limited
    fill(session, f"{sg}.d", 2, names=("s", "t"))
    do(session, f"grant user {user} privileges 'READ_TIMESERIES' on {sg}.d.s")
    assert [[0, 0], [1, 1]] == ask(other, f"select s from {sg}.d").rows
    assert 602 == ask(other, f"select s from {sg}.d where t > 0").code


def test_a_user_may_change_the_own_password_only(node, session, limited):
    other, user = limited
    do(other, f"alter user {user} set password 'better'")
    assert 602 == ask(other, "alter user root set password 'mine'").code
    assert 400 == ask(session, "alter user root set password 'mine'").code
    with logged_in(node, username=user, password="secret") as old:
        assert 600 == code(old.answer.status)
    with logged_in(node, username=user, password="better") as new:
        assert 200 == code(new.answer.status)


def test_a_user_is_known_on_every_node_at_once(trio, new_name):
    user = f"user_{new_name().removeprefix('root.')}"
    with logged_in(trio[0]) as root:
        do(root, f"create user {user} 'secret'")
        for node in trio:
            with logged_in(node, username=user, password="secret") as session:
                assert 200 == code(session.answer.status)


# -- queries that end early ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A node on which a query may hold next to nothing."""
    with one_node(tmp_path_factory.mktemp("small"), query_memory_limit_mb=1, query_open_max_count=3) as node:
        yield node


def cancelled(session, query_id):
    return session.client.cancelOperation(RPC.TSCancelOperationReq(sessionId=session.id, queryId=query_id))


def test_a_cancelled_query_has_no_more_pages(session, sg):
    fill(session, f"{sg}.d", 10)
    query = ask(session, f"select s from {sg}.d", fetch_size=3)
    assert 3 == len(query.rows)
    assert 200 == code(cancelled(session, query.query_id))
    answer = fetch(session, query.query_id)
    assert (400, False) == (code(answer.status), answer.hasResultSet)


def extension_query(client, session, statement, fetch_size):
    made = request(session, statement, fetch_size=fetch_size)
    answer = client.query(made)
    return code(answer.answer.status), answer.isAll, answer.answer.queryId


@pytest.mark.parametrize("align", ["", " disable align"])
def test_a_query_of_the_extension_is_over_when_its_first_page_is_all(node, session, sg, align):
    fill(session, f"{sg}.d", 10, names=("s", "t"))
    with stock("ClientExtension", node.client_address) as client:
        for fetch_size, is_all in ((11, True), (10, False), (3, False), (0, False)):
            *found, query_id = extension_query(client, session, f"select s, t from {sg}.d{align}", fetch_size)
            assert [200, is_all] == found
            again = fetch(session, query_id, fetch_size=10)
            assert (400 if is_all else 200, fetch_size in (0, 3)) == (code(again.status), again.hasResultSet)
        assert (401, False, None) == extension_query(client, session, f"select nothing from {sg}.d", 10)
        assert (400, False, None) == extension_query(client, session, f"set storage group to {sg}.x", 10)


def test_a_query_that_would_hold_too_much_is_refused_and_leaves_nothing_open(small):
    with logged_in(small) as session:
        names = [f"s{number}" for number in range(40)]
        assert 200 == code(session.set_storage_group("root.big"))
        fill(session, "root.big.d", 5_000, names=names)
        for _ in range(5):
            refused = ask(session, "select * from root.big.d")
            assert 500 == refused.code
            assert "query_memory_limit_mb" in refused.message
        assert 5_000 == len(ask(session, "select s0, s1 from root.big.d").rows)


def test_open_queries_are_limited_and_end_with_their_client(small):
    with logged_in(small) as root:
        assert 200 == code(root.set_storage_group("root.few"))
        fill(root, "root.few.d", 10)
        with stock("TSIService", small.client_address) as client:
            opened = client.openSession(RPC.TSOpenSessionReq(client_protocol=0, username="root", password="root"))
            left = type(root).__new__(type(root))
            left.client, left.id = client, opened.sessionId
            codes = [code(client.executeStatement(request(left, "select s from root.few.d", fetch_size=1)).status)]
            while codes[-1] == 200:
                codes.append(
                    code(client.executeStatement(request(left, "select s from root.few.d", fetch_size=1)).status)
                )
            assert len(codes) <= 4
        wait_for(lambda: ask(root, "select s from root.few.d", fetch_size=1).code == 200, "its queries are over")
