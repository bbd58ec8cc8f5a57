"""Times and durations as people write them, in milliseconds."""

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo

LEAST_TIME_MS = -(2**63)
GREATEST_TIME_MS = 2**63 - 1

_MOMENT = re.compile(
    r"(\d{4})([-/])(\d{2})\2(\d{2})[T ](\d{2}):(\d{2}):(\d{2})(?:\.(\d{3}))?(?:([+-])(\d{2}):(\d{2}))?", re.ASCII
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_FIRST_MOMENT_MS = (datetime(1, 1, 1, tzinfo=UTC) - _EPOCH) // _MILLISECOND
_GREATEST_OFFSET = timedelta(hours=18)

UNITS_MS = {
    "y": 365 * 86_400_000,
    "mo": 30 * 86_400_000,
    "w": 7 * 86_400_000,
    "d": 86_400_000,
    "h": 3_600_000,
    "m": 60_000,
    "s": 1000,
    "ms": 1,
}
_FINER_UNITS = ("us", "ns")
_DURATION_PART = re.compile(r"([0-9]+)(mo|ms|us|ns|[ywdhms])", re.IGNORECASE | re.ASCII)
_GREATEST_DIGITS = 19


class BadTime(ValueError):
    """A time or duration that does not exist; the text says why."""


def is_duration(text: str) -> bool:
    """True for `1d2h` and the like; whether it counts as one is for `duration_ms` to say."""
    return bool(re.fullmatch(f"(?:{_DURATION_PART.pattern})+", text, _DURATION_PART.flags))


def duration_ms(text: str) -> int:
    """The length of `1y 1mo 1w 1d 1h 1m 1s 1ms`, joined like `1d2h`; raises `BadTime` unless > 0 and in 64 bits."""
    total = 0
    for number, unit in _DURATION_PART.findall(text):
        if unit.lower() in _FINER_UNITS:
            raise BadTime(f"the unit {unit} is finer than a millisecond, the precision of times")
        if len(number.lstrip("0")) > _GREATEST_DIGITS:
            raise BadTime("the duration does not fit in 64 bits")
        total += int(number) * UNITS_MS[unit.lower()]
    if total <= 0:
        raise BadTime("a duration must be longer than 0")
    if total > GREATEST_TIME_MS:
        raise BadTime("the duration does not fit in 64 bits")
    return total


def has_offset(text: str) -> bool:
    """True when a time is written with an offset such as `+08:00`, and so needs no zone."""
    return text[-6:-5] in ("+", "-") and text[-3:-2] == ":"


def moment_ms(text: str, zone: tzinfo | None) -> int:
    """The time of `2020-02-03 04:05:06`, with `T` or `/` also, `.789` and `+08:00` optional; raises `BadTime`.

    Without an offset it is read in `zone`, with the offset that the zone had on that day. A local time that a change of
    clocks leaves out is as far behind the change as it would have been; one that comes twice is the first.
    """
    found = _MOMENT.fullmatch(text)
    if found is None:
        raise BadTime("a time looks like 2020-02-03 04:05:06, with .789 and +08:00 where needed, two digits each")
    year, _, month, day, hour, minute, second, fraction, sign, hours, minutes = found.groups()
    if sign:
        zone = _offset(sign, hours, minutes)
    try:
        local = datetime(
            int(year),
            int(month),
            int(day),
            int(hour),
            int(minute),
            int(second),
            int(fraction or 0) * 1000,
            tzinfo=zone,
        )
    except ValueError as error:
        raise BadTime(str(error)) from None
    offset = local.utcoffset()
    if offset is None:
        raise ValueError("a time without an offset needs a zone")
    # Not by converting to UTC: on the first and the last day that would leave the range of years.
    time_ms = (local.replace(tzinfo=UTC) - _EPOCH - offset) // _MILLISECOND
    if time_ms < _FIRST_MOMENT_MS:
        raise BadTime("the time lies before the year 1")
    return time_ms


def _offset(sign: str, hours: str, minutes: str) -> tzinfo:
    size = timedelta(hours=int(hours), minutes=int(minutes))
    if int(minutes) > 59 or size > _GREATEST_OFFSET:
        raise BadTime("an offset lies between -18:00 and +18:00")
    return timezone(-size if sign == "-" else size)


def time_text(time_ms: int) -> str:
    """A time as any statement takes it: the number, or for those before 1970 a date, since INSERT takes no sign."""
    if time_ms >= 0:
        return str(time_ms)
    return (_EPOCH + time_ms * _MILLISECOND).isoformat(timespec="milliseconds")
