"""Functions over series of groups that have no member on the node that is asked."""

import struct

import pytest

from iotdb_cluster.errors import NoLeader, RemoteError
from iotdb_cluster.members.query.asking import Elsewhere
from iotdb_cluster.members.query.sources import RemoteReaders
from iotdb_cluster.types.filters import Compare, CompareOp, FilterKind, Scalar, ValueClass
from iotdb_cluster.types.schema import DataType
from iotdb_cluster.wire.codec import ApplicationError
from iotdb_cluster.wire.filters import encode_filter
from tests.services.asking import ask, at_every_node
from tests.services.rig import IDL, code, logged_in, refused, spread_names, stock, stranger, struct_of

FUNCTIONS = ("count", "sum", "avg", "min_time", "max_time", "min_value", "max_value", "first_value", "last_value")
TEXTS = ("a", "b\0", "", "é")


@pytest.fixture(scope="module")
def devices(trio, new_name):
    """Twelve devices in as many storage groups, with a number, a text and a series that is empty where it matters."""
    names = [f"{name}.d" for name in spread_names(trio[0], new_name, 12)]
    with logged_in(trio[0]) as session:
        for number, device in enumerate(names):
            assert 200 == code(session.set_storage_group(device.rpartition(".")[0]))
            times = struct.pack(">40q", *range(40))
            numbers = struct.pack(">40d", *[number + 0.25 * at for at in range(40)])
            texts = [TEXTS[(number + at) % 4].encode() for at in range(40)]
            packed = b"".join(struct.pack(">i", len(text)) + text for text in texts)
            types = [int(DataType.DOUBLE), int(DataType.TEXT)]
            answer = session.insert_batch(device, ["v", "t"], types, 40, times, numbers + packed)
            assert 200 == code(answer.status)
    return names


def statements(devices):
    """Functions over everything, over windows with gaps, with times and values that must hold."""
    paths = ", ".join(devices)
    every = ", ".join(f"{function}(v)" for function in FUNCTIONS)
    texts = ", ".join(f"{function}(t)" for function in FUNCTIONS if function not in ("sum", "avg"))
    return [
        f"SELECT {every} FROM {paths}",
        f"SELECT {texts} FROM {paths}",
        f"SELECT {every} FROM {paths} WHERE time > 7 AND time <= 30",
        f"SELECT last_value(t), max_time(v) FROM {paths} WHERE time < 20",
        f"SELECT {every} FROM {paths} GROUP BY([5, 60], 3ms, 7ms)",
        f"SELECT {texts} FROM {paths} GROUP BY([3, 33], 10ms)",
        f"SELECT count(v) FROM {devices[0]} WHERE v > 3",
        f"SELECT count(v), max_value(v) FROM {paths} GROUP BY DEVICE",
        f"SELECT count(v) FROM {paths} WHERE time > 100",
    ]


@pytest.fixture(scope="module")
def by_points(trio, devices):
    """The answers when all points are pulled."""
    with pytest.MonkeyPatch.context() as patch:
        unknown = RemoteError("no such method", type=ApplicationError.UNKNOWN_METHOD)
        patch.setattr(Elsewhere, "ask", refusing(unknown))

        async def rows_unknown(*_):
            raise unknown

        patch.setattr(RemoteReaders, "open_rows", rows_unknown)
        return at_every_node(trio, statements(devices))


def refusing(error):
    """`Elsewhere.ask` among peers that answer `gather` by an error."""
    original = Elsewhere.ask

    async def refuse(self, method, arguments, running):
        if method == "gather":
            raise error
        return await original(self, method, arguments, running)

    return refuse


def test_every_node_gives_the_answer_that_pulled_points_give_and_pulls_none(trio, devices, by_points, monkeypatch):
    async def pulled(*_):
        raise AssertionError("points were pulled")

    monkeypatch.setattr(RemoteReaders, "open", pulled)
    monkeypatch.setattr(RemoteReaders, "open_rows", pulled)
    found = at_every_node(trio, statements(devices))
    assert by_points == found
    assert found[0] == found[1] == found[2]
    assert {200} == {each[0] for each in found[0]}
    assert 12 == found[0][0][2][0].count(40), "each device has 40 points"


def test_too_many_windows_for_one_answer_are_gathered_from_points(trio, devices, monkeypatch):
    asked = []
    original = Elsewhere.ask

    async def note(self, method, arguments, running):
        asked.append(method)
        return await original(self, method, arguments, running)

    monkeypatch.setattr(Elsewhere, "ask", note)
    for node in trio:
        with logged_in(node) as session:
            found = ask(session, f"SELECT count(v) FROM {devices[0]} GROUP BY([0, 69999], 1ms) LIMIT 3 OFFSET 38")
            assert [[38, 1], [39, 1], [40, 0]] == found.rows
    assert "gather" not in asked


def test_an_error_everywhere_is_an_error_and_never_a_part(trio, devices, monkeypatch):
    async def gone(*_):
        raise NoLeader("gone")

    monkeypatch.setattr(Elsewhere, "ask", refusing(NoLeader("gone")))
    monkeypatch.setattr(RemoteReaders, "open_rows", gone)
    for node in trio:
        with logged_in(node) as session:
            found = ask(session, f"SELECT count(v) FROM {', '.join(devices)}")
            assert found.code != 200, "one of three groups has no copy on this node, two of three nodes keep a point"
            assert [] == found.rows


# -- the call itself -------------------------------------------------------------------------------------------------


def gather(node, *series, header=None, windows=None, consistency="strong"):
    request = IDL.GatherRequest(
        header=header or node.node, series=list(series), windows=windows, consistency=consistency, deadline_ms=5_000
    )
    with stock("DataExtension", node.data_address) as client:
        return client.gather(request)


def of(path, data_type=DataType.INT64, functions=("count",), condition=None):
    return IDL.GatherSeries(path=path, dataTypeOrdinal=int(data_type), functions=list(functions), filterBytes=condition)


def test_what_makes_no_sense_is_refused(node, session, sg):
    assert 200 == code(session.insert(f"{sg}.d", 1, s="1"))
    over_text = encode_filter(Compare(CompareOp.EQ, FilterKind.VALUE, Scalar(ValueClass.BINARY, b"1")))
    path = f"{sg}.d.s"
    me = struct_of(node.node)
    for words, series, more in (
        ("is INT64", of(path, DataType.TEXT), {}),
        ("needs numbers", of(f"{sg}.d.no", DataType.TEXT, ["sum"]), {}),
        ("median", of(path, functions=["median"]), {}),
        ("99", IDL.GatherSeries(path=path, dataTypeOrdinal=99, functions=["count"]), {}),
        ("BINARY", of(path, condition=over_text), {}),
        ("go into one call", of(path), {"windows": [0, 1 << 40, 1, 1]}),
        ("a step no shorter", of(path), {"windows": [0, 10, 2, 1]}),
        ("a step no shorter", of(path), {"windows": [0, 10]}),
        ("none of strong, mid, weak", of(path), {"consistency": "some"}),
        ("header", of(path), {"header": stranger()}),
    ):
        assert words in refused(lambda series=series, more=more: gather(node, series, **{"header": me} | more))
    assert 1 == len(gather(node, of(path), header=me).gathered)
    assert [b"\0" * 16] == gather(node, of(f"{sg}.d.no"), header=me).gathered, (
        "of a series that does not exist: nothing"
    )
