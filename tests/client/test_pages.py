"""Result bytes become columns, or are refused."""

import struct
from typing import Any

import pytest

from iotdb_cluster.client.pages import decode_rows, decode_series
from iotdb_cluster.errors import MalformedInput
from iotdb_cluster.types.schema import DataType
from iotdb_cluster.wire.idl import STRUCTS

TIMES = struct.pack(">2q", 10, 20)


def data_set(values: list[bytes], bitmaps: list[bytes], time: bytes = TIMES) -> Any:
    return STRUCTS["TSQueryDataSet"].make(time=time, valueList=values, bitmapList=bitmaps)


def test_the_example_of_the_interface_page() -> None:
    page = decode_rows(
        data_set([struct.pack(">i", 7), b"\0\0\0\1x"], [b"\x80", b"\x40"]), [DataType.INT32, DataType.TEXT]
    )
    assert [10, 20] == page.times.tolist()
    assert [[7, None], [None, "x"]] == [column.to_list() for column in page.columns]


def test_no_rows_still_have_columns() -> None:
    page = decode_rows(data_set([b"", b""], [b"", b""], b""), [DataType.BOOLEAN, DataType.TEXT])
    assert (0, 2) == (len(page), len(page.columns))


@pytest.mark.parametrize(
    ("values", "bitmap", "data_type"),
    [
        (b"\0" * 7, b"\xc0", DataType.INT32),
        (b"\0" * 8, b"\x80", DataType.INT32),
        (b"\0" * 8, b"\xc0\0", DataType.INT32),
        (b"\0\0\0\5ab\0\0\0\0", b"\xc0", DataType.TEXT),
        (b"\xff\xff\xff\xff\0\0\0\0", b"\xc0", DataType.TEXT),
        (b"\0\0\0\0\0\0\0\0x", b"\xc0", DataType.TEXT),
    ],
)
def test_bytes_that_do_not_add_up_are_refused(values: bytes, bitmap: bytes, data_type: DataType) -> None:
    with pytest.raises(MalformedInput):
        decode_rows(data_set([values], [bitmap]), [data_type])


def test_numbers_of_columns_and_sizes_of_times_are_looked_at() -> None:
    with pytest.raises(MalformedInput, match="1 columns where there should be 2"):
        decode_rows(data_set([b""], [b""]), [DataType.INT32] * 2)
    with pytest.raises(MalformedInput, match="9 bytes of times"):
        decode_rows(data_set([b""], [b""], b"\0" * 9), [DataType.INT32])
    apart = STRUCTS["TSQueryNonAlignDataSet"].make(timeList=[TIMES], valueList=[b""])
    with pytest.raises(MalformedInput, match="0 bytes for 2 values"):
        decode_series(apart, [DataType.INT32])
