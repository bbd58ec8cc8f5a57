"""Rows of groups that have no member on the node that is asked: the same, whichever way they come."""

import struct

import pytest

from iotdb_cluster.errors import NoLeader, RemoteError
from iotdb_cluster.members.query.condition_bytes import encode_condition
from iotdb_cluster.members.query.group_rows import GroupRows
from iotdb_cluster.members.query.reading import SERIES_OF_A_CALL
from iotdb_cluster.members.query.sources import RemoteReaders
from iotdb_cluster.query.conditions import AllOf, AnyOf, Never, TimeTest, ValueTest, time_test
from iotdb_cluster.types.filters import Compare, CompareOp, FilterKind, Scalar, ValueClass
from iotdb_cluster.types.schema import DataType
from iotdb_cluster.wire.codec import ApplicationError
from tests.services.asking import ask, at_every_node, fetch, request
from tests.services.rig import IDL, code, logged_in, refused, spread_names, stock, stranger, struct_of, wait_for

ROWS = 40
TEXTS = ("a", "b\0", "", "é")


@pytest.fixture(scope="module")
def devices(trio, new_name):
    """Nine devices in as many storage groups: a number at each time, a text at every second, a truth at every fifth."""
    names = [f"{name}.d" for name in spread_names(trio[0], new_name, 9)]
    with logged_in(trio[0]) as session:
        for number, device in enumerate(names):
            assert 200 == code(session.set_storage_group(device.rpartition(".")[0]))
            for name, data_type, every, packed in (
                ("v", DataType.INT64, 1, lambda at, number=number: struct.pack(">q", number * 100 + at)),
                ("t", DataType.TEXT, 2, lambda at, number=number: packed_text(TEXTS[(number + at) % 4])),
                ("b", DataType.BOOLEAN, 5, lambda at: bytes([at % 2])),
            ):
                times = range(0, ROWS, every)
                answer = session.insert_batch(
                    device, [name], [int(data_type)], len(times), struct.pack(f">{len(times)}q", *times),
                    b"".join(packed(at) for at in times),
                )  # fmt: skip
                assert 200 == code(answer.status)
    return names


def packed_text(text):
    return struct.pack(">i", len(text.encode())) + text.encode()


def statements(devices):
    """Plain rows of one device and of all, with all that can be tested, cut and laid out."""
    paths, one = ", ".join(devices), devices[0]
    return [
        f"SELECT * FROM {paths}",
        f"SELECT v, t, v FROM {paths} WHERE time > 7 AND time <= 30",
        f"SELECT b FROM {one} WHERE v > 20",
        f"SELECT t FROM {one} WHERE v > 20 AND (b = true OR t = 'a')",
        f"SELECT v FROM {one} WHERE {devices[1]}.v > 120 AND {devices[2]}.t = 'a'",
        f"SELECT t, b FROM {paths} WHERE v > 20 OR time = 3",
        f"SELECT v FROM {paths} WHERE t = 'a' OR b = true",
        f"SELECT * FROM {one} LIMIT 3 OFFSET 5",
        f"SELECT * FROM {paths} LIMIT 3 OFFSET 5",
        f"SELECT b FROM {paths} WHERE time >= 3 LIMIT 2 OFFSET 1",
        f"SELECT t FROM {one} WHERE v >= 9 LIMIT 4 OFFSET 2",
        f"SELECT v FROM {one} WHERE v > 1000",
        f"SELECT * FROM {paths} WHERE time > 30 LIMIT 20 OFFSET 9 GROUP BY DEVICE",
        f"SELECT count(t), sum(v) FROM {one} WHERE v > 5 AND (b = true OR t = 'a')",
        f"SELECT count(v) FROM {paths} WHERE v > 5 GROUP BY([0, 39], 10ms)",
    ]


def refusing(error):
    """`RemoteReaders.open_rows` where every member answers an error."""

    async def refuse(self, member, group, request, timeout_ms):
        raise error

    return refuse


def unknown_call():
    return RemoteError("no such method", type=ApplicationError.UNKNOWN_METHOD)


async def pulled(*_):
    raise AssertionError("points were pulled")


@pytest.fixture(scope="module")
def by_points(trio, devices):
    """The answers when the mirrored calls pull points series by series."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RemoteReaders, "open_rows", refusing(unknown_call()))
        return at_every_node(trio, statements(devices))


def test_every_node_gives_the_rows_that_pulled_points_give_and_pulls_none(trio, devices, by_points, monkeypatch):
    monkeypatch.setattr(RemoteReaders, "open", pulled)
    found = at_every_node(trio, statements(devices))
    for text, *each in zip(statements(devices), by_points[0], *found, strict=True):
        assert each[0] == each[1] == each[2] == each[3], text
    assert by_points == found
    assert {200} == {each[0] for each in found[0]}
    counts = [len(each[2]) for each in found[0]]
    assert [ROWS, 23] == counts[:2]
    assert 0 < min(counts[2:11]), "each condition holds somewhere"


def test_columns_apart_are_the_same_too(trio, devices, monkeypatch):
    statement = f"SELECT t, b FROM {', '.join(devices)} WHERE v > 20 LIMIT 3 OFFSET 1 DISABLE ALIGN"

    def apart():
        found = []
        for node in trio:
            with logged_in(node) as session:
                answer = session.client.executeStatement(request(session, statement))
                assert 200 == code(answer.status)
                found.append(answer.nonAlignQueryDataSet)
        return found

    rows = apart()
    monkeypatch.setattr(RemoteReaders, "open_rows", refusing(unknown_call()))
    assert rows == apart()
    assert rows[0] == rows[1] == rows[2]


def test_members_of_which_only_some_know_the_call(trio, devices, monkeypatch):
    original = RemoteReaders.open_rows
    unknowing = {trio[1].node.identifier}

    async def some(self, member, group, request, timeout_ms):
        if member.identifier in unknowing:
            raise unknown_call()
        return await original(self, member, group, request, timeout_ms)

    monkeypatch.setattr(RemoteReaders, "open_rows", some)
    with logged_in(trio[0]) as session:
        assert ROWS == len(ask(session, f"SELECT v FROM {', '.join(devices)}").rows)


def test_an_error_everywhere_is_an_error_and_never_a_part(trio, devices, monkeypatch):
    monkeypatch.setattr(RemoteReaders, "open_rows", refusing(NoLeader("gone")))
    for node in trio:
        with logged_in(node) as session:
            found = ask(session, f"SELECT v FROM {', '.join(devices)}")
            assert found.code != 200, "one of three groups has no copy on this node"
            assert [] == found.rows


def test_only_the_rows_that_are_wanted_come_by_one_call_for_each_group(trio, devices, monkeypatch):
    came = []
    original = RemoteReaders.open_rows

    async def note(self, member, group, request, timeout_ms):
        answer = await original(self, member, group, request, timeout_ms)
        came.append((group, len(answer.time) // 8, answer.reader))
        return answer

    monkeypatch.setattr(RemoteReaders, "open_rows", note)
    for text, most in (
        (f"SELECT * FROM {', '.join(devices)} LIMIT 3 OFFSET 1", 4),
        (f"SELECT b FROM {devices[0]} WHERE v = 10", 1),
        (f"SELECT t FROM {', '.join(devices)} WHERE time > 30 AND time < 35", 2),
    ):
        for node in trio:
            with logged_in(node) as session:
                came.clear()
                assert ask(session, text).rows
                assert len({group for group, _, _ in came}) <= 1, "one of three groups is elsewhere"
                assert len(came) <= 1 + len(devices) * 3 // SERIES_OF_A_CALL
                assert all(rows <= most and reader == 0 for _, rows, reader in came), (text, came)


def test_rows_come_page_by_page_and_nothing_stays_open(trio, devices, monkeypatch):
    original = GroupRows.next_rows

    async def few(self, max_rows):
        return await original(self, 7)

    monkeypatch.setattr(GroupRows, "next_rows", few)
    statement = f"SELECT v FROM {', '.join(devices)}"
    for node in trio:
        with logged_in(node) as session:
            first = ask(session, statement, fetch_size=5)
            rows = len(first.rows)
            while fetch(session, first.query_id, fetch_size=5).hasResultSet:
                rows += 5
            assert ROWS == rows
            assert 7 > len(ask(session, statement, fetch_size=5).rows)  # left open, and ended with the session
    for node in trio:
        wait_for(lambda node=node: node.kept[0] == 0, "everything closed")


# -- the call itself -------------------------------------------------------------------------------------------------


def open_rows(node, *series, wanted=1, condition=None, limit=None, header=None, consistency="strong"):
    """The answer to `openRows`."""
    request = IDL.OpenRowsRequest(
        header=header or struct_of(node.node), series=list(series), wanted=wanted, condition=condition, limit=limit,
        max_rows=10, consistency=consistency, deadline_ms=5_000, requester=stranger(), queryId=1,
    )  # fmt: skip
    with stock("DataExtension", node.data_address) as client:
        return client.openRows(request)


def of(path, data_type=DataType.INT64):
    return IDL.RowsSeries(path=path, dataTypeOrdinal=int(data_type))


def over(position, value_class=ValueClass.LONG, value=1, kind=FilterKind.VALUE):
    return ValueTest(position, DataType.INT64, Compare(CompareOp.EQ, kind, Scalar(value_class, value)))


def test_what_makes_no_sense_is_refused(node, session, sg):
    assert 200 == code(session.insert(f"{sg}.d", 1, s="1"))
    path = f"{sg}.d.s"
    deep = time_test(CompareOp.EQ, 1)
    for _ in range(300):
        deep = AllOf((deep,))
    for words, series, more in (
        ("is INT64", of(path, DataType.TEXT), {}),
        ("99", IDL.RowsSeries(path=path, dataTypeOrdinal=99), {}),
        ("0 wanted", of(path), {"wanted": 0}),
        ("2 wanted of 1", of(path), {"wanted": 2}),
        ("limit of 0", of(path), {"limit": 0}),
        ("series 1 of 1", of(path), {"condition": encode_condition(over(1))}),
        ("LONG constant", of(path), {"condition": encode_condition(over(0, ValueClass.BINARY, b"1"))}),
        ("comparison of a value", of(path), {"condition": encode_condition(over(0, kind=FilterKind.TIME))}),
        ("nests deeper", of(path), {"condition": encode_condition(deep)}),
        ("terms in", of(path), {"condition": encode_condition(AnyOf(()))}),
        ("none of strong, mid, weak", of(path), {"consistency": "some"}),
        ("header", of(path), {"header": stranger()}),
    ):
        assert words in refused(lambda series=series, more=more: open_rows(node, series, **more)), words
    both = AllOf((AnyOf((over(0), Never())), TimeTest(time_test(CompareOp.GTEQ, 1).test)))
    answer = open_rows(node, of(path), of(f"{sg}.d.no"), condition=encode_condition(both))
    assert (0, (1).to_bytes(8, "big"), [(1).to_bytes(8, "big")]) == (answer.reader, answer.time, answer.values)
    assert 0 == node.kept[0]
