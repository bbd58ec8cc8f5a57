"""insert, insertBatch, insertRowInBatch and deleteData: what is stored, and what is refused (interface page CLIENT)."""

import math
import struct
import threading

import pytest

from iotdb_cluster.types.schema import DataType
from tests.services.rig import RPC, LoggedIn, code, logged_in, members_of, read, said, stock, struct_of

ACCEPTED = [
    (DataType.BOOLEAN, {"true": True, "TRUE": True, "1": True, "False": False, "0": False}),
    (DataType.INT32, {"1": 1, "-2147483648": -(2**31), "2147483647": 2**31 - 1, "+7": 7, "007": 7}),
    (DataType.INT64, {"9223372036854775807": 2**63 - 1, "-9223372036854775808": -(2**63), "0": 0}),
    (DataType.FLOAT, {"1.5": 1.5, "-0.25": -0.25, "1e2": 100.0, "+8.5": 8.5, "Infinity": math.inf, "7": 7.0}),
    (DataType.DOUBLE, {"2.25": 2.25, "-1.5E2": -150.0, "1e300": 1e300, "-Infinity": -math.inf, "1.": 1.0, ".5": 0.5}),
    (DataType.TEXT, {"'abc'": b"abc", '"quoted"': b"quoted", "''": b"", "'a''": b"a'", r"'\n'": rb"\n"}),
]

REFUSED = [
    (DataType.BOOLEAN, ["yes", "", "2", "'true'", " true"]),
    (DataType.INT32, ["1.5", "abc", "2147483648", "-2147483649", "", "'12'", "1e2", "NaN", "1 ", "0x10", "1_000"]),
    (DataType.INT64, ["9223372036854775808", "1.0", "Infinity", "٣"]),
    (DataType.FLOAT, ["x", "", "1,5", "0x1p3", "1_0.0", "'1.5'"]),
    (DataType.DOUBLE, ["1.5.5", "--1", "e5", "."]),
    (DataType.TEXT, ["abc", "", "'", "'abc", "abc'", "'abc\""]),
]


@pytest.mark.parametrize(("data_type", "texts"), ACCEPTED, ids=lambda each: getattr(each, "name", ""))
def test_a_text_becomes_a_value_of_its_series_type(node, session, sg, data_type, texts):
    assert 200 == code(session.create(f"{sg}.d.s", data_type))
    for time, text in enumerate(texts):
        assert (200, text) == (code(session.insert(f"{sg}.d", time, s=text)), text)
    assert list(enumerate(texts.values())) == read(node, f"{sg}.d.s", data_type)


@pytest.mark.parametrize("data_type", [DataType.FLOAT, DataType.DOUBLE])
def test_nan_is_a_value(node, session, sg, data_type):
    session.create(f"{sg}.d.s", data_type)
    assert 200 == code(session.insert(f"{sg}.d", 1, s="NaN"))
    ((time, value),) = read(node, f"{sg}.d.s", data_type)
    assert (1, True) == (time, math.isnan(value))


@pytest.mark.parametrize(("data_type", "texts"), REFUSED, ids=lambda each: getattr(each, "name", ""))
def test_a_text_that_does_not_convert_is_refused_and_named_with_the_type(node, session, sg, data_type, texts):
    session.create(f"{sg}.d.s", data_type)
    for text in texts:
        number, message = said(session.insert(f"{sg}.d", 1, s=text))
        assert (400, text) == (number, text)
        assert data_type.name in message
        assert repr(text) in message
    assert [] == read(node, f"{sg}.d.s", data_type)


def test_a_row_is_written_whole_or_not_at_all(node, session, sg):
    session.create(f"{sg}.d.a")
    session.create(f"{sg}.d.b")
    assert 400 == code(session.insert(f"{sg}.d", 1, a="1", b="x"))
    assert 400 == code(session.insert_row(f"{sg}.d", 2, ["a", "b"], ["1"]))
    assert 400 == code(session.insert_row(f"{sg}.d", 3, ["a"], ["1", "2"]))
    assert 400 == code(session.insert_row(f"{sg}.d", 4, [], []))
    assert [] == read(node, f"{sg}.d.a", DataType.INT32)


def test_a_later_write_to_a_time_takes_the_earlier_ones_place(node, session, sg):
    for time, value in ((10, "1"), (-5, "2"), (10, "3"), (7, "4")):
        assert 200 == code(session.insert(f"{sg}.d", time, s=value))
    assert [(-5, 2), (7, 4), (10, 3)] == read(node, f"{sg}.d.s", DataType.INT64)


def test_the_ends_of_time_are_times(node, session, sg):
    first, last = -(2**63), 2**63 - 1
    assert [200, 200] == [code(session.insert(f"{sg}.d", time, s="1")) for time in (last, first)]
    assert [(first, 1), (last, 1)] == read(node, f"{sg}.d.s", DataType.INT64)


@pytest.mark.parametrize(
    ("text", "data_type"),
    [
        ("true", DataType.BOOLEAN),
        ("FALSE", DataType.BOOLEAN),
        ("1", DataType.INT64),
        ("-7", DataType.INT64),
        ("1.5", DataType.DOUBLE),
        ("NaN", DataType.DOUBLE),
        ("-Infinity", DataType.DOUBLE),
        ("1.5E3", DataType.DOUBLE),
        ("'hello'", DataType.TEXT),
        ("'9'", DataType.TEXT),
    ],
)
def test_the_type_of_an_unknown_series_follows_from_the_text(node, session, new_name, text, data_type):
    device = f"{new_name()}.d"
    assert 200 == code(session.insert(device, 1, s=text))
    assert 1 == len(read(node, f"{device}.s", data_type))


@pytest.mark.parametrize("text", ["hello", "", "1.2.3", "12a", "2020-01-01", "'", "9223372036854775808"])
def test_nothing_is_created_for_a_row_from_which_no_type_follows(node, session, sg, text):
    number, message = said(session.insert(f"{sg}.d", 1, known="1", odd=text))
    assert 400 == number
    assert "odd" in message
    with stock("TSDataService", node.data_address) as data:
        assert [] == data.getAllPaths(struct_of(node.header_of(sg)), sg)


def test_a_refused_text_comes_with_the_advice_to_quote_it(session, sg):
    assert "'hello'" in said(session.insert(f"{sg}.d", 1, s="hello"))[1]


def test_the_storage_group_of_an_unknown_series_is_made_at_level_two(node, session, new_name):
    name = new_name()
    assert 200 == code(session.insert(f"{name}.a.b.c", 1, s="1"))
    assert 200 == code(session.insert(name, 1, s="1"))
    report = node.report()
    assert name in report.storage_groups
    assert 303 == code(session.set_storage_group(f"{name}.a"))


@pytest.mark.parametrize("device", ["root", "other.d", "", "root..d", "root.a.*", "root.a.'b'"])
def test_what_can_be_no_device_is_314(session, device):
    assert 314 == code(session.insert(device, 1, s="1"))
    assert 314 == code(session.insert_batch(device, ["s"], [DataType.INT32], 1, bytes(8), bytes(4)).status)
    assert [314] == [code(each) for each in session.insert_rows((device, 1, ["s"], ["1"])).statusList]


def test_a_device_below_a_series_is_refused(session, sg):
    session.create(f"{sg}.d.s")
    assert 200 != code(session.insert(f"{sg}.d.s", 1, z="1"))


# -- rows ------------------------------------------------------------------------------------------------------------


def test_rows_are_all_tried_and_answered_one_by_one(node, session, sg, new_name):
    other = new_name()
    answer = session.insert_rows(
        (f"{sg}.d", 1, ["i"], ["1"]),
        (f"{sg}.d", 2, ["i", "t"], ["x", "'y'"]),
        (f"{other}.e", 3, ["n"], ["2.5"]),
        ("nowhere", 4, ["n"], ["1"]),
        (f"{sg}.d", 5, ["i"], ["77"]),
    )
    assert 0 == answer.sessionId
    assert [200, 400, 200, 314, 200] == [code(each) for each in answer.statusList]
    assert [(1, 1), (5, 77)] == read(node, f"{sg}.d.i", DataType.INT64)
    assert [(3, 2.5)] == read(node, f"{other}.e.n", DataType.DOUBLE)


def test_the_order_of_rows_counts(node, session, sg):
    answer = session.insert_rows(*((f"{sg}.d", 1, ["s"], [str(value)]) for value in range(50)))
    assert {200} == {code(each) for each in answer.statusList}
    assert [(1, 49)] == read(node, f"{sg}.d.s", DataType.INT64)


def test_the_first_row_of_a_batch_decides_the_type_for_the_next(node, session, sg):
    answer = session.insert_rows((f"{sg}.d", 1, ["s"], ["1"]), (f"{sg}.d", 2, ["s"], ["2.5"]))
    assert [200, 400] == [code(each) for each in answer.statusList]
    assert [(1, 1)] == read(node, f"{sg}.d.s", DataType.INT64)


def test_no_rows_give_an_empty_list(session):
    assert [] == session.insert_rows().statusList


def test_lists_of_different_lengths_are_refused_for_every_row(session, sg):
    answer = session.client.insertRowInBatch(
        RPC.TSInsertInBatchReq(
            sessionId=session.id,
            deviceIds=[f"{sg}.d"],
            timestamps=[1, 2],
            measurementsList=[["s"]],
            valuesList=[["1"]],
        )
    )
    assert [400, 400] == [code(each) for each in answer.statusList]
    assert "2 times" in said(answer.statusList[0])[1]


# -- tablets ---------------------------------------------------------------------------------------------------------


def texts(*values: bytes) -> bytes:
    return b"".join(struct.pack(">i", len(value)) + value for value in values)


def times(*values: int) -> bytes:
    return struct.pack(f">{len(values)}q", *values)


def test_a_tablet_of_all_types_is_stored(node, session, sg):
    columns = [
        (DataType.BOOLEAN, bytes([1, 0, 2]), [True, False, False]),
        (DataType.INT32, struct.pack(">3i", 1, -2, 3), [1, -2, 3]),
        (DataType.INT64, struct.pack(">3q", 2**40, -1, 0), [2**40, -1, 0]),
        (DataType.FLOAT, struct.pack(">3f", 0.5, -1.25, math.inf), [0.5, -1.25, math.inf]),
        (DataType.DOUBLE, struct.pack(">3d", 1.5, 1e300, -0.75), [1.5, 1e300, -0.75]),
        (DataType.TEXT, texts(b"x", b"", "ünï'".encode()), [b"x", b"", "ünï'".encode()]),
    ]
    answer = session.insert_batch(
        f"{sg}.d",
        [each.name for each, _, _ in columns],
        [each for each, _, _ in columns],
        3,
        times(100, 300, 200),
        b"".join(packed for _, packed, _ in columns),
    )
    assert 200 == code(answer.status)
    assert [200, 200, 200] == answer.result
    for data_type, _, values in columns:
        in_order = sorted(zip((100, 300, 200), values, strict=True))
        assert in_order == read(node, f"{sg}.d.{data_type.name}", data_type)


def test_the_last_of_two_equal_times_in_a_tablet_wins(node, session, sg):
    session.insert_batch(f"{sg}.d", ["s"], [DataType.INT32], 2, times(5, 5), struct.pack(">2i", 1, 2))
    assert [(5, 2)] == read(node, f"{sg}.d.s", DataType.INT32)


def test_a_tablet_of_no_rows_does_nothing(session, sg):
    answer = session.insert_batch(f"{sg}.d", ["s"], [DataType.INT32], 0, b"", b"")
    assert (200, []) == (code(answer.status), answer.result)


@pytest.mark.parametrize(
    ("measurements", "types", "size", "timestamps", "values", "cause"),
    [
        (["s"], [DataType.FLOAT], 1, times(1), bytes(4), "FLOAT"),
        (["s"], [DataType.INT32], 2, times(1, 2), bytes(4), "4 bytes"),
        (["s"], [DataType.INT32], 2, times(1, 2), bytes(9), "1 bytes behind"),
        (["s"], [DataType.INT32], 2, times(1), bytes(8), "8 bytes of times for 2 rows"),
        (["s"], [DataType.INT32], -1, b"", b"", "-1 rows"),
        (["s"], [DataType.INT32], 2**31 - 1, times(1), bytes(4), "2147483647 rows"),
        (["s"], [6], 1, times(1), bytes(4), "6 is no data type"),
        (["s"], [], 1, times(1), bytes(4), "1 measurements and 0 types"),
        (["s"], [DataType.INT32] * 2, 1, times(1), bytes(8), "1 measurements and 2 types"),
        (["t"], [DataType.TEXT], 1, times(1), struct.pack(">i", -1), "-1 bytes"),
        (["t"], [DataType.TEXT], 1, times(1), struct.pack(">i", 2**31 - 1), "column t"),
        (["t"], [DataType.TEXT], 2, times(1, 2), texts(b"x"), "column t"),
        ([], [], 1, times(1), b"", "measurement"),
    ],
)
def test_a_tablet_that_does_not_fit_together_is_400(
    node, session, sg, measurements, types, size, timestamps, values, cause
):
    session.create(f"{sg}.d.s", DataType.INT32)
    answer = session.insert_batch(f"{sg}.d", measurements, types, size, timestamps, values)
    number, message = said(answer.status)
    assert 400 == number
    assert cause in message
    assert answer.result is None
    assert [] == read(node, f"{sg}.d.s", DataType.INT32)


# -- deleting --------------------------------------------------------------------------------------------------------


def filled(session: LoggedIn, sg: str) -> None:
    for time in range(1, 6):
        session.insert(f"{sg}.d1", time, a=str(time), b=str(time))
        session.insert(f"{sg}.d2", time, a=str(time))


def test_points_up_to_a_time_are_deleted(node, session, sg):
    filled(session, sg)
    assert 200 == code(session.delete(3, f"{sg}.d1.a"))
    assert [4, 5] == [time for time, _ in read(node, f"{sg}.d1.a", DataType.INT64)]
    assert 5 == len(read(node, f"{sg}.d1.b", DataType.INT64))


@pytest.mark.parametrize("pattern", ["{sg}", "{sg}.*", "{sg}.*.a", "root.*.*.a"])
def test_prefixes_and_patterns_delete_what_they_match(node, session, sg, pattern):
    filled(session, sg)
    assert 200 == code(session.delete(5, pattern.format(sg=sg)))
    assert [] == read(node, f"{sg}.d1.a", DataType.INT64)
    assert [] == read(node, f"{sg}.d2.a", DataType.INT64)


def test_what_matches_nothing_is_301_unless_something_else_matches(node, session, sg):
    filled(session, sg)
    assert 301 == code(session.delete(5, f"{sg}.nothing", "root.nosuchgroup.d.s"))
    assert 5 == len(read(node, f"{sg}.d2.a", DataType.INT64))
    assert 200 == code(session.delete(5, f"{sg}.nothing", f"{sg}.d2.a", "root.nosuchgroup"))
    assert [] == read(node, f"{sg}.d2.a", DataType.INT64)


def test_a_path_that_is_none_deletes_nothing_at_all(node, session, sg):
    filled(session, sg)
    assert 314 == code(session.delete(5, f"{sg}.d1.a", "nowhere"))
    assert 5 == len(read(node, f"{sg}.d1.a", DataType.INT64))


def test_points_written_after_a_delete_stay(node, session, sg):
    filled(session, sg)
    session.delete(5, sg)
    session.insert(f"{sg}.d1", 2, a="7")
    assert [(2, 7)] == read(node, f"{sg}.d1.a", DataType.INT64)


# -- calls that store nothing ----------------------------------------------------------------------------------------


def test_the_test_calls_answer_and_store_nothing(node, session, sg):
    client = session.client
    row = RPC.TSInsertReq(sessionId=77, deviceId=f"{sg}.d", measurements=["s"], values=["z"], timestamp=1)
    batch = RPC.TSBatchInsertionReq(
        sessionId=77, deviceId="x", measurements=["s"], types=[1], size=1, timestamps=b"", values=b""
    )
    rows = RPC.TSInsertInBatchReq(
        sessionId=77, deviceIds=["x", "y"], timestamps=[1, 2], measurementsList=[["i"]] * 2, valuesList=[["1"]] * 2
    )
    assert 200 == code(client.testInsertRow(row))
    answer = client.testInsertBatch(batch)
    assert (200, []) == (code(answer.status), answer.result)
    answer = client.testInsertRowInBatch(rows)
    assert (0, [200]) == (answer.sessionId, [code(each) for each in answer.statusList])
    assert [] == read(node, f"{sg}.d.s", DataType.INT64)


def test_a_point_is_read_right_after_its_write_was_acknowledged(node, new_name):
    device = f"{new_name()}.d"
    with logged_in(node) as session:
        for time in range(20):
            assert 200 == code(session.insert(device, time, s="1"))
            assert time + 1 == len(read(node, f"{device}.s", DataType.INT64))


# -- many at once ----------------------------------------------------------------------------------------------------


def test_many_clients_may_create_the_same_series_at_once_on_every_node(trio, new_name):
    sg, each, answers = new_name(), 10, []
    ready = threading.Barrier(6)

    def write(number):
        with logged_in(trio[number % 3]) as session:
            ready.wait(10)
            for time in range(each):
                answers.append(code(session.insert(f"{sg}.d", number * each + time, a="1", b="'x'")))

    writers = [threading.Thread(target=write, args=(number,)) for number in range(6)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(30)
    assert [200] * 6 * each == answers
    member = members_of(trio, trio[0].header_of(sg))[0]
    assert [(time, 1) for time in range(6 * each)] == read(member, f"{sg}.d.a", DataType.INT64)
    assert 6 * each == len(read(member, f"{sg}.d.b", DataType.TEXT))
