"""Times and durations as people write them."""

from datetime import UTC, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iotdb_cluster.errors import SqlError, SqlTreeRefused
from iotdb_cluster.sql import parse
from iotdb_cluster.sql.times import GREATEST_TIME_MS, UNITS_MS, BadTime, duration_ms, moment_ms, time_text
from tests.sql.reading import NOW_MS, ZONE, read

FEBRUARY = 1_580_673_906_000
"""2020-02-03 04:05:06 at +08:00."""


@pytest.mark.parametrize(
    "text, time_ms",
    [
        ("2020-02-03 04:05:06", FEBRUARY),
        ("2020-02-03T04:05:06", FEBRUARY),
        ("2020/02/03 04:05:06", FEBRUARY),
        ("2020/02/03T04:05:06.789", FEBRUARY + 789),
        ("2020-02-03 04:05:06.789+09:00", FEBRUARY + 789 - 3_600_000),
        ("2020-02-03 04:05:06-01:30", FEBRUARY + 34_200_000),
        ("2020-02-02 20:05:06+00:00", FEBRUARY),
        ("1969-12-31 23:59:59.999+00:00", -1),
        ("2020-02-29 00:00:00+00:00", 1_582_934_400_000),
    ],
)
def test_a_time_in_its_forms(text, time_ms):
    assert time_ms == moment_ms(text, ZONE)
    assert time_ms == read(f"SELECT * FROM root WHERE time = {text}").where.time_ms


@pytest.mark.parametrize(
    "text",
    [
        "2020-13-03 04:05:06",
        "2019-02-29 04:05:06",
        "2020-02-30 04:05:06",
        "2020-00-01 04:05:06",
        "2020-02-03 24:00:00",
        "2020-02-03 04:60:06",
        "2020-02-03 04:05:60",
        "2020-02-03 4:05:06",
        "2020-2-3 04:05:06",
        "2020/2/3T04:05:06.5",
        "2020-02/03 04:05:06",
        "20-02-03 04:05:06",
        "0000-02-03 04:05:06",
        "2020-02-03  04:05:06",
        "2020-02-03t04:05:06",
        "2020-02-03 04:05:06.7891",
        "2020-02-03 04:05:06.78",
        "2020-02-03 04:05:06+8:00",
        "2020-02-03 04:05:06+18:01",
        "2020-02-03 04:05:06+08:60",
        "0001-01-01 00:00:00+01:00",
    ],
)
def test_a_time_that_does_not_exist_is_refused_where_it_stands(text):
    with pytest.raises(SqlTreeRefused) as caught:
        read(f"INSERT INTO root.a(timestamp, s) VALUES({text}, 1)")
    assert (303, 41, text) == (caught.value.code, caught.value.column, caught.value.token)


@pytest.mark.parametrize(
    "text",
    ["2020-02-03 04:05:06Z", "2020.02.03 04:05:06", "2020-02-03", "2020-02-03 04:05", "now", "-100", "now() - 1d"],
)
def test_what_has_not_the_form_of_a_time_does_not_parse(text):
    with pytest.raises(SqlError) as caught:
        read(f"INSERT INTO root.a(timestamp, s) VALUES({text}, 1)")
    assert 401 == caught.value.code


def test_a_date_alone_is_told_what_it_lacks():
    with pytest.raises(SqlError, match="line 1, column 33: '2020-02-03': a date needs its time of day"):
        read("SELECT * FROM root WHERE time > 2020-02-03")


def test_a_time_has_the_offset_that_its_zone_had_on_that_day():
    berlin = ZoneInfo("Europe/Berlin")
    assert moment_ms("2020-01-15 12:00:00+01:00", UTC) == moment_ms("2020-01-15 12:00:00", berlin)
    assert moment_ms("2020-07-15 12:00:00+02:00", UTC) == moment_ms("2020-07-15 12:00:00", berlin)
    # The clocks went from 02:00 to 03:00, and from 03:00 to 02:00.
    assert moment_ms("2020-03-29 03:30:00+02:00", UTC) == moment_ms("2020-03-29 02:30:00", berlin)
    assert moment_ms("2020-10-25 02:30:00+02:00", UTC) == moment_ms("2020-10-25 02:30:00", berlin)


@pytest.mark.parametrize(
    "zone", [timezone(timedelta(hours=-14)), ZoneInfo("Asia/Shanghai"), ZoneInfo("America/New_York")]
)
def test_the_first_and_the_last_day_are_times_in_every_zone(zone):
    assert moment_ms("0001-01-02 00:00:00", zone) < moment_ms("9999-12-31 23:59:59.999", zone)


@given(st.integers(min_value=-62_135_596_800_000, max_value=GREATEST_TIME_MS))
def test_the_text_of_a_time_is_that_time_where_no_sign_is_allowed(time_ms):
    assert time_ms == read(f"INSERT INTO root.a(timestamp, s) VALUES({time_text(time_ms)}, 1)").time_ms


# ---- durations


@pytest.mark.parametrize("unit", UNITS_MS)
def test_each_unit_in_any_case(unit):
    assert 3 * UNITS_MS[unit] == duration_ms(f"3{unit}") == duration_ms(f"003{unit.upper()}")


def test_units_are_joined_and_a_month_is_not_a_minute():
    assert 93_600_000 == duration_ms("1d2h")
    assert 30 * 86_400_000 + 60_000 == duration_ms("1mo1m")
    assert 61_001 == duration_ms("1m1s1ms")


@pytest.mark.parametrize("text", ["0ms", "0d0h", "1us", "1d5ns", "99999999999999999999ms", "300000000y"])
def test_a_duration_is_longer_than_nothing_in_milliseconds_and_in_range(text):
    with pytest.raises(BadTime):
        duration_ms(text)
    with pytest.raises(SqlError) as caught:
        read(f"SELECT count(s) FROM root.a GROUP BY([0, 10], {text})")
    assert (401, 47, text) == (caught.value.code, caught.value.column, caught.value.token)


@pytest.mark.parametrize("text", ["10", "1x", "d1", "1d 2h", "1.5d", "-1d", "1dd"])
def test_what_has_not_the_form_of_a_duration_does_not_parse(text):
    with pytest.raises(SqlError):
        read(f"SELECT count(s) FROM root.a GROUP BY([0, 10], {text})")


# ---- what is remembered


def test_a_statement_that_reads_the_clock_is_read_anew():
    text = "SELECT * FROM root WHERE time > now() - 1d"
    times = [parse(text, zone=UTC, now_ms=now_ms).where.time_ms for now_ms in (NOW_MS, NOW_MS + 5)]
    assert [NOW_MS - 86_400_000, NOW_MS - 86_400_000 + 5] == times


def test_a_statement_that_needs_the_zone_is_read_anew():
    text = "SELECT * FROM root WHERE time > 1970-01-01 00:00:00"
    times = [parse(text, zone=zone, now_ms=0).where.time_ms for zone in (UTC, ZONE, UTC)]
    assert [0, -8 * 3_600_000, 0] == times


def test_a_statement_that_needs_neither_is_read_once():
    text = "SELECT * FROM root WHERE time > 1970-01-01 00:00:00+01:00 AND s = 7"
    assert parse(text, zone=UTC, now_ms=0) is parse(text, zone=ZONE, now_ms=1)


def test_what_holds_a_password_or_comes_once_is_not_remembered():
    for text in ("CREATE USER anna 'secret'", "INSERT INTO root.a(timestamp, s) VALUES(1, 1)"):
        assert read(text) == read(text)
        assert read(text) is not read(text)
    assert "secret" not in repr(read("CREATE USER anna 'secret'"))
