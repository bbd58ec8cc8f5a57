"""Sessions, time zones and properties of the client port (interface page CLIENT, "Methods")."""

import pytest

from tests.services.rig import RPC, code, logged_in, said, stock, wait_for

NO_SUCH_SESSION = 987_654_321


def zone_request(session_id, zone):
    return RPC.TSSetTimeZoneReq(sessionId=session_id, timeZone=zone)


def test_a_login_gives_a_session_and_the_protocol_version(session):
    assert 200 == code(session.answer.status)
    assert session.id > 0
    assert 0 == session.answer.serverProtocolVersion
    assert session.answer.configuration is None


@pytest.mark.parametrize(
    ("username", "password"),
    [("root", "wrong"), ("nobody", "root"), ("Root", "root"), ("root", None), (None, "root"), (None, None), ("", "")],
)
def test_a_wrong_login_is_600_with_session_minus_one(node, username, password):
    with logged_in(node, username=username, password=password) as session:
        assert 600 == code(session.answer.status)
        assert -1 == session.id


def test_a_session_ends_once(session):
    assert 200 == code(session.close())
    assert (601, "") == said(session.close())


def test_what_needs_a_session_is_601_with_an_empty_message_without_one(session):
    session.close()
    empty_batch = session.insert_batch("root.never.d", [], [], 0, b"", b"")
    rows = session.insert_rows(("root.never.d", 1, ["s"], ["1"]), ("root.never.d", 2, ["s"], ["1"]))
    answers = [
        session.set_storage_group("root.never"),
        session.create("root.never.d.s"),
        session.insert("root.never.d", 1, s="1"),
        session.delete(1, "root.never.d.s"),
        session.client.setTimeZone(zone_request(session.id, "UTC")),
        empty_batch.status,
        *rows.statusList,
    ]
    assert [(601, "")] * 7 == [said(answer) for answer in answers]
    assert empty_batch.result is None
    assert (0, 1) == (rows.sessionId, len(rows.statusList))


def test_a_session_may_be_used_from_another_connection(node, session):
    with stock("TSIService", node.client_address) as other:
        assert 200 == code(other.getTimeZone(session.id).status)


def test_a_lost_connection_closes_the_session_last_opened_on_it_only(node, session):
    with logged_in(node) as first:
        answer = first.client.openSession(RPC.TSOpenSessionReq(client_protocol=0, username="root", password="root"))
    last_id = answer.sessionId
    wait_for(lambda: 402 == code(session.client.getTimeZone(last_id).status), "the last session is closed")
    assert 200 == code(session.client.getTimeZone(first.id).status)


def test_statement_ids_are_positive_and_never_the_same(session):
    ids = [session.client.requestStatementId(each) for each in (session.id, session.id, NO_SUCH_SESSION)]
    assert min(ids) > 0
    assert 3 == len(set(ids))


def test_properties_need_no_session(node):
    with stock("TSIService", node.client_address) as client:
        properties = client.getProperties()
    assert "0.10.0-SNAPSHOT" == properties.version
    assert ["max_time", "min_time"] == properties.supportedTimeAggregationOperations
    assert "ms" == properties.timestampPrecision


def test_a_new_session_has_the_configured_zone(session):
    answer = session.client.getTimeZone(session.id)
    assert (200, "+08:00") == (code(answer.status), answer.timeZone)


def test_the_zone_of_no_session_is_402(session):
    answer = session.client.getTimeZone(NO_SUCH_SESSION)
    assert (402, "Unknown time zone") == (code(answer.status), answer.timeZone)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("+00:00", "Z"),
        ("Z", "Z"),
        ("UTC", "UTC"),
        ("GMT+8", "GMT+08:00"),
        ("Asia/Shanghai", "Asia/Shanghai"),
        ("-03:30", "-03:30"),
        ("+5", "+05:00"),
        ("+0530", "+05:30"),
        ("+01:02:03", "+01:02:03"),
    ],
)
def test_a_zone_comes_back_in_its_normal_form(session, given, kept):
    assert 200 == code(session.client.setTimeZone(zone_request(session.id, given)))
    assert kept == session.client.getTimeZone(session.id).timeZone


@pytest.mark.parametrize(
    "zone",
    ["", " ", "Mars/Olympus", "+19:00", "+18:01", "+08:60", "+8:00", "+830", "8", "America", "../../etc/passwd", "\x00"]
    + ["x" * 100_000, "utc", "+٠٨:٠٠"],
)
def test_a_zone_that_is_none_is_403_and_changes_nothing(session, zone):
    session.client.setTimeZone(zone_request(session.id, "Asia/Shanghai"))
    number, message = said(session.client.setTimeZone(zone_request(session.id, zone)))
    assert 403 == number
    assert "is no time zone" in message
    assert len(message) < 300
    assert "Asia/Shanghai" == session.client.getTimeZone(session.id).timeZone


def test_the_report_of_the_client_port_needs_a_session(node, session):
    with stock("ClientExtension", node.client_address) as client:
        assert '"client_port"' in client.report(session.id).json
