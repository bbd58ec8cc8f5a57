"""Time zone ids: their normal form, and the zone that they mean."""

from datetime import UTC, datetime, timedelta

import pytest

from iotdb_cluster.errors import RequestError, StartRefused
from iotdb_cluster.members.client.time_zones import normalised, zone_of
from iotdb_cluster.settings import Settings

SUMMER = datetime(2020, 7, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("given", "normal", "hours"),
    [
        ("+08:00", "+08:00", 8),
        ("-8", "-08:00", -8),
        ("UTC+01", "UTC+01:00", 1),
        ("UT-0530", "UT-05:30", -5.5),
        ("GMT+00:00", "GMT", 0),
        ("-00:00", "Z", 0),
        ("+18:00", "+18:00", 18),
        ("Europe/Berlin", "Europe/Berlin", 2),
        ("GMT0", "GMT0", 0),
    ],
)
def test_an_id_has_a_normal_form_and_an_offset(given, normal, hours):
    assert normal == normalised(given)
    assert normal == normalised(normal)
    assert timedelta(hours=hours) == SUMMER.astimezone(zone_of(normal)).utcoffset()


@pytest.mark.parametrize(
    "zone", ["+8:00", "+830", "+08:00:60", "+18:01", "-19", "+08:0", "+08:0000", "+0800:00", "++8"]
)
def test_neither_a_session_nor_a_setting_takes_what_is_no_zone(zone):
    with pytest.raises(RequestError, match="is no time zone"):
        normalised(zone)
    with pytest.raises(StartRefused):
        Settings(time_zone=zone)
