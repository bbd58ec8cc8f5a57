"""CSV files become tablets without nulls, in file order, or are refused with line and column."""

from pathlib import Path

import numpy as np
import pytest

from iotdb_cluster.cli.csv_file import CsvFile, parse_time, parse_types
from iotdb_cluster.errors import RequestError
from iotdb_cluster.types.schema import DataType

TYPES = {"a": DataType.INT32, "b": DataType.FLOAT, "c": DataType.TEXT, "root.x.e.a": DataType.BOOLEAN}


def csv_file(folder: Path, text: str) -> CsvFile:
    path = folder / "some.csv"
    path.write_text(text)
    return CsvFile(path, TYPES)


def test_columns_with_the_same_gaps_travel_together(tmp_path):
    file = csv_file(
        tmp_path,
        'time,root.x.d.a,root.x.d.b,root.x.d.c,root.x.e.a\n1,10,0.5,one,true\n3,30,,three,\n2,20,,"a ""b"", c",0\n',
    )
    (chunk,) = file.chunks()
    first, gappy, other = chunk
    assert ("root.x.d", ("a", "c"), (DataType.INT32, DataType.TEXT)) == (
        first.device,
        first.measurements,
        first.data_types,
    )
    assert [1, 3, 2] == first.times.tolist()
    assert [10, 30, 20] == first.columns[0].tolist()
    assert ["one", "three", 'a "b", c'] == first.columns[1]
    assert (("b",), [1], [0.5]) == (gappy.measurements, gappy.times.tolist(), gappy.columns[0].tolist())
    assert np.float32 == gappy.columns[0].dtype
    assert ("root.x.e", [1, 2], [True, False]) == (other.device, other.times.tolist(), other.columns[0].tolist())


def test_each_column_is_in_one_tablet_of_its_chunk_in_file_order(tmp_path):
    # Rows with other gaps and equal times must not be put in another order, or an earlier value would win.
    file = csv_file(tmp_path, "time,root.x.d.a,root.x.d.b\n5,1,1.0\n5,2,\n5,3,3.0\n")
    (chunk,) = file.chunks()
    assert [[1, 2, 3], [1.0, 3.0]] == [rows.columns[0].tolist() for rows in chunk]


def test_a_file_is_read_in_chunks(tmp_path):
    file = csv_file(tmp_path, "time,root.x.d.a\n" + "".join(f"{n},{n}\n" for n in range(25)))
    assert [10, 10, 5] == [len(chunk[0].times) for chunk in file.chunks(rows_max=10)]


def test_a_column_without_any_value_is_left_out(tmp_path):
    (chunk,) = csv_file(tmp_path, "time,root.x.d.a,root.x.d.b\n1,1,\n").chunks()
    assert [("a",)] == [rows.measurements for rows in chunk]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0),
        ("-5", -5),
        ("1970-01-01T00:00:00Z", 0),
        ("1988-01-01T01:00:00-05:00", 568_015_200_000),
        ("2020-02-03T04:05:06.789+08:00", 1_580_673_906_789),
        ("1969-12-31T23:59:59.999+00:00", -1),
    ],
)
def test_times_are_milliseconds(text, expected):
    assert expected == parse_time(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "the first line must name the time"),
        ("time\n", "the first line must name the time"),
        ("time,root.x.d.z\n", "column 'root.x.d.z' has no type; say it with --types z=TYPE"),
        ("time,a\n", "column 'a' is not a series path"),
        ("time,root.x..a\n", "column 'root.x..a' is not a series path"),
        ("time,root.x.d.a\n1,2,3\n", "line 2: 3 cells, but 2 columns"),
        ("time,root.x.d.a\n1,2\nx,3\n", "line 3, first column: 'x' is not a time"),
        ("time,root.x.d.a\n2020-01-01,2\n", "it has no offset"),
        ("time,root.x.d.a\n1,2147483648\n", "line 2, column 'root.x.d.a': '2147483648' is no INT32"),
        ("time,root.x.d.a\n1,1.5\n", "'1.5' is no INT32"),
        ("time,root.x.e.a\n1,maybe\n", "'maybe' is no BOOLEAN"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path, text, expected):
    with pytest.raises(RequestError) as caught:
        for _ in csv_file(tmp_path, text).chunks():
            pass
    assert expected in caught.value.message


def test_types_are_given_by_name():
    expected = {"a": DataType.INT32, "root.x.b": DataType.TEXT}
    assert expected == parse_types("a=INT32, root.x.b=text")
    with pytest.raises(RequestError, match="'a=INT' is not name=TYPE with a TYPE out of BOOLEAN, INT32"):
        parse_types("a=INT")
