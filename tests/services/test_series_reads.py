"""querySingleSeries and what follows it (interface page CLUSTER, "TSDataService")."""

import math
from contextlib import ExitStack

import pytest
from thriftpy2.thrift import TApplicationException

from iotdb_cluster.types.filters import And, Compare, CompareOp, FilterKind, GroupByWindows, Not, Or, Scalar, ValueClass
from iotdb_cluster.types.schema import DataType
from iotdb_cluster.wire.filters import encode_filter
from iotdb_cluster.wire.scalars import decode_scalar
from iotdb_cluster.wire.schemas import decode_schemas
from tests.services.conftest import FETCH_SIZE
from tests.services.rig import (
    CLUSTER,
    code,
    fetched,
    logged_in,
    members_of,
    one_node,
    query,
    read,
    refused,
    stock,
    stranger,
    struct_of,
    wait_for,
)

VALUES = {
    DataType.BOOLEAN: ["true", "false", "true", "true"],
    DataType.INT32: ["1", "-2", "3", "2147483647"],
    DataType.INT64: ["1", "-2", "3", "9223372036854775807"],
    DataType.FLOAT: ["1.5", "-2", "3", "Infinity"],
    DataType.DOUBLE: ["1.5", "-2", "3", "1e300"],
    DataType.TEXT: ["'a'", "'b'", "'c'", "'d'"],
}


def time_is(op, value):
    return Compare(op, FilterKind.TIME, Scalar(ValueClass.LONG, value))


def value_is(op, value, value_class=ValueClass.LONG):
    return Compare(op, FilterKind.VALUE, Scalar(value_class, value))


@pytest.fixture
def ten(node, session, sg):
    """A series with the values 0 to 9 at the times 0, 10, ... 90."""
    rows = [(f"{sg}.d", 10 * value, ["s"], [str(value)]) for value in range(10)]
    assert {200} == {code(status) for status in session.insert_rows(*rows).statusList}
    return f"{sg}.d.s"


@pytest.mark.parametrize("data_type", list(DataType))
def test_a_series_of_each_type_is_read(node, session, sg, data_type):
    session.create(f"{sg}.d.s", data_type)
    for time, text in enumerate(VALUES[data_type]):
        session.insert(f"{sg}.d", time, s=text)
    assert list(range(4)) == [time for time, _ in read(node, f"{sg}.d.s", data_type)]


def test_batches_have_at_most_fetch_size_pairs_in_ascending_order(node, data, session, sg):
    count = 2 * FETCH_SIZE + 50
    rows = [(f"{sg}.d", time, ["s"], ["1"]) for time in reversed(range(count))]
    session.insert_rows(*rows)
    header = node.header_of(sg)
    reader = data.querySingleSeries(query(header, f"{sg}.d.s", DataType.INT64))
    batches = fetched(data, header, reader)
    assert [FETCH_SIZE, FETCH_SIZE, 50] == [len(batch) for batch in batches]
    assert list(range(count)) == [time for batch in batches for time, _ in batch]
    assert b"" == data.fetchSingleSeries(struct_of(header), reader)


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (time_is(CompareOp.EQ, 50), [5]),
        (time_is(CompareOp.EQ, 55), []),
        (time_is(CompareOp.GT, 70), [8, 9]),
        (time_is(CompareOp.GTEQ, 70), [7, 8, 9]),
        (time_is(CompareOp.LT, 20), [0, 1]),
        (time_is(CompareOp.LTEQ, 20), [0, 1, 2]),
        (time_is(CompareOp.NEQ, 0), [1, 2, 3, 4, 5, 6, 7, 8, 9]),
        (value_is(CompareOp.EQ, 3), [3]),
        (value_is(CompareOp.GT, 7), [8, 9]),
        (value_is(CompareOp.GTEQ, 7.5, ValueClass.DOUBLE), [8, 9]),
        (value_is(CompareOp.LT, 2, ValueClass.INTEGER), [0, 1]),
        (value_is(CompareOp.LTEQ, 1.0, ValueClass.FLOAT), [0, 1]),
        (value_is(CompareOp.NEQ, 4), [0, 1, 2, 3, 5, 6, 7, 8, 9]),
        (And(time_is(CompareOp.GT, 20), value_is(CompareOp.LT, 5)), [3, 4]),
        (Or(time_is(CompareOp.EQ, 0), value_is(CompareOp.EQ, 9)), [0, 9]),
        (Not(Or(time_is(CompareOp.LT, 80), value_is(CompareOp.EQ, 9))), [8]),
        (GroupByWindows(11, 40, 10, 90), [1, 2, 5, 6, 9]),
    ],
)
def test_every_filter_is_pushed_down(node, ten, condition, expected):
    assert [(10 * value, value) for value in expected] == read(node, ten, DataType.INT64, condition)


@pytest.mark.parametrize(
    ("data_type", "constant", "expected"),
    [
        (DataType.BOOLEAN, Scalar(ValueClass.BOOLEAN, True), [0, 2, 3]),
        (DataType.TEXT, Scalar(ValueClass.BINARY, b"b"), [1]),
        (DataType.TEXT, Scalar(ValueClass.STRING, b"b"), [1]),
        (DataType.FLOAT, Scalar(ValueClass.DOUBLE, math.inf), [3]),
        (DataType.DOUBLE, Scalar(ValueClass.DOUBLE, 1e300), [3]),
    ],
)
def test_values_of_other_types_are_compared(node, session, sg, data_type, constant, expected):
    session.create(f"{sg}.d.s", data_type)
    for time, text in enumerate(VALUES[data_type]):
        session.insert(f"{sg}.d", time, s=text)
    condition = Compare(CompareOp.EQ, FilterKind.VALUE, constant)
    assert expected == [time for time, _ in read(node, f"{sg}.d.s", data_type, condition)]


def test_the_flag_for_value_filters_is_not_asked(node, data, ten):
    header = node.header_of(ten)
    for flag in (True, False, None):
        request = query(header, ten, DataType.INT64, condition=value_is(CompareOp.EQ, 3))
        request.withValueFilter = request.pushdownUnseq = flag
        assert [[(30, 3)]] == fetched(data, header, data.querySingleSeries(request))


@pytest.mark.parametrize("method", ["querySingleSeries", "querySingleSeriesByTimestamp"])
@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"dataTypeOrdinal": 6}, "dataTypeOrdinal 6"),
        ({"dataTypeOrdinal": -1}, "dataTypeOrdinal -1"),
        ({"dataTypeOrdinal": int(DataType.TEXT)}, "INT64"),
        ({"path": ""}, "314 PATH_ILLEGAL"),
        ({"path": "root.*.d.s"}, "314 PATH_ILLEGAL"),
        ({"path": "x.y.z"}, "314 PATH_ILLEGAL"),
        ({"header": stranger()}, "4711"),
    ],
)
def test_a_query_that_cannot_be_is_an_exception_that_names_the_cause(node, data, ten, method, change, cause):
    request = query(node.header_of(ten), ten, DataType.INT64)
    for name, value in change.items():
        setattr(request, name, value)
    assert cause in refused(lambda: getattr(data, method)(request))


@pytest.mark.parametrize(
    "filter_bytes",
    [
        b"",
        b"\x0a",
        b"\xff",
        encode_filter(value_is(CompareOp.EQ, 3))[:-1],
        encode_filter(value_is(CompareOp.EQ, 3)) + b"x",
        bytes([8]) * 100_000,
        encode_filter(value_is(CompareOp.EQ, b"x", ValueClass.BINARY)),
        encode_filter(GroupByWindows(0, 1, 0, 1)),
        encode_filter(GroupByWindows(1, -1, 0, 1)),
    ],
    ids=["empty", "unknown", "high", "cut", "longer", "deep", "other type", "no unit", "no step"],
)
def test_a_filter_that_cannot_be_is_an_exception(node, data, ten, filter_bytes):
    request = query(node.header_of(ten), ten, DataType.INT64)
    request.filterBytes = filter_bytes
    assert "400 EXECUTE_STATEMENT_ERROR" in refused(lambda: data.querySingleSeries(request))


def test_what_does_not_exist_has_a_reader_without_points(node, data, ten, sg):
    header = node.header_of(ten)
    for path in (f"{sg}.d.other", "root.nosuchgroup.d.s"):
        reader = data.querySingleSeries(query(header, path, DataType.TEXT))
        assert reader > 0
        assert b"" == data.fetchSingleSeries(struct_of(header), reader)
        single = data.querySingleSeriesByTimestamp(query(header, path, DataType.TEXT))
        assert single > reader
        assert b"" == data.fetchSingleSeriesByTimestamp(struct_of(header), single, 1)


def test_single_values_come_in_any_order_of_times(node, data, ten):
    header = node.header_of(ten)
    request = query(header, ten, DataType.INT64, condition=time_is(CompareOp.EQ, 0))
    reader = data.querySingleSeriesByTimestamp(request)
    found = {
        time: data.fetchSingleSeriesByTimestamp(struct_of(header), reader, time) for time in (90, 0, 50, 55, -1, 50)
    }
    assert [b"", b""] == [found.pop(55), found.pop(-1)]
    values = {time: decode_scalar(value) for time, value in found.items()}
    assert {90: 9, 0: 0, 50: 5} == {time: scalar.value for time, scalar in values.items()}
    assert {ValueClass.LONG} == {scalar.value_class for scalar in values.values()}


def test_a_reader_reads_what_was_there_when_it_was_opened(node, data, session, ten):
    header = node.header_of(ten)
    reader = data.querySingleSeries(query(header, ten, DataType.INT64))
    session.insert(ten.removesuffix(".s"), 1_000, s="1")
    session.delete(40, ten)
    assert list(range(10)) == [value for _, value in fetched(data, header, reader)[0]]
    assert [5, 6, 7, 8, 9, 1] == [value for _, value in read(node, ten, DataType.INT64)]


def test_the_two_kinds_of_readers_are_not_mixed_up(node, data, ten):
    header = node.header_of(ten)
    batches = data.querySingleSeries(query(header, ten, DataType.INT64))
    single = data.querySingleSeriesByTimestamp(query(header, ten, DataType.INT64))
    assert "querySingleSeries" in refused(lambda: data.fetchSingleSeriesByTimestamp(struct_of(header), batches, 1))
    assert "querySingleSeriesByTimestamp" in refused(lambda: data.fetchSingleSeries(struct_of(header), single))


def test_the_end_of_a_query_closes_all_its_readers(node, data, ten):
    header = node.header_of(ten)
    mine = [
        data.querySingleSeries(query(header, ten, DataType.INT64, query_id=5, requester=stranger(1))),
        data.querySingleSeriesByTimestamp(query(header, ten, DataType.INT64, query_id=5, requester=stranger(1))),
    ]
    others = [
        data.querySingleSeries(query(header, ten, DataType.INT64, query_id=5, requester=stranger(2))),
        data.querySingleSeries(query(header, ten, DataType.INT64, query_id=6, requester=stranger(1))),
    ]
    data.endQuery(struct_of(header), stranger(1), 5)
    data.endQuery(struct_of(header), stranger(1), 5)
    data.endQuery(struct_of(header), stranger(3), 77)
    assert "no reader" in refused(lambda: data.fetchSingleSeries(struct_of(header), mine[0]))
    assert "no reader" in refused(lambda: data.fetchSingleSeriesByTimestamp(struct_of(header), mine[1], 1))
    for reader in others:
        assert data.fetchSingleSeries(struct_of(header), reader)
    for requester, query_id in ((2, 5), (1, 6)):
        data.endQuery(struct_of(header), stranger(requester), query_id)


@pytest.mark.parametrize("reader", [0, -1, 2**63 - 1])
def test_a_reader_that_never_was_is_an_exception(node, data, reader):
    header = struct_of(node.node)
    assert f"no reader {reader}" in refused(lambda: data.fetchSingleSeries(header, reader))
    assert f"no reader {reader}" in refused(lambda: data.fetchSingleSeriesByTimestamp(header, reader, 1))


def test_a_reader_is_not_known_under_another_header(node, data, ten):
    reader = data.querySingleSeries(query(node.header_of(ten), ten, DataType.INT64))
    assert "4711" in refused(lambda: data.fetchSingleSeries(stranger(), reader))
    data.endQuery(stranger(), stranger(), 1)


def test_a_reader_may_be_used_from_another_connection(node, data, ten):
    header = node.header_of(ten)
    reader = data.querySingleSeries(query(header, ten, DataType.INT64))
    with stock("TSDataService", node.data_address) as other:
        assert 10 == len(fetched(other, header, reader)[0])


def test_readers_are_limited_in_number_and_in_idle_time(tmp_path):
    with one_node(tmp_path, read_open_max_count=3, reader_idle_ms=300) as node, logged_in(node) as session:
        session.insert("root.a.d", 1, s="1")
        header = node.header_of("root.a")
        request = query(header, "root.a.d.s", DataType.INT64)
        with stock("TSDataService", node.data_address) as data:
            readers = [data.querySingleSeries(request) for _ in range(3)]
            assert "read_open_max_count" in refused(lambda: data.querySingleSeries(request))
            wait_for(lambda: _opens(data, request), "readers that nobody uses give way")
            assert "no reader" in refused(lambda: data.fetchSingleSeries(struct_of(header), readers[0]))


def _opens(data, request):
    try:
        return data.querySingleSeries(request)
    except TApplicationException as refusal:
        assert "read_open_max_count" in str(refusal)
        return None


def test_texts_that_together_are_larger_than_a_frame_are_read_in_more_batches(tmp_path):
    small = {"frame_max_mb": 1, "append_max_bytes": 256 * 1024}
    with one_node(tmp_path, **small) as node, logged_in(node) as session:
        for time in range(30):
            assert 200 == code(session.insert("root.a.d", time, s="'" + "x" * 100_000 + "'"))
        header = node.header_of("root.a")
        with stock("TSDataService", node.data_address) as data:
            reader = data.querySingleSeries(query(header, "root.a.d.s", DataType.TEXT))
            batches = fetched(data, header, reader)
        assert list(range(30)) == [time for batch in batches for time, _ in batch]
        assert len(batches) > 3


# -- paths and schemas -----------------------------------------------------------------------------------------------


@pytest.fixture
def tree(node, session, sg):
    """A few series of one storage group."""
    for path in ("d1.a", "d1.b", "d2.a", "d2.deep.a"):
        assert 200 == code(session.create(f"{sg}.{path}"))
    return sg


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("{sg}", ["d1.a", "d1.b", "d2.a", "d2.deep.a"]),
        ("{sg}.*", ["d1.a", "d1.b", "d2.a", "d2.deep.a"]),
        ("{sg}.d1", ["d1.a", "d1.b"]),
        ("{sg}.d1.b", ["d1.b"]),
        ("{sg}.*.a", ["d1.a", "d2.a"]),
        ("{sg}.d2.*.a", ["d2.deep.a"]),
        ("{sg}.d2.deep.a.more", []),
        ("{sg}.nothing", []),
        ("root.nosuchgroup", []),
    ],
)
def test_paths_and_schemas_match_a_prefix_or_pattern(node, data, tree, pattern, expected):
    header = struct_of(node.header_of(tree))
    wanted = [f"{tree}.{path}" for path in expected]
    assert wanted == data.getAllPaths(header, pattern.format(sg=tree))
    answer = data.pullTimeSeriesSchema(CLUSTER.PullSchemaRequest(prefixPath=pattern.format(sg=tree), header=header))
    assert wanted == [schema.path for schema in schemas_in(answer)]


def schemas_in(answer):
    return decode_schemas(answer.schemaBytes)


def test_root_is_everything_of_the_group(node, data, tree):
    header = struct_of(node.header_of(tree))
    assert {f"{tree}.d1.a", f"{tree}.d2.deep.a"} < set(data.getAllPaths(header, "root"))


@pytest.mark.parametrize("path", ["", "x", "root..a", "root.", "root." + "a." * 10_000 + "b"])
def test_a_pattern_that_is_none_is_an_exception(node, data, meta, path):
    header = struct_of(node.node)
    request = CLUSTER.PullSchemaRequest(prefixPath=path, header=header)
    assert "314 PATH_ILLEGAL" in refused(lambda: data.getAllPaths(header, path))
    assert "314 PATH_ILLEGAL" in refused(lambda: data.pullTimeSeriesSchema(request))
    assert "314 PATH_ILLEGAL" in refused(lambda: meta.pullTimeSeriesSchema(request))


def test_the_meta_port_has_no_series(meta):
    assert "data port" in refused(lambda: meta.pullTimeSeriesSchema(CLUSTER.PullSchemaRequest(prefixPath="root")))


def test_a_schema_says_type_encoding_and_compression(node, data, session, sg):
    session.create(f"{sg}.d.s", 5, 0, 2)
    header = struct_of(node.header_of(sg))
    (schema,) = schemas_in(data.pullTimeSeriesSchema(CLUSTER.PullSchemaRequest(prefixPath=sg, header=header)))
    assert (f"{sg}.d.s", 5, 0, 2, ()) == (
        schema.path,
        schema.data_type,
        schema.encoding,
        schema.compression,
        schema.props,
    )


# -- other nodes -----------------------------------------------------------------------------------------------------


@pytest.fixture
def spread(trio, new_name):
    """A series in a cluster, its header, two nodes that keep it and one that does not."""
    sg = new_name()
    with logged_in(trio[0]) as session:
        assert 200 == code(session.insert(f"{sg}.d", 1, s="7"))
    header = trio[0].header_of(sg)
    *members, outsider = members_of(trio, header)
    return f"{sg}.d.s", header, members, outsider


def test_every_member_of_the_group_reads_what_was_acknowledged(spread):
    path, _, members, _ = spread
    assert [[(1, 7)], [(1, 7)]] == [read(node, path, DataType.INT64) for node in members]


def test_a_follower_reads_a_point_as_soon_as_it_is_acknowledged(spread):
    path, header, members, _ = spread
    leader = members[0].group(header).leader
    follower = next(node for node in members if node.node.identifier != leader)
    request = query(header, path, DataType.INT64, condition=time_is(CompareOp.GT, 100))
    with (
        stock("TSDataService", follower.data_address) as data,
        logged_in(next(node for node in members if node is not follower)) as session,
    ):
        for count in range(1, 31):
            assert 200 == code(session.insert(path.removesuffix(".s"), 100 + count, s="1"))
            reader = data.querySingleSeries(request)
            assert count == sum(map(len, fetched(data, header, reader)))


def test_a_reader_elsewhere_is_refused_with_the_addresses_of_those_who_have_it(spread):
    path, header, members, outsider = spread
    with stock("TSDataService", outsider.data_address) as data:
        message = refused(lambda: data.querySingleSeries(query(header, path, DataType.INT64)))
    for node in members:
        assert f"127.0.0.1:{node.settings.local_data_port}" in message


def test_what_needs_no_reader_is_passed_on_to_those_who_have_it(spread):
    path, header, members, outsider = spread
    sg = ".".join(path.split(".")[:2])
    with stock("TSDataService", outsider.data_address) as data:
        head = struct_of(header)
        assert [path] == data.getAllPaths(head, sg)
        answer = data.pullTimeSeriesSchema(CLUSTER.PullSchemaRequest(prefixPath=sg, header=head))
        assert [path] == [schema.path for schema in schemas_in(answer)]
        assert data.requestCommitIndex(head) >= members[0].group(header).last_applied
        assert "314 PATH_ILLEGAL" in refused(lambda: data.getAllPaths(head, "nowhere"))


def test_a_series_of_another_group_is_an_error_and_never_empty(trio, spread):
    path, header, _, _ = spread
    for node in trio:
        wrong = [group.header for group in node.report().groups if group.header not in (None, header.identifier)]
        other = next(each for each, _ in node.table().nodes if each.identifier == wrong[0])
        with stock("TSDataService", node.data_address) as data:
            message = refused(lambda data=data, other=other: data.querySingleSeries(query(other, path, DataType.INT64)))
        assert str(header.identifier) in message


def test_a_series_of_another_group_is_an_error_also_right_after_it_was_made(trio, new_name):
    headers = {node.identifier: node for node, _ in trio[0].table().nodes}
    here = [[group.header for group in node.report().groups if group.header is not None] for node in trio]
    with logged_in(trio[0]) as session, ExitStack() as open_ones:
        ports = [open_ones.enter_context(stock("TSDataService", node.data_address)) for node in trio]
        for _ in range(20):
            sg = new_name()
            assert 200 == code(session.insert(f"{sg}.d", 1, s="7"))
            header = trio[0].header_of(sg)
            for data, known in zip(ports, here, strict=True):
                wrong = headers[next(each for each in known if each != header.identifier)]
                request = query(wrong, f"{sg}.d.s", DataType.INT64)
                message = refused(lambda data=data, request=request: data.querySingleSeries(request))
                assert str(header.identifier) in message


def test_an_unknown_header_is_an_exception_for_every_call_that_is_not_raft(data, meta):
    head = stranger()
    calls = [
        lambda: data.requestCommitIndex(head),
        lambda: data.pullTimeSeriesSchema(CLUSTER.PullSchemaRequest(prefixPath="root", header=head)),
        lambda: data.getAllPaths(head, "root"),
        lambda: data.pullSnapshot(CLUSTER.PullSnapshotRequest(requiredSlots=[1], header=head)),
        lambda: data.sendSnapshot(CLUSTER.SendSnapshotRequest(snapshotBytes=b"", header=head)),
    ]
    for call in calls:
        assert "header 4711" in refused(call)


def test_without_a_header_a_call_on_the_data_port_fails(data):
    calls = [
        lambda: data.requestCommitIndex(None),
        lambda: data.getAllPaths(None, "root"),
        lambda: data.pullTimeSeriesSchema(CLUSTER.PullSchemaRequest(prefixPath="root")),
        lambda: data.pullSnapshot(CLUSTER.PullSnapshotRequest(requiredSlots=[1])),
        lambda: data.fetchSingleSeries(None, 1),
    ]
    for call in calls:
        refused(call)
