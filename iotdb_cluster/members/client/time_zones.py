"""Time zone ids as a session takes them and gives them back (interface page: those that `ZoneId.of` accepts)."""

import re
import zoneinfo
from datetime import UTC, timedelta, timezone, tzinfo
from functools import lru_cache

from iotdb_cluster.errors import RequestError, StatusCode

_OFFSET = re.compile(
    r"(?P<prefix>UTC|GMT|UT)?(?P<sign>[+-])"
    r"(?:(?P<hour>\d)|(?P<hours>\d\d)(?:(?P<colon>:?)(?P<minutes>\d\d)(?:(?P=colon)(?P<seconds>\d\d))?)?)",
    re.ASCII,
)
"""`+h`, `+hh`, `+hh:mm`, `+hhmm`, `+hh:mm:ss` and `+hhmmss`, and with a prefix."""
_FIXED = {"Z": "Z", "UTC": "UTC", "GMT": "GMT", "UT": "UT"}
_MAX_OFFSET_S = 18 * 3600


def normalised(zone_id: str) -> str:
    """The id in its normal form (`+00:00` as `Z`, `GMT+8` as `GMT+08:00`); raises `RequestError` 403 for none."""
    if zone_id in _FIXED:
        return zone_id
    found = _OFFSET.fullmatch(zone_id)
    if found:
        return _offset_id(found)
    try:
        zoneinfo.ZoneInfo(zone_id)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise _refused(zone_id) from None
    return zone_id


@lru_cache(256)
def zone_of(zone_id: str) -> tzinfo:
    """The zone that a normalised id names."""
    if zone_id in _FIXED:
        return UTC
    found = _OFFSET.fullmatch(zone_id)
    if found:
        return timezone(timedelta(seconds=_seconds(found)))
    return zoneinfo.ZoneInfo(zone_id)


def _offset_id(found: re.Match[str]) -> str:
    total = _seconds(found)
    if abs(total) > _MAX_OFFSET_S or int(found["minutes"] or 0) > 59 or int(found["seconds"] or 0) > 59:
        raise _refused(found.string)
    prefix = found["prefix"] or ""
    if total == 0:
        return prefix or "Z"
    hour, rest = divmod(abs(total), 3600)
    minute, second = divmod(rest, 60)
    tail = f":{second:02d}" if second else ""
    return f"{prefix}{found['sign']}{hour:02d}:{minute:02d}{tail}"


def _seconds(found: re.Match[str]) -> int:
    hours = int(found["hour"] or found["hours"])
    total = hours * 3600 + int(found["minutes"] or 0) * 60 + int(found["seconds"] or 0)
    return -total if found["sign"] == "-" else total


def _refused(zone_id: str) -> RequestError:
    return RequestError(
        f"{zone_id[:100]!r} is no time zone: use an offset such as +08:00, or a name such as Asia/Shanghai",
        code=StatusCode.SET_TIME_ZONE_ERROR,
    )
