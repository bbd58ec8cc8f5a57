"""setStorageGroup and createTimeseries on the client port."""

import pytest

from iotdb_cluster.types.schema import Compression, DataType, Encoding
from tests.services.rig import LoggedIn, code, logged_in, one_node, read, said


def test_a_storage_group_may_be_made_again(session, new_name):
    name = new_name()
    assert [200, 200] == [code(session.set_storage_group(name)) for _ in range(2)]


def test_storage_groups_do_not_nest(session, sg):
    assert 303 == code(session.set_storage_group(f"{sg}.inner"))
    deep = f"{sg}x.a.b"
    assert 200 == code(session.set_storage_group(deep))
    assert 300 == code(session.set_storage_group(f"{sg}x.a"))
    assert 300 == code(session.set_storage_group(f"{sg}x"))


@pytest.mark.parametrize("path", ["root", "", "x.y", "root..a", "root.a.", ".root.a", "root.*", "root.a/b", "ROOT.a"])
def test_what_can_be_no_storage_group_is_314(session, path):
    number, message = said(session.set_storage_group(path))
    assert 314 == number
    assert message


def test_names_of_other_scripts_are_names(node, session, new_name):
    name = f"{new_name()}é.中文"
    assert 200 == code(session.set_storage_group(name))
    assert 200 == code(session.insert(f"{name}.d", 1, größe="1"))


@pytest.mark.parametrize("data_type", list(DataType))
def test_a_series_of_each_type_is_made_once(session, sg, data_type):
    path = f"{sg}.d.s"
    assert 200 == code(session.create(path, data_type))
    number, message = said(session.create(path, data_type))
    assert 300 == number
    assert path in message


@pytest.mark.parametrize("encoding", list(Encoding))
@pytest.mark.parametrize("compressor", [Compression.UNCOMPRESSED, Compression.PLA])
def test_the_call_does_not_ask_whether_type_and_encoding_suit(session, sg, encoding, compressor):
    assert 200 == code(session.create(f"{sg}.d.s", DataType.TEXT, encoding, compressor))


@pytest.mark.parametrize(
    ("ordinals", "what"),
    [((6, 0, 0), "data type"), ((-1, 0, 0), "data type"), ((0, 8, 0), "encoding"), ((0, 0, 7), "compressor")],
)
def test_an_ordinal_without_a_meaning_is_400_and_named(session, sg, ordinals, what):
    number, message = said(session.create(f"{sg}.d.s", *ordinals))
    assert 400 == number
    assert what in message
    assert str(next(each for each in ordinals if each)) in message


def test_neither_above_nor_below_a_series_is_another(session, sg):
    assert 200 == code(session.create(f"{sg}.d.e.s"))
    assert 300 == code(session.create(f"{sg}.d.e"))
    assert 300 == code(session.create(f"{sg}.d"))
    assert 300 == code(session.create(f"{sg}.d.e.s.x"))


def test_a_missing_storage_group_is_made_at_level_two(session, new_name):
    name = new_name()
    assert 200 == code(session.create(f"{name}.a.b.s"))
    assert 303 == code(session.set_storage_group(f"{name}.a"))


def test_a_storage_group_and_what_lies_above_one_is_no_series(session, sg):
    assert 200 == code(session.set_storage_group(f"{sg}x.a.b"))
    assert [300] * 4 == [code(session.create(path)) for path in ("root", sg, f"{sg}x", f"{sg}x.a")]


@pytest.mark.parametrize("path", ["root.s", "", "x.y.z", "root..s", "root.a.*", "root.a.b.", "root.a.b\x00"])
def test_what_can_be_no_series_is_314(session, path):
    assert 314 == code(session.create(path))


def test_a_name_may_have_another_type_in_another_device(session, sg):
    assert 200 == code(session.create(f"{sg}.d1.s", DataType.INT32))
    assert 200 == code(session.create(f"{sg}.d2.s", DataType.TEXT))


@pytest.fixture(scope="module")
def strict(tmp_path_factory):
    """A session of a node that creates nothing by itself."""
    with (
        one_node(tmp_path_factory.mktemp("strict"), enable_auto_create_schema=False) as node,
        logged_in(node) as session,
    ):
        assert 200 == code(session.set_storage_group("root.known"))
        assert 200 == code(session.create("root.known.d.s"))
        yield node, session


def test_without_auto_create_a_series_needs_its_storage_group(strict):
    _, session = strict
    number, message = said(session.create("root.other.d.s"))
    assert 312 == number
    assert "root.other.d.s" in message


def test_without_auto_create_an_unknown_series_is_301(strict):
    node, session = strict
    whole: LoggedIn = session
    batch = whole.insert_batch("root.known.d", ["t"], [DataType.INT32], 1, bytes(8), bytes(4))
    rows = whole.insert_rows(("root.known.d", 5, ["s"], ["5"]), ("root.known.d", 6, ["s", "t"], ["6", "6"]))
    answers = [
        whole.insert("root.known.d", 1, s="1", t="1"),
        whole.insert("root.known.other", 1, s="1"),
        whole.insert("root.other.d", 1, s="1"),
        batch.status,
        rows.statusList[1],
    ]
    assert [301] * 5 == [code(answer) for answer in answers]
    assert "root.known.d.t" in said(answers[0])[1]
    assert 200 == code(rows.statusList[0])
    assert [(5, 5)] == read(node, "root.known.d.s", DataType.INT32)
