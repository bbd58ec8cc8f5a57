"""Text to value, by the type of the series; and what a tablet's bytes have to be."""

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from iotdb_cluster.errors import MalformedInput, PathNotFound, StorageGroupUnknown, ValueRefused
from iotdb_cluster.timeseries.values import converted
from iotdb_cluster.types.plans import InsertPlan, SetStorageGroupPlan, TabletPlan
from iotdb_cluster.types.schema import DataType
from tests.timeseries.timeseries_model import read_all, tablet

B, I, L, F, D, T = DataType  # noqa: E741


@pytest.mark.parametrize(
    ("data_type", "text", "expected"),
    [
        (B, "true", True),
        (B, "FALSE", False),
        (B, "tRuE", True),
        (B, "1", True),
        (B, "0", False),
        (I, "2147483647", 2147483647),
        (I, "-2147483648", -2147483648),
        (I, "+7", 7),
        (I, "007", 7),
        (L, "9223372036854775807", 2**63 - 1),
        (L, "-9223372036854775808", -(2**63)),
        (D, "1", 1.0),
        (D, "-1.5E2", -150.0),
        (D, ".5", 0.5),
        (D, "1.", 1.0),
        (D, "1e-3", 0.001),
        (D, "-0.0", -0.0),
        (D, "Infinity", math.inf),
        (D, "-Infinity", -math.inf),
        (D, "1e400", math.inf),
        (F, "0.1", float(np.float32(0.1))),
        (F, "NaN", math.nan),
        (F, "1e39", math.inf),
        (F, "1.00000005960464477539062500000001", 1.0000001192092896),
        (F, "1e-45", float(np.float32(1e-45))),
        (T, "'a'", b"a"),
        (T, '"a"', b"a"),
        (T, "''", b""),
        (T, "'it's'", b"it's"),
        (T, "'\"'", b'"'),
        (T, r"'a\n\'b'", rb"a\n\'b"),
        (T, "'é'", "é".encode()),
        (T, "'\udcff'", b"\xff"),
    ],
)
def test_text_that_converts(data_type: DataType, text: str, expected: Any) -> None:
    assert repr(expected) == repr(converted(text, data_type, "s"))


@pytest.mark.parametrize(
    ("data_type", "text"),
    [
        *((B, text) for text in ("", "yes", "2", "'true'", " true", "t", "tru\u0435")),
        *(
            (I, text)
            for text in ("", "2147483648", "-2147483649", "1.0", "1e3", "0x1", "1_0", " 1", "٣", "²", "--1", "NaN")
        ),
        *((L, text) for text in ("9223372036854775808", "9" * 5000, "true", "1L")),
        *((D, text) for text in ("", "nan", "inf", "infinity", "1_0", " 1", "1 ", "0x1p3", "1d", "e5", ".", "1e", "٣")),
        *((F, text) for text in ("NAN", "--1", "1,5", "true", "+", "-")),
        *((T, text) for text in ("", "a", "'", "'a", "a'", "'a\"", "\"a'", "true", "'\ud800'")),
    ],
)
def test_text_that_does_not_convert_is_named_with_its_type(data_type: DataType, text: str) -> None:
    with pytest.raises(ValueRefused) as refused:
        converted(text, data_type, "speed")
    assert refused.value.message.startswith("speed: ")
    assert data_type.name in refused.value.message
    assert len(refused.value.message) < 200


@given(st.floats(-(2.0**126), 2.0**126, width=32), st.integers(0, 2**29), st.integers(1, 40))
def test_a_float_is_the_one_nearest_to_the_decimal_number(near: float, part: int, digits: int) -> None:
    step = Fraction(float(np.nextafter(np.float32(near), np.float32(math.inf), dtype=np.float32))) - Fraction(near)
    exact = Fraction(near) + step * part / 2**29
    text = f"{exact.numerator * 10**digits // exact.denominator}e-{digits}"
    found = converted(text, F, "s")
    assert isinstance(found, float)
    distance = abs(Fraction(text) - Fraction(found))
    for direction in (-math.inf, math.inf):
        other = float(np.nextafter(np.float32(found), np.float32(direction)))
        assert distance <= abs(Fraction(text) - Fraction(other))


def test_a_row_is_written_whole_or_not_at_all(bench: Any) -> None:
    bench.device("root.sg.d", a=I, b=I)
    bench.write(InsertPlan(1, "root.sg.d", ("a", "b"), ("1", "2")))
    for plan in (
        InsertPlan(2, "root.sg.d", ("a", "b"), ("1", "x")),
        InsertPlan(2, "root.sg.d", ("a", "b"), ("1",)),
        InsertPlan(2, "root.sg.d", ("a",), ("1", "2")),
        InsertPlan(2, "root.sg.d", ("a", "b"), ("1", None)),
        InsertPlan(2, "root.sg.d", ("a", None), ("1", "2")),
        InsertPlan(2, None, ("a",), ("1",)),
        InsertPlan(2, "root.sg.d", (), ()),
    ):
        with pytest.raises(ValueRefused):
            bench.write(plan)
    with pytest.raises(PathNotFound, match=r"root\.sg\.d\.c"):
        bench.write(InsertPlan(2, "root.sg.d", ("a", "c"), ("1", "2")))
    with pytest.raises(PathNotFound):
        bench.write(InsertPlan(2, "root.sg.e", ("a",), ("1",)))
    with pytest.raises(StorageGroupUnknown):
        bench.write(InsertPlan(2, "root.other.e", ("a",), ("1",)))
    assert [(1, 1)] == read_all(bench.store, "root.sg.d.a")
    assert [(1, 2)] == read_all(bench.store, "root.sg.d.b")


def test_the_last_of_equal_times_and_measurements_wins(bench: Any) -> None:
    bench.device("root.sg.d", a=I)
    bench.write(tablet("root.sg.d", {"a": (I, [1, 2, 3, 4])}, [5, 3, 5, -1]))
    assert [(-1, 4), (3, 2), (5, 3)] == read_all(bench.store, "root.sg.d.a")
    bench.write(InsertPlan(3, "root.sg.d", ("a", "a"), ("8", "9")))
    assert [(-1, 4), (3, 9), (5, 3)] == read_all(bench.store, "root.sg.d.a")
    assert 9 == bench.store.value_at("root.sg.d.a", 3)


def tablet_with(**changes: Any) -> TabletPlan:
    whole = tablet("root.sg.d", {"a": (I, [1, 2]), "t": (T, [b"x", b"yz"])}, [1, 2])
    return TabletPlan(**{name: changes.get(name, getattr(whole, name)) for name in TabletPlan.__dataclass_fields__})


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"rows": 3}, MalformedInput),
        ({"rows": -1}, MalformedInput),
        ({"times": b"\0" * 15}, MalformedInput),
        ({"columns": (b"\0" * 8,)}, ValueRefused),
        ({"columns": (b"\0" * 7, b"\0" * 8)}, MalformedInput),
        ({"columns": (b"\0" * 12, b"\0" * 8)}, MalformedInput),
        ({"columns": (b"\0" * 8, b"\0\0\0\1")}, MalformedInput),
        ({"columns": (b"\0" * 8, b"\0\0\0\0\0\0\0\0\0")}, MalformedInput),
        ({"columns": (b"\0" * 8, b"\xff\xff\xff\xff\0\0\0\0")}, MalformedInput),
        ({"columns": (b"\0" * 8, b"\0\0\0\0\x7f\xff\xff\xff")}, MalformedInput),
        ({"data_types": (L, T)}, ValueRefused),
        ({"data_types": (I,)}, ValueRefused),
        ({"measurements": ("a", None)}, ValueRefused),
        ({"measurements": ("a", "nothing")}, PathNotFound),
        ({"device": None}, ValueRefused),
    ],
)
def test_a_tablet_that_is_not_in_order_is_refused_whole(bench: Any, changes: Any, error: type[Exception]) -> None:
    bench.device("root.sg.d", a=I, t=T)
    with pytest.raises(error):
        bench.write(tablet_with(**changes))
    assert [] == read_all(bench.store, "root.sg.d.a")
    bench.write(tablet_with())
    assert [(1, b"x"), (2, b"yz")] == read_all(bench.store, "root.sg.d.t")


def test_a_byte_that_is_not_one_is_false(bench: Any) -> None:
    bench.device("root.sg.d", b=B)
    bench.write(TabletPlan("root.sg.d", ("b",), (B,), 3, np.array([1, 2, 3], ">i8").tobytes(), (b"\0\1\2",)))
    assert [(1, False), (2, True), (3, False)] == read_all(bench.store, "root.sg.d.b")
    bench.seal()
    assert [(1, False), (2, True), (3, False)] == read_all(bench.store, "root.sg.d.b")


def test_an_empty_tablet_changes_nothing(bench: Any) -> None:
    bench.device("root.sg.d", a=I)
    bench.write(TabletPlan("root.sg.d", ("a",), (I,), 0, b"", (b"",)))
    bench.write(SetStorageGroupPlan("root.sg"))
    assert [] == read_all(bench.store, "root.sg.d.a")
