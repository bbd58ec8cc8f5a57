"""What a session sends, and when it sends it again."""

import math
import struct
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from iotdb_cluster.client import failover
from iotdb_cluster.client.session import Session
from iotdb_cluster.client.values import packed_column, text_of
from iotdb_cluster.errors import (
    DiskNearlyFull,
    NoLeader,
    OutcomeUnknown,
    RemoteError,
    RowsRefused,
    StatusError,
    Unreachable,
    ValueRefused,
)
from iotdb_cluster.types.schema import DataType, Encoding
from tests.client.rig import ClientPort, client_ports, lost, status


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Pauses are only written down, and time stands still but for them."""
    kept: list[float] = []
    made = failover.Failover.__init__

    def init(self: Any, *args: Any, **options: Any) -> None:
        made(self, *args, now_s=lambda: sum(kept), pause=kept.append, **options)

    monkeypatch.setattr(failover.Failover, "__init__", init)
    return kept


Opened = tuple[ClientPort, Session]


@pytest.fixture
def one() -> Iterator[Opened]:
    with client_ports(1) as (ports, servers), Session([servers[0].address]) as session:
        yield ports[0], session


# -- what is sent ------------------------------------------------------------------------------------------------------


def test_a_row_travels_as_texts_from_which_the_types_are_found_again(one: Opened) -> None:
    port, session = one
    names = ["b", "i", "f", "n", "t", "gap"]
    session.insert_row("root.a.d", -5, names, [True, 7, 1.0, math.nan, "it's", None])
    ((method, request),) = port.calls
    assert "insert" == method
    assert ("root.a.d", -5) == (request.deviceId, request.timestamp)
    assert names[:5] == request.measurements
    assert ["true", "7", "1.0", "NaN", "'it's'"] == request.values


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (False, "false"),
        (np.bool_(True), "true"),
        (np.int32(-3), "-3"),
        (1e300, "1.0e+300"),
        (-2.5e-7, "-2.5e-07"),
        (0.1, "0.1"),
        (-math.inf, "-Infinity"),
        ("", "''"),
    ],
)
def test_every_value_has_one_text(value: object, text: str) -> None:
    assert text == text_of(value)


@pytest.mark.parametrize("value", [b"x", [1], None, 1j])
def test_a_value_of_another_kind_is_refused_by_name(value: object) -> None:
    with pytest.raises(ValueRefused, match=type(value).__name__):
        text_of(value)


@pytest.mark.parametrize("time", [1.5, "1", None, True, datetime(2020, 1, 1, tzinfo=UTC), 2**63, -(2**63) - 1])
def test_what_is_no_time_is_refused_by_name_before_anything_is_sent(one: Opened, time: Any) -> None:
    port, session = one
    for call in (
        lambda: session.insert_row("root.a.d", time, ["x"], [1]),
        lambda: session.insert_rows([("root.a.d", 1, ["x"], [1]), ("root.a.d", time, ["x"], [1])]),
        lambda: session.delete_data("root.a.d.x", time),
    ):
        with pytest.raises(ValueRefused, match=r"the time .*(whole milliseconds are needed|64 bits)$"):
            call()
    assert [] == port.calls


def test_a_text_is_no_list_of_measurements(one: Opened) -> None:
    _, session = one
    with pytest.raises(ValueRefused, match="not the text 'xyz'"):
        session.insert_row("root.a.d", 1, "xyz", [1, 2, 3])


def test_a_tablet_travels_as_packed_columns(one: Opened) -> None:
    port, session = one
    session.insert_tablet(
        "root.a.d",
        ["b", "i", "l", "f", "d", "t"],
        ["BOOLEAN", DataType.INT32, "int64", "FLOAT", "DOUBLE", "TEXT"],
        [1, 2],
        [[True, False], np.array([1, -1]), [2**62, 0], [0.5, 1.5], np.array([1, 2], np.int32), ["x", "é"]],
    )
    ((_, request),) = port.calls
    assert struct.pack(">2q", 1, 2) == request.timestamps
    assert [0, 1, 2, 3, 4, 5] == request.types
    assert 2 == request.size
    expected = b"\x01\x00" + struct.pack(">2i2q2f2d", 1, -1, 2**62, 0, 0.5, 1.5, 1.0, 2.0)
    assert expected + b"\x00\x00\x00\x01x" + b"\x00\x00\x00\x02\xc3\xa9" == request.values


@pytest.mark.parametrize(
    ("data_type", "values", "match"),
    [
        (DataType.INT32, [2**31], "2147483648"),
        (DataType.INT64, [0.5], "float64"),
        (DataType.INT32, [True], "bool"),
        (DataType.BOOLEAN, [1], "int64"),
        (DataType.DOUBLE, ["1"], "DOUBLE"),
        (DataType.TEXT, [1], "int"),
        (DataType.FLOAT, [[1.0]], "one dimension"),
    ],
)
def test_a_column_that_its_type_cannot_hold_is_refused_before_it_is_sent(
    data_type: DataType, values: Any, match: str
) -> None:
    with pytest.raises(ValueRefused, match=match):
        packed_column("s", data_type, values)


def test_a_tablet_whose_lengths_do_not_match_is_refused_before_it_is_sent(one: Opened) -> None:
    port, session = one
    with pytest.raises(ValueRefused, match="s has 1 values for 2 times"):
        session.insert_tablet("root.a.d", ["s"], ["INT32"], [1, 2], [[1]])
    with pytest.raises(ValueRefused, match="1 measurements, 1 types and 0 columns"):
        session.insert_tablet("root.a.d", ["s"], ["INT32"], [1, 2], [])
    with pytest.raises(ValueRefused, match="'INT' is no data type"):
        session.insert_tablet("root.a.d", ["s"], ["INT"], [1], [[1]])
    session.insert_tablet("root.a.d", ["s"], ["INT32"], [], [[]])
    assert [] == port.calls


def test_schema_and_deletes_are_sent_as_said(one: Opened) -> None:
    port, session = one
    session.set_storage_group("root.a")
    session.create_timeseries("root.a.d.s", "DOUBLE")
    session.create_timeseries("root.a.d.t", DataType.INT32, Encoding.PLAIN)
    session.delete_data("root.a.*.s", 99)
    created = [(r.path, r.dataType, r.encoding, r.compressor) for m, r in port.calls if m == "createTimeseries"]
    assert [("root.a.d.s", 4, 6, 1), ("root.a.d.t", 1, 0, 1)] == created
    assert ("setStorageGroup", "root.a") == port.calls[0]
    assert (["root.a.*.s"], 99) == (port.calls[-1][1].paths, port.calls[-1][1].timestamp)


def test_a_session_knows_its_server_and_its_time_zone(one: Opened) -> None:
    port, session = one
    assert "+08:00" == session.get_time_zone()
    session.set_time_zone("Asia/Shanghai")
    assert "Asia/Shanghai" == session.get_time_zone() == port.time_zone
    assert "0.10.0-SNAPSHOT" == session.properties().version


def test_a_wrong_password_is_final(pauses: list[float]) -> None:
    with client_ports(2) as (_, servers), pytest.raises(StatusError, match="wrong password") as caught:
        Session([server.address for server in servers], password="guess").open()
    assert 600 == caught.value.number
    assert [] == pauses


def test_a_session_logs_out_when_it_ends() -> None:
    with client_ports(1) as (ports, servers):
        with Session([servers[0].address]):
            assert {1} == ports[0].sessions
        assert set() == ports[0].sessions


# -- what is answered --------------------------------------------------------------------------------------------------


def test_a_status_is_an_error_with_its_code(one: Opened) -> None:
    port, session = one
    port.answers = [status(300, "root.a.d.s exists"), status(0, "cannot be"), status(503, "disk")]
    with pytest.raises(StatusError, match="root.a.d.s exists") as caught:
        session.create_timeseries("root.a.d.s", "DOUBLE")
    assert 300 == caught.value.number == caught.value.code
    with pytest.raises(StatusError, match="status 0: cannot be"):
        session.create_timeseries("root.a.d.s", "DOUBLE")
    with pytest.raises(DiskNearlyFull):
        session.insert_row("root.a.d", 1, ["s"], [1])
    assert 3 == len(port.calls)


def test_an_error_without_a_code_is_not_repeated(one: Opened) -> None:
    port, session = one
    port.answers = [ZeroDivisionError("a bug")]
    with pytest.raises(RemoteError, match="unexpected ZeroDivisionError"):
        session.insert_row("root.a.d", 1, ["s"], [1])
    assert 1 == len(port.calls)


# -- what is sent again ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("refusal", [status(700), status(702), status(704), NoLeader("nobody leads")])
def test_what_certainly_took_no_effect_is_sent_to_the_next_node_at_once(refusal: Any, pauses: list[float]) -> None:
    with client_ports(2) as (ports, servers), Session([server.address for server in servers]) as session:
        ports[0].answers = [refusal]
        session.insert_row("root.a.d", 1, ["s"], [1])
        assert [1, 1] == [len(port.calls) for port in ports]
        assert [] == pauses


def test_when_no_node_can_serve_it_all_are_asked_again_with_growing_pauses(pauses: list[float]) -> None:
    with client_ports(2) as (ports, servers), Session([server.address for server in servers]) as session:
        for port in ports:
            port.answers = [status(702)] * 3
        session.insert_row("root.a.d", 1, ["s"], [1])
        assert [4, 3] == [len(port.calls) for port in ports]
        assert 3 == len(pauses)
        for longest_s, pause_s in zip((0.02, 0.04, 0.08), pauses, strict=True):
            assert longest_s / 2 <= pause_s <= longest_s


def test_it_gives_up_when_the_time_is_over_and_says_what_the_last_node_said(pauses: list[float]) -> None:
    with client_ports(1) as (ports, servers), Session([servers[0].address], timeout_ms=1_000) as session:
        ports[0].answers = [status(702, "nobody leads group 5")] * 1_000
        with pytest.raises(NoLeader, match="nobody leads group 5"):
            session.insert_row("root.a.d", 1, ["s"], [1])
        assert sum(pauses) < 1


def test_a_node_that_cannot_be_reached_is_passed_over() -> None:
    with client_ports(1) as (_, servers):
        dead = servers[0].address
    with client_ports(1) as (ports, servers), Session([dead, servers[0].address]) as session:
        session.insert_row("root.a.d", 1, ["s"], [1])
        assert 1 == len(ports[0].calls)
    with pytest.raises(Unreachable, match="refused"):
        Session([dead], timeout_ms=100).open()


@pytest.mark.parametrize("answer", [lost, status(701, "not in time")])
def test_what_may_have_taken_effect_is_reported_and_not_repeated(answer: Any) -> None:
    with client_ports(2) as (ports, servers), Session([server.address for server in servers]) as session:
        ports[0].answers = [answer]
        with pytest.raises(OutcomeUnknown):
            session.insert_row("root.a.d", 1, ["s"], [1])
        assert [1, 0] == [len(port.calls) for port in ports]
        session.insert_row("root.a.d", 2, ["s"], [1])


@pytest.mark.parametrize("answer", [lost, status(701)])
def test_a_load_that_is_repeatable_is_repeated_elsewhere(answer: Any) -> None:
    with client_ports(2) as (ports, servers):
        session = Session([server.address for server in servers], repeatable=True)
        ports[0].answers = [answer]
        session.insert_tablet("root.a.d", ["s"], ["INT32"], [1], [[1]])
        session.close()
        assert [1, 1] == [len(port.calls) for port in ports]


def test_a_session_that_is_gone_is_opened_again_in_the_zone_that_was_set(one: Opened) -> None:
    port, session = one
    session.set_time_zone("UTC")
    port.sessions.clear()
    port.time_zone = "+08:00"
    session.insert_row("root.a.d", 1, ["s"], [1])
    assert "UTC" == session.get_time_zone()


def test_of_many_rows_only_those_that_took_no_effect_are_sent_again(one: Opened) -> None:
    port, session = one
    port.answers = [[status(), status(702), status(400, "no number"), status(702)], [status(), status(701, "late")]]
    with pytest.raises(RowsRefused, match="2 of 4 rows, the first is row 2: no number") as caught:
        session.insert_rows([("root.a.d", time, ["s"], [time]) for time in range(4)])
    sent = [request.timestamps for _, request in port.calls]
    assert [[0, 1, 2, 3], [1, 3]] == sent
    assert {2: 400, 3: 701} == {row: int(error.code) for row, error in caught.value.errors.items()}


def test_rows_of_which_nothing_is_known_are_reported_as_unknown(one: Opened) -> None:
    port, session = one
    port.answers = [lost]
    with pytest.raises(OutcomeUnknown):
        session.insert_rows([("root.a.d", 1, ["s"], [1])])
    session.insert_rows([])
    assert 1 == len(port.calls)


def test_rows_survive_a_session_that_is_gone(one: Opened) -> None:
    port, session = one
    port.sessions.clear()
    session.insert_rows([("root.a.d", time, ["s"], [time]) for time in range(3)])
    assert [3, 3] == [len(request.timestamps) for _, request in port.calls]


def test_an_address_that_is_none_is_refused_by_name() -> None:
    for text in ("localhost", ":1", "h:x", "h:70000"):
        with pytest.raises(ValueError, match=text):
            Session(text)
    assert ("::1", 55560) == failover.parse_address("[::1]:55560")
